//! Agreement with an independent implementation (`tests/witness/witness.py`, written in Python from the specification and
//! not from this code) on thousands of random requests: canonical queries, signatures of both schemes, acknowledgements,
//! tokens, times in many zones, amounts.
//!
//! The requests are the same in every run, so that a red test is a change of ours. `WITNESS_SEED=7` asks about others.

use crate::{REGISTRY, now};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use postback::acknowledgement::acknowledge;
use postback::id::Nonce;
use postback::jwt::JwtKeys;
use postback::key::KeySet;
use postback::message_signature::{self, Covered};
use postback::money::Amount;
use postback::partner::JwtExpected;
use postback::partner::file::zone;
use postback::rejection::Rejection;
use postback::signature::{self, Presented, Profile, Request, canonical_json, canonical_query};
use postback::time::Timestamp;
use postback::verdict::Verdict;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, RngSeed, TestRunner};
use serde_json::{Value, json};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Requests of each kind.
const ROUNDS: usize = 3_000;

/// A question for the witness, and our own answer to it, in the witness's words.
type Case = (Value, Value);

/// Asks the witness and fails with the first questions on which we differ.
fn agree(kind: &str, strategy: impl Strategy<Value = Case>) {
    let seed = std::env::var("WITNESS_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0);
    let config = Config { rng_algorithm: RngAlgorithm::ChaCha, rng_seed: RngSeed::Fixed(seed), ..Config::default() };
    let mut runner = TestRunner::new(config);
    let cases: Vec<Case> = (0..ROUNDS).map(|_| strategy.new_tree(&mut runner).expect("a case").current()).collect();
    let answers = ask(&cases.iter().map(|(question, _)| question.clone()).collect::<Vec<_>>());
    assert_eq!(answers.len(), cases.len());
    let differing: Vec<String> = cases
        .iter()
        .zip(&answers)
        .filter(|((_, ours), theirs)| ours != *theirs)
        .map(|((question, ours), theirs)| format!("{question}\n  ours    {ours}\n  witness {theirs}"))
        .collect();
    let some = differing.iter().take(5).cloned().collect::<Vec<_>>().join("\n");
    assert!(differing.is_empty(), "{kind}: {} of {ROUNDS} differ (seed {seed})\n{some}", differing.len());
    // A kind of question that is only ever refused, or only ever answered, would prove little.
    let answered = answers.iter().filter(|answer| answer.get("ok").is_some()).count();
    assert!(answered > ROUNDS / 10, "{kind}: only {answered} of {ROUNDS} were answered");
}

fn ask(questions: &[Value]) -> Vec<Value> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut child = Command::new(python(&root))
        .arg(root.join("tests/witness/witness.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the witness starts");
    let input: String = questions.iter().map(|question| format!("{question}\n")).collect();
    let mut stdin = child.stdin.take().expect("its standard input");
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().expect("the witness ends");
    writer.join().expect("the writer ends").expect("all questions are written");
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    text.lines().map(|line| serde_json::from_str(line).expect("an answer")).collect()
}

/// The Python that the tests' packages are installed for.
fn python(root: &Path) -> PathBuf {
    let own = root.join(".cache/venv/bin/python");
    match std::env::var("TEST_PYTHON") {
        Ok(path) => PathBuf::from(path),
        Err(_) if own.exists() => own,
        Err(_) => panic!("no Python for the witness: `npm run setup` makes .cache/venv, or set TEST_PYTHON"),
    }
}

fn answer(result: Result<Value, Rejection>) -> Value {
    match result {
        Ok(value) => json!({"ok": value}),
        Err(rejection) => json!({"error": rejection.code().as_str()}),
    }
}

fn nonces() -> impl Strategy<Value = Nonce> {
    any::<[u8; 16]>().prop_map(Nonce::from_bytes)
}

fn keys() -> impl Strategy<Value = (String, KeySet)> {
    any::<[u8; 32]>().prop_map(|bytes| {
        let hex_digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let set = KeySet::parse(&format!("kid-1:{hex_digits}")).expect("a key");
        (hex_digits, set)
    })
}

/// Raw queries, some of them broken.
fn queries() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        6 => "[a-z_]{1,4}=[A-Za-z0-9+.:~*'(){}-]{0,8}",
        3 => "[a-z]{1,3}=(%[0-9A-Fa-f]{2}|[a-z]){0,4}",
        2 => "[a-z]{1,2}=(%E2%82%AC|%c3%a9|%20|%2B|%26|%3D|%25){1,3}",
        1 => "(_sig|_ts|_kid|%5Fsig)=[a-z0-9%]{0,4}",
        1 => "[a-zé€=%&+]{0,5}",
        1 => Just("a=%EF%BF%BD".to_owned()),
        1 => "[a-c](=[0-9]?)?",
    ];
    prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.join("&"))
}

