-- Until when an item is somebody's. In a column of its own, which no index has: taking an item no longer enters it into every index anew.
-- Half of each page stays free for the row as it is when it was taken.
alter table work_items add column claimed_until timestamptz;
alter table work_items set (fillfactor = 50);
-- In the order in which items are taken, so that taking some does not go through all that are due.
drop index work_items_due;
create index work_items_due on work_items (due_at, work_item_id) where state = 'waiting';
