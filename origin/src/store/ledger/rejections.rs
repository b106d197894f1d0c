//! Requests that could not be read (R46).

use super::super::record::Rejected;
use super::super::statement::{Column, Dialect, Step};
use super::entry::storable;
use super::of;

/// Writes requests down with what is wrong with them. Their nonces are not spent: nothing came of them that a replay could bring
/// about twice.
pub(super) fn write_down_rejected(dialect: Dialect) -> Step<Rejected> {
    const COLUMNS: &[Column<Rejected>] = &[
        Column::text("receipt_id", |rejected| Some(rejected.receipt_id.to_string())),
        Column::text("request_id", |rejected| Some(rejected.receipt.request_id.clone())),
        Column::time("received_at", |rejected| Some(rejected.receipt.received_at)),
        Column::text("auth_mode", |rejected| Some(rejected.receipt.auth_mode.clone())),
        Column::text("key_id", |rejected| rejected.receipt.key_id.clone()),
        Column::text("client_ip", |rejected| rejected.receipt.client_ip.clone()),
        Column::text("method", |rejected| Some(rejected.receipt.method.clone())),
        Column::text("target", |rejected| Some(rejected.receipt.target.clone())),
        Column::json("headers", |rejected| rejected.receipt.headers.to_string()),
        Column::text("content_type", |rejected| rejected.receipt.content_type.clone()),
        Column::text("body", body),
        Column::text("code", |rejected| Some(rejected.code.as_str().to_owned())),
        Column::text("field", |rejected| rejected.field.clone()),
    ];
    const NAMES: [&str; 13] = [
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
    ];
    let statement =
        format!("insert into rejections ({}) select {} from input where true", NAMES.join(", "), of("input", &NAMES));
    Step::new(dialect, COLUMNS, &statement)
}

fn body(rejected: &Rejected) -> Option<String> {
    rejected.receipt.body.as_deref().map(storable)
}
