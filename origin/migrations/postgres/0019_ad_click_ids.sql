-- The ids that ad platforms gave a click, and whether a browser fetched the page in advance.
-- By their parameters' names, such as {"gclid": "Cj0KCQ"}.
alter table clicks add column ad_click_ids jsonb not null default '{}';
alter table clicks add column is_prefetch boolean not null default false;
