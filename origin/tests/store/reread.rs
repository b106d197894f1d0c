//! Requests that are read again by other rules: afterwards all is as if they had been read by these when they came.

use crate::order::{self, EVALUATED, LINKS, Sent, assert_same, history, times};
use crate::processing::{Processing, now};
use crate::{Fresh, Place, at, fresh_with, nonce};
use bytec_origin::recount;
use bytec_origin::reread::{Asked, DayTotals, Found, Looked, Scope, apply, look};
use bytec_origin::store::reader::Span;
use bytec_origin::store::reread::{Accepted, After, Became, EventChange, Replacement, RequestChange, Row, Was};
use bytec_origin::store::subject::{Account, Erasing};
use bytec_origin::store::{Database, Receipt, Record, Rejected, RejectedIds, Store, Via, patiently};
use jiff::tz::TimeZone;
use postback::duplicate::{DuplicateKey, DuplicatePolicy};
use postback::field::Field;
use postback::money::Amount;
use postback::params::Params;
use postback::partner::{Partner, UnknownStatus};
use postback::status::Status;
use postback::time::Timestamp;
use postback::verdict::Verdict;
use postback::zone::Zone;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;
use std::sync::Arc;

/// All requests.
fn all() -> Asked {
    Asked { from: Timestamp::EPOCH, to: at("2030-01-01T00:00:00Z"), keep_accepted: false }
}

/// A request as it comes, before anybody reads it.
fn receipt(sent: &Sent) -> Receipt {
    order::received(sent).receipt
}

impl Fresh {
    /// The same database, for a partner with these rules.
    async fn under(&self, partner: &Partner) -> Store {
        self.place.open(partner.duplicates).await.unwrap()
    }
}

/// Receives a request by a partner's rules.
async fn receive(store: &Store, partner: &Partner, receipt: Receipt) {
    let query = receipt.target.split_once('?').unwrap().1;
    let read = Params::from_query(query).and_then(|params| partner.read(&params, receipt.received_at));
    match read {
        Ok(reading) => {
            // A busy database refuses for a moment, and senders come again; what was committed all the same is a replay then.
            let record = async || {
                let (reading, receipt) = (reading.clone(), receipt.clone());
                store.record(Record { receipt_id: nonce(), reading, receipt, now: now() }).await
            };
            patiently(record).await.unwrap();
        }
        Err(rejection) => {
            let rejected = Rejected {
                receipt_id: nonce(),
                receipt,
                via: Via::Direct,
                is_authenticated: true,
                code: rejection.code().as_str().to_owned(),
                field: rejection.field().map(str::to_owned),
                status: 400,
                rules: partner.rules_version.clone(),
                ids: RejectedIds::NONE,
            };
            store.reject(rejected).await.unwrap();
        }
    }
}

/// A way in which a partner's file can be another.
fn change(partner: &mut Partner, dice: &mut StdRng) {
    let mut alias = |name: &str, field: Field| {
        partner.aliases.insert(name.to_owned(), field);
    };
    match dice.random_range(0..14) {
        0 => {
            partner.statuses.remove("approved");
            partner.unknown_status = UnknownStatus::Refuse;
        }
        1 => {
            partner.statuses.insert("approved".to_owned(), Status::Rejected);
            partner.statuses.insert("rejected".to_owned(), Status::Approved);
        }
        2 => {
            partner.aliases.remove("rewars");
        }
        3 => alias("rewars", Field::UsdSaleAmount),
        4 => alias("conversion_id", Field::OrderId),
        5 => {
            alias("conversion_id", Field::OrderId);
            partner.required.clear();
        }
        6 => alias("event_id", Field::Campaign),
        7 => partner.zone = Zone::utc(),
        8 => partner.default_event = Some("lead".to_owned()),
        9 => partner.required.push(Field::AccountId),
        10 => partner.amount_max = Amount::parse("11").unwrap(),
        11 => alias("click_id", Field::SubId),
        12 => alias("account_id", Field::InstallId),
        _ => drop(partner.events.insert("purchase".to_owned(), "deposit".to_owned())),
    }
}

/// A partner's file of some other day. What makes one conversion of postbacks may be another thing then; for how long, and what a repeat
/// does, is no matter of reading.
fn some(partner: &Partner, policy: DuplicatePolicy, dice: &mut StdRng) -> Partner {
    let key = if dice.random_bool(0.5) { order::policies().choose(dice).unwrap().key } else { policy.key };
    let mut partner = Partner { duplicates: DuplicatePolicy { key, ..policy }, ..partner.clone() };
    for _ in 0..dice.random_range(0..4) {
        change(&mut partner, dice);
    }
    partner
}

const EVENTS: &str =
    "select event_id || ' ' || event || ' ' || conversion_id || ' ' || conversion_key || ' ' || fingerprint || ' ' ||
    cast(content as text) || ' ' || cast(words as text) || case when names_event then ' named' else '' end
    from events order by event_id";
const RECEIPTS: &str = "select event_id || ' ' || request_id || ' ' || cast(received_at as text) from events
    union all select event_id || ' ' || request_id || ' ' || cast(received_at as text) from repeats order by 1";
const ACCEPTED: &str =
    "select request_id || ' ' || event_id || ' ' || cast(content as text) || ' ' || cast(ignored as text) ||
    case when verdict = 'conflict' then ' conflict' else '' end from postbacks order by request_id, postback_id";
const REJECTED: &str = "select request_id from rejections
    where not exists (select 1 from postbacks where postbacks.request_id = rejections.request_id) order by request_id";

/// What is stored, in texts that depend on no order.
async fn stored(db: &Fresh) -> Vec<(&'static str, Vec<String>)> {
    // One text under several names of a database is one.
    let sorted = |mut rows: Vec<String>| {
        rows.sort();
        rows
    };
    vec![
        ("events", sorted(db.column(EVENTS).await)),
        ("receipts", sorted(db.column(RECEIPTS).await)),
        ("accepted", sorted(db.column(ACCEPTED).await)),
        ("rejected", sorted(db.column(REJECTED).await)),
        ("conversions", db.folded().await),
        ("evaluated", db.evaluated().await),
        ("judged", db.column(EVALUATED).await),
        ("links", db.column(LINKS).await),
        ("totals", db.totals().await),
    ]
}

