//! What the shipped partners' requests come to: canonical form, or the code and field of the refusal.

use crate::{now, outcome_of, partner};
use postback::field::Field;
use postback::id::Nonce;
use postback::money::Amount;
use postback::params::Params;
use postback::partner::Partner;
use postback::reading::Reading;
use postback::rejection::Rejection;
use postback::signature::{Profile, SignedBy};

const LIVE: &str = "click_id=test123&media_id=456&rewars=10.50&conversion_id=conv789&event=purchase\
    &event_time=2025-01-01%2012:00:00&offer_name=test_offer&datetime_conversion=2025-01-01%2012:00:00\
    &usd_sale_amount=100.00";

fn read(code: &str, params: Result<Params, Rejection>) -> Result<Reading, Rejection> {
    partner(code).read(&params?, now())
}

fn query(code: &str, raw: &str) -> Result<Reading, Rejection> {
    read(code, Params::from_query(raw))
}

#[test]
fn every_live_template_comes_to_its_canonical_form() {
    let body = r#"{"event":"deposit_success","event_id":"dep_9aa","click_id":"clk_123","account_id":"u_456","amount":100.00,"currency":"USD","is_ftd":true,"ts_event":"2025-10-21T15:12:31Z"}"#;
    for (reading, expected) in [
        (
            query("involve_asia", LIVE),
            "event=purchase&click_id=test123&conversion_id=conv789&media_id=456&offer_name=test_offer\
             &ts_event=2025-01-01T04%3A00%3A00Z&conversion_datetime=2025-01-01T04%3A00%3A00Z\
             &usd_sale_amount=100.00&usd_payout=10.50",
        ),
        (
            query(
                "involve_asia",
                "sub_id=test123&media_id=media456&click_id=click789&usd_sale_amount=99.99&usd_payout=9.99\
                 &offer_name=Test&conversion_id=conv001&conversion_datetime=2025-01-15",
            ),
            "event=conversion&click_id=click789&conversion_id=conv001&media_id=media456&sub_id=test123&offer_name=Test\
             &conversion_datetime=2025-01-14T16%3A00%3A00Z&usd_sale_amount=99.99&usd_payout=9.99",
        ),
        (
            query(
                "involve_asia",
                "conversion_id=c1&offer_id=7&order_id=o1&sale_amount_local=1500000&payout_local=75000\
                 &conversion_currency=IDR&myr_payout=1&usd_payout=4.80&adv_sub=x&status=Yet+to+consumed",
            ),
            "event=conversion&conversion_id=c1&order_id=o1&offer_id=7&status=pending&sale_amount=1500000.00\
             &payout=75000.00&currency=IDR&usd_payout=4.80",
        ),
        (
            query(
                "rector",
                "media_id=media456&sub_id=test123&usd_sale_amount=99.99&usd_earning=9.99&offer_name=Test\
                 &conversion_id=conv002&conversion_datetime=2025-01-15&click_id=click789",
            ),
            "event=conversion&click_id=click789&conversion_id=conv002&media_id=media456&sub_id=test123&offer_name=Test\
             &conversion_datetime=2025-01-15T00%3A00%3A00Z&usd_sale_amount=99.99&usd_payout=9.99",
        ),
        (
            read("s2s", Params::from_request("", Some("application/json; charset=utf-8"), body.as_bytes())),
            "event_id=dep_9aa&event=deposit&click_id=clk_123&account_id=u_456&ts_event=2025-10-21T15%3A12%3A31Z\
             &sale_amount=100.00&currency=USD&is_ftd=true",
        ),
    ] {
        assert_eq!(outcome_of(reading), expected);
    }
}

#[test]
fn one_event_has_one_id_however_it_is_spelled() {
    let id = |raw: &str| query("involve_asia", raw).unwrap().postback.event_id().to_string();
    let live = id(LIVE);
    let mut reordered: Vec<_> = LIVE.split('&').collect();
    reordered.reverse();
    for same in [
        reordered.join("&"),
        LIVE.replace("%20", "+"),
        LIVE.replace("%2012:00:00", "T12%3A00%3A00"),
        LIVE.replace("%2012:00:00", "T04:00:00Z"),
        LIVE.replace("rewars=10.50", "usd_payout=10.5"),
        LIVE.replace("event=purchase", "event=Purchase"),
        format!("{LIVE}&unknown=1"),
    ] {
        assert_eq!(id(&same), live, "{same}");
    }
    for other in [
        LIVE.replace("10.50", "10.51"),
        LIVE.replace("conv789", "conv790"),
        LIVE.replace("event=purchase", "event=refund"),
        LIVE.replace("offer_name=test_offer&", ""),
        format!("{LIVE}&status=Approved"),
    ] {
        assert_ne!(id(&other), live, "{other}");
    }
    let rector = query("rector", LIVE.replace("rewars", "usd_earning").as_str()).unwrap();
    assert_ne!(rector.postback.event_id().to_string(), live, "another partner's event is another event");
}

