use super::*;
use crate::reconcile::pairs::pair;
use crate::reconcile::pairs::tests::{ours, rules, theirs};
use crate::reconcile::{Last, Pair, Theirs};
use postback::canonical::CanonicalForm;
use postback::id::EventId;
use postback::money::Amount;
use postback::partner::Partner;
use postback::partner::file::read_files;
use postback::zone::Zone;

const PARTNER: &str = r#"
name = "Example"
tenant = "bytec"
endpoint = "example/event"
database = "example_db"
time_zone = "UTC"
reply = "json"
auth = ["open"]
default_event = "conversion"
required = ["conversion_id"]
[statuses]
"pending" = "pending"
"approved" = "approved"
"Lost" = "rejected"
"paid" = "paid"
"#;

/// When what is stored was last heard of.
const KNOWN: &str = "2025-11-20T10:00:00Z";

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text, &Zone::utc()).unwrap()
}

fn partner(more: &str) -> Partner {
    let text = format!("{PARTNER}{more}");
    read_files([("example.toml", text.as_str())].into_iter()).unwrap().by_code("example").unwrap().clone()
}

fn rejection(time: &str, query: &str) -> Rejection {
    let receipt = Receipt {
        request_id: query.to_owned(),
        received_at: at(time),
        auth_mode: "open".to_owned(),
        key_id: None,
        client_ip: None,
        method: "GET".to_owned(),
        target: format!("/example/event?{query}"),
        headers: serde_json::Value::Null,
        content_type: None,
        body: None,
        nonce: None,
    };
    Rejection { rejection_id: 1, receipt, code: "invalid_time".to_owned(), field: None, conversion_id: None }
}

/// What comes of notices of the id `a`, in the order in which they came: `hour query` of each, `parked` in front of those that are.
fn uses(partner: &Partner, pairs: &[Pair], notices: &[&str]) -> Vec<Use> {
    let stored = pairs.iter().filter_map(|pair| pair.ours.as_ref());
    let stands = Standing::of_each(stored).remove("a");
    let mut want = Want { stands: stands.as_ref(), ..Want::default() };
    pairs.iter().filter(|pair| pair.ours.is_none() || !pair.differences.is_empty()).for_each(|pair| want.add(pair));
    let judge = Judge { partner, wanted: Wanted::from([("a", want)]), tolerance: Amount::parse("0.01").unwrap() };
    let notice = |text: &&str| {
        let parked = text.strip_prefix("parked ");
        let (hour, query) = parked.unwrap_or(text).split_once(' ').unwrap();
        let time = format!("2025-11-20T{hour}:00:00Z");
        let query = format!("conversion_id=a&{query}");
        match parked {
            Some(_) => {
                let given = query.split('&').find_map(|pair| pair.strip_prefix("event_id="));
                let event_id = EventId::parse(given.unwrap_or(hour)).unwrap();
                Notice::of_parked(&judge, query.clone(), event_id, &query, at(&time))
            }
            None => Notice::of_rejection(&judge, rejection(&time, &query)),
        }
    };
    let judged = judge.together("a", notices.iter().filter_map(notice).collect());
    judged.iter().map(|notice| notice.use_of).collect()
}

fn missing(rows: &[&str]) -> Vec<Pair> {
    let rows = rows.iter().map(|row| theirs(&format!("a {row} {KNOWN}")));
    rows.map(|row| Pair { theirs: Some(row), ours: None, differences: Vec::new() }).collect()
}

/// A row and what is stored, under a key, in what they differ.
fn differing(partner: &Partner, row: &Theirs, stored: &str) -> Vec<Pair> {
    let mut ours = ours(&format!("a {stored} {KNOWN}"));
    let query = format!("conversion_id=a&event={}", ours.event);
    let event_id = EventId::parse("evt_1").unwrap();
    let postback = CanonicalForm::from_query(&query).into_postback(event_id).unwrap();
    ours.key = partner.duplicates.conversion_key(&postback);
    ours.last = Last { received_s: at(KNOWN).unix_s(), changed_at: at(KNOWN) };
    pair(&[row], &[&ours], &rules())
}

