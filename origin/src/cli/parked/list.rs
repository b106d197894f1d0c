//! `parked list`: what is parked, as many pages as it takes.

use super::{At, Which};
use crate::cli::edge::{Edge, Filter, Page, Row};
use crate::cli::print;
use crate::cli::progress::Progress;
use crate::cli::terminal::{columns, json, plain};
use clap::Args;

/// Characters of what was seen that a line shows; `show` has all of it.
const DETAIL_CHARS_MAX: usize = 80;

/// What is listed.
#[derive(Args)]
pub struct List {
    #[command(flatten)]
    which: Which,
    /// Rows in all.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
    /// Go on behind a page; the page before says the word.
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
    #[command(flatten)]
    pub at: At,
}

/// Runs the command.
///
/// # Errors
/// The edge does not list them.
pub async fn list(edge: &Edge, command: List) -> Result<(), String> {
    let List { which, limit, cursor, at } = command;
    let page = pages(edge, which.filter(None), limit, cursor).await?;
    if at.json {
        print(&json(&page)?);
        return Ok(());
    }
    let Page { parked, next } = page;
    if parked.is_empty() {
        print("nothing is parked that matches");
        return Ok(());
    }
    let head =
        ["id", "parked at", "state", "reason", "partner", "event", "replays", "what was seen"].map(str::to_owned);
    let rows: Vec<_> = std::iter::once(head.to_vec()).chain(parked.iter().map(line)).collect();
    print(&columns(&rows));
    if let Some(next) = next {
        print(&format!("there may be more: --cursor {}", plain(&next)));
    }
    Ok(())
}

/// So many rows of all pages, as one.
async fn pages(edge: &Edge, filter: Filter, limit: u32, cursor: Option<String>) -> Result<Page, String> {
    let mut progress = Progress::new("rows listed".to_owned());
    let mut all = Page { parked: Vec::new(), next: cursor };
    loop {
        let listed = u32::try_from(all.parked.len()).unwrap_or(u32::MAX);
        let filter = Filter { limit: Some(limit.saturating_sub(listed).min(Filter::LIMIT_MAX)), ..filter.clone() };
        let Page { parked, next } = edge.list(&filter, all.next.as_deref()).await?;
        let is_last = parked.is_empty() || next.is_none();
        all.parked.extend(parked);
        all.next = next;
        progress.at(all.parked.len() as u64);
        if is_last || u32::try_from(all.parked.len()).map_or(true, |listed| listed >= limit) {
            return Ok(all);
        }
    }
}

fn line(row: &Row) -> Vec<String> {
    let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    vec![
        row.request_id.clone(),
        to_seconds(&row.parked_at),
        row.state.clone(),
        row.reason.clone(),
        or_none(&row.partner),
        or_none(&row.event_id),
        row.replays.to_string(),
        row.detail.chars().take(DETAIL_CHARS_MAX).collect(),
    ]
}

/// A time without the part of a second.
fn to_seconds(time: &str) -> String {
    time.split_once('.').map_or_else(|| time.to_owned(), |(seconds, _)| format!("{seconds}Z"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_a_line() {
        let row = Row {
            request_id: "r1".to_owned(),
            partner: None,
            event_id: Some("evt_1".to_owned()),
            received_at: None,
            state: "parked".to_owned(),
            reason: "refused".to_owned(),
            detail: "ü".repeat(200),
            attempts: 3,
            parked_at: "2026-01-31T12:00:00.123456Z".to_owned(),
            changed_at: "2026-01-31T12:00:00.123456Z".to_owned(),
            replays: 2,
        };
        let detail = "ü".repeat(80);
        assert_eq!(line(&row), ["r1", "2026-01-31T12:00:00Z", "parked", "refused", "-", "evt_1", "2", &detail]);
        assert_eq!(to_seconds("2026-01-31T12:00:00Z"), "2026-01-31T12:00:00Z");
    }
}