/// Bodies that are mostly JSON objects.
fn json_bodies() -> impl Strategy<Value = String> {
    let scalar = prop_oneof![
        "-?(0|[1-9][0-9]{0,17})",
        "-?(0|[1-9][0-9]{0,9})\\.[0-9]{1,12}",
        "-?[1-9](\\.[0-9]{1,17})?[eE][+-]?[0-9]{1,3}",
        any::<f64>().prop_map(|number| if number.is_finite() { format!("{number:?}") } else { "1".to_owned() }),
        "\"[ -!#-\\[\\]-~é€😀]{0,6}\"",
        "\"(\\\\[\"\\\\/bfnrt]|\\\\u00[0-9a-f]{2}|\\\\u20ac|\\\\ud83d\\\\ude00|\\\\ud800){0,3}\"",
        Just("true".to_owned()),
        Just("false".to_owned()),
        Just("null".to_owned()),
    ];
    let value = scalar.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::vec(("[a-e€\u{fb33}😀]{1,2}", inner), 0..4).prop_map(|members| {
                let members: Vec<_> = members.iter().map(|(name, value)| format!("\"{name}\" : {value}")).collect();
                format!("{{{}}}", members.join(" , "))
            }),
        ]
    });
    let object = prop::collection::vec(("[a-z\u{e9}\u{20ac}😀]{1,3}", value), 0..6).prop_map(|members| {
        let members: Vec<_> = members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        format!("{{{}}}", members.join(","))
    });
    prop_oneof![12 => object, 1 => "[{}\\[\\]\",:0-9a-z ]{0,20}"]
}

/// The witness itself is held to what others have published.
#[test]
fn the_witness_meets_published_vectors() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let output =
        Command::new(python(&root)).arg(root.join("tests/witness/check_vectors.py")).output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn canonical_queries_agree() {
    agree(
        "canonical_query",
        queries().prop_map(|query| {
            let ours = answer(canonical_query(&query).map(Value::from));
            (json!({"ask": "canonical_query", "query": query}), ours)
        }),
    );
}

#[test]
fn bytec_v1_signatures_agree() {
    let paths = prop_oneof![8 => "(/[A-Za-z0-9._~-]{1,6}){1,3}", 1 => "[/.a-z%]{0,5}"];
    let bodies = prop_oneof![Just(String::new()), json_bodies(), "[ -~é€]{0,30}"];
    let requests = (keys(), 0_i64..4_000_000_000, "[A-Za-z0-9_-]{16,64}", paths, queries(), bodies, any::<bool>());
    agree(
        "bytec_v1",
        requests.prop_map(|((key_hex, set), timestamp, nonce, path, query, body, jcs)| {
            let presented = Presented {
                key_id: "kid-1".to_owned(),
                timestamp: timestamp.to_string(),
                nonce: nonce.clone(),
                signature: String::new(),
                profile: if jcs { Profile::Jcs } else { Profile::Raw },
            };
            let request = Request { method: "POST", path: &path, query: &query, body: body.as_bytes() };
            let key = set.newest(timestamp).expect("a key in force");
            let signed = signature::string_to_sign(&presented, &request).and_then(|text| {
                Ok(json!({"string_to_sign": text, "signature": signature::sign(key, &presented, &request)?}))
            });
            // What we sign, we accept; with anything changed, we do not.
            if let Ok(signed) = &signed {
                let text = signed["signature"].as_str().expect("a text").to_owned();
                let presented = Presented { signature: text, ..presented.clone() };
                assert_eq!(signature::verify(&set, &presented, &request, timestamp), Ok(()));
                assert!(signature::verify(&set, &presented, &Request { method: "GET", ..request }, timestamp).is_err());
            }
            let question = json!({
                "ask": "bytec_v1", "key_hex": key_hex, "kid": "kid-1", "ts": timestamp.to_string(), "nonce": nonce,
                "method": "POST", "path": path, "query": query, "body_b64": STANDARD.encode(&body),
                "profile": if jcs { Value::from("jcs") } else { Value::Null },
            });
            (question, of_jcs(answer(signed)))
        }),
    );
}

/// The witness has one word for every refusal of the JCS profile.
fn of_jcs(answer: Value) -> Value {
    let is_jcs = ["malformed_json", "json_too_deep"].iter().any(|code| answer["error"] == **code);
    if is_jcs { json!({"error": "jcs_refused"}) } else { answer }
}

#[test]
fn canonical_json_agrees() {
    agree(
        "jcs",
        json_bodies().prop_map(|body| {
            let ours = canonical_json(body.as_bytes()).map(|bytes| String::from_utf8(bytes).expect("UTF-8").into());
            (json!({"ask": "jcs", "body_b64": STANDARD.encode(&body)}), of_jcs(answer(ours)))
        }),
    );
}