#[test]
fn no_more_of_a_kind_begins_than_is_missing_of_it() {
    let partner = partner("");
    let both = missing(&["purchase - 10", "refund - -10"]);
    let refunds = ["11 event=refund&event_id=r1&usd_payout=10", "12 event=refund&event_id=r2&usd_payout=10"];
    assert_eq!(uses(&partner, &both, &refunds), [Use::OneOfMore; 2]);
    assert_eq!(uses(&partner, &both, &refunds[..1]), [Use::Good]);
    let two = missing(&["refund - -10", "refund - -10"]);
    assert_eq!(uses(&partner, &two, &refunds), [Use::Good; 2]);
    // One is refused, one is parked.
    let parked = format!("parked {}", refunds[1].replace("=10", "=-10"));
    assert_eq!(uses(&partner, &both, &[refunds[0], &parked]), [Use::OneOfMore; 2]);
    let by_event = self::partner("[duplicates]\nkey = \"conversion_id+event\"\n");
    let unnamed = missing(&["- - 10", "- - -10"]);
    let sales = ["11 event=purchase&usd_payout=10", "12 event=deposit&usd_payout=10"];
    assert_eq!(uses(&by_event, &unnamed, &sales), [Use::OneOfMore; 2]);
    assert_eq!(uses(&by_event, &unnamed, &[sales[0], "12 event=refund&usd_payout=10"]), [Use::Good; 2]);
    // Each is one of a kind that is missing, and both would be the same row.
    let by_id = self::partner("[duplicates]\nkey = \"event_id\"\n");
    let sevens = ["11 event=purchase&event_id=e1&usd_payout=7", "12 event=purchase&event_id=e2&usd_payout=7"];
    assert_eq!(uses(&by_id, &missing(&["purchase - 7", "purchase - 70"]), &sevens), [Use::OneOfMore; 2]);
    let other = "12 event=purchase&event_id=e2&usd_payout=70";
    assert_eq!(uses(&by_id, &missing(&["purchase - 7", "purchase - 70"]), &[sevens[0], other]), [Use::Good; 2]);
    // The same again begins nothing; where repeats are marked, another notice does.
    let sale = ["11 event=purchase&usd_payout=10", "14 event=purchase&usd_payout=10"];
    let again = [sale[0], "14 event=purchase&usd_payout=10&sub_id=x"];
    let marked = self::partner("[duplicates]\nrepeat = \"flag\"\n");
    assert_eq!(uses(&partner, &missing(&["purchase - 10"]), &again), [Use::Good; 2]);
    assert_eq!(uses(&marked, &missing(&["purchase - 10"]), &sale), [Use::Good; 2]);
    assert_eq!(uses(&marked, &missing(&["purchase - 10"]), &again), [Use::OneOfMore; 2]);
}

#[test]
fn what_says_other_than_the_report_is_not_replayed() {
    let partner = partner("");
    for (said, use_of) in [("70", Use::SaysOther), ("7.02", Use::SaysOther), ("7.01", Use::Good)] {
        assert_eq!(uses(&partner, &missing(&["- - 7"]), &[&format!("11 usd_payout={said}")]), [use_of], "{said}");
    }
    assert_eq!(uses(&partner, &missing(&["- approved 7"]), &["11 usd_payout=7&status=Lost"]), [Use::SaysOther]);
    let row = theirs(&format!("a - approved 10 {KNOWN}"));
    let pending = differing(&partner, &row, "purchase pending 10");
    for (said, use_of) in [
        ("status=approved", Use::Good),
        ("status=approved&usd_payout=10", Use::Good),
        ("status=Lost&usd_payout=10", Use::SaysOther),
        ("status=approved&usd_payout=99", Use::SaysOther),
        ("usd_payout=10", Use::SaysNothing),
        ("sub_id=x", Use::SaysNothing),
    ] {
        assert_eq!(uses(&partner, &pending, &[&format!("11 {said}")]), [use_of], "{said}");
        let overtaken = uses(&partner, &pending, &[&format!("09 {said}")]);
        assert_eq!(overtaken, [Use::Overtaken], "{said}");
    }
    // Nothing takes a payment back but a rejection.
    let row = theirs(&format!("a - pending 10 {KNOWN}"));
    let paid = differing(&partner, &row, "purchase paid 10");
    assert_eq!(uses(&partner, &paid, &["11 status=pending"]), [Use::SaysNothing]);
    // A day alone is no reason to take over anything else.
    let row = theirs("a - approved 10 2025-11-23T10:00:00Z");
    let elsewhere = differing(&partner, &row, "purchase approved 10");
    assert_eq!(elsewhere[0].differences.len(), 1);
    assert_eq!(
        uses(&partner, &elsewhere, &["11 usd_payout=99", "12 usd_payout=10"]),
        [Use::SaysOther, Use::SaysNothing]
    );
}

