//! What Prometheus asks the edge: how many postbacks are queued, and how many messages are parked. What isolates count goes to the origin
//! (`crate::outcomes`).

use super::{Failed, Operated, unavailable};
use crate::parked::queued::Depth;
use crate::parked::table::{Standing, Table};
use crate::platform::Bindings;
use crate::platform::response::Reply;
use crate::reply;
use postback::id::Nonce;
use postback::time::Timestamp;
use postback::zone::Zone;
use std::fmt::Write;

/// The gauges of all that is queued, and of all that is parked or on its way back, in Prometheus' text.
pub(super) async fn metrics(bindings: &Bindings, request_id: &Nonce) -> Result<Operated, Failed> {
    let table = Table::open(bindings).await.map_err(unavailable)?;
    let standings = table.standings().await.map_err(unavailable)?;
    let depths = table.depths().await.map_err(unavailable)?;
    let reason = format!("{} series", standings.len().saturating_add(depths.len()));
    let mut headers = reply::headers(request_id, None, None);
    headers.push(("content-type", "text/plain; version=0.0.4".to_owned()));
    Ok(Operated { reply: Reply { status: 200, headers, body: Some(exposition(&standings, &depths)) }, reason })
}

fn exposition(standings: &[Standing], depths: &[Depth]) -> String {
    let mut text = "# HELP bytec_edge_parked Postbacks and clicks that automatic delivery gave up on\n\
                    # TYPE bytec_edge_parked gauge\n"
        .to_owned();
    for Standing { partner, state, reason, count } in standings {
        let [partner, state, reason] = [partner.as_deref().unwrap_or("-"), state, reason].map(escaped);
        // Writing to a String cannot fail.
        let _ = writeln!(text, r#"bytec_edge_parked{{partner="{partner}",reason="{reason}",state="{state}"}} {count}"#);
    }
    text.push_str("# HELP bytec_edge_queued Postbacks that wait in the queue\n# TYPE bytec_edge_queued gauge\n");
    for Depth { partner, count, .. } in depths {
        let _ =
            writeln!(text, r#"bytec_edge_queued{{partner="{}"}} {count}"#, escaped(partner.as_deref().unwrap_or("-")));
    }
    text.push_str(
        "# HELP bytec_edge_queued_oldest_timestamp_seconds When the oldest of them was queued, in Unix seconds\n\
         # TYPE bytec_edge_queued_oldest_timestamp_seconds gauge\n",
    );
    for Depth { partner, oldest, .. } in depths {
        let Some(oldest) = Timestamp::parse(oldest, &Zone::utc()) else { continue };
        let (partner, oldest_s) = (escaped(partner.as_deref().unwrap_or("-")), oldest.unix_s());
        let _ = writeln!(text, r#"bytec_edge_queued_oldest_timestamp_seconds{{partner="{partner}"}} {oldest_s}"#);
    }
    text
}

fn escaped(value: &str) -> String {
    value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_parked_is_told_by_partner_state_and_reason() {
        let standing = |partner: Option<&str>, count| Standing {
            partner: partner.map(str::to_owned),
            state: "parked".to_owned(),
            reason: "exhausted".to_owned(),
            count,
        };
        let oldest = "2026-01-31T12:00:00.000000Z".to_owned();
        let depths = [Depth { partner: Some("rector".to_owned()), count: 4, oldest }];
        let text =
            exposition(&[standing(Some("rector"), 3), standing(None, 1), standing(Some("a\"b\\c\n"), 2)], &depths);
        let lines: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(
            lines,
            [
                r#"bytec_edge_parked{partner="rector",reason="exhausted",state="parked"} 3"#,
                r#"bytec_edge_parked{partner="-",reason="exhausted",state="parked"} 1"#,
                r#"bytec_edge_parked{partner="a\"b\\c\n",reason="exhausted",state="parked"} 2"#,
                r#"bytec_edge_queued{partner="rector"} 4"#,
                r#"bytec_edge_queued_oldest_timestamp_seconds{partner="rector"} 1769860800"#,
            ]
        );
    }
}