#[test]
fn message_signatures_and_acknowledgements_agree() {
    let texts = ("(/[a-z]{1,5}){1,3}", "[A-Za-z0-9=&%+.-]{0,30}", "[!-~]{1,40}", "[!-~]{1,40}");
    let requests = (keys(), 0_i64..4_000_000_000, nonces(), texts, prop::collection::vec(any::<u8>(), 0..80));
    agree(
        "rfc9421",
        requests.prop_map(|((key_hex, set), created, nonce, (path, query, event_id, target), body)| {
            let covered = Covered {
                method: "POST",
                path: &path,
                query: &query,
                event_id: &event_id,
                received_at: "2025-11-21T00:00:00.123Z",
                auth: "open",
                client_ip: "2001:db8::1",
                original_target: &target,
            };
            let signed = message_signature::sign(&set, &covered, &body, created, &nonce).expect("a key in force");
            let verified = message_signature::verify(&set, &covered, &signed, created);
            assert!(verified.is_ok_and(|head| head.with_body(&body).is_ok()));
            let question = json!({
                "ask": "rfc9421", "key_hex": key_hex, "kid": "kid-1", "method": "POST", "path": path, "query": query,
                "body_b64": STANDARD.encode(&body), "event_id": event_id, "received_at": covered.received_at,
                "auth": "open", "client_ip": covered.client_ip, "original_target": target, "created": created,
                "nonce": nonce.as_str(),
            });
            let ours = json!({
                "content_digest": signed.content_digest, "signature_input": signed.signature_input,
                "signature": signed.signature,
            });
            (question, json!({"ok": ours}))
        }),
    );
    let verdicts =
        prop::sample::select(vec![Verdict::Created, Verdict::Duplicate, Verdict::Revised, Verdict::Conflict]);
    agree(
        "ack",
        (keys(), verdicts, nonces(), "[!-~]{1,40}").prop_map(|((key_hex, set), verdict, nonce, event_id)| {
            let ours = acknowledge(set.newest(0).expect("a key in force"), &event_id, verdict, &nonce);
            let question = json!({
                "ask": "ack", "key_hex": key_hex, "kid": "kid-1", "event_id": event_id, "verdict": verdict.name(),
                "nonce": nonce.as_str(),
            });
            (question, json!({"ok": ours}))
        }),
    );
}

#[test]
fn tokens_of_the_witness_are_verified() {
    let now_s = now().unix_s();
    let cases = (keys(), -1_000_i64..1_000, 1_i64..1_000, "[a-z]{1,8}", prop::sample::select(vec!["bytec", "other"]));
    let mut runner = TestRunner::deterministic();
    let cases: Vec<_> = (0..300).map(|_| cases.new_tree(&mut runner).expect("a case").current()).collect();
    let questions: Vec<_> = cases
        .iter()
        .map(|((key_hex, _), begins_s, life_s, subject, audience)| {
            let iat = now_s + begins_s;
            let claims = json!({"iss": "them", "aud": audience, "sub": subject, "iat": iat, "exp": iat + life_s});
            let header = json!({"alg": "HS256", "typ": "JWT", "kid": "k"});
            json!({"ask": "jwt_hs256", "key_hex": key_hex, "claims": claims, "header": header})
        })
        .collect();
    let expected = JwtExpected { issuer: "them".to_owned(), audience: "bytec".to_owned() };
    let mut accepted = 0;
    for (((key_hex, _), begins_s, life_s, _, audience), token) in cases.iter().zip(ask(&questions)) {
        let token = token["ok"].as_str().expect("a token").to_owned();
        let keys = JwtKeys::parse(&format!("k:HS256:{key_hex}")).expect("a key");
        let ends_s = begins_s + life_s;
        let should = *audience == "bytec" && *life_s <= 900 && *begins_s <= 60 && ends_s > -60;
        assert_eq!(keys.verify(&token, &expected, now_s).is_ok(), should, "{begins_s} {life_s} {audience}");
        accepted += usize::from(should);
    }
    assert!(accepted > 20, "{accepted} were to be accepted");
}

/// The zones of all partners and others that are known for odd clocks.
fn zones() -> Vec<String> {
    let mut zones: Vec<String> = REGISTRY.all().iter().map(|partner| partner.zone.name().to_owned()).collect();
    zones.extend(
        [
            "Europe/Berlin",
            "Europe/London",
            "Europe/Dublin",
            "Europe/Moscow",
            "America/New_York",
            "America/Sao_Paulo",
            "America/St_Johns",
            "America/Caracas",
            "Asia/Kolkata",
            "Asia/Kathmandu",
            "Asia/Tehran",
            "Asia/Jakarta",
            "Asia/Pyongyang",
            "Asia/Manila",
            "Asia/Gaza",
            "Africa/Cairo",
            "Africa/Casablanca",
            "Australia/Lord_Howe",
            "Pacific/Apia",
            "Pacific/Kiritimati",
            "Antarctica/Troll",
            "Asia/Kuala_Lumpur",
            "Asia/Singapore",
        ]
        .map(str::to_owned),
    );
    zones.sort();
    zones.dedup();
    zones
}

