-- Every id leads to what was stored about it, and requests are listed by what became of them.
-- Request ids that we make begin with the time, so entering one touches the pages that the last ones are on.
create index postbacks_by_request on postbacks (request_id);
-- Most requests create a conversion; the others are listed by verdict.
create index postbacks_by_verdict on postbacks (verdict, received_at) where verdict <> 'created';
create index conversions_by_order on conversions (order_id) where order_id is not null;
create index rejections_by_code on rejections (code, received_at);
