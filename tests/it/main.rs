//! Edge and origin together on the host: what the edge builds and signs, the origin's router takes or refuses. Seconds,
//! no Worker, no network; the same path through real WebAssembly is in tests/e2e.

#![expect(clippy::unwrap_used, reason = "a test stops at once when something is not as it says")]

mod clicks;
mod round_trip;
mod smoke;
mod world;

use crate::world::{LIVE, World};
use axum::http::Method;
use postback::key::KeySet;
use postback::signature::{self, Presented, Profile};
use postback::verdict::Verdict;

#[tokio::test]
async fn what_the_edge_forwards_is_stored_and_acknowledged() {
    let world = World::new().await;
    let forwarded = world.forwarded("GET", &format!("/involve/event?{LIVE}"), "");
    let answer = world.send(&forwarded).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, ""));
    assert_eq!(answer.proven(&world, &forwarded), Some(Verdict::Created));
    assert_eq!(world.conversions().await, ["conv789 10.50 100.00 2025-01-01T04:00:00.000000Z"]);

    let again = world.forwarded("GET", &format!("/involve/event?{LIVE}"), "");
    let answer = world.send(&again).await;
    assert_eq!(answer.proven(&world, &again), Some(Verdict::Duplicate));

    let approved = world.forwarded("GET", &format!("/involve/event?{LIVE}&status=Approved"), "");
    let answer = world.send(&approved).await;
    assert_eq!(answer.proven(&world, &approved), Some(Verdict::Revised));
    assert_eq!(world.conversions().await.len(), 1);
}

#[tokio::test]
async fn a_post_stays_a_post_and_carries_its_original() {
    let world = World::new().await;
    let body = r#"{"conversion_id":"c1","usd_payout":1.10,"note":"ignored"}"#;
    let forwarded = world.forwarded("POST", "/involve/event?geo=MY", body);
    assert_eq!(forwarded.method, "POST");
    let answer = world.send(&forwarded).await;
    assert_eq!(answer.proven(&world, &forwarded), Some(Verdict::Created));
    let kept = world.text("select target || ' ' || body || ' ' || ignored from postbacks").await;
    assert_eq!(kept, [format!("/involve/event?geo=MY {body} [\"note\"]")]);
}

