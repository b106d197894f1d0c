-- Events have ids in no order, so an index of all requests by event is gone into at another page for each postback. The request
-- that an event entered by came when the event did, and is found by that time. What is left to find by event are the others.
drop index postbacks_by_event;
create index postbacks_repeated on postbacks (event_id) where verdict in ('duplicate', 'conflict');
