-- Until when an item is somebody's. In a column of its own, which no index has: taking an item no longer enters it into an index anew.
alter table work_items add column claimed_until text;
-- In the order in which items are taken, so that taking some does not go through all that are due.
drop index work_items_due;
create index work_items_due on work_items (due_at, work_item_id) where state = 'waiting';