#[test]
fn amounts_in_another_currency_say_other_than_the_report() {
    let partner = partner("");
    let mut pairs = missing(&["- - 7"]);
    let row = pairs[0].theirs.as_mut().unwrap();
    row.money = std::mem::take(&mut row.money).into_values().map(|amount| (Field::Payout, amount)).collect();
    row.currency = Some("EUR".to_owned());
    let notices = ["11 payout=7&currency=USD", "12 payout=7&currency=EUR"];
    assert_eq!(uses(&partner, &pairs, &notices[..1]), [Use::SaysOther]);
    assert_eq!(uses(&partner, &pairs, &notices[1..]), [Use::Good]);
}

#[test]
fn a_beginning_is_told_by_where_it_ends() {
    let partner = partner("");
    let row = missing(&["- approved 10"]);
    let booking = ["11 status=pending&usd_payout=9&click_id=k", "12 status=approved&usd_payout=10"];
    assert_eq!(uses(&partner, &row, &booking), [Use::Good; 2]);
    // The other way round it would end elsewhere.
    let turned = ["11 status=approved&usd_payout=10", "12 status=pending&usd_payout=9&click_id=k"];
    assert_eq!(uses(&partner, &row, &turned), [Use::Good, Use::SaysOther]);
    // The approval does not say the amount, so the booking's would stay.
    assert_eq!(uses(&partner, &row, &[booking[0], "12 status=approved"]), [Use::SaysOther, Use::Good]);
    // By its status the last comes too late, so what it pays would not stand.
    let late = ["11 status=paid&usd_payout=9", "12 status=approved&usd_payout=10"];
    assert_eq!(uses(&partner, &missing(&["- - 10"]), &late), [Use::SaysOther, Use::Good]);
    // What is parked may be parked again.
    let parked = "parked 12 status=approved&usd_payout=10";
    assert_eq!(uses(&partner, &row, &[booking[0], parked]), [Use::SaysOther, Use::Good]);
}

#[test]
fn of_what_is_parked_the_first_alone_is_given_back() {
    let partner = partner("");
    let row = missing(&["- - 10"]);
    let parked = ["parked 13 usd_payout=10&sub_id=b", "parked 12 usd_payout=10", "parked 14 usd_payout=10&sub_id=c"];
    assert_eq!(uses(&partner, &row, &parked), [Use::Good, Use::Behind, Use::Behind]);
    // It comes behind what was rejected.
    let rejected = "12 usd_payout=10&sub_id=r";
    assert_eq!(
        uses(&partner, &row, &[parked[0], parked[1], parked[2], rejected]),
        [Use::Overtaken, Use::Good, Use::Good, Use::Behind]
    );
}

#[test]
fn by_click_nothing_is_replayed() {
    let by_click = partner("[duplicates]\nkey = \"click_id+event\"\nwindow_s = 60\n");
    let notices = ["11 event=purchase&usd_payout=10&click_id=k", "parked 12 event=purchase&usd_payout=10&click_id=k"];
    assert_eq!(uses(&by_click, &missing(&["purchase - 10"]), &notices), [Use::ByClick; 2]);
}

#[test]
fn where_a_key_has_several_conversions_none_is_changed() {
    let partner = partner("");
    let row = theirs(&format!("a - approved 10 {KNOWN}"));
    let mut pairs = differing(&partner, &row, "purchase pending 10");
    assert_eq!(uses(&partner, &pairs, &["11 status=approved"]), [Use::Good]);
    pairs.push(Pair { theirs: None, differences: Vec::new(), ..pairs[0].clone() });
    assert_eq!(uses(&partner, &pairs, &["11 status=approved"]), [Use::Another]);
}

#[test]
fn what_is_not_replayed_is_not_kept() {
    let partner = partner("");
    let pairs = missing(&["- - 10"]);
    let mut want = Want::default();
    want.add(&pairs[0]);
    let judge =
        Judge { partner: &partner, wanted: Wanted::from([("a", want)]), tolerance: Amount::parse("0").unwrap() };
    let read = |query: &str| Notice::of_rejection(&judge, rejection(KNOWN, &format!("conversion_id=a&{query}")));
    let notices = ["usd_payout=10", "usd_payout=11", "usd_payout=ten"].map(|query| read(query).unwrap());
    let judged = judge.together("a", notices.into());
    let kept = |notice: &Notice| {
        let Kept::Rejected { receipt, .. } = &notice.kept else { return (false, false) };
        (receipt.is_some(), notice.reading.is_some())
    };
    assert_eq!(judged.iter().map(kept).collect::<Vec<_>>(), [(true, true), (false, false), (false, false)]);
    assert_eq!(judged[2].use_of, Use::Refused(Code::InvalidAmount));
}
