//! What holds for every request of every partner. A property that fails prints the request.

use crate::{REGISTRY, now};
use postback::canonical::CanonicalForm;
use postback::field::Field;
use postback::key::KeySet;
use postback::params::Params;
use postback::partner::Partner;
use postback::reading::Reading;
use postback::rejection::Rejection;
use postback::signature::{Presented, Profile, Request, canonical_query, sign, string_to_sign, verify};
use proptest::prelude::*;

/// A partner and a query: its names and some that are nearly so, likely values and some that are wrong.
fn requests() -> impl Strategy<Value = (&'static Partner, String)> {
    prop::sample::select(REGISTRY.all().iter().collect::<Vec<_>>()).prop_flat_map(|partner| {
        let aliases = partner.aliases.keys().cloned();
        let mut names: Vec<String> = aliases.chain(Field::ALL.iter().map(|field| field.name().to_owned())).collect();
        names.extend(["amp;click_id", "Click_ID", "¤cy", "zzz"].map(str::to_owned));
        let values = prop_oneof![
            prop::sample::select(vec![
                "10.50",
                "100",
                "0.000001",
                "-1",
                "10,50",
                "purchase",
                "Refund",
                "Level 5",
                "Approved",
                "1",
                "true",
                "0",
                "Yet to consumed",
                "USD",
                "2025-01-01 12:00:00",
                "2025-01-01T12:00:00+08:00",
                "2025-01-15",
                "1735732800",
                "1970-01-01",
                "1735732800123",
                "jan 20 2020",
                "2025-01-01%2012:00:00",
                "a b",
                "x+y&z=é",
                "{macro}",
                "null",
                "10¤cy=EUR",
                "",
            ])
            .prop_map(str::to_owned),
            "[a-zA-Z0-9 +%&=,.:{}é-]{0,20}",
        ];
        let required: Vec<_> =
            partner.required.iter().map(|field| (field.name().to_owned(), "c1".to_owned())).collect();
        prop::collection::vec((prop::sample::select(names), values), 0..12).prop_map(move |mut pairs| {
            pairs.extend(required.clone());
            (partner, serde_urlencoded::to_string(pairs).expect("strings"))
        })
    })
}

fn read(partner: &Partner, raw: &str) -> Result<Reading, Rejection> {
    partner.read(&Params::from_query(raw)?, now())
}

const NOW_S: i64 = 1_763_683_200;

fn keys() -> KeySet {
    KeySet::parse(&format!("k1:{}", "0b".repeat(32))).expect("a key")
}