fn scope<'a>(store: &'a Store, processing: &'a Processing) -> Scope<'a> {
    Scope { shared: &processing.shared, partner: &processing.partner, store, now }
}

async fn looked(store: &Store, processing: &Processing, asked: &Asked) -> Looked {
    look(scope(store, processing), asked, &TimeZone::UTC, &mut |_| ()).await.unwrap()
}

async fn applied(store: &Store, processing: &Processing, asked: &Asked) -> Found {
    let found = apply(scope(store, processing), asked, &mut |_| ()).await.unwrap();
    processing.all(store).await;
    found
}

/// Whether a recount finds no difference.
async fn is_what_it_is_made_of(store: &Store, processing: &Processing) -> bool {
    let Processing { shared, partner, .. } = processing;
    let scope = recount::Scope { shared, partner, store, now };
    let count = recount::whole(scope, |_| (), |difference| println!("{difference:?}")).await.unwrap();
    count.is_clean()
}

/// What conversions of days come to, by what statistics say.
async fn by_day(store: &Store) -> BTreeMap<String, DayTotals> {
    let mut days = BTreeMap::new();
    for day in ["2025-11-09", "2025-11-10", "2025-11-18", "2025-11-19", "2025-11-20", "2025-11-21"] {
        let start = at(&format!("{day}T00:00:00Z"));
        let end = Timestamp::from_unix_ms(start.unix_ms() + 86_400_000).unwrap();
        let span = Span { number: 0, start, end };
        let totals = store.totals_of(span, &[span]).await.unwrap();
        let totals = totals.parts.into_iter().next().map_or_else(DayTotals::default, |total| DayTotals {
            conversions: total.counts.conversions,
            refunds: total.counts.refunds,
            chargebacks: total.counts.chargebacks,
            rejected: total.counts.rejected,
            duplicates: total.counts.duplicates,
            waiting_for_rates: total.counts.waiting_for_rates,
            sale_amount: total.money.reporting_sale_amount,
            payout: total.money.reporting_payout,
        });
        days.insert(day.to_owned(), totals);
    }
    days
}

/// What was, what was said to change and to what, come to what is.
fn assert_said(before: &BTreeMap<String, DayTotals>, looked: &Looked, after: &BTreeMap<String, DayTotals>, told: &str) {
    let mut expected = before.clone();
    for day in &looked.days {
        let totals = expected.get_mut(&day.day).expect("a day of the history");
        totals.conversions += day.after.conversions - day.before.conversions;
        totals.refunds += day.after.refunds - day.before.refunds;
        totals.chargebacks += day.after.chargebacks - day.before.chargebacks;
        totals.rejected += day.after.rejected - day.before.rejected;
        totals.duplicates += day.after.duplicates - day.before.duplicates;
        totals.waiting_for_rates += day.after.waiting_for_rates - day.before.waiting_for_rates;
        totals.sale_amount += day.after.sale_amount - day.before.sale_amount;
        totals.payout += day.after.payout - day.before.payout;
    }
    assert_eq!(&expected, after, "{looked:?}\n{told}");
}

/// What a sender says of an event under the id of another, now and then.
fn reusing_ids(history: &mut [Sent], dice: &mut StdRng) {
    let mut known: BTreeMap<String, String> = BTreeMap::new();
    for sent in history {
        let query = known.entry(sent.query.clone()).or_insert_with(|| match sent.query.contains("&event_id=") {
            false if dice.random_bool(0.5) => format!("{}&event_id=e{}", sent.query, dice.random_range(0..3_u8)),
            true | false => sent.query.clone(),
        });
        sent.query.clone_from(query);
    }
}

/// What a partner's rules make of a request: its event, where it is one.
fn event_of(partner: &Partner, sent: &Sent) -> Option<String> {
    let receipt = receipt(sent);
    let query = receipt.target.split_once('?').unwrap().1;
    let reading = Params::from_query(query).and_then(|params| partner.read(&params, receipt.received_at)).ok()?;
    Some(reading.postback.event_id().to_string())
}

/// The order in which requests count that were stored in another: whatever was rejected when it came would have been stored when it was
/// received, and so before what was stored after something that was received later. What was rejected in between has been stored.
fn order_of_storing<'a>(history: &'a [Sent], before: &Partner, right: &Partner) -> Vec<&'a Sent> {
    let mut latest: BTreeMap<Option<String>, (Timestamp, String)> = BTreeMap::new();
    let mut placed = Vec::new();
    for sent in history {
        let receipt = receipt(sent);
        let own = (receipt.received_at, receipt.request_id);
        let place = match event_of(before, sent).is_some() {
            true => {
                let latest = latest.entry(event_of(right, sent)).or_insert_with(|| own.clone());
                *latest = own.max(latest.clone());
                latest.clone()
            }
            false => own,
        };
        placed.push((place, sent));
    }
    placed.sort_by(|(one, _), (other, _)| one.cmp(other));
    placed.into_iter().map(|(_, sent)| sent).collect()
}

/// Reads all again by a partner's rules, and holds what was said before to what came of it.
async fn is_as_said(db: &Fresh, processing: &mut Processing, rules: &Partner, asked: &Asked, told: &str) -> Found {
    processing.partner = rules.clone();
    let store = db.under(rules).await;
    let was = by_day(&store).await;
    let dump = db.dump().await;
    let looked = looked(&store, processing, asked).await;
    assert_eq!(db.dump().await, dump, "looking changes nothing: {told}");
    assert_eq!(looked.waiting, 0, "{told}");
    let found = applied(&store, processing, asked).await;
    assert_eq!(found, looked.found, "{told}");
    // What was received at other times may have conversions by another key, of which nothing can be said.
    assert!(looked.uncounted == 0 || asked.from > Timestamp::EPOCH, "{told}");
    if looked.uncounted == 0 {
        assert_said(&was, &looked, &by_day(&store).await, told);
    }
    assert!(is_what_it_is_made_of(&store, processing).await, "{told}");
    let dump = db.dump().await;
    let again = applied(&store, processing, asked).await;
    assert!(again.is_unchanged(), "{again:?} {told}");
    assert_eq!(db.dump().await, dump, "a second time changes nothing: {told}");
    if !matches!(db.place, Place::D1(_)) {
        store.close().await;
    }
    found
}