/// Ids that follow from content are written down: were they to change with a version, every retry across a deployment would
/// be a new event. Never change this table; a new way to derive ids needs a new name beside the old one.
#[test]
fn derived_ids_are_the_same_for_ever() {
    for (code, raw, id) in [
        ("involve_asia", LIVE, "evt_15bdfbb2aaf70892c2d29982770af72b"),
        ("involve_asia", "conversion_id=c1", "evt_a34b0ffda9a46b7a11f4c2611dc5df40"),
        ("rector", "conversion_id=c1", "evt_824f086dcfa31dcd64f9af80e6091b71"),
        (
            "involve_asia",
            "conversion_id=c1&order_id=o1&aff_sub=x&status=Paid&payout_local=1&conversion_currency=MYR",
            "evt_15070455a1e1f22da3a7e70c92dbf52d",
        ),
        (
            "affise",
            "transactionid=t1&sum=1.5&timestamp=1763600000&goal=Deposit",
            "evt_8fc48cd6008daf87eed2b0a1f1f0d38c",
        ),
    ] {
        assert_eq!(query(code, raw).unwrap().postback.event_id().as_str(), id, "{code} {raw}");
    }
}

/// Two events that differ in any one field are two events; and no text can pass for a field's end and another's beginning.
#[test]
fn every_field_is_part_of_a_derived_id() {
    let id = |raw: &str| query("involve_asia", raw).unwrap().postback.event_id().to_string();
    let mut seen = vec![id("conversion_id=c1")];
    for more in [
        "original_event_id=x",
        "order_id=x",
        "media_id=x",
        "sub_id=x",
        "aff_sub=x",
        "aff_sub2=x",
        "offer_id=x",
        "offer_name=x",
        "account_id=x",
        "install_id=x",
        "session_id=x",
        "campaign=x",
        "creative_id=x",
        "status=paid",
        "event_time=2025-11-20",
        "event=lead",
        "datetime_conversion=2025-11-20",
        "currency=USD",
        "usd_sale_amount=1",
        "usd_payout=1",
        "sale_amount=1",
        "payout=1",
        "is_ftd=1",
        "payment_method=x",
        "geo=x",
        "device=x",
        "consent_version=x",
        "click_id=x",
        "order_id=a&media_id=b",
        "order_id=a8:media_id1:b",
        "order_id=ab",
    ] {
        let id = id(&format!("conversion_id=c1&{more}"));
        assert!(!seen.contains(&id), "{more}");
        seen.push(id);
    }
}

/// A fault in an optional field costs that field; and where a partner's file requires it, the postback.
#[test]
fn an_optional_field_never_costs_the_others() {
    let whole = query("involve_asia", LIVE).unwrap().postback;
    for (fault, warning, code) in [
        ("is_ftd=perhaps", "value_dropped:is_ftd", "invalid_flag is_ftd"),
        ("account_id=%zz", "value_dropped:account_id", "bad_percent account_id"),
        ("account_id=a%00b", "value_dropped:account_id", "control_char account_id"),
        ("account_id=1&account_id=2", "value_dropped:account_id", "duplicate_param account_id"),
        ("account_id=1.5E%2B11", "value_dropped:account_id", "invalid_id account_id"),
        ("campaign=%ff", "value_dropped:campaign", "bad_utf8 campaign"),
        ("conversion_currency=%C2%A4cy", "value_dropped:currency", "invalid_currency conversion_currency"),
    ] {
        let raw = format!("{LIVE}&{fault}");
        let reading = query("involve_asia", &raw).unwrap();
        let warnings: Vec<_> = reading.warnings.iter().map(ToString::to_string).collect();
        assert!(warnings.contains(&warning.to_owned()), "{fault}: {warnings:?}");
        assert_eq!(reading.postback.to_query(), whole.to_query(), "{fault}");
        let field = Field::parse(warning.split_once(':').unwrap().1).unwrap();
        let required = Partner { required: vec![Field::ConversionId, field], ..partner("involve_asia").clone() };
        assert_eq!(outcome_of(required.read(&Params::from_query(&raw).unwrap(), now())), code, "{fault}");
    }
}