fn presented(signature: &str) -> Presented {
    Presented {
        key_id: "k1".to_owned(),
        timestamp: NOW_S.to_string(),
        nonce: "Zk3v0q9cTn6yYw1Jb2mXAw".to_owned(),
        signature: signature.to_owned(),
        profile: Profile::Raw,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    /// R11: what the edge forwards, read again, is the same postback, in a query and in a body.
    #[test]
    fn canonicalising_is_idempotent((partner, raw) in requests()) {
        if let Ok(first) = read(partner, &raw) {
            let form = CanonicalForm::from(first.postback.clone());
            prop_assert_eq!(form.to_query(), first.postback.to_query());
            prop_assert_eq!(serde_json::to_value(&form).expect("texts"), first.postback.to_json());
            let json = serde_json::to_string(&form).expect("texts");
            for again in [CanonicalForm::from_query(&form.to_query()), serde_json::from_str(&json).expect("texts")] {
                let again = again.into_postback(first.postback.event_id().clone());
                prop_assert_eq!(again.as_ref(), Ok(&first.postback));
            }
        }
    }

    #[test]
    fn the_order_of_parameters_does_not_matter((partner, raw) in requests()) {
        let mut pieces: Vec<_> = raw.split('&').collect();
        pieces.reverse();
        let (one, other) = (read(partner, &raw), read(partner, &pieces.join("&")));
        prop_assert_eq!(one.is_ok(), other.is_ok());
        if let (Ok(one), Ok(other)) = (one, other) {
            prop_assert_eq!(one.postback, other.postback);
        }
    }

    /// What was sent for two fields are two places of the request, and a field's text is nobody's but its own.
    #[test]
    fn no_value_lands_in_two_fields((partner, raw) in requests()) {
        let Ok(params) = Params::from_query(&raw) else { return Ok(()) };
        let examination = partner.examine(&params, now());
        let places: Vec<_> = examination.sent.values().map(|sent| sent.text.as_bytes().as_ptr_range()).collect();
        for (index, place) in places.iter().enumerate() {
            for other in &places[..index] {
                prop_assert!(place.end <= other.start || other.end <= place.start);
            }
        }
        prop_assert_eq!(examination.problems.is_empty(), examination.outcome.is_ok());
    }

    /// A value that is unique in the request stands in one field at most, and in one that its name means.
    #[test]
    fn a_value_stands_where_its_name_says((partner, raw) in requests(), canary in "[a-z]{12}", field in prop::sample::select(Field::ALL.to_vec())) {
        let raw = format!("{raw}&{}={canary}", field.name());
        if let Ok(reading) = read(partner, &raw) {
            let holders: Vec<_> = reading.postback.fields().filter(|(_, text)| text.contains(&canary)).collect();
            prop_assert!(holders.len() <= 1, "{:?}", holders);
            for (holder, _) in holders {
                prop_assert_eq!(Some(holder), partner.field_of(field.name()));
            }
        }
    }

    #[test]
    fn a_refusal_repeats_nothing_that_was_sent((partner, raw) in requests(), canary in "[a-z]{12}", name in "[a-z_]{1,12}|amp;[a-z]{3}|¤cy") {
        for value in [canary.clone(), format!("{{{canary}}}"), format!("{canary}%0a"), format!("1,{canary}")] {
            let raw = format!("{raw}&{name}={value}&{canary}%20x=1&{canary}%20x=2");
            if let Err(rejection) = read(partner, &raw) {
                let text = format!("{rejection} {rejection:?}");
                prop_assert!(!text.contains(&canary), "{}", text);
            }
        }
    }

    #[test]
    fn a_changed_byte_changes_the_string_to_sign(name in "[a-z]{1,4}", value in "[ -~é]{1,12}", at in any::<prop::sample::Index>(), to in "[ -~]") {
        let query = |value: &str| serde_urlencoded::to_string([(&name, value)]).expect("strings");
        let mut characters: Vec<char> = value.chars().collect();
        let at = at.index(characters.len());
        let other = to.chars().next().expect("one");
        prop_assume!(characters[at] != other);
        characters[at] = other;
        let changed: String = characters.into_iter().collect();
        let text = |query: &str| {
            string_to_sign(&presented(""), &Request { method: "GET", path: "/a", query, body: b"" }).expect("signable")
        };
        prop_assert_ne!(text(&query(&value)), text(&query(&changed)));
    }

    #[test]
    fn a_canonical_query_is_the_same_for_every_order_and_spelling(pairs in prop::collection::btree_map("[a-z]{1,4}", "[ -~é]{0,8}", 0..6)) {
        let plain = serde_urlencoded::to_string(pairs.iter().collect::<Vec<_>>()).expect("strings");
        let encode = |text: &str| text.bytes().map(|byte| format!("%{byte:02x}")).collect::<String>();
        let other: Vec<_> = pairs.iter().rev().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
        let canonical = canonical_query(&plain).expect("canonical");
        prop_assert_eq!(&canonical_query(&other.join("&&")).expect("canonical"), &canonical);
        prop_assert_eq!(&canonical_query(&canonical).expect("canonical"), &canonical);
    }

    #[test]
    fn what_is_signed_verifies_and_any_flipped_bit_does_not(query in "[a-z]=[a-z0-9]{0,8}", body in prop::collection::vec(any::<u8>(), 1..60), at in any::<prop::sample::Index>(), bit in 0_u8..8) {
        let request = Request { method: "POST", path: "/involve/event", query: &query, body: &body };
        let signature = sign(keys().newest(NOW_S).expect("a key"), &presented(""), &request).expect("signable");
        prop_assert_eq!(verify(&keys(), &presented(&signature), &request, NOW_S), Ok(()));
        let mut changed = body.clone();
        changed[at.index(body.len())] ^= 1 << bit;
        let changed = Request { body: &changed, ..request };
        prop_assert!(verify(&keys(), &presented(&signature), &changed, NOW_S).is_err());
        let mut forged = signature.into_bytes();
        let index = at.index(forged.len());
        forged[index] ^= 1 << (bit % 7);
        let forged = String::from_utf8_lossy(&forged).into_owned();
        prop_assert!(verify(&keys(), &presented(&forged), &request, NOW_S).is_err());
    }
}
