-- The sender's own words for event and status, where ours are others: what a status was called is asked in disputes, long
-- after the request as it was received has been dropped. By canonical field, such as {"status": "Yet to consumed"}.
alter table events add column words jsonb not null default '{}';
