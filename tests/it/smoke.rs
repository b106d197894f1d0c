//! Rehearsals: what the edge asks of the origin under `/smoke` goes the whole way of a postback and leaves nothing.

use crate::world::{LIVE, World};
use axum::http::Method;
use edge::delivery::outgoing::Outgoing;
use postback::verdict::Verdict;

fn rehearsal(world: &World, method: &str, target: &str, body: &str) -> Outgoing {
    let mut request = world.readdressed(&world.forwarded(method, target, body), "/postback", "/smoke");
    // Of a rehearsal the edge wants to be told all.
    request.headers.retain(|(name, _)| *name != "prefer");
    request
}

#[tokio::test]
async fn a_rehearsal_goes_the_whole_way_and_leaves_nothing() {
    let world = World::new().await;
    let live = format!("/involve/event?{LIVE}&event_id=smoke-1");
    for (method, body) in [("GET", ""), ("POST", r#"{"geo":"MY"}"#), ("GET", "")] {
        let request = rehearsal(&world, method, &live, body);
        let answer = world.send(&request).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert_eq!(answer.proven(&world, &request), Some(Verdict::Created));
        let told: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        let expected = serde_json::json!({
            "status": "ok", "verdict": "created", "event_id": "smoke-1",
            "origin": {
                "instance": world.app.instance, "version": "0.1.0", "environment": "development",
                "started_at": "2025-11-21T00:00:00Z",
            },
            "partner": "involve_asia", "database": {"kind": "sqlite", "name": "involve_asia_db"},
        });
        assert_eq!(told, expected);
        // The very same request, too: its nonce was not spent.
        assert_eq!(world.send(&request).await.status, 200);
        assert_eq!(world.rows().await, ["0"; 6]);
    }
    assert!(world.app.instance.len() == 8 && world.app.instance.bytes().all(|byte| byte.is_ascii_hexdigit()));
    // The real one is new all the same.
    let forwarded = world.forwarded("GET", &live, "");
    assert_eq!(world.send(&forwarded).await.proven(&world, &forwarded), Some(Verdict::Created));
    let rows = world.rows().await;
    let request = rehearsal(&world, "GET", &live, "");
    assert_eq!(world.send(&request).await.proven(&world, &request), Some(Verdict::Duplicate));
    let request = rehearsal(&world, "GET", &live.replace("rewars=10.50", "rewars=11"), "");
    let answer = world.send(&request).await;
    assert_eq!((answer.status, answer.code().as_str()), (409, "event_id_conflict"));
    assert_eq!(answer.proven(&world, &request), Some(Verdict::Conflict));
    assert_eq!(world.rows().await, rows);
}

#[tokio::test]
async fn the_generic_endpoint_is_rehearsed_under_smoke_alone() {
    let world = World::new().await;
    let request = rehearsal(&world, "POST", "/postback?x=1", r#"{"event_id":"smoke-1","event":"deposit"}"#);
    assert_eq!(request.url, "http://origin.test/smoke");
    let answer = world.send(&request).await;
    assert!(answer.status == 200 && answer.body.contains(r#""partner":"s2s""#), "{}", answer.body);
}

#[tokio::test]
async fn only_the_edges_signature_opens_a_rehearsal() {
    let world = World::new().await;
    let live = format!("/involve/event?{LIVE}");
    let token = "default-ts-token";
    for path in [format!("/smoke{live}"), format!("/smoke{live}&ts_token={token}")] {
        for bearer in [None, Some(token)] {
            let answer = world.direct(Method::GET, &path, bearer, "").await;
            assert_eq!((answer.status, answer.code().as_str(), answer.ack), (403, "signature_invalid", None));
        }
    }
    // Signed for another path: neither is a postback a rehearsal, nor the other way round.
    let forwarded = world.forwarded("GET", &live, "");
    let mut as_rehearsal = forwarded.clone();
    as_rehearsal.url = forwarded.url.replace("/postback/", "/smoke/");
    let mut as_postback = rehearsal(&world, "GET", &live, "");
    as_postback.url = forwarded.url.clone();
    let mut changed = rehearsal(&world, "POST", &live, r#"{"geo":"MY"}"#);
    changed.body = Some("{}".to_owned());
    for request in [as_rehearsal, as_postback, changed] {
        let answer = world.send(&request).await;
        assert_eq!((answer.status, answer.code().as_str(), answer.ack), (403, "signature_invalid", None));
    }
    assert_eq!(world.rows().await, ["0"; 6]);
}

#[tokio::test]
async fn a_rehearsal_fails_as_its_postback_would() {
    let world = World::with_variable("DATABASE_URL_RECTOR", "postgres://nobody@127.0.0.1:1/x").await;
    let broken = rehearsal(&world, "GET", "/rector/event?conversion_id=c1", "");
    let answer = world.send(&broken).await;
    assert_eq!((answer.status, answer.code().as_str(), answer.ack), (503, "unavailable", None));

    let live = format!("/involve/event?{LIVE}");
    let mut unreadable = rehearsal(&world, "GET", &live, "");
    unreadable.url.push_str("&usd_payout=1");
    world.sign(&mut unreadable);
    let answer = world.send(&unreadable).await;
    assert_eq!((answer.status, answer.code().as_str()), (400, "malformed_forward"));
    assert_eq!(answer.proven(&world, &unreadable), Some(Verdict::Rejected));

    for (method, path, status) in [
        (Method::GET, "/smoke/nobody/event", 404),
        (Method::GET, "/smoke/", 404),
        (Method::GET, "/smoke/postback/involve/event", 404),
        (Method::GET, "/smokes", 404),
        (Method::HEAD, "/smoke/involve/event", 405),
        (Method::PUT, "/smoke/involve/event", 405),
        (Method::GET, "/postback/smoke/involve/event", 404),
    ] {
        assert_eq!(world.direct(method, path, None, "").await.status, status, "{path}");
    }
}