/// Nothing that a form can hold takes time in the square of its size: a body of 64 KB is read in milliseconds, and in a second at worst
/// on a machine under load and without optimisation.
#[test]
fn a_large_form_is_read_in_linear_time() {
    for piece in ["=", "%41=", ";a=", "?usd_earning=", "&amp;", "\u{a4}cy=", "%", "?_sig", "%3F", ";ts_token="] {
        let form = format!("conversion_id=c1&click_id={}", piece.repeat(60_000 / piece.len()));
        let began = std::time::Instant::now();
        let read = Params::from_form(form.as_bytes()).and_then(|params| partner("rector").read(&params, now()));
        let _ = (read.is_ok(), postback::params::redact_body(&form));
        assert!(began.elapsed().as_secs() < 5, "{piece}: {:?}", began.elapsed());
    }
}

/// Two events that differ in nothing but an id that cannot be read are two, and the same one sent again is one.
#[test]
fn ids_that_are_left_out_tell_events_apart() {
    let id = |raw: &str| query("rector", raw).unwrap().postback.event_id().clone();
    let [one, two] = ["a", "b"].map(|id| format!("conversion_id=c1&order_id={}", id.repeat(513)));
    assert_ne!(id(&one), id(&two));
    assert_eq!(id(&one), id(&one));
    assert_ne!(id(&one), id("conversion_id=c1"));
    assert_eq!(id("conversion_id=c1&sub_id=1&sub_id=2"), id("sub_id=2&sub_id=1&conversion_id=c1"));
    let local = |amount: &str| format!("conversion_id=c1&usd_payout=5&sale_amount={amount}&currency=RMB");
    assert_ne!(id(&local("10")), id(&local("20")), "amounts that were left out are news as well");
    let nested = |account: &str| {
        let body = format!(r#"{{"conversion_id":"c1","account_id":{account}}}"#);
        let params = Params::from_request("", Some("application/json"), body.as_bytes()).unwrap();
        partner("rector").read(&params, now()).unwrap().postback.event_id().clone()
    };
    assert_ne!(nested(r#"{"a":1}"#), nested(r#"{"a":2}"#));
}

#[test]
fn what_cannot_be_read_says_why_and_where() {
    let with = |find: &str, replace: &str| {
        assert!(LIVE.contains(find), "{find}");
        LIVE.replace(find, replace)
    };
    for (raw, expected) in [
        (with("event_time=2025-01-01%2012:00:00", "event_time=2025-13-01"), "invalid_time event_time"),
        (with("event_time=2025-01-01%2012:00:00", "event_time=0000-00-00%2000:00:00"), "invalid_time event_time"),
        (
            with("datetime_conversion=2025-01-01", "datetime_conversion=2025-11-22"),
            "time_in_future datetime_conversion",
        ),
        (with("usd_sale_amount=100.00", "usd_sale_amount=10,50"), "invalid_amount usd_sale_amount"),
        (with("rewars=10.50", "rewars=$10.50"), "invalid_amount rewars"),
        (with("rewars=10.50", "rewars=1e3"), "invalid_amount rewars"),
        (with("rewars=10.50", "rewars=NaN"), "invalid_amount rewars"),
        (with("rewars=10.50", "rewars=-10.50"), "negative_amount rewars"),
        (with("rewars=10.50", "rewars=10000000000.01"), "amount_too_large rewars"),
        (with("rewars=10.50", "rewars=10.50&rewards=11"), "conflicting_values rewards"),
        (with("conversion_id=conv789&", ""), "missing_field conversion_id"),
        (with("conversion_id=conv789&", "conversion_id=&"), "missing_field conversion_id"),
        (with("conversion_id=conv789&", "conversion_id=+&"), "missing_field conversion_id"),
        (with("conversion_id=conv789", &format!("conversion_id={}", "x".repeat(513))), "invalid_id conversion_id"),
        (format!("{LIVE}&event_id=evt_{}", "0a".repeat(16)), "invalid_id event_id"),
        (format!("{LIVE}&rewars=11"), "duplicate_param rewars"),
    ] {
        assert_eq!(outcome_of(query("involve_asia", &raw)), expected, "{raw}");
    }
    let nested =
        Params::from_request("", Some("application/json"), br#"{"event":"x","event_id":"1","amount":{"v":1}}"#);
    assert_eq!(outcome_of(read("s2s", nested)), "not_scalar amount");
}

#[test]
fn money_may_go_back_in_a_refund() {
    let refund = LIVE.replace("event=purchase", "event=refund").replace("=10.50", "=-10.50");
    assert!(outcome_of(query("involve_asia", &refund)).contains("usd_payout=-10.50"));
}

#[test]
fn a_partners_file_says_how_large_an_amount_may_be() {
    let partner = Partner { amount_max: Amount::parse("100").unwrap(), ..partner("involve_asia").clone() };
    let fields = ["sale_amount", "payout", "usd_sale_amount", "usd_payout"];
    for (event, sign) in [("purchase", ""), ("refund", ""), ("refund", "-")] {
        for field in fields {
            let outcome = |amount: &str| {
                let query = format!("event={event}&conversion_id=c1&currency=MYR&{field}={sign}{amount}");
                outcome_of(partner.read(&Params::from_query(&query).unwrap(), now()))
            };
            assert_eq!(outcome("100.000001"), format!("amount_too_large {field}"), "{event} {sign}");
            assert!(outcome("100").contains(&format!("{field}=")), "{event} {sign}: {}", outcome("100"));
        }
    }
}

#[test]
fn a_nonce_that_comes_again_names_the_same_receipt() {
    let read = |code: &str, raw: &str| query(code, raw).unwrap().postback;
    let signed = |key_id: &str, nonce: &str| SignedBy {
        key_id: key_id.to_owned(),
        nonce: nonce.to_owned(),
        profile: Profile::Raw,
    };
    let (first, nonce) = (read("rector", "conversion_id=c1"), "abcdefghijklmnop");
    let id = signed("k1", nonce).request_id("rector", &first);
    // Written down with each request, so never to be changed.
    assert_eq!(id.as_str(), "mVWYmQ23q5vzfqT6fzpimA");
    assert_eq!(Nonce::parse(id.as_str()).as_ref(), Some(&id), "it is spelled as every request's name is");
    let again = read("rector", "conversion_id=%63%31&ts_token=x");
    assert_eq!(SignedBy { profile: Profile::Jcs, ..signed("k1", nonce) }.request_id("rector", &again), id);
    for (other, why) in [
        (signed("k1", "abcdefghijklmnoq").request_id("rector", &first), "another nonce"),
        (signed("k2", nonce).request_id("rector", &first), "another key"),
        (signed("k1", nonce).request_id("involve_asia", &first), "another partner"),
        (signed("k1a", "bcdefghijklmnop").request_id("rector", &first), "the same letters, parted elsewhere"),
        (signed("k1", nonce).request_id("rector", &read("rector", "conversion_id=c2")), "another event"),
    ] {
        assert_ne!(other, id, "{why}");
    }
    // One event id, two contents: a conflict, of which both sides are kept.
    let [one, two] =
        ["1", "2"].map(|payout| read("rector", &format!("conversion_id=c1&event_id=e1&usd_earning={payout}")));
    assert_ne!(signed("k1", nonce).request_id("rector", &one), signed("k1", nonce).request_id("rector", &two));
}

#[test]
fn what_nothing_maps_is_listed_and_not_merged() {
    let reading = query("involve_asia", &format!("{LIVE}&myr_payout=44.10&adv_sub=x")).unwrap();
    assert_eq!(reading.ignored, ["myr_payout", "adv_sub"]);
    assert!(!reading.postback.to_query().contains("44.10"));
}

#[test]
fn a_word_that_cannot_name_an_event_gives_way_to_the_partners_default() {
    for word in ["fb/campaign:1", "%E0%B8%AA"] {
        let reading = query("involve_asia", &LIVE.replace("event=purchase", &format!("event={word}"))).unwrap();
        assert_eq!(reading.postback.event().name(), "conversion", "{word}");
        assert_eq!(reading.warnings.first().map(|warning| warning.to_string()).as_deref(), Some("unnamed_event:event"));
    }
    let no_default = Params::from_query("event_id=1&event=fb/campaign:1");
    assert_eq!(outcome_of(read("s2s", no_default)), "invalid_event event");
}

#[test]
fn an_old_event_is_taken_and_flagged() {
    let warnings: Vec<_> = query("involve_asia", LIVE).unwrap().warnings.iter().map(|w| w.to_string()).collect();
    assert_eq!(warnings, ["old_time:ts_event", "old_time:conversion_datetime"]);
    let fresh = query("involve_asia", &LIVE.replace("2025-01-01", "2025-11-20")).unwrap();
    assert!(fresh.warnings.is_empty());
}

#[test]
fn an_event_id_conflicts_when_money_event_or_click_differ() {
    let fingerprint = |raw: &str| query("involve_asia", raw).unwrap().postback.fingerprint();
    let known = fingerprint(LIVE);
    for (find, replace) in [("10.50", "10.51"), ("100.00", "1.00"), ("purchase", "deposit"), ("test123", "test124")] {
        assert_ne!(fingerprint(&LIVE.replace(find, replace)), known, "{replace}");
    }
    assert_eq!(fingerprint(&LIVE.replace("test_offer", "other_offer")), known);
    assert_ne!(fingerprint(&format!("{LIVE}&original_event_id=e1")), known, "it names another sale");
}
