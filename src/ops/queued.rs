//! What waits in the queue, for operators.

use super::{Failed, Operated, unavailable};
use crate::error::Error;
use crate::parked::filter::Unclear;
use crate::parked::queued::{Asked, Depth, LIMIT_MAX, Queued};
use crate::parked::table::Table;
use crate::platform::Bindings;
use crate::reply;
use postback::id::Nonce;
use postback::params::decode_pairs;
use serde::Serialize;

/// Rows where a request names no limit.
const LIMIT: u32 = 100;

/// Rows, and how many wait in all.
pub(super) async fn list(bindings: &Bindings, query: &str, request_id: &Nonce) -> Result<Operated, Failed> {
    #[derive(Serialize)]
    struct Page {
        queued: Vec<Queued>,
        /// Whether more rows match.
        is_cut: bool,
        by_partner: Vec<Depth>,
    }
    let asked = asked(query).map_err(Error::Unclear)?;
    let table = Table::open(bindings).await.map_err(unavailable)?;
    let limit = usize::try_from(asked.limit).unwrap_or(usize::MAX);
    let one_more = Asked { limit: asked.limit.saturating_add(1), ..asked };
    let mut queued = table.queued(&one_more).await.map_err(unavailable)?;
    let is_cut = queued.len() > limit;
    queued.truncate(limit);
    let by_partner = table.depths().await.map_err(unavailable)?;
    let reason = format!("{} rows", queued.len());
    Ok(Operated { reply: reply::json(200, request_id, &Page { queued, is_cut, by_partner }), reason })
}

fn asked(query: &str) -> Result<Asked, Unclear> {
    let unclear = |name: &str, hint| Unclear { name: name.chars().take(64).collect(), hint };
    let pairs = decode_pairs(query).map_err(|_| unclear("query", "is not encoded as a query is"))?;
    let mut asked = Asked { limit: LIMIT, ..Asked::default() };
    let mut seen: Vec<&str> = Vec::new();
    for (name, value) in &pairs {
        if seen.contains(&name.as_ref()) {
            return Err(unclear(name, "is there twice"));
        }
        seen.push(name);
        let text = |hint| Some(value.to_string()).filter(|text| !text.is_empty()).ok_or_else(|| unclear(name, hint));
        match name.as_ref() {
            "id" => asked.id = Some(text("is the id of a request, event or conversion")?),
            "partner" => asked.partner = Some(text("is a partner's code")?),
            "limit" => {
                let limit = value.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit));
                asked.limit = limit.ok_or_else(|| unclear(name, "is a number from 1 to 1000"))?;
            }
            _ => return Err(unclear(name, "is not known: id, partner, limit")),
        }
    }
    Ok(asked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_is_known_or_refused_by_name() {
        let all = asked("id=c%201&partner=rector&limit=5").unwrap();
        assert_eq!(all, Asked { id: Some("c 1".to_owned()), partner: Some("rector".to_owned()), limit: 5 });
        assert_eq!(asked("").unwrap(), Asked { limit: LIMIT, ..Asked::default() });
        for (query, name) in [
            ("id=", "id"),
            ("id=a&id=b", "id"),
            ("limit=0", "limit"),
            ("limit=1001", "limit"),
            ("x=1", "x"),
            ("id=%zz", "query"),
        ] {
            assert_eq!(asked(query).unwrap_err().name, name, "{query}");
        }
    }
}
