//! Whatever the edge accepts within its limits the origin reads as the same postback: random requests of every partner, through the
//! message of the queue and the signed request.

#![expect(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "a test stops at once when something is not as it says"
)]

use crate::world::{World, now};
use bytec_origin::reread::{Asked, Looked, Scope, look};
use bytec_origin::store::Database;
use jiff::tz::TimeZone;
use postback::explain::endpoint_path;
use postback::field::{Field, Kind};
use postback::limits::{ID_BYTES_MAX, JSON_STRING_BYTES_MAX, PARAM_VALUE_BYTES_MAX};
use postback::params::Params;
use postback::partner::Partner;
use postback::time::Timestamp;
use postback::verdict::Verdict;
use std::sync::Arc;
use tokio::task::JoinSet;

const REQUESTS: u64 = 10_000;

/// A sequence of numbers that follows from a seed (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, count: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(count).unwrap()).unwrap()
    }

    fn one_of<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.below(of.len())]
    }

    /// A text of pieces that mean something somewhere on the way: to JSON, to percent-encoding, to headers, to HTML decoders.
    fn text(&mut self, bytes_max: usize) -> String {
        let pieces = [
            "a",
            "Z9",
            " ",
            "%41",
            "+",
            "&",
            "=",
            "?",
            ";",
            "#",
            "\"",
            "\\",
            "'",
            "/",
            "<b>",
            "&amp;",
            "é",
            "\u{4e2d}\u{6587}",
            "\u{10ffff}",
            "%",
            "%zz",
            "\u{a4}cy",
            "\u{a0}",
            "\u{200b}",
            "\u{feff}",
            "\u{3000}",
            "\u{2028}",
            "\u{202e}",
            "{x}",
            "[[[y]]]",
            "null",
            "1.5E+11",
            "cnv_",
            "event:",
            "evt_",
            "\u{7f}",
        ];
        let bytes = match self.below(40) {
            0 => bytes_max.saturating_add(1),
            1..=4 => bytes_max,
            _ => self.below(24),
        };
        // Most requests hold nothing that is refused, or few would be compared.
        let pieces = if self.below(16) == 0 { &pieces[..] } else { &pieces[..19] };
        let mut text = String::new();
        while text.len() < bytes {
            let piece = self.one_of(pieces);
            text.push_str(if text.len() + piece.len() <= bytes { piece } else { "x" });
        }
        text
    }

    fn value(&mut self, field: Field, bytes_max: usize) -> String {
        let words: &[&str] = match field.kind() {
            Kind::Event => &["purchase", "Refund", "deposit", "Level 5", "1", "_x-y.z"],
            Kind::Status => &["Approved", "pending", "Rejected", "1", "0", "Yet to consumed", "Paid"],
            Kind::Time => {
                &["2025-01-01 12:00:00", "2025-11-20T12:00:00.123+08:00", "1735732800", "1735732800123", "jan 20 2020"]
            }
            Kind::Amount => &["10.50", "0.000001", "12345.678901", "0", "1000000000"],
            Kind::Currency => &["USD", "myr", "EUR", "VND"],
            Kind::Flag => &["true", "0", "Yes"],
            Kind::Id => return self.text(ID_BYTES_MAX.min(bytes_max)),
            Kind::Text => return self.text(bytes_max),
        };
        (*self.one_of(words)).to_owned()
    }
}

/// Method, target and body of a request of a partner's.
fn request(random: &mut Random, partner: &Partner, number: u64) -> (&'static str, String, String) {
    let is_json = random.below(2) == 0;
    let bytes_max = if is_json { JSON_STRING_BYTES_MAX } else { PARAM_VALUE_BYTES_MAX };
    let names: Vec<_> = partner
        .aliases
        .iter()
        .map(|(name, field)| (name.as_str(), *field))
        .chain(Field::ALL.iter().map(|f| (f.name(), *f)))
        .collect();
    let mut pairs = vec![("conversion_id".to_owned(), format!("c{number}"))];
    for _ in 0..random.below(14) {
        let (name, field) = names[random.below(names.len())];
        if field != Field::ConversionId {
            pairs.push((name.to_owned(), random.value(field, bytes_max)));
        }
    }
    pairs.push(("ignored".to_owned(), random.text(bytes_max)));
    pairs.sort();
    pairs.dedup_by(|one, other| one.0 == other.0);
    let path = endpoint_path(partner);
    if is_json {
        let members = pairs.into_iter().map(|(name, text)| (name, serde_json::Value::from(text)));
        return ("POST", format!("{path}?"), serde_json::Value::Object(members.collect()).to_string());
    }
    let query = serde_urlencoded::to_string(&pairs).unwrap();
    if query.len() < 8_000 && random.below(2) == 0 {
        ("GET", format!("{path}?{query}"), String::new())
    } else {
        ("POST", format!("{path}?"), query)
    }
}