/// Random histories, received by the rules of one day and read again by those of another; some of them by those of a third in between.
fn reading_again_comes_to_what_reading_at_first_would(kind: &str, histories: u32) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let policies = order::policies();
    let mut processing = Processing::new();
    runtime.block_on(processing.import("Date,USD,MYR\n2025-11-18,1.1520,4.7790\n2025-11-20,1.1333,4.9\n"));
    let base = Partner { amount_max: Amount::MAX, ..processing.partner.clone() };
    let [db, other] = [0, 1].map(|_| runtime.block_on(fresh_with(kind, policies[0])));
    let mut runner = TestRunner::new_with_rng(Config::default(), TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]));
    let (mut changed, mut recovered, mut rejected) = (0, 0, 0);
    for number in 0..histories * times("HISTORIES") {
        let mut dice = StdRng::seed_from_u64(u64::from(number));
        let mut history = history().new_tree(&mut runner).unwrap().current();
        history.shuffle(&mut dice);
        if dice.random_bool(0.5) {
            reusing_ids(&mut history, &mut dice);
        }
        let policy = *policies.choose(&mut dice).unwrap();
        let [wrong, right, third] = [(), (), ()].map(|()| some(&base, policy, &mut dice));
        let is_direct = dice.random_bool(0.6);
        let between = if is_direct { vec![] } else { vec![&right, &third] };
        let told = format!("history {number} of {kind}: {history:#?}\n{wrong:?}\n{right:?}\n{between:?}");
        runtime.block_on(async {
            db.clear().await;
            other.clear().await;
            let before = db.under(&wrong).await;
            processing.partner = wrong.clone();
            for sent in &history {
                receive(&before, &wrong, receipt(sent)).await;
                if dice.random_bool(0.1) {
                    processing.all(&before).await;
                }
            }
            processing.all(&before).await;
            for rules in &between {
                is_as_said(&db, &mut processing, rules, &all(), &told).await;
            }
            if dice.random_bool(0.4) {
                let mut ends = [0, 0]
                    .map(|_| dice.random_range(0..400_000_i64))
                    .map(|at_ms| Timestamp::from_unix_ms(at("2025-11-20T23:58:00Z").unix_ms() + at_ms).unwrap());
                ends.sort();
                let [from, to] = ends;
                let some_of_it = Asked { from, to, keep_accepted: false };
                is_as_said(&db, &mut processing, &right, &some_of_it, &told).await;
            }
            let found = is_as_said(&db, &mut processing, &right, &all(), &told).await;
            // Which rules refunds count by is no matter of reading.
            processing.partner = right.clone();
            let expected = other.under(&right).await;
            for sent in order_of_storing(&history, &wrong, &right) {
                receive(&expected, &right, receipt(sent)).await;
            }
            processing.all(&expected).await;
            for ((name, found), (_, expected)) in stored(&db).await.iter().zip(stored(&other).await) {
                assert_same(found, &expected, &format!("{name}: {told}"));
            }
            changed += found.changed;
            recovered += found.recovered;
            rejected += found.rejected.values().sum::<u64>();
            for store in [before, expected] {
                if !matches!(db.place, Place::D1(_)) {
                    store.close().await;
                }
            }
        });
    }
    // A generator that has become useless must not pass unseen. Of a few histories nothing can be said.
    let each = u64::from(histories);
    assert!(
        each < 20 || changed > each && recovered > each / 4 && rejected > each / 4,
        "{changed} {recovered} {rejected}"
    );
}

#[test]
fn sqlite_comes_to_what_reading_at_first_would() {
    reading_again_comes_to_what_reading_at_first_would("sqlite", 60);
}

#[test]
fn postgres_comes_to_what_reading_at_first_would() {
    reading_again_comes_to_what_reading_at_first_would("postgres", 25);
}

#[test]
fn d1_comes_to_what_reading_at_first_would() {
    reading_again_comes_to_what_reading_at_first_would("d1", 6);
}

/// The partner, with money in a parameter that means nothing.
fn without_money() -> Partner {
    let mut partner = Processing::new().partner;
    partner.aliases.remove("rewars");
    partner
}

impl Fresh {
    /// Receives a request under a name at a second of eight o'clock.
    async fn receive(&self, partner: &Partner, request: &str, second: u8, query: &str) {
        let received_at = at(&format!("2025-11-21T08:00:{second:02}Z"));
        let receipt = Receipt { received_at, request_id: request.to_owned(), ..crate::record(query).receipt };
        let store = self.under(partner).await;
        receive(&store, partner, receipt).await;
    }

    async fn conversions_now(&self) -> Vec<String> {
        self.column(
            "select conversion_id || ' ' || event || ' ' || coalesce(status, '-') || ' ' || coalesce(cast(usd_payout as text), '-') || ' ' ||
                cast(revision as text) || ' ' || first_request_id from conversions order by conversion_key, occurrence",
        )
        .await
    }

    async fn verdicts(&self) -> Vec<String> {
        self.column("select request_id || ' ' || verdict || ' ' || coalesce(content ->> 'usd_payout', '-') from postbacks order by postback_id")
            .await
    }
}

/// Reads again by a partner's rules.
async fn reread(db: &Fresh, processing: &mut Processing, partner: &Partner, asked: &Asked) -> Found {
    processing.partner = partner.clone();
    let store = db.under(partner).await;
    let looked = looked(&store, processing, asked).await;
    let found = applied(&store, processing, asked).await;
    assert_eq!(found, looked.found);
    found
}

