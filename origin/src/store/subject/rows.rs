//! Whole rows as JSON, for the person whose they are.

use super::super::statement::Dialect;

/// Columns of JSON.
const JSON: [&str; 8] = ["content", "words", "headers", "ignored", "warnings", "utm", "ad_click_ids", "findings"];
/// Columns of amounts and rates.
const AMOUNTS: [&str; 11] = [
    "sale_amount",
    "payout",
    "usd_sale_amount",
    "usd_payout",
    "fx_sale_amount",
    "fx_payout",
    "fx_rate",
    "counted_sale_amount",
    "counted_payout",
    "counted_usd_sale_amount",
    "counted_usd_payout",
];
/// Members of an object in D1 at most.
const MEMBERS_MAX: usize = 16;

/// The columns of a table, amounts as decimals. PostgreSQL knows them itself; a test holds this list to it.
pub fn columns(table: &str) -> &'static [&'static str] {
    match table {
        "events" => &[
            "event_id",
            "event",
            "conversion_id",
            "fingerprint",
            "content",
            "words",
            "received_at",
            "receipt_id",
            "conversion_key",
            "request_id",
            "names_event",
        ],
        "postbacks" => &[
            "postback_id",
            "receipt_id",
            "event_id",
            "verdict",
            "request_id",
            "received_at",
            "auth_mode",
            "key_id",
            "client_ip",
            "method",
            "target",
            "headers",
            "content_type",
            "body",
            "content",
            "ignored",
            "warnings",
        ],
        "rejections" => &[
            "rejection_id",
            "receipt_id",
            "request_id",
            "received_at",
            "auth_mode",
            "key_id",
            "client_ip",
            "method",
            "target",
            "headers",
            "content_type",
            "body",
            "code",
            "field",
            "via",
            "is_authenticated",
            "status",
            "rules",
            "event_id",
            "conversion_id",
            "order_id",
            "click_id",
            "account_id",
        ],
        "conversions" => &[
            "conversion_key",
            "occurrence",
            "conversion_id",
            "revision",
            "event_id",
            "event",
            "click_id",
            "order_id",
            "media_id",
            "sub_id",
            "offer_id",
            "offer_name",
            "account_id",
            "status",
            "ts_event",
            "conversion_datetime",
            "sale_amount",
            "payout",
            "currency",
            "usd_sale_amount",
            "usd_payout",
            "is_ftd",
            "is_processed",
            "is_duplicate",
            "processing_error",
            "received_at",
            "created_at",
            "updated_at",
            "last_received_ms",
            "payment_method",
            "consent_version",
            "campaign",
            "geo",
            "device",
            "processed_at",
            "attribution",
            "deposit",
            "deposit_account",
            "refund_of",
            "refund_of_occurrence",
            "fx_sale_amount",
            "fx_payout",
            "fx_rate",
            "fx_rate_date",
            "consent",
            "findings",
            "dropped_click_id",
            "dropped_clicked_at",
            "dropped_click_consent",
            "last_request_id",
            "last_event_id",
            "first_request_id",
            "payout_currency",
            "is_sale_amount_dropped",
            "is_payout_dropped",
            "is_returned",
            "original_event_id",
            "counted_sale_amount",
            "counted_payout",
            "counted_currency",
            "counted_payout_currency",
            "counted_usd_sale_amount",
            "counted_usd_payout",
            "is_charged_back",
        ],
        "links" => &["click_id", "kind", "linked_id", "event_id", "linked_at", "request_id"],
        "clicks" => &[
            "click_id",
            "offer",
            "clicked_at",
            "sub_id",
            "media_id",
            "geo",
            "device",
            "referrer",
            "consent_version",
            "utm",
            "ad_click_ids",
            "is_prefetch",
            "received_at",
        ],
        "work_items" => &[
            "work_item_id",
            "event_id",
            "conversion_key",
            "state",
            "attempts",
            "due_at",
            "claim_id",
            "claimed_until",
            "last_error",
            "created_at",
            "updated_at",
        ],
        _ => &[],
    }
}

/// A row of a table, which stands in the statement under a name, as JSON. What is null in SQLite is left out.
pub(super) fn row(dialect: Dialect, table: &str, name: &str) -> String {
    match dialect {
        Dialect::Postgres => {
            // As texts: whoever reads a number in JSON makes a float of it.
            let amounts = AMOUNTS.iter().filter(|amount| columns(table).contains(amount));
            let amounts = amounts.map(|amount| format!("'{amount}', {name}.{amount}::text")).collect::<Vec<_>>();
            format!("(to_jsonb({name}) || jsonb_build_object({}))::text", amounts.join(", "))
        }
        Dialect::Sqlite => {
            let objects = columns(table).chunks(MEMBERS_MAX).map(|columns| {
                let member = |column: &&'static str| match JSON.contains(column) {
                    true => (*column, format!("json({name}.{column})")),
                    false => (*column, format!("{name}.{column}")),
                };
                dialect.json_object(&columns.iter().map(member).collect::<Vec<_>>())
            });
            objects.reduce(|first, next| format!("json_patch({first}, {next})")).unwrap_or_else(|| "'{}'".to_owned())
        }
    }
}
