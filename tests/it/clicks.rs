//! Batches of clicks: the edge alone hands them over, and each click is stored once.

use crate::world::{NOW_S, World};
use axum::http::Method;
use edge::delivery::outgoing::Outgoing;
use postback::click::{Click, ClickId, ClickQuery, Visitor};
use postback::time::Timestamp;
use postback::verdict::Verdict;

const BATCH: &str = "clicks_00112233445566778899aabbccddeeff";

fn click(number: u8) -> Click {
    let now = Timestamp::from_unix_ms(NOW_S * 1000).unwrap();
    let query = ClickQuery::read("sub_id=s1&utm_source=mail");
    Click::read(
        ClickId::new(now, [number; 16]),
        now,
        "example",
        &query,
        &Visitor { country: Some("MY"), ..Visitor::default() },
    )
}

fn body(numbers: impl IntoIterator<Item = u8>) -> String {
    serde_json::json!({"clicks": numbers.into_iter().map(click).collect::<Vec<_>>()}).to_string()
}

async fn count(world: &World) -> String {
    world.text_of("s2s", "select count(*) || '' from clicks").await.remove(0)
}

#[tokio::test]
async fn a_batch_is_stored_once_and_acknowledged() {
    let world = World::new().await;
    for (numbers, expected) in [
        (0..3, r#"{"status":"ok","stored":3,"known":0}"#),
        (0..3, r#"{"status":"ok","stored":0,"known":3}"#),
        (2..5, r#"{"status":"ok","stored":2,"known":1}"#),
        (0..0, r#"{"status":"ok","stored":0,"known":0}"#),
        (0..100, r#"{"status":"ok","stored":95,"known":5}"#),
    ] {
        let batch = world.batch("s2s", BATCH, &body(numbers));
        let answer = world.send(&batch).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, expected));
        assert_eq!(answer.proven(&world, &batch), Some(Verdict::Created));
    }
    assert_eq!(count(&world).await, "100");
    let kept = world.text_of(
        "s2s",
        "select distinct offer || ' ' || sub_id || ' ' || geo || ' ' || utm || ' ' || clicked_at from clicks",
    );
    assert_eq!(kept.await, [r#"example s1 MY {"utm_source":"mail"} 2025-11-21T00:00:00.000000Z"#]);
    assert_eq!(world.text_of("rector", "select click_id from clicks").await, [""; 0], "each partner has its own");
}

#[tokio::test]
async fn a_recorded_batch_cannot_be_sent_again() {
    let world = World::new().await;
    let batch = world.batch("s2s", BATCH, &body([1]));
    assert_eq!(world.send(&batch).await.status, 200);
    let answer = world.send(&batch).await;
    assert_eq!((answer.status, answer.code().as_str(), answer.ack), (409, "replay", None));
}

#[tokio::test]
async fn only_the_edges_signature_opens_the_clicks() {
    let world = World::new().await;
    let token = Some("default-ts-token");
    for (path, bearer) in
        [("/clicks/s2s", None), ("/clicks/s2s", token), ("/clicks/s2s?ts_token=default-ts-token", None)]
    {
        let answer = world.direct(Method::POST, path, bearer, &body([1])).await;
        assert_eq!((answer.status, answer.code().as_str(), answer.ack), (403, "signature_invalid", None));
    }
    let changed = |change: fn(&mut Outgoing)| {
        let mut batch = world.batch("s2s", BATCH, &body([1]));
        change(&mut batch);
        batch
    };
    for batch in [
        changed(|batch| batch.body = Some(body([2]))),
        changed(|batch| batch.url = batch.url.replace("s2s", "rector")),
        changed(|batch| batch.headers.iter_mut().for_each(|(_, value)| *value = value.replace("00112233", "00112234"))),
        changed(|batch| batch.headers.retain(|(name, _)| *name != "signature")),
    ] {
        let answer = world.send(&batch).await;
        assert_eq!((answer.status, answer.code().as_str(), answer.ack), (403, "signature_invalid", None));
    }
    assert_eq!(count(&world).await, "0");
}

#[tokio::test]
async fn a_batch_that_cannot_be_read_is_settled_as_rejected_and_writes_nothing() {
    let world = World::new().await;
    let good = body([1]);
    let with_header = |name: &str, value: &str| {
        let mut batch = world.batch("s2s", BATCH, &good);
        batch.headers.iter_mut().filter(|(known, _)| *known == name).for_each(|(_, known)| *known = value.to_owned());
        world.sign(&mut batch);
        batch
    };
    for batch in [
        world.batch("s2s", BATCH, ""),
        world.batch("s2s", BATCH, "{"),
        world.batch("s2s", BATCH, "[]"),
        world.batch("s2s", BATCH, r#"{"clicks":[{}]}"#),
        world.batch("s2s", BATCH, &good.replace("2025-11-21", "yesterday ")),
        world.batch("s2s", BATCH, &body(0..101)),
        world.batch("s2s", "evt_00112233445566778899aabbccddeeff", &good),
        world.batch("s2s", "clicks_1", &good),
        with_header("bytec-auth", "open"),
        with_header("bytec-original-target", "/clicks/rector"),
    ] {
        let answer = world.send(&batch).await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "malformed_forward"), "{:?}", batch.body);
        assert_eq!(answer.proven(&world, &batch), Some(Verdict::Rejected));
    }
    assert_eq!(count(&world).await, "0");
    // What a later version adds does not make a batch unreadable.
    let newer = good.replace("{\"clicks\"", "{\"colour\":1,\"clicks\"").replace("\"offer\"", "\"colour\":{},\"offer\"");
    assert_eq!(world.send(&world.batch("s2s", BATCH, &newer)).await.status, 200);
}

#[tokio::test]
async fn limits_paths_and_broken_databases_are_told_with_their_codes() {
    let world = World::with_variable("DATABASE_URL_RECTOR", "postgres://nobody@127.0.0.1:1/x").await;
    let large = world.batch(
        "s2s",
        BATCH,
        &format!("{{\"x\":\"{}\",{}", "x".repeat(512 * 1024), &body([1]).replacen('{', "", 1)),
    );
    let answer = world.send(&large).await;
    assert_eq!((answer.status, answer.code().as_str(), answer.ack), (413, "body_too_large", None));
    let nobody = world.send(&world.batch("nobody", BATCH, &body([1]))).await;
    assert_eq!((nobody.status, nobody.code().as_str()), (404, "partner_not_found"));
    let broken = world.send(&world.batch("rector", BATCH, &body([1]))).await;
    assert_eq!((broken.status, broken.code().as_str(), broken.ack), (503, "unavailable", None));
    for (method, path, status) in [
        (Method::GET, "/clicks/s2s", 405),
        (Method::HEAD, "/clicks/s2s", 405),
        (Method::POST, "/clicks", 404),
        (Method::POST, "/clicks/", 404),
        (Method::POST, "/clicks/s2s/", 404),
    ] {
        assert_eq!(world.direct(method, path, None, "").await.status, status, "{path}");
    }
}
