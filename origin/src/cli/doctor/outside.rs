//! What is seen from outside: the origin by its public URL, and the edge.

use super::code::Code;
use super::finding::{Checked, Finding};
use super::listener::{about_running, is_origin};
use super::web::Answer;
use reqwest::Url;
use serde_json::Value;

/// What is wrong with the origin's public URL, by the answer to `/health` there.
pub fn check_origin(url: &Url, answer: &Result<Answer, String>) -> Checked {
    Checked::new("origin url", "", shown(url), judge_origin(url, answer))
}

/// What is wrong with the edge, by the answer to `/health?deep=1` there.
pub fn check_edge(url: &Url, answer: &Result<Answer, String>) -> Checked {
    Checked::new("edge", "", shown(url), judge_edge(url, answer))
}

fn shown(url: &Url) -> String {
    url.as_str().trim_end_matches('/').to_owned()
}

fn judge_origin(url: &Url, answer: &Result<Answer, String>) -> Vec<Finding> {
    let url = shown(url);
    let answer = match answer {
        Ok(answer) if is_origin(answer) => {
            return about_running(&format!("the origin behind {url}"), answer.text("version"), &answer.json);
        }
        Ok(answer) => answer,
        Err(why) => {
            return vec![Finding::new(
                Code::OriginUnreachable,
                format!("{url}: {why}"),
                "does the name lead to the tunnel? cloudflared tunnel route dns <tunnel> <hostname>; does it run? systemctl status cloudflared; for a certificate that is not believed: sudo apt-get install --reinstall ca-certificates",
            )];
        }
    };
    let says = format!("{url} answers {}", answer.status);
    vec![match answer.status {
        530 => Finding::new(
            Code::OriginUnreachable,
            format!("{says}: no tunnel is connected"),
            "sudo systemctl start cloudflared, and see why it stopped: journalctl -u cloudflared -n 50",
        ),
        502..=504 | 520..=527 => Finding::new(
            Code::OriginUnreachable,
            format!("{says}: the tunnel is there, the origin is not"),
            "sudo systemctl start bytec-origin; if it runs, service in cloudflared's config.yml is not where it listens (ORIGIN_BIND)",
        ),
        301..=308 | 401 | 403 => Finding::new(
            Code::OriginBehindAccess,
            format!(
                "{says}: Cloudflare Access or another wall stands in front, so nobody sees from here whether the origin lives"
            ),
            "the edge needs ACCESS_CLIENT_ID and ACCESS_CLIENT_SECRET then; ask by way of it: npm run smoke -- --env production",
        ),
        _ => Finding::new(
            Code::OriginNotOurs,
            format!("{says}, and not as an origin does"),
            "something else is behind that hostname: compare it with hostname and service in cloudflared's config.yml and with ORIGIN_URL in wrangler.toml",
        ),
    }]
}

fn judge_edge(url: &Url, answer: &Result<Answer, String>) -> Vec<Finding> {
    let url = shown(url);
    let answer = match answer {
        Ok(answer) => answer,
        Err(why) => {
            return vec![Finding::new(
                Code::EdgeUnreachable,
                format!("{url}: {why}"),
                "is it deployed, and the domain under routes in wrangler.toml? npm run deploy -- --env production",
            )];
        }
    };
    if answer.text("service") != "bytec-edge" {
        return vec![if answer.status == 503 && answer.text("error") == "unavailable" {
            Finding::new(
                Code::EdgeMisconfigured,
                format!("{url} answers every request 503: its configuration is wrong"),
                "the line with outcome misconfigured lists what to set: npx wrangler tail --env production; docs/configuration.md#when-the-edges-configuration-is-wrong",
            )
        } else {
            Finding::new(
                Code::EdgeNotOurs,
                format!("{url} answers {}, and not as the edge does", answer.status),
                "is --edge the domain under routes in wrangler.toml? is the edge deployed there? npm run deploy -- --env production",
            )
        }];
    }
    let mut findings = Vec::new();
    let origin = answer.json.get("origin");
    if origin.and_then(|origin| origin.get("reachable")) == Some(&Value::Bool(false)) {
        findings.push(Finding::new(
            Code::EdgeOriginUnreachable,
            format!("{url}: the edge reaches no origin of some partner; what comes is queued"),
            "which, and why: npm run smoke -- --env production; docs/operations.md#reasons-and-where-to-look",
        ));
    }
    let (theirs, ours) = (answer.text("version"), env!("CARGO_PKG_VERSION"));
    if theirs != ours {
        findings.push(Finding::new(
            Code::EdgeOtherVersion,
            format!("the edge has version {theirs}, this program {ours}"),
            "deploy both from one checkout, the origin first: docs/operations.md#order-of-deployment",
        ));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn answer(status: u16, json: Value) -> Result<Answer, String> {
        Ok(Answer { status, clock_ahead_ms: None, json })
    }

    fn codes(checked: &Checked) -> Vec<&'static str> {
        checked
            .findings
            .iter()
            .inspect(|finding| assert!(finding.hint.len() > 20))
            .map(|finding| finding.code.name())
            .collect()
    }

    #[test]
    fn what_the_origins_url_answers_is_told_apart() {
        let url: Url = "https://origin.bytec.com".parse().unwrap();
        let of = |answer| codes(&check_origin(&url, &answer));
        let version = env!("CARGO_PKG_VERSION");
        let ours = |database| json!({"service": "bytec-origin", "version": version, "databases": {"rector": database}});
        assert_eq!(of(answer(200, ours("ok"))), [""; 0]);
        assert_eq!(of(answer(200, ours("unavailable"))), ["origin_degraded"]);
        assert_eq!(of(Err("no".to_owned())), ["origin_unreachable"]);
        for (status, expected) in [
            (530, "origin_unreachable"),
            (502, "origin_unreachable"),
            (302, "origin_behind_access"),
            (403, "origin_behind_access"),
            (404, "origin_not_ours"),
            (200, "origin_not_ours"),
        ] {
            assert_eq!(of(answer(status, Value::Null)), [expected], "{status}");
        }
    }

    #[test]
    fn what_the_edge_answers_is_told_apart() {
        let url: Url = "https://network.bytec.com".parse().unwrap();
        let of = |answer| codes(&check_edge(&url, &answer));
        let ours = |version, reachable| json!({"service": "bytec-edge", "version": version, "origin": {"reachable": reachable}});
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(of(answer(200, ours(version, true))), [""; 0]);
        assert_eq!(of(answer(503, ours(version, false))), ["edge_origin_unreachable"]);
        assert_eq!(of(answer(200, ours("0.0.0", true))), ["edge_other_version"]);
        assert_eq!(of(answer(503, json!({"error": "unavailable"}))), ["edge_misconfigured"]);
        assert_eq!(of(answer(404, Value::Null)), ["edge_not_ours"]);
        assert_eq!(of(Err("no".to_owned())), ["edge_unreachable"]);
    }
}