fn our_time(text: &str, zone_name: &str) -> Case {
    let ours = match Timestamp::parse(text, &zone(zone_name).expect("a zone")) {
        Some(instant) => json!({"ok": instant.to_string()}),
        None => json!({"error": "invalid_time"}),
    };
    (json!({"ask": "time", "text": text, "zone": zone_name}), ours)
}

/// Local times within three hours of a change of the clocks: skipped ones, ones that are shown twice, and their edges.
#[test]
fn times_near_changes_of_the_clocks_agree_with_zoneinfo() {
    let changing: Vec<_> = zones()
        .into_iter()
        .filter_map(|name| {
            let changes = zone(&name)?.changes().to_vec();
            (!changes.is_empty()).then_some((name, changes))
        })
        .collect();
    let near = (prop::sample::select(changing), any::<prop::sample::Index>(), -21..=21_i64, -1..=1_i64, any::<bool>());
    agree(
        "time near a change",
        near.prop_map(|((zone_name, changes), index, half_quarters, seconds, after)| {
            let index = index.index(changes.len());
            let offset_s = match index.checked_sub(usize::from(!after)) {
                Some(index) => changes[index].1,
                None => changes[0].1,
            };
            let local_s = changes[index].0 + i64::from(offset_s) + half_quarters * 450 + seconds;
            let local = chrono::DateTime::from_timestamp(local_s, 0).expect("a time").naive_utc();
            our_time(&local.format("%Y-%m-%d %H:%M:%S").to_string(), &zone_name)
        }),
    );
}

#[test]
fn times_agree_with_zoneinfo() {
    let zones = zones();
    let dates = (1969_u32..=2100, 0_u32..=13, 0_u32..=32);
    let clocks = (0_u32..=24, 0_u32..=60, 0_u32..=60, prop::option::of("[0-9]{1,10}"));
    let offsets = prop_oneof![
        4 => Just(String::new()),
        1 => Just("Z".to_owned()),
        1 => Just(" UTC".to_owned()),
        2 => "[+-](0[0-9]|1[0-5]):[0-6][0-9]",
        1 => "[+-](0[0-9]|1[0-5])([0-6][0-9])?",
        1 => " (0[0-9]|1[0-5]):[0-5][0-9]",
    ];
    const MONTHS: [&str; 14] =
        ["Jan", "January", "Feb", "March", "Apr", "May", "June", "Jul", "Aug", "September", "Oct", "Nov", "Dec", "Foo"];
    let forms = 0_u8..10;
    let texts = (dates, clocks, offsets, forms, prop::sample::select(MONTHS.to_vec()), any::<u32>()).prop_map(
        |((year, month, day), (hour, minute, second, fraction), offset, form, name, number)| {
            let fraction = fraction.map(|digits| format!(".{digits}")).unwrap_or_default();
            let clock = format!("{hour:02}:{minute:02}:{second:02}{fraction}");
            match form {
                0 => format!("{year}-{month:02}-{day:02}"),
                1 => format!("{number}"),
                2 => format!("{}", u64::from(number) * 1000 + u64::from(hour)),
                3 => format!("{day} {name} {year} {clock}{offset}"),
                4 => format!("{name} {day}, {year} {hour:02}:{minute:02}"),
                5 => format!("{year}/{month:02}/{day:02} {clock}{offset}"),
                6 => format!("{year}-{month}-{day} {hour}:{minute:02}"),
                7 | 8 => format!("{year}-{month:02}-{day:02}T{clock}{offset}"),
                _ => format!("{year}-{month:02}-{day:02} {clock}{offset}"),
            }
        },
    );
    agree("time", (texts, prop::sample::select(zones)).prop_map(|(text, zone_name)| our_time(&text, &zone_name)));
}

#[test]
fn amounts_agree() {
    let texts = prop_oneof![
        4 => "-?[0-9]{1,13}(\\.[0-9]{1,7})?",
        1 => "[-+0-9.,eE$ ]{0,8}",
        1 => "-?0{1,12}(\\.0{1,6})?",
    ];
    agree(
        "amount",
        texts.prop_map(|text| {
            let ours = match Amount::parse(&text) {
                Some(amount) => json!({"ok": amount.to_string()}),
                None => json!({"error": "invalid_amount"}),
            };
            (json!({"ask": "amount", "text": text}), ours)
        }),
    );
}