contract! {
    what_is_rejected_now_moves_to_the_rejected_requests_and_comes_back(db) {
        let mut processing = Processing::new();
        let partner = processing.partner.clone();
        let strict = Partner { required: vec![Field::ConversionId, Field::AccountId], ..partner.clone() };
        db.receive(&partner, "r1", 1, "conversion_id=c1&rewars=10&event=purchase").await;
        db.receive(&partner, "r2", 2, "conversion_id=c1&rewars=12&event=purchase&account_id=u1").await;
        db.receive(&partner, "r3", 3, "conversion_id=c2&rewars=5&click_id=k1").await;
        let before = stored(&db).await;
        let found = reread(&db, &mut processing, &strict, &all()).await;
        assert_eq!(found.rejected, BTreeMap::from([("missing_field".to_owned(), 2)]));
        assert_eq!(db.conversions_now().await, ["c1 purchase - 12.00 1 r2"]);
        let moved = "select request_id || ' ' || code || ' ' || field || ' ' || coalesce(conversion_id, '-') || ' ' ||
            coalesce(click_id, '-') || ' ' || via || ' ' || cast(status as text) || ' ' || rules || ' ' || target
            from rejections order by request_id";
        let rules = &strict.rules_version;
        assert_eq!(db.column(moved.to_owned().leak()).await, [
            format!("r1 missing_field account_id c1 - direct 400 {rules} /involve/event?conversion_id=c1&rewars=10&event=purchase"),
            format!("r3 missing_field account_id c2 k1 direct 400 {rules} /involve/event?conversion_id=c2&rewars=5&click_id=k1"),
        ]);
        assert_eq!(db.totals().await, db.recount().await);
        let notes = "select request_id || ' ' || before_verdict || ' ' || before_conversion_id || ' ' || verdict || ' ' || code || ' ' || field
            from reread_requests order by request_id";
        assert_eq!(db.column(notes).await, [
            "r1 created c1 rejected missing_field account_id", "r3 created c2 rejected missing_field account_id",
        ]);
        let found = reread(&db, &mut processing, &partner, &all()).await;
        assert_eq!((found.recovered, found.changed), (2, 0));
        processing.all(&db.store).await;
        for ((name, now), (_, then)) in stored(&db).await.iter().zip(before) {
            // What processing said of them is the same whenever it was said.
            if !["evaluated", "judged"].contains(name) {
                assert_same(now, &then, name);
            }
        }
        let kept = Asked { keep_accepted: true, ..all() };
        let found = reread(&db, &mut processing, &strict, &kept).await;
        assert!(found.is_unchanged(), "{found:?}");
        assert_eq!(found.left, BTreeMap::from([("kept_accepted".to_owned(), 2)]));
    }

    of_two_that_contradict_each_other_the_first_one_stored_stands(db) {
        let mut processing = Processing::new();
        let right = processing.partner.clone();
        let wrong = without_money();
        // Stored in another order than they were received in.
        db.receive(&wrong, "r1", 9, "conversion_id=c1&event_id=e1&rewars=10").await;
        db.receive(&wrong, "r2", 3, "conversion_id=c1&event_id=e1&rewars=12").await;
        db.receive(&wrong, "r3", 4, "conversion_id=c1&event_id=e1&rewars=10").await;
        processing.all(&db.store).await;
        assert_eq!(db.verdicts().await, ["r1 created -", "r2 duplicate -", "r3 duplicate -"]);
        assert_eq!(reread(&db, &mut processing, &right, &all()).await.changed, 3);
        assert_eq!(db.verdicts().await, ["r1 created 10", "r2 conflict 12", "r3 duplicate 10"].map(|row| format!("{row}.00")));
        assert_eq!(db.conversions_now().await, ["c1 conversion - 10.00 1 r3"]);
        assert_eq!(reread(&db, &mut processing, &wrong, &all()).await.changed, 3);
        assert_eq!(db.verdicts().await, ["r1 created -", "r2 duplicate -", "r3 duplicate -"]);
        assert_eq!(db.conversions_now().await, ["c1 conversion - - 1 r2"]);
        assert_eq!(db.totals().await, db.recount().await);
        let count = "select cast(count(*) as text) from reread_requests";
        assert_eq!(db.one(count).await, "6", "each time is noted");
    }

    events_of_which_a_request_is_gone_or_erased_stay_as_they_are(db) {
        let mut processing = Processing::new();
        let right = processing.partner.clone();
        let wrong = without_money();
        for (request, second) in [("r1", 1), ("r2", 2)] {
            db.receive(&wrong, request, second, "conversion_id=c1&rewars=10").await;
        }
        db.receive(&wrong, "r3", 3, "conversion_id=c2&rewars=5").await;
        db.receive(&wrong, "r4", 4, "conversion_id=c3&rewars=7").await;
        db.execute("delete from postbacks where request_id = 'r1'").await;
        db.execute("update postbacks set target = '/involve/event', headers = '{}', client_ip = null where request_id = 'r3'").await;
        let store = db.under(&right).await;
        processing.partner = right.clone();
        let looked = looked(&store, &processing, &all()).await;
        assert!(looked.kept_since.as_ref().is_some_and(|since| since.starts_with("2025-11-21T08:00:02")), "{looked:?}");
        let found = reread(&db, &mut processing, &right, &all()).await;
        assert_eq!(found.left, BTreeMap::from([("dropped".to_owned(), 1), ("erased".to_owned(), 1)]));
        assert_eq!(db.conversions_now().await, ["c1 conversion - - 1 r1", "c2 conversion - - 1 r3", "c3 conversion - 7.00 1 r4"]);
        assert!(reread(&db, &mut processing, &right, &all()).await.is_unchanged());
    }

    an_event_that_cannot_be_read_keeps_none_of_the_others(db) {
        let mut processing = Processing::new();
        let right = processing.partner.clone();
        let wrong = without_money();
        for (request, second, id) in [("r1", 1, "c1"), ("r2", 2, "c2"), ("r3", 3, "c3"), ("r4", 4, "c2")] {
            db.receive(&wrong, request, second, &format!("conversion_id={id}&rewars=1{second}")).await;
        }
        let damage = match db.store.database() {
            Database::Postgres(_) => "jsonb_build_object('conversion_id', 'c2', 'status', 'what')",
            Database::Sqlite(_) | Database::D1(_) => "json_object('conversion_id', 'c2', 'status', 'what')",
        };
        db.execute(&format!("update events set content = {damage} where request_id = 'r4'")).await;
        let found = reread(&db, &mut processing, &right, &all()).await;
        assert_eq!((found.changed, found.failed.len()), (4, 0), "its request says what it should be");
        assert_eq!(db.conversions_now().await, ["c1 conversion - 11.00 1 r1", "c2 conversion - 14.00 2 r2", "c3 conversion - 13.00 1 r3"]);
        db.execute(&format!("update events set content = {damage} where request_id = 'r4'")).await;
        db.execute("delete from postbacks where request_id = 'r4'").await;
        let found = reread(&db, &mut processing, &wrong, &all()).await;
        assert_eq!((found.changed, found.failed.len()), (2, 1), "{found:?}");
        assert!(found.failed.values().all(|reason| reason.contains("its status cannot be read")), "{found:?}");
        assert_eq!(db.conversions_now().await, ["c1 conversion - - 1 r1", "c2 conversion - 14.00 2 r2", "c3 conversion - - 1 r3"]);
    }

    what_cannot_be_read_of_one_keeps_none_of_the_others(db) {
        let mut processing = Processing::new();
        let right = processing.partner.clone();
        let wrong = without_money();
        let refusing = Partner { required: vec![Field::AccountId], ..wrong.clone() };
        for (request, second) in [("r1", 1), ("r2", 2), ("r3", 3)] {
            db.receive(&wrong, request, second, &format!("conversion_id=c{second}&rewars=1{second}")).await;
        }
        for (request, second) in [("r4", 4), ("r5", 5)] {
            db.receive(&refusing, request, second, &format!("conversion_id=c{second}&rewars=1{second}")).await;
        }
        processing.all(&db.store).await;
        db.execute("update postbacks set content = '[1]' where request_id = 'r1'").await;
        // Broken JSON, where a database takes it.
        match db.store.database() {
            Database::Postgres(_) => db.execute("update postbacks set content = '{\"a\": 1}' where request_id = 'r1'").await,
            Database::Sqlite(_) | Database::D1(_) => db.execute("update rejections set headers = '{' where request_id = 'r4'").await,
        }
        let found = reread(&db, &mut processing, &right, &all()).await;
        assert_eq!((found.accepted, found.changed, found.rejections), (3, 2, 2), "{found:?}");
        let failed: Vec<_> = found.failed.values().collect();
        assert!(failed.iter().any(|reason| reason.contains("request r1: ")), "{found:?}");
        let kept = ["c1 conversion - - 1 r1", "c2 conversion - 12.00 1 r2", "c3 conversion - 13.00 1 r3", "c5 conversion - 15.00 1 r5"];
        let now = db.conversions_now().await;
        assert!(kept.iter().all(|conversion| now.contains(&(*conversion).to_owned())), "{now:?}");
        assert_eq!(reread(&db, &mut processing, &right, &all()).await.failed, found.failed, "each time it is said");
        // Others that name the same click have nothing to do with it.
        for (request, second) in [("k1", 11), ("k2", 12), ("k3", 13)] {
            db.receive(&wrong, request, second, &format!("conversion_id={request}&rewars=1{second}&click_id=kk&account_id=u{second}")).await;
        }
        processing.all(&db.store).await;
        if let Database::Sqlite(_) | Database::D1(_) = db.store.database() {
            db.execute("update events set content = '{' where request_id = 'k2'").await;
            let found = reread(&db, &mut processing, &right, &all()).await;
            assert!(found.failed.iter().any(|(_, reason)| reason.contains("an event's content")), "{found:?}");
            let now = db.conversions_now().await;
            assert!(now.contains(&"k1 conversion - 111.00 1 k1".to_owned()) && now.contains(&"k3 conversion - 113.00 1 k3".to_owned()), "{now:?}");
            db.execute("update conversions set conversion_datetime = 'what' where conversion_key = 'k1'").await;
            let store = db.under(&wrong).await;
            processing.partner = wrong.clone();
            assert!(looked(&store, &processing, &all()).await.uncounted > 0, "the others are counted");
            db.execute("update conversions set conversion_datetime = null where conversion_key = 'k1'").await;
        }
        // An event that is not read otherwise, of a conversion that is.
        db.receive(&right, "r6", 6, "conversion_id=c2&account_id=u1").await;
        processing.all(&db.store).await;
        db.execute("update events set content = '[1]' where request_id = 'r6'").await;
        let found = reread(&db, &mut processing, &wrong, &all()).await;
        assert!(found.failed.values().any(|reason| reason.contains("content")), "{found:?}");
        let now = db.conversions_now().await;
        assert!(now.contains(&"c3 conversion - - 1 r3".to_owned()) && now.contains(&"c2 conversion - 12.00 2 r2".to_owned()), "{now:?}");
    }

    a_rejected_request_has_its_place_in_its_event(db) {
        let mut processing = Processing::new();
        let right = processing.partner.clone();
        let mut wrong = right.clone();
        wrong.statuses.remove("approved");
        wrong.unknown_status = UnknownStatus::Refuse;
        // The partner said something else when it was told that the first was wrong.
        db.receive(&wrong, "r1", 1, "conversion_id=c1&event_id=e1&rewars=10&status=Approved").await;
        db.receive(&wrong, "r2", 2, "conversion_id=c1&event_id=e1&rewars=12&status=Pending").await;
        db.receive(&wrong, "r3", 3, "conversion_id=c1&event_id=e1&rewars=10&status=Approved").await;
        db.receive(&wrong, "r4", 4, "conversion_id=c2&event_id=e2&rewars=5&status=Pending").await;
        db.receive(&wrong, "r5", 5, "conversion_id=c2&event_id=e2&rewars=7&status=Approved").await;
        processing.all(&db.store).await;
        assert_eq!(db.conversions_now().await, ["c1 conversion pending 12.00 1 r2", "c2 conversion pending 5.00 1 r4"]);
        let becomes_right = ["c1 conversion approved 10.00 1 r1", "c2 conversion pending 5.00 1 r4"];
        let mut strict = right.clone();
        strict.required.push(Field::AccountId);
        for rules in [&wrong, &strict, &wrong, &right] {
            let found = reread(&db, &mut processing, &right, &all()).await;
            let mut verdicts = db.verdicts().await;
            verdicts.sort();
            assert_eq!(verdicts, ["r1 created 10.00", "r2 conflict 12.00", "r3 duplicate 10.00", "r4 created 5.00", "r5 conflict 7.00"]
                .map(|verdict| verdict.replace("r1 created", if verdicts[0].contains("revised") { "r1 revised" } else { "r1 created" })), "{found:?}");
            assert_eq!(db.conversions_now().await, becomes_right, "{found:?}");
            assert!(reread(&db, &mut processing, &right, &all()).await.is_unchanged());
            reread(&db, &mut processing, rules, &all()).await;
            assert_eq!(db.totals().await, db.recount().await);
        }
        assert_eq!(db.conversions_now().await, becomes_right);
        let codes = "select request_id || ' ' || code || ' ' || coalesce(field, '-') from rejections order by request_id";
        assert_eq!(db.column(codes).await[0], "r1 unknown_status status", "by the rules that rejected it last");
        let store = db.under(&right).await;
        let trace = store.trace("r1").await.unwrap();
        let first = trace.rereads.iter().find(|one| one.before_code.as_deref() == Some("unknown_status")).unwrap();
        assert_eq!((first.before_verdict.as_str(), first.before_code.as_deref(), first.before_field.as_deref()),
            ("rejected", Some("unknown_status"), Some("status")), "{trace:?}");
        assert_eq!((first.before_event_id.as_deref(), first.event_id.as_deref()), (None, Some("e1")));
        let found = reread(&db, &mut processing, &right, &all()).await;
        assert_eq!((found.rejections, found.recovered), (0, 0), "those that have been recovered are rejected no more");
    }

    who_is_linked_to_a_click_is_found_where_its_conversion_names_another_since(db) {
        let mut processing = Processing::new();
        let wrong = processing.partner.clone();
        let right = Partner { amount_max: Amount::parse("11").unwrap(), ..wrong.clone() };
        let requests = [
            ("r1", 1, "conversion_id=c1&click_id=k1&account_id=u1&rewars=50"),
            ("r2", 2, "conversion_id=c3&click_id=k1&account_id=u1&status=Rejected&event_id=x3"),
            ("r3", 3, "conversion_id=c3&click_id=k3&status=Rejected&event_id=x4"),
        ];
        for (request, second, query) in requests {
            db.receive(&wrong, request, second, query).await;
        }
        assert_eq!(reread(&db, &mut processing, &right, &all()).await.rejected.len(), 1);
        assert_eq!(db.column(LINKS).await, ["k1 account u1 x3"]);
    }

    what_is_stored_after_others_have_moved_is_behind_them(db) {
        let mut processing = Processing::new();
        let right = processing.partner.clone();
        let strict = Partner { required: vec![Field::AccountId], ..right.clone() };
        db.receive(&right, "r1", 1, "conversion_id=c0&rewars=1&account_id=u1").await;
        db.receive(&right, "r2", 2, "conversion_id=c2&rewars=2").await;
        db.receive(&right, "r3", 3, "conversion_id=c1&event_id=e1&rewars=10").await;
        assert_eq!(reread(&db, &mut processing, &strict, &all()).await.rejected.values().sum::<u64>(), 2);
        for (request, second, rewars) in [("r4", 4, 12), ("r5", 5, 14)] {
            db.receive(&right, request, second, &format!("conversion_id=c1&event_id=e1&rewars={rewars}")).await;
        }
        assert_eq!(db.conversions_now().await, ["c0 conversion - 1.00 1 r1", "c1 conversion - 12.00 1 r4"]);
        for _ in 0..2 {
            reread(&db, &mut processing, &right, &all()).await;
            assert_eq!(db.conversions_now().await, ["c0 conversion - 1.00 1 r1", "c1 conversion - 10.00 1 r3", "c2 conversion - 2.00 1 r2"]);
            reread(&db, &mut processing, &strict, &all()).await;
            assert_eq!(db.conversions_now().await, ["c0 conversion - 1.00 1 r1"]);
        }
        // What it was rejected by is dropped sooner than the request.
        reread(&db, &mut processing, &right, &all()).await;
        db.execute("delete from rejections").await;
        let other = without_money();
        reread(&db, &mut processing, &other, &all()).await;
        reread(&db, &mut processing, &right, &all()).await;
        assert_eq!(db.conversions_now().await, ["c0 conversion - 1.00 1 r1", "c1 conversion - 10.00 1 r3", "c2 conversion - 2.00 1 r2"]);
    }

    what_would_be_dropped_among_the_rejected_ones_stays(db) {
        let mut processing = Processing::new();
        let right = processing.partner.clone();
        let strict = Partner { required: vec![Field::AccountId], data_retention_days: 0, ..right.clone() };
        db.receive(&right, "r1", 1, "conversion_id=c1&rewars=10").await;
        let found = reread(&db, &mut processing, &strict, &all()).await;
        assert_eq!((found.left, found.rejected.len()), (BTreeMap::from([("dropped".to_owned(), 1)]), 0));
        assert_eq!(db.conversions_now().await, ["c1 conversion - 10.00 1 r1"]);
    }

    what_was_rejected_once_is_erased_with_the_request(db) {
        let mut processing = Processing::new();
        let right = processing.partner.clone();
        let strict = Partner { required: vec![Field::OrderId], ..right.clone() };
        // Its ids could not be read then.
        db.receive(&strict, "r1", 1, "conversion_id=c1&click_id=k9&sub_id=secret-1").await;
        db.receive(&right, "r2", 2, "conversion_id=c2&click_id=k9&account_id=somebody-1").await;
        assert_eq!(reread(&db, &mut processing, &right, &all()).await.recovered, 1);
        let account = Account::new("somebody-1", &["account_id".to_owned()]);
        let found = db.store.find_subject(&account, |_| ()).await.unwrap();
        assert_eq!(found.counts().get("rejections"), Some(&1));
        db.store.erase_subject(&Erasing::new(account, &nonce(), now()), &found).await.unwrap();
        let left: Vec<_> = db.dump().await.into_iter().filter(|row| row.contains("secret-1")).collect();
        assert!(left.is_empty(), "{left:?}");
    }

    what_was_erased_since_it_was_read_is_not_brought_back(db) {
        let mut processing = Processing::new();
        let right = processing.partner.clone();
        let wrong = without_money();
        db.receive(&wrong, "r1", 1, "conversion_id=c1&event_id=e1&account_id=another-1").await;
        db.receive(&wrong, "r2", 2, "conversion_id=c1&event_id=e1&account_id=somebody-1&rewars=5&sub_id=s1").await;
        let stored = db.store.stored_events(&["e1".to_owned()]).await.unwrap();
        let event = stored.events["e1"].clone();
        let row = &stored.requests[1];
        let change = |content: &[(&str, &str)]| RequestChange {
            rows: vec![(Row::of(row), Verdict::Conflict)],
            request_id: "r2".to_owned(),
            received_at: row.receipt.received_at,
            was: Was::Accepted { event_id: "e1".into(), conversion_id: "c1".into(), verdict: "conflict".into(), stated: BTreeMap::new() },
            became: Became::Accepted(Box::new(Accepted {
                event_id: "e1".to_owned(),
                conversion_id: "c1".to_owned(),
                verdict: Verdict::Conflict,
                stated: BTreeMap::new(),
                content: content.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect(),
                ignored: Vec::new(),
                warnings: Vec::new(),
            })),
        };
        let replacement = |number: u8| Replacement {
            reread_id: nonce(),
            now: now(),
            rules: "r".to_owned(),
            events: vec![Arc::new(EventChange { event_id: "e1".to_owned(), before: Some(event.clone()), others: Some(1), after: After::Same })],
            requests: vec![Arc::new(change(&[("conversion_id", "c1"), ("account_id", "somebody-1"), ("usd_payout", &format!("{number}.00"))]))],
            keys: Vec::new(),
            links: Vec::new(),
        };
        let account = Account::new("somebody-1", &["account_id".to_owned()]);
        let found = db.store.find_subject(&account, |_| ()).await.unwrap();
        db.store.erase_subject(&Erasing::new(account.clone(), &nonce(), now()), &found).await.unwrap();
        assert!(!db.store.replace_events(&replacement(5)).await.unwrap(), "it is not as it was read");
        assert!(db.store.find_subject(&account, |_| ()).await.unwrap().counts().is_empty());
        let found = reread(&db, &mut processing, &right, &all()).await;
        assert_eq!(found.left, BTreeMap::from([("erased".to_owned(), 1)]));
    }

    what_is_balanced_along_a_chain_is_said_as_it_will_be(db) {
        let mut processing = Processing::new();
        let right = processing.partner.clone();
        let mut wrong = right.clone();
        wrong.statuses.insert("paid".to_owned(), Status::Rejected);
        for (number, query) in [
            "conversion_id=c0&event_id=e0&usd_sale_amount=100&rewars=10&status=Pending&datetime_conversion=2025-11-09+12:00",
            "conversion_id=c0&event=refund&event_id=f1&usd_sale_amount=60&rewars=6&datetime_conversion=2025-11-10+12:00",
            "conversion_id=c1&event=refund&original_event_id=e0&event_id=f2&datetime_conversion=2025-11-18+12:00",
            "conversion_id=c1&event_id=e1&usd_sale_amount=50&rewars=5&status=Pending&datetime_conversion=2025-11-19+12:00",
            "conversion_id=c3&event=refund&original_event_id=e1&event_id=f3&usd_sale_amount=5&rewars=1&datetime_conversion=2025-11-20+12:00",
            "conversion_id=c3&event_id=e3&usd_sale_amount=70&rewars=7&status=Paid&datetime_conversion=2025-11-21+12:00",
        ].into_iter().enumerate() {
            db.receive(&wrong, &format!("r{number}"), u8::try_from(number).unwrap(), query).await;
        }
        processing.partner = wrong.clone();
        processing.all(&db.store).await;
        let store = db.under(&right).await;
        processing.partner = right.clone();
        let days: Vec<_> = looked(&store, &processing, &all()).await.days.into_iter().map(|day| day.day).collect();
        assert!(days.contains(&"2025-11-21".to_owned()), "{days:?}");
        assert!(is_as_said(&db, &mut processing, &right, &all(), "a chain").await.changed > 0);
    }

    what_is_no_longer_kept_is_said(db) {
        let mut processing = Processing::new();
        let right = processing.partner.clone();
        let wrong = without_money();
        let kept = async |processing: &Processing, from: &str| {
            let store = db.under(&right).await;
            let from = if from.is_empty() { Timestamp::EPOCH } else { at(from) };
            looked(&store, processing, &Asked { from, ..all() }).await.kept_since
        };
        assert_eq!(kept(&processing, "").await, None, "there was nothing");
        let days = |days: i64| Timestamp::from_unix_ms(now().unix_ms() - days * 86_400_000).unwrap().to_string();
        let retention = i64::from(right.data_retention_days);
        assert_eq!(kept(&processing, "2025-01-01T00:00:00Z").await, Some(days(retention)), "rejected requests may have been");
        assert_eq!(kept(&processing, &days(retention - 1)).await, None);
        db.receive(&wrong, "r1", 1, "conversion_id=c1&rewars=10").await;
        assert_eq!(kept(&processing, "").await, None, "it is kept");
        db.execute("delete from postbacks").await;
        assert_eq!(kept(&processing, "").await, Some(now().to_string()), "of all events no request is left");
        processing.partner = right.clone();
        assert!(reread(&db, &mut processing, &right, &all()).await.is_unchanged());
    }

    events_move_to_the_conversions_of_another_key(db) {
        let mut processing = Processing::new();
        let before = processing.partner.clone();
        let duplicates = DuplicatePolicy { key: DuplicateKey::ConversionIdAndEvent, ..before.duplicates };
        let after = Partner { duplicates, ..before.clone() };
        db.receive(&before, "r1", 1, "conversion_id=c1&event=purchase&rewars=10").await;
        db.receive(&before, "r2", 2, "conversion_id=c1&event=deposit&rewars=12").await;
        processing.all(&db.store).await;
        assert_eq!(db.conversions_now().await, ["c1 deposit - 12.00 2 r1"]);
        processing.partner = after.clone();
        let store = db.under(&after).await;
        let looked = looked(&store, &processing, &all()).await;
        assert_eq!((looked.found.changed, looked.found.events, looked.found.is_unchanged()), (0, 2, false), "no request says anything else");
        let found = reread(&db, &mut processing, &after, &all()).await;
        assert_eq!(found.events, 2);
        let mut now = db.conversions_now().await;
        now.sort();
        assert_eq!(now, ["c1 deposit - 12.00 1 r2", "c1 purchase - 10.00 1 r1"]);
        assert_eq!(db.totals().await, db.recount().await);
        assert!(reread(&db, &mut processing, &after, &all()).await.is_unchanged());
        assert_eq!(reread(&db, &mut processing, &before, &all()).await.events, 2);
        assert_eq!(db.conversions_now().await, ["c1 deposit - 12.00 2 r1"]);
    }

    two_that_read_again_at_once_record_each_request_once(db) {
        let mut processing = Processing::new();
        let right = processing.partner.clone();
        let mut wrong = right.clone();
        wrong.statuses.remove("approved");
        wrong.unknown_status = UnknownStatus::Refuse;
        for number in 0..12_u8 {
            let status = if number % 3 == 0 { "" } else { "&status=Approved" };
            db.receive(&wrong, &format!("r{number:02}"), number, &format!("conversion_id=c{}&rewars=1{status}", number % 5)).await;
        }
        processing.partner = right.clone();
        let store = db.under(&right).await;
        let asked = all();
        let apply = async || apply(scope(&store, &processing), &asked, &mut |_| ()).await;
        let (one, other) = futures_util::future::join(apply(), apply()).await;
        assert!(one.is_ok() && other.is_ok(), "{one:?} {other:?}");
        assert_eq!(db.one("select cast(count(*) as text) from postbacks").await, "12");
        assert_eq!(db.one("select cast(count(*) as text) from work_items where state = 'waiting'").await, "0", "all is evaluated");
        assert!(is_what_it_is_made_of(&store, &processing).await);
    }

    what_was_received_at_other_times_is_read_with_its_event_or_not_at_all(db) {
        let mut processing = Processing::new();
        let right = processing.partner.clone();
        let wrong = without_money();
        for (request, second) in [("r1", 1), ("r2", 2), ("r3", 5)] {
            db.receive(&wrong, request, second, "conversion_id=c1&rewars=10").await;
        }
        db.receive(&wrong, "r4", 6, "conversion_id=c2&rewars=5").await;
        let asked = Asked { from: at("2025-11-21T08:00:01.500Z"), to: at("2025-11-21T08:00:06Z"), keep_accepted: false };
        let found = reread(&db, &mut processing, &right, &asked).await;
        assert_eq!((found.accepted, found.changed), (2, 3), "a repeat of an event is no second event");
        assert_eq!(db.conversions_now().await, ["c1 conversion - 10.00 1 r1", "c2 conversion - - 1 r4"]);
    }

    a_trace_tells_what_a_request_was_before(db) {
        let mut processing = Processing::new();
        let right = processing.partner.clone();
        let mut wrong = right.clone();
        wrong.aliases.insert("conversion_id".to_owned(), Field::OrderId);
        wrong.required.clear();
        db.receive(&wrong, "r1", 1, "conversion_id=c1&rewars=10&event=purchase").await;
        let event = &db.one("select event_id from events").await;
        reread(&db, &mut processing, &right, &all()).await;
        let store = db.under(&right).await;
        for id in ["r1", event, &format!("event:{event}"), "c1"] {
            let trace = store.trace(id).await.unwrap();
            assert_eq!(trace.rereads.len(), 1, "{id}: {trace:?}");
            let one = &trace.rereads[0];
            assert_eq!((one.request_id.as_str(), one.before_event_id.as_deref(), one.before_conversion_id.as_deref()),
                ("r1", Some(event.as_str()), Some(format!("event:{event}").as_str())));
            assert_eq!((one.verdict.as_str(), one.conversion_id.as_deref()), ("created", Some("c1")));
            assert!(one.before_stated.as_ref().is_some_and(|stated| stated.contains("usd_payout")), "{one:?}");
            assert_eq!(trace.conversions.len(), 1, "{id} leads to what it has become");
            assert_eq!(trace.conversions[0].1.conversion_id, "c1");
        }
    }

    requests_may_come_meanwhile(db) {
        let mut processing = Processing::new();
        let right = processing.partner.clone();
        let wrong = without_money();
        let query = |number: usize| format!("conversion_id=c{}&rewars={}&click_id=k{}&account_id=u{}", number % 20, number % 7 + 1, number % 3, number % 2);
        let received = |number: usize| {
            let received_at = Timestamp::from_unix_ms(at("2025-11-21T07:00:00Z").unix_ms() + i64::try_from(number).unwrap() * 1_000).unwrap();
            Receipt { received_at, request_id: format!("r{number:03}"), ..crate::record(&query(number)).receipt }
        };
        let store = db.under(&wrong).await;
        for number in 0..60 {
            receive(&store, &wrong, received(number)).await;
        }
        processing.all(&store).await;
        processing.partner = right.clone();
        let store = db.under(&right).await;
        let coming = async {
            for number in 60..120 {
                receive(&store, &right, received(number)).await;
                // The edge has the same request once more.
                receive(&store, &right, Receipt { request_id: format!("s{number:03}"), ..received(number - 60) }).await;
            }
        };
        let asked = all();
        let reading = async {
            for _ in 0..3 {
                // It says so where requests of the same events keep coming.
                let _ = apply(scope(&store, &processing), &asked, &mut |_| ()).await;
            }
        };
        futures_util::future::join(coming, reading).await;
        applied(&store, &processing, &asked).await;
        assert!(applied(&store, &processing, &asked).await.is_unchanged());
        assert!(is_what_it_is_made_of(&store, &processing).await);
        let found = stored(&db).await;
        db.clear().await;
        for number in 0..60 {
            receive(&store, &right, received(number)).await;
        }
        for number in 60..120 {
            receive(&store, &right, received(number)).await;
            receive(&store, &right, Receipt { request_id: format!("s{number:03}"), ..received(number - 60) }).await;
        }
        processing.all(&store).await;
        for ((name, found), (_, expected)) in found.iter().zip(stored(&db).await) {
            assert_same(found, &expected, name);
        }
    }
}
