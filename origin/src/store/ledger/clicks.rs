//! Clicks (R30).

use super::super::statement::{Column, Dialect, Step};
use super::super::worklist::waiting_for_clicks;
use super::enter_once;
use postback::click::Click;
use postback::id::Nonce;
use postback::time::Timestamp;
use std::collections::BTreeMap;

/// A click on its way into the database.
pub(super) struct BatchedClick {
    pub(super) click: Click,
    pub(super) nonce: Nonce,
    pub(super) receipt_id: Nonce,
    pub(super) now: Timestamp,
}

const COLUMNS: &[Column<BatchedClick>] = &[
    Column::text("click_id", |batched| Some(batched.click.click_id.to_string())),
    Column::text("offer", |batched| Some(batched.click.offer.clone())),
    Column::time("clicked_at", |batched| Some(batched.click.clicked_at)),
    Column::text("sub_id", |batched| batched.click.sub_id.clone()),
    Column::text("media_id", |batched| batched.click.media_id.clone()),
    Column::text("geo", |batched| batched.click.geo.clone()),
    Column::text("device", |batched| batched.click.device.clone()),
    Column::text("referrer", |batched| batched.click.referrer.clone()),
    Column::text("consent_version", |batched| batched.click.consent_version.clone()),
    Column::json("utm", |batched| object(&batched.click.utm)),
    Column::json("ad_click_ids", |batched| object(&batched.click.ad_click_ids)),
    Column::flag("is_prefetch", |batched| Some(batched.click.is_prefetch)),
    Column::time("received_at", |batched| Some(batched.now)),
    Column::text("nonce", |batched| Some(batched.nonce.to_string())),
    Column::text("receipt_id", |batched| Some(batched.receipt_id.to_string())),
];

/// Conversions that name one of the clicks, which was unknown when they were judged, are judged again.
pub(super) fn put_back_for_clicks(dialect: Dialect) -> Step<BatchedClick> {
    waiting_for_clicks(dialect, COLUMNS)
}

pub(super) fn enter_clicks(dialect: Dialect) -> Step<BatchedClick> {
    const NAMES: [&str; 13] = [
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
    ];
    enter_once(dialect, COLUMNS, "clicks", "click_id", &NAMES)
}

/// Parameters by their names.
fn object(parameters: &BTreeMap<String, String>) -> String {
    let members = parameters.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    members.collect::<serde_json::Value>().to_string()
}
