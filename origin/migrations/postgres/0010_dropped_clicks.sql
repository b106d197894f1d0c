-- What a conversion is judged by of a click that was too old to be kept (R59): it is moved here as the click goes, so that judging
-- again comes to the same. A program of before neither drops clicks nor knows these.
alter table conversions add column dropped_click_id text;
alter table conversions add column dropped_clicked_at timestamptz;
alter table conversions add column dropped_click_consent text;
