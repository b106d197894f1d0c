//! What the edge has parked of conversions that are wanted.

use super::super::edge::{Edge, Filter};
use super::super::progress::Progress;
use crate::reconcile::repair::{Judge, Notice};
use postback::id::EventId;
use postback::time::Timestamp;
use postback::zone::Zone;

/// Parked postbacks that are looked at, one after the other.
const PARKED_MAX: usize = 5_000;

/// The parked postbacks of conversions that are wanted.
///
/// # Errors
/// The edge cannot say, or they are too many to be looked at.
pub async fn parked(edge: &Edge, judge: &Judge<'_>) -> Result<Vec<Notice>, String> {
    let filter = Filter {
        partner: Some(judge.partner.code.clone()),
        state: Some("parked".to_owned()),
        limit: Some(Filter::LIMIT_MAX),
        ..Filter::default()
    };
    let mut found = Vec::new();
    let mut progress = Progress::new("looking at parked postbacks".to_owned());
    let (mut looked, mut cursor) = (0_usize, None);
    loop {
        let page = edge.list(&filter, cursor.as_deref()).await?;
        for row in page.parked {
            looked = looked.saturating_add(1);
            if looked > PARKED_MAX {
                return Err(format!(
                    "more than {PARKED_MAX} postbacks of this partner are parked: replay them all, and reconcile then"
                ));
            }
            progress.at(u64::try_from(looked).unwrap_or(u64::MAX));
            let Some(shown) = edge.show(&row.request_id).await? else { continue };
            let Some(kept) = shown.postback else { continue };
            let Some(event_id) = row.event_id.as_deref().and_then(EventId::parse) else { continue };
            let received_at = row.received_at.as_deref().and_then(|text| Timestamp::parse(text, &Zone::utc()));
            // Of one that does not say when it came anything that is known is later.
            let Some(received_at) = received_at.or_else(|| Timestamp::from_unix_ms(0)) else { continue };
            found.extend(Notice::of_parked(judge, row.request_id, event_id, &kept.canonical, received_at));
        }
        match page.next {
            Some(next) => cursor = Some(next),
            None => return Ok(found),
        }
    }
}