async fn stored(world: &World, partner: &Partner, event_id: &str) -> Option<serde_json::Value> {
    let Database::Sqlite(store) = world.app.databases.of(&partner.code).await.unwrap().database() else { return None };
    let content: Option<String> = sqlx::query_scalar("select json(content) from events where event_id = ?1")
        .bind(event_id)
        .fetch_optional(store.pool())
        .await
        .unwrap();
    content.map(|content| serde_json::from_str(&content).unwrap())
}

/// What came of a request: None when the edge refuses it.
async fn tried(world: &World, number: u64) -> Option<Verdict> {
    let mut random = Random(number);
    let partners: Vec<_> = world.app.config.registry.all().iter().filter(|partner| partner.is_active).collect();
    let partner = partners[random.below(partners.len())];
    let (method, target, body) = request(&mut random, partner, number);
    let query = target.split_once('?').map_or("", |(_, query)| query);
    let read = Params::from_request(query, None, body.as_bytes()).and_then(|params| partner.read(&params, now()));
    let postback = read.ok()?.postback;
    let forwarded = world.forwarded(method, &target, &body);
    let answer = world.send(&forwarded).await;
    let verdict = answer.proven(world, &forwarded);
    assert!(
        matches!(verdict, Some(verdict) if verdict != Verdict::Rejected),
        "request {number}: {answer:?}\n{target}\n{body}"
    );
    if verdict == Some(Verdict::Created) {
        let stored = stored(world, partner, postback.event_id().as_str()).await;
        assert_eq!(stored, Some(postback.to_json()), "request {number}\n{target}\n{body}");
    }
    verdict
}

/// What is stored of the requests is read as the requests were, by the rules that they were read by.
async fn assert_reads_the_same_again(world: &World, accepted: u64) {
    let to = Timestamp::from_unix_ms(now().unix_ms() + 1).unwrap();
    let asked = Asked { from: Timestamp::EPOCH, to, keep_accepted: false };
    let mut read = 0;
    for partner in world.app.config.registry.all().iter().filter(|partner| partner.is_active) {
        let store = world.app.databases.of(&partner.code).await.unwrap();
        let scope = Scope { shared: &world.app.shared, partner, store, now };
        let Looked { found, days, .. } = look(scope, &asked, &TimeZone::UTC, &mut |_| ()).await.unwrap();
        assert!(found.is_unchanged() && found.left.is_empty() && days.is_empty(), "{}: {found:?}", partner.code);
        read += found.accepted;
    }
    assert_eq!(read, accepted, "all were read");
}

#[tokio::test]
async fn what_the_edge_accepts_is_stored_as_the_same_postback() {
    let world = Arc::new(World::new().await.with_limit("max_daily_requests", u32::MAX));
    let (mut accepted, mut created) = (0, 0);
    let numbers: Vec<_> = (0..REQUESTS).collect();
    for together in numbers.chunks(32) {
        let mut tasks = JoinSet::new();
        for number in together {
            let (world, number) = (Arc::clone(&world), *number);
            tasks.spawn(async move { tried(&world, number).await });
        }
        for verdict in tasks.join_all().await.into_iter().flatten() {
            accepted += 1;
            created += u64::from(verdict == Verdict::Created);
        }
    }
    assert_reads_the_same_again(&world, accepted).await;
    // A generator that has become useless must not pass unseen.
    assert!(accepted > REQUESTS / 4 && created > accepted / 2, "{accepted} accepted, {created} created");
}
