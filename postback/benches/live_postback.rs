//! What one live InvolveAsia postback costs: reading, canonicalising, signing, and all of it, as the edge does it.
//! `npm run bench`; docs/performance.md has the figures.

#![expect(clippy::expect_used, reason = "a benchmark stops at once when something is not as it says")]

use criterion::{Criterion, criterion_group, criterion_main};
use postback::id::Nonce;
use postback::key::{DEVELOPMENT_KEYS, KeySet};
use postback::message_signature::{Covered, Signed, sign};
use postback::params::{Params, redact_target};
use postback::partner::Partner;
use postback::partner::file::read_folder;
use postback::postback::Postback;
use postback::reading::Reading;
use postback::time::Timestamp;
use std::hint::black_box;
use std::path::Path;

const TARGET: &str = "/involve/event?conversion_id=conv789&click_id=test123&media_id=456&rewars=10.50&event=purchase\
    &event_time=2025-01-01%2012:00:00&offer_name=test_offer&datetime_conversion=2025-01-01%2012:00:00\
    &usd_sale_amount=100.00";

/// Raw query to canonical record, the derived event id included.
fn read(partner: &Partner, target: &str, now: Timestamp) -> Reading {
    let query = target.split_once('?').expect("a query").1;
    let mut params = Params::from_request(query, None, b"").expect("parameters");
    params.drop_credentials();
    partner.read(&params, now).expect("a postback")
}

/// The RFC 9421 signature of the forwarded request.
fn signed(keys: &KeySet, postback: &Postback, query: &str, target: &str, now: Timestamp, nonce: &Nonce) -> Signed {
    let covered = Covered {
        method: "GET",
        path: "/postback/involve/event",
        query,
        event_id: postback.event_id().as_str(),
        received_at: &now.to_string(),
        auth: "open",
        client_ip: "192.0.2.1",
        original_target: &redact_target(target),
    };
    sign(keys, &covered, b"", now.unix_s(), nonce).expect("a key in force")
}

fn live_postback(criterion: &mut Criterion) {
    let partners = Path::new(env!("CARGO_MANIFEST_DIR")).join("../partners");
    let registry = read_folder(&partners).expect("the shipped files are good");
    let partner = registry.by_code("involve_asia").expect("a shipped partner");
    let keys = KeySet::parse(DEVELOPMENT_KEYS).expect("a key");
    let now = Timestamp::from_unix_ms(1_763_683_200_123).expect("a time");
    let nonce = Nonce::from_bytes([7; 16]);
    let postback = read(partner, TARGET, now).postback;
    let query = postback.to_query();

    let mut group = criterion.benchmark_group("live_postback");
    group.bench_function("read", |b| b.iter(|| read(partner, black_box(TARGET), now)));
    group.bench_function("canonicalise", |b| b.iter(|| black_box(&postback).to_query()));
    group.bench_function("sign", |b| b.iter(|| signed(&keys, black_box(&postback), &query, TARGET, now, &nonce)));
    group.bench_function("all", |b| {
        b.iter(|| {
            let reading = read(partner, black_box(TARGET), now);
            let query = reading.postback.to_query();
            signed(&keys, &reading.postback, &query, TARGET, now, &nonce)
        });
    });
    // What the other figures are measured by: machines differ, ratios hold.
    let key = keys.newest(now.unix_s()).expect("a key in force");
    let kibibyte = [b'x'; 1024];
    group.bench_function("yardstick_hmac_sha256_1_kib", |b| b.iter(|| key.sign(black_box(&kibibyte))));
    group.finish();
}

criterion_group!(benches, live_postback);
criterion_main!(benches);
