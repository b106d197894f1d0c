//! What Prometheus asks the edge: how many postbacks and clicks are parked. What else it could count belongs to one of many isolates,
//! and Cloudflare counts it better.

use super::{Failed, Operated, unavailable};
use crate::parked::table::{Standing, Table};
use crate::platform::Bindings;
use crate::platform::response::Reply;
use crate::reply;
use postback::id::Nonce;
use std::fmt::Write;

/// The gauge of all that is parked, or on its way back, in Prometheus' text.
pub(super) async fn metrics(bindings: &Bindings, request_id: &Nonce) -> Result<Operated, Failed> {
    let table = Table::open(bindings).await.map_err(unavailable)?;
    let standings = table.standings().await.map_err(unavailable)?;
    let reason = format!("{} series", standings.len());
    let mut headers = reply::headers(request_id, None, None);
    headers.push(("content-type", "text/plain; version=0.0.4".to_owned()));
    Ok(Operated { reply: Reply { status: 200, headers, body: Some(exposition(&standings)) }, reason })
}

fn exposition(standings: &[Standing]) -> String {
    let mut text = "# HELP bytec_edge_parked Postbacks and clicks that automatic delivery gave up on\n\
                    # TYPE bytec_edge_parked gauge\n"
        .to_owned();
    for Standing { partner, state, reason, count } in standings {
        let [partner, state, reason] = [partner.as_deref().unwrap_or("-"), state, reason].map(escaped);
        // Writing to a String cannot fail.
        let _ = writeln!(text, r#"bytec_edge_parked{{partner="{partner}",reason="{reason}",state="{state}"}} {count}"#);
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
        let text = exposition(&[standing(Some("rector"), 3), standing(None, 1), standing(Some("a\"b\\c\n"), 2)]);
        let lines: Vec<_> = text.lines().skip(2).collect();
        assert_eq!(
            lines,
            [
                r#"bytec_edge_parked{partner="rector",reason="exhausted",state="parked"} 3"#,
                r#"bytec_edge_parked{partner="-",reason="exhausted",state="parked"} 1"#,
                r#"bytec_edge_parked{partner="a\"b\\c\n",reason="exhausted",state="parked"} 2"#,
            ]
        );
    }
}