#[tokio::test]
async fn a_forwarded_request_is_refused_when_anything_in_it_was_changed() {
    let world = World::new().await;
    for method in ["GET", "POST"] {
        let body = if method == "POST" { r#"{"geo":"MY"}"# } else { "" };
        let good = world.forwarded(method, &format!("/involve/event?{LIVE}"), body);
        let mut changed = Vec::new();
        for (name, value) in &good.headers {
            if ["bytec-request-id", "content-type", "accept", "prefer"].contains(name) {
                continue; // not covered: they decide nothing
            }
            let mut one = good.clone();
            one.headers.retain(|(other, _)| other != name);
            changed.push((format!("without {name}"), one.clone()));
            one.headers.push((name, format!("{value}x")));
            changed.push((format!("{name} lengthened"), one));
        }
        let mut one = good.clone();
        one.url.push_str(if method == "GET" { "&geo=XX" } else { "?geo=XX" });
        changed.push(("query".to_owned(), one));
        let mut one = good.clone();
        one.url = one.url.replace("/involve/", "/rector/");
        changed.push(("path".to_owned(), one));
        let mut one = good.clone();
        one.method = if method == "GET" { "POST" } else { "GET" }.to_owned();
        changed.push(("method".to_owned(), one));
        let mut one = good.clone();
        one.body = Some(one.body.unwrap_or_default().replace("MY", "XX") + " ");
        changed.push(("body".to_owned(), one));
        for (what, request) in changed {
            let answer = world.send(&request).await;
            assert_eq!((answer.status, answer.code().as_str()), (403, "signature_invalid"), "{what}");
            assert_eq!(answer.ack, None, "{what}");
        }
    }
    assert!(world.conversions().await.is_empty());
}

#[tokio::test]
async fn every_bad_signature_gets_the_same_answer() {
    let world = World::new().await;
    let good = world.forwarded("GET", &format!("/involve/event?{LIVE}"), "");
    let replaced = |name: &str, find: &str, replace: &str| {
        let mut one = good.clone();
        for (known, value) in &mut one.headers {
            if *known == name {
                assert!(value.contains(find), "{value}");
                *value = value.replace(find, replace);
            }
        }
        one
    };
    let mut bodies = Vec::new();
    for request in [
        replaced("signature-input", "keyid=\"development\"", "keyid=\"other\""),
        replaced("signature-input", "tag=\"bytec-edge-v1\"", "tag=\"other\""),
        replaced("signature", "sig1=:", "sig1=:AAAA"),
        replaced("content-digest", "=:", "=:AAAA"),
        world.forwarded_at(world::NOW_S - 301, &format!("/involve/event?{LIVE}")),
        world.forwarded_at(world::NOW_S + 301, &format!("/involve/event?{LIVE}")),
    ] {
        let answer = world.send(&request).await;
        assert_eq!(answer.status, 403);
        bodies.push(answer.body.split(" request_id").next().unwrap_or_default().to_owned());
    }
    bodies.dedup();
    assert_eq!(bodies, ["ERROR signature_invalid hint=check canonical order"]);
    for skew_s in [-300, 300] {
        let request = world.forwarded_at(world::NOW_S + skew_s, &format!("/involve/event?{LIVE}"));
        assert_eq!(world.send(&request).await.status, 200, "{skew_s} s apart is still one time");
    }
}

/// A partner's own signature over a request to the generic endpoint, as headers beside the token.
fn signed_headers(path: &str, query: &str, body: &str, profile: Profile) -> Vec<(&'static str, String)> {
    signed_with("Zk3v0q9cTn6yYw1Jb2mXAw", path, query, body, profile)
}

/// The same, with a nonce.
fn signed_with(nonce: &str, path: &str, query: &str, body: &str, profile: Profile) -> Vec<(&'static str, String)> {
    let keys = KeySet::parse(&format!("k1:{}", "ab".repeat(32))).unwrap();
    let presented = Presented {
        key_id: "k1".to_owned(),
        timestamp: world::NOW_S.to_string(),
        nonce: nonce.to_owned(),
        signature: String::new(),
        profile,
    };
    let request = signature::Request { method: "POST", path, query, body: body.as_bytes() };
    let signature = signature::sign(keys.newest(world::NOW_S).unwrap(), &presented, &request).unwrap();
    let mut headers = vec![
        ("authorization", "Bearer default-ts-token".to_owned()),
        ("content-type", "application/json".to_owned()),
        ("x-key-id", presented.key_id),
        ("x-timestamp", presented.timestamp),
        ("x-nonce", presented.nonce),
        ("x-signature", signature),
    ];
    if profile == Profile::Jcs {
        headers.push(("x-signature-profile", "jcs".to_owned()));
    }
    headers
}

async fn s2s_world() -> World {
    World::with_variable("PARTNER_KEYS", &format!("s2s=k1:{}", "ab".repeat(32))).await
}

#[tokio::test]
async fn a_signed_request_that_comes_again_is_the_same_receipt() {
    let world = s2s_world().await;
    let body = r#"{"event_id":"e1","event":"deposit"}"#;
    let signed = signed_headers("/postback", "", body, Profile::Raw);
    let named = |answer: world::Answer| {
        let told: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        told["request_id"].as_str().unwrap().to_owned()
    };
    let first = named(world.direct_with(Method::POST, "/postback", &signed, body).await);
    let again = named(world.direct_with(Method::POST, "/postback", &signed, body).await);
    assert_eq!(first, again);
    let other_nonce = signed_with("Zk3v0q9cTn6yYw1Jb2mXAx", "/postback", "", body, Profile::Raw);
    let other = named(world.direct_with(Method::POST, "/postback", &other_nonce, body).await);
    assert_ne!(other, first);
    // What is not signed has another name each time, whatever nonce stands beside it.
    let unsigned: Vec<_> = signed.iter().filter(|(name, _)| *name != "x-signature").cloned().collect();
    let by_token = named(world.direct_with(Method::POST, "/postback", &unsigned, body).await);
    assert!(by_token != first && by_token != other);
    let stored = world.text_of("s2s", "select request_id from postbacks order by postback_id").await;
    assert_eq!(stored, [first.clone(), again, other, by_token]);
    // One that cannot be read is no receipt of an event.
    let unreadable = r#"{"event_id":"e1"}"#;
    let signed = signed_headers("/postback", "", unreadable, Profile::Raw);
    let refused = named(world.direct_with(Method::POST, "/postback", &signed, unreadable).await);
    assert_eq!(world.text_of("s2s", "select request_id from rejections").await, [refused]);
}

#[tokio::test]
async fn a_body_signed_by_what_it_says_is_read_from_what_was_signed() {
    let world = s2s_world().await;
    let body = r#"{"event_id":5001,"event":"deposit","amount":50}"#;
    let headers = signed_headers("/postback", "", body, Profile::Jcs);
    let send = |body: &'static str| world.direct_with(Method::POST, "/postback", &headers, body);
    assert!(send(r#"{"event_id":5001,"event":"deposit","amount":50}"#).await.body.contains("\"idempotent\":false"));
    // Other spellings of the same: the signature holds, and so the event must be the same one.
    for body in [
        r#"{"event": "deposit", "amount": 50.0, "event_id": 5001.0}"#,
        r#"{"event_id":50.01e2,"event":"deposit","amount":5e1}"#,
    ] {
        let answer = send(body).await;
        assert!(answer.status == 200 && answer.body.contains("\"idempotent\":true"), "{body}: {}", answer.body);
    }
    let changed = send(r#"{"event_id":5002,"event":"deposit","amount":50}"#).await;
    assert_eq!((changed.status, changed.code().as_str()), (403, "signature_invalid"));
}

#[tokio::test]
async fn one_signed_query_has_one_reading_however_it_is_spelled() {
    let world = s2s_world().await;
    let query = "event_id=e1&event=deposit&amount=10&sub_id=x%C2%A4cy%3DEUR";
    let headers = signed_headers("/postback", query, "", Profile::Raw);
    let send = |query: String| {
        let (world, headers) = (&world, &headers);
        async move { world.direct_with(Method::POST, &format!("/postback?{query}"), headers, "").await }
    };
    assert!(send(query.to_owned()).await.body.contains("\"idempotent\":false"));
    let glued = send(query.replace("%3D", "=")).await;
    assert!(glued.status == 200 && glued.body.contains("\"idempotent\":true"), "{}", glued.body);
}

#[tokio::test]
async fn one_signed_body_has_one_reading_whatever_its_type_is_called() {
    let world = s2s_world().await;
    let body = r#"{"event_id":"e1","event":"deposit","sub_id":"x&event_id=e2&event=deposit&amount=9999&y"}"#;
    let mut headers = signed_headers("/postback", "", body, Profile::Raw);
    headers[1].1 = "application/x-www-form-urlencoded".to_owned();
    let answer = world.direct_with(Method::POST, "/postback", &headers, body).await;
    assert_eq!((answer.status, answer.code().as_str()), (415, "unsupported_body"));
    headers[1].1 = "application/json".to_owned();
    assert_eq!(world.direct_with(Method::POST, "/postback", &headers, body).await.status, 200);
}

#[tokio::test]
async fn a_partners_signature_holds_in_headers_or_in_the_query_and_not_in_both() {
    let world = s2s_world().await;
    let body = r#"{"event_id":"e1","event":"deposit"}"#;
    let query = format!("_kid=k1&_ts={}&_nonce=Zk3v0q9cTn6yYw1Jb2mXAw", world::NOW_S);
    let headers = signed_headers("/postback", &query, body, Profile::Raw);
    let signature = headers[5].1.replace('=', "%3D");
    let (token, target) = (&headers[..2], format!("/postback?{query}&_sig={signature}"));
    assert_eq!(world.direct_with(Method::POST, &target, token, body).await.status, 200);
    let changed = world.direct_with(Method::POST, &target, token, r#"{"event_id":"e2","event":"deposit"}"#).await;
    assert_eq!((changed.status, changed.code().as_str()), (403, "signature_invalid"));
    let both = world.direct_with(Method::POST, &target, &headers, body).await;
    assert_eq!((both.status, both.code().as_str()), (400, "two_signatures"));
    // One answer for every cause.
    let right = signed_headers("/postback", "", body, Profile::Raw);
    for (index, value) in
        [(2, "k2"), (3, "1763683199"), (3, "1763000000"), (4, "short"), (5, "sha256=00"), (5, "md5=00")]
    {
        let mut wrong = right.clone();
        wrong[index].1 = value.to_owned();
        let answer = world.direct_with(Method::POST, "/postback", &wrong, body).await;
        assert_eq!((answer.status, answer.code().as_str()), (403, "signature_invalid"), "{value}");
        assert!(answer.body.contains("\"hint\":\"check canonical order\""), "{}", answer.body);
    }
}

#[tokio::test]
async fn a_recorded_request_cannot_be_sent_again() {
    let world = World::new().await;
    let forwarded = world.forwarded("GET", &format!("/involve/event?{LIVE}"), "");
    assert_eq!(world.send(&forwarded).await.status, 200);
    let answer = world.send(&forwarded).await;
    assert_eq!((answer.status, answer.code().as_str(), answer.ack), (409, "replay", None));
    assert_eq!(world.text("select verdict from postbacks").await, ["created"]);
}

#[tokio::test]
async fn the_answer_about_a_stored_postback_has_no_body_where_the_edge_wants_none() {
    let world = World::new().await;
    let wanted = |target: &str| {
        let forwarded = world.forwarded("GET", target, "");
        assert!(forwarded.headers.contains(&("prefer", "return=minimal".to_owned())));
        forwarded
    };
    let target = "/rector/event?event_id=e1&conversion_id=c1&usd_earning=1";
    for expected in [Verdict::Created, Verdict::Duplicate] {
        let forwarded = wanted(target);
        let answer = world.send(&forwarded).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, ""));
        assert_eq!(answer.proven(&world, &forwarded), Some(expected));
    }
    let conflict = world.send(&wanted("/rector/event?event_id=e1&conversion_id=c1&usd_earning=2")).await;
    assert_eq!(conflict.code(), "event_id_conflict", "what is refused says why");

    let mut forwarded = wanted(&format!("/involve/event?{LIVE}"));
    forwarded.headers.retain(|(name, _)| *name != "prefer");
    assert_eq!(world.send(&forwarded).await.body, "OK", "an edge of before asks for nothing");
    let prefers = [("prefer", "return=minimal".to_owned())];
    let direct = format!("/postback/involve/event?{LIVE}&ts_token=default-ts-token");
    assert_eq!(world.direct_with(Method::GET, &direct, &prefers, "").await.body, "OK", "others are told in full");
}

#[tokio::test]
async fn a_conflict_is_acknowledged_as_one() {
    let world = World::new().await;
    world.send(&world.forwarded("GET", "/rector/event?event_id=e1&conversion_id=c1&usd_earning=1", "")).await;
    let other = world.forwarded("GET", "/rector/event?event_id=e1&conversion_id=c1&usd_earning=2", "");
    let answer = world.send(&other).await;
    assert_eq!((answer.status, answer.code().as_str()), (409, "event_id_conflict"));
    assert_eq!(answer.proven(&world, &other), Some(Verdict::Conflict));
}

#[tokio::test]
async fn one_partners_broken_database_disturbs_no_other() {
    // Nothing listens on port 1.
    let world = World::with_variable("DATABASE_URL_RECTOR", "postgres://nobody@127.0.0.1:1/x").await;
    let broken = world.forwarded("GET", "/rector/event?conversion_id=c1", "");
    let answer = world.send(&broken).await;
    assert_eq!((answer.status, answer.code().as_str(), &answer.ack), (503, "unavailable", &None));
    let good = world.forwarded("GET", &format!("/involve/event?{LIVE}"), "");
    assert_eq!(world.send(&good).await.proven(&world, &good), Some(Verdict::Created));
    let health = world.direct(Method::GET, "/health", None, "").await;
    assert_eq!(health.status, 200);
    assert!(health.body.contains(r#""status":"degraded""#) && health.body.contains(r#""rector":"unavailable""#));
    assert_eq!(world.direct(Method::GET, "/ready", None, "").await.status, 200);
}

#[tokio::test]
async fn a_direct_request_needs_the_tenants_token() {
    let world = World::new().await;
    let path = format!("/postback/involve/event?{LIVE}");
    for (query, bearer, status) in [
        ("", None, 401),
        ("&ts_token=", None, 403),
        ("&ts_token=wrong", None, 403),
        ("", Some("wrong"), 403),
        ("&ts_token=wrong", Some("default-ts-token"), 200),
        ("&ts_token=default-ts-token", None, 200),
        ("&ts%5Ftoken=default%2Dts%2Dtoken", None, 200),
    ] {
        let answer = world.direct(Method::GET, &format!("{path}{query}"), bearer, "").await;
        assert_eq!(answer.status, status, "{query} {bearer:?}");
    }
    let kept =
        world.text("select distinct verdict || auth_mode || replace(target, 'default', 'LEAK') from postbacks").await;
    assert!(kept.iter().all(|text| !text.contains("LEAK") && !text.contains("wrong")), "{kept:?}");
}

#[tokio::test]
async fn what_cannot_be_read_is_written_down_as_it_came() {
    let world = World::new().await;
    let direct = "/postback/involve/event?ts_token=default-ts-token";
    let answer =
        world.direct(Method::POST, &format!("{direct}&conversion_id=%zz"), None, "x=1&ts_token=default-ts-token").await;
    assert_eq!((answer.status, answer.code().as_str()), (400, "bad_percent"));
    let answer = world.direct(Method::POST, direct, None, "{\"ts_token\":\"default-ts-token\"").await;
    assert_eq!((answer.status, answer.code().as_str()), (400, "malformed_json"));
    let answer = world.direct(Method::GET, &format!("{direct}&conversion_id=c1&rewars=much"), None, "").await;
    assert_eq!((answer.status, answer.code().as_str()), (400, "invalid_amount"));
    let kept =
        "select code || ' ' || coalesce(field, '-') || ' ' || auth_mode || ' ' || method || ' ' || target || ' ' ||
        coalesce(body, '-') from rejections order by rejection_id";
    assert_eq!(
        world.text(kept).await,
        [
            "bad_percent conversion_id token POST /postback/involve/event?ts_token=***&conversion_id=%zz x=1&ts_token=***",
            "malformed_json - token POST /postback/involve/event?ts_token=*** ***",
            "invalid_amount rewars token GET /postback/involve/event?ts_token=***&conversion_id=c1&rewars=much -",
        ]
    );
    assert_eq!(world.rows().await, ["0"; 6], "and nothing else is; the nonce is not spent");
}

#[tokio::test]
async fn a_body_may_hold_anything_under_names_that_mean_nothing() {
    let world = World::new().await;
    for (number, body) in
        ["x=a\0b".to_owned(), format!("x={}", "\u{1}".repeat(60_000)), "x=%00&click_id=%zz".to_owned()]
            .iter()
            .enumerate()
    {
        let body = format!("conversion_id=n{number}&rewars=5&{body}");
        let forwarded = world.forwarded("POST", "/involve/event?", &body);
        let answer = world.send(&forwarded).await;
        assert_eq!(answer.proven(&world, &forwarded), Some(Verdict::Created), "{number}: {answer:?}");
    }
}

/// A signed request is read in its canonical spelling, in which nothing is glued: what is said of it is what was stored of it.
#[tokio::test]
async fn warnings_are_about_the_postback_that_was_forwarded() {
    let world = World::new().await;
    let mut request = world.forwarded("GET", "/rector/event?conversion_id=g2%3Fusd_earning%3D9.99", "");
    let target = request.headers.iter_mut().find(|(name, _)| *name == "bytec-original-target").unwrap();
    target.1 = "/rector/event?conversion_id=g2?usd_earning=9.99".to_owned();
    world.sign(&mut request);
    assert_eq!(world.send(&request).await.proven(&world, &request), Some(Verdict::Created));
    let stored =
        world.text_of("rector", "select conversion_id || ' ' || coalesce(usd_payout, '-') from conversions").await;
    let warnings = world.text_of("rector", "select json(warnings) from postbacks").await;
    assert_eq!(
        (stored[0].as_str(), warnings[0].as_str()),
        ("g2?usd_earning=9.99 -", r#"["parameter_in_id:conversion_id"]"#)
    );
}

/// An edge of another version signed it: nobody could send it better, so it is no rejection of the sender's.
#[tokio::test]
async fn an_unreadable_forwarded_postback_stays_the_edges() {
    let world = World::new().await;
    let get = world.forwarded("GET", "/involve/event?conversion_id=c1&rewars=1", "");
    let post = world.forwarded("POST", "/involve/event?", r#"{"conversion_id":"c1","rewars":"1"}"#);
    let mut broken_body = post.clone();
    broken_body.body = Some("{}".to_owned());
    world.sign(&mut broken_body);
    for damaged in [
        world.readdressed(&get, "usd_payout=1.00", "usd_payout=much"),
        world.readdressed(&get, "usd_payout=1.00", "usd_payout_later=1.00"),
        world.readdressed(&get, "usd_payout=1.00", "usd_payout=1.00&usd_payout=2.00"),
        world.readdressed(&get, "usd_payout=1.00", "usd_payout=1.00&event_id=other"),
        broken_body,
    ] {
        let answer = world.send(&damaged).await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "malformed_forward"), "{}", damaged.url);
        assert_eq!(answer.proven(&world, &damaged), Some(Verdict::Rejected));
        assert!(!answer.body.contains("much") && !answer.body.contains("field"), "{}", answer.body);
    }
    assert_eq!(world.text("select count(*) || '' from rejections").await, ["0"]);
    assert_eq!(world.rows().await, ["0"; 6]);
}

#[tokio::test]
async fn what_cannot_be_read_counts_for_the_partners_day() {
    let world = World::new().await.with_limit("max_daily_requests", 2);
    let bad = "/postback/involve/event?ts_token=default-ts-token";
    for status in [400, 400, 429, 429] {
        assert_eq!(world.direct(Method::GET, bad, None, "").await.status, status);
    }
    assert_eq!(world.text("select count(*) || '' from rejections").await, ["2"]);
    // Another origin in front of the same database knows of them.
    let restarted = world.with_limit("max_daily_requests", 2);
    assert_eq!(restarted.direct(Method::GET, bad, None, "").await.status, 429);
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_where_it_cannot_be_written_down() {
    let world = World::with_variable("DATABASE_URL_RECTOR", "postgres://nobody@127.0.0.1:1/x").await;
    let answer = world.direct(Method::GET, "/postback/rector/event?ts_token=default-ts-token", None, "").await;
    assert_eq!((answer.status, answer.code().as_str()), (400, "missing_field"));
}

#[tokio::test]
async fn head_and_foreign_methods_record_nothing() {
    let world = World::new().await;
    let path = format!("/postback/involve/event?{LIVE}&ts_token=default-ts-token");
    assert_eq!(world.direct(Method::HEAD, &path, None, "").await.status, 200);
    for method in [Method::PUT, Method::DELETE, Method::OPTIONS, Method::PATCH] {
        assert_eq!(world.direct(method, &path, None, "").await.status, 405);
    }
    assert!(world.conversions().await.is_empty());
}

#[tokio::test]
async fn limits_are_refused_with_their_codes() {
    let world = World::new().await;
    let token = "ts_token=default-ts-token";
    for (path, body, status, code) in [
        (format!("/postback/nobody/event?{token}"), String::new(), 404, "partner_not_found"),
        (format!("/postback/involve/event?{token}&x={}", "y".repeat(9000)), String::new(), 414, "url_too_long"),
        (
            format!("/postback/involve/event?{token}"),
            format!("{{\"x\":\"{}\"}}", "y".repeat(70_000)),
            413,
            "body_too_large",
        ),
        (format!("/postback/involve/event?{token}"), "{".to_owned(), 400, "malformed_json"),
        (format!("/postback/involve/event?{token}&%zz=1"), String::new(), 400, "bad_percent"),
        (format!("/postback/involve/event?{token}"), String::new(), 400, "missing_field"),
    ] {
        let answer = world.direct(Method::POST, &path, None, &body).await;
        assert_eq!((answer.status, answer.code().as_str()), (status, code));
    }
}

#[tokio::test]
async fn what_the_edge_takes_at_its_limits_is_not_too_large_for_the_origin() {
    let world = World::new().await;
    // Each `!` is one byte to the partner and three once it is encoded.
    let names = ["aff_sub", "aff_sub2", "aff_sub3", "aff_sub4", "aff_sub5", "offer_name", "campaign"];
    let values: Vec<_> = names.iter().map(|name| format!("{name}={}", "!".repeat(1024))).collect();
    let target = format!("/involve/event?conversion_id=c1&{}", values.join("&"));
    assert!(target.len() <= 8192 && target.len() > 7000);
    assert_eq!(world.send(&world.forwarded("GET", &target, "")).await.status, 200);
    // Each `"` is doubled once in the sender's JSON and again around it.
    let ignored: Vec<_> = (0..31).map(|i| format!("\"x{i}\":\"{}\"", "\\\"".repeat(1000))).collect();
    let body = format!("{{\"conversion_id\":\"c2\",{}}}", ignored.join(","));
    assert!(body.len() <= 65536 && body.len() > 60_000);
    assert_eq!(world.send(&world.forwarded("POST", "/involve/event?geo=MY", &body)).await.status, 200);
}

#[tokio::test]
async fn what_is_beyond_a_partners_day_is_not_settled_so_that_the_edge_queues_it() {
    let world = World::new().await.with_limit("max_daily_requests", 2);
    for id in ["c1", "c2"] {
        let request = world.forwarded("GET", &format!("/involve/event?conversion_id={id}"), "");
        assert_eq!(world.send(&request).await.proven(&world, &request), Some(Verdict::Created));
    }
    let beyond = world.forwarded("GET", "/involve/event?conversion_id=c3", "");
    let answer = world.send(&beyond).await;
    assert_eq!((answer.status, answer.code().as_str(), answer.ack), (429, "daily_limit", None));
    assert_eq!(world.conversions().await.len(), 2);
    // Another origin in front of the same database knows what this one took.
    let restarted = world.with_limit("max_daily_requests", 3);
    let third = restarted.forwarded("GET", "/involve/event?conversion_id=c3", "");
    assert_eq!(restarted.send(&third).await.proven(&restarted, &third), Some(Verdict::Created));
    let fourth = restarted.forwarded("GET", "/involve/event?conversion_id=c4", "");
    assert_eq!(restarted.send(&fourth).await.status, 429);
}

#[tokio::test]
async fn direct_requests_beyond_a_partners_minute_are_refused_and_those_of_the_edge_are_not() {
    let world = World::new().await.with_limit("max_requests_per_minute", 2);
    let direct = |id: &str| format!("/postback/involve/event?conversion_id={id}&ts_token=default-ts-token");
    for id in ["c1", "c2"] {
        assert_eq!(world.direct(Method::GET, &direct(id), None, "").await.status, 200);
    }
    let beyond = world.direct(Method::GET, &direct("c3"), None, "").await;
    assert_eq!((beyond.status, beyond.code().as_str()), (429, "rate_limited"));
    // The edge has counted its own, and what waited in its queue may come at once.
    let request = world.forwarded("GET", "/involve/event?conversion_id=c4", "");
    assert_eq!(world.send(&request).await.proven(&world, &request), Some(Verdict::Created));
    // Whoever is not believed takes nothing from the partner.
    let wrong = world.direct(Method::GET, "/postback/rector/event?conversion_id=c1&ts_token=wrong", None, "").await;
    assert_eq!(wrong.status, 403);
    assert_eq!(world.conversions().await.len(), 3);
}

#[tokio::test]
async fn where_tokens_cannot_be_read_nobody_is_refused_for_good() {
    let world = World::with_variable("SHARED_DATABASE_URL", "postgres://nobody@127.0.0.1:1/postgres").await;
    let sent = async |token: &str| {
        let path = format!("/postback/involve/event?conversion_id=c1&ts_token={token}");
        world.direct(Method::GET, &path, None, "").await
    };
    for _ in 0..2 {
        let answer = sent("perhaps").await;
        assert_eq!((answer.status, answer.code().as_str()), (503, "unavailable"));
    }
    assert_eq!(sent("default-ts-token").await.status, 200, "what the configuration says needs no database");
    let request = world.forwarded("GET", "/involve/event?conversion_id=c2", "");
    assert_eq!(world.send(&request).await.proven(&world, &request), Some(Verdict::Created));
}
