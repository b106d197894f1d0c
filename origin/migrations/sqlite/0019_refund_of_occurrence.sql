-- Which conversion under the key in `refund_of` a return goes back of: a key has several where the policy's window has passed between them.
alter table conversions add column refund_of_occurrence integer;
update conversions set refund_of_occurrence = 1 where refund_of is not null;
