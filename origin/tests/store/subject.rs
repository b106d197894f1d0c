//! A person's data, found and erased by account (R63), and what stays as it was.

use crate::processing::{Processing, deposit, lease, now};
use crate::{Fresh, again, at, batch, click, nonce, received, record, rejection};
use bytec_origin::processing::again as judging_again;
use bytec_origin::store::subject::{Account, Erasing, Found, erasing_sql, finding_sql};
use bytec_origin::store::worklist::{Conclusion, Judged, Next};
use bytec_origin::store::{Database, Receipt, Record, Recorded, Rejected};
use postback::click::Click;
use postback::duplicate::{DuplicateKey, DuplicatePolicy, OnRepeat};
use postback::verdict::Verdict::{Conflict, Created, Duplicate, Revised};

/// An account in characters that are spelled in several ways.
const ACCOUNT: &str = "canary u\u{e4}/7";
/// The same in a query.
const SENT: &str = "canary%20u%C3%A4%2F7";
/// Nothing that has one of these in it may be left.
const CANARIES: [&str; 9] =
    ["canary", "c%61nary", "install-1", "visit-1", "aff-1", "sub-1", "it''s", "a.example/p", "192.0.2.77"];

fn account() -> Account {
    Account::new(ACCOUNT, &["account_id".to_owned()])
}

fn erasing() -> Erasing {
    Erasing::new(account(), &nonce(), now())
}

fn from_there(query: &str) -> Record {
    let record = record(query);
    let receipt = Receipt { client_ip: Some("192.0.2.77".to_owned()), ..record.receipt.clone() };
    Record { receipt, ..record }
}

fn rejected(target: &str, body: Option<&str>) -> Rejected {
    let receipt = Receipt {
        target: target.to_owned(),
        body: body.map(str::to_owned),
        client_ip: Some("192.0.2.77".to_owned()),
        ..record("conversion_id=r").receipt
    };
    rejection(receipt, Some("rewars"))
}

const PERSONAL: &str =
    "sub_id=sub-1&aff_sub=aff-1&aff_sub3=aff-1&install_id=install-1&session_id=visit-1&geo=MY&device=phone";

/// What another person did, and what this one did, in every table and every spelling.
async fn fill(db: &Fresh) -> (Vec<Record>, Processing) {
    let processing = Processing::new();
    let [theirs, others, lonely] = [click(1), click(2), click(3)];
    let plain = Click { sub_id: Some("kept".to_owned()), referrer: None, ..others };
    db.store.record_clicks(&batch(vec![theirs.clone(), plain.clone(), lonely.clone()], nonce())).await.unwrap();
    db.record(&deposit("o1", "other", "20", "2025-11-20+09:00:00")).await;
    db.record(&format!(
        "conversion_id=o2&event=signup&account_id=other&click_id={}&sub_id=kept&geo=DE",
        plain.click_id
    ))
    .await;
    let kept = rejected("/involve/event?conversion_id=kept&account_id=other&rewars=1,0", None);
    let receipt = Receipt { client_ip: Some("198.51.100.1".to_owned()), ..kept.receipt.clone() };
    db.store.reject(Rejected { receipt, ..kept }).await.unwrap();
    let theirs = [
        // An installation, before anybody knew whose, and whose it was.
        format!("conversion_id=i1&event=install&click_id={}&{PERSONAL}", theirs.click_id),
        format!("conversion_id=s1&event=signup&account_id={SENT}&click_id={}&{PERSONAL}", theirs.click_id),
        // Deposits, the first of which is revised by a notice that names nobody.
        deposit("d1", SENT, "20", "2025-11-20+10:00:00")
            + "&order_id=order-canary%20u%C3%A4%2F7&offer_id=canary%20u%C3%A4%2F7&media_id=canary%20u%C3%A4%2F7"
            + "&offer_name=canary%20u%C3%A4%2F7&campaign=to%20canary%20u%C3%A4%2F7&creative_id=canary%20u%C3%A4%2F7"
            + "&payment_method=canary%20u%C3%A4%2F7&"
            + PERSONAL,
        "conversion_id=d1&event=deposit&status=Approved&rewars=3".to_owned(),
        deposit("d2", SENT, "30", "2025-11-20+11:00:00"),
        // Turned out to be another's.
        deposit("m1", SENT, "40", "2025-11-20+12:00:00"),
        // In spellings of its own, and where no field of ours is.
        format!("conversion_id=x1&rewars=1&user=c%61nary%20u%C3%A4%2F7&account_id={SENT}"),
        "conversion_id=x2&rewars=1&their_user=canary+u%c3%a4%2f7".to_owned(),
        format!("conversion_id=l1&event=signup&account_id={SENT}&click_id={}", lonely.click_id),
    ];
    let records: Vec<_> = theirs.iter().map(|query| from_there(query)).collect();
    for record in &records {
        db.store.record(record.clone()).await.unwrap();
    }
    // The notice again, later: no more of it tells whose it is than its event.
    let later = Receipt { received_at: at("2025-11-22T08:00:00Z"), nonce: Some(nonce()), ..records[3].receipt.clone() };
    let repeat = Record { receipt: later, ..again(&records[3]) };
    assert_eq!(db.store.record(repeat).await.unwrap(), Recorded::As(Duplicate));
    db.record(&(deposit("m1", "other", "40", "2025-11-20+12:00:00") + "&status=Approved")).await;
    // Both sides of a contradiction.
    assert_eq!(db.record(&format!("conversion_id=k1&event_id=k1&account_id={SENT}")).await, Recorded::As(Created));
    assert_eq!(db.record("conversion_id=k1&event_id=k1&account_id=other&rewars=9").await, Recorded::As(Conflict));
    assert_eq!(db.record("conversion_id=k2&event_id=k2&account_id=other").await, Recorded::As(Created));
    assert_eq!(
        db.record(&format!("conversion_id=k2&event_id=k2&account_id={SENT}&rewars=9")).await,
        Recorded::As(Conflict)
    );
    for (target, body) in [
        (format!("/involve/event?conversion_id=r1&account_id={SENT}&rewars=1,5"), None),
        ("/involve/event?account_id=canary+u%C3%A4%2F7".to_owned(), None),
        ("/involve/event?x=canary%2520u%25C3%25A4%252F7".to_owned(), None),
        ("/involve/event".to_owned(), Some("{\"account_id\": \"canary u\\u00e4\\/7\", \"rewars\": }")),
        ("/involve/event".to_owned(), Some("a=b&account_id=canary+u%C3%A4%2F7")),
    ] {
        db.store.reject(rejected(&target, body)).await.unwrap();
    }
    // What was read by a file that took the account for the id of a conversion.
    db.execute(
        "insert into reread_requests (reread_id, request_id, received_at, before_verdict, before_event_id, before_conversion_id,
            before_stated, verdict, event_id, conversion_id, stated)
         values ('again', 'before', '2025-11-21T08:00:00.000000Z', 'created', 'canary uä/7', 'event:canary uä/7', '{}', 'created', 'e9', 'c9', '{}')",
    )
    .await;
    (records, processing)
}

impl Fresh {
    async fn found(&self) -> Found {
        self.store.find_subject(&account(), |_| ()).await.unwrap()
    }

    async fn erase(&self) -> Erasing {
        let erasing = erasing();
        let found = self.found().await;
        let erased = self.store.erase_subject(&erasing, &found).await.unwrap();
        let found = found.counts();
        for table in ["conversions", "postbacks", "rejections", "clicks", "reread_requests"] {
            let [erased, found] = [erased.rows.get(table).copied(), found.get(table).map(|count| *count as u64)];
            assert!(erased.unwrap_or(0) >= found.unwrap_or(0), "{table}");
        }
        erasing
    }

    /// Rows that still tell of the person.
    async fn telling(&self) -> Vec<String> {
        let dump = self.dump().await;
        assert!(dump.len() > 10, "{dump:?}");
        dump.into_iter().filter(|row| CANARIES.iter().any(|canary| row.to_lowercase().contains(canary))).collect()
    }

    /// What is counted and judged, without whose it is.
    async fn counted(&self) -> Vec<String> {
        let mut counted = self.totals().await;
        for sql in [
            "select conversion_key || ' ' || event || ' ' || cast(revision as text) || ' ' || coalesce(deposit, '-') || ' ' ||
                coalesce(attribution, '-') || ' ' || coalesce(cast(usd_sale_amount as text), '-') || ' ' ||
                coalesce(cast(usd_payout as text), '-') || ' ' || coalesce(consent, '-') || ' ' || cast(findings as text) || ' ' ||
                cast(is_processed as text) from conversions order by 1",
            "select event_id || ' ' || fingerprint from events order by 1",
            "select event_id || ' ' || verdict || ' ' || request_id from postbacks order by postback_id",
            "select code || ' ' || field from rejections order by rejection_id",
            "select click_id || ' ' || offer || ' ' || cast(clicked_at as text) from clicks order by 1",
        ] {
            counted.extend(self.column(sql).await);
        }
        counted
    }

    /// Another's rows, whole.
    async fn others(&self) -> Vec<String> {
        self.dump()
            .await
            .into_iter()
            .filter(|row| row.contains("other") && !row.contains("m1") || row.contains("kept"))
            .collect()
    }
}

contract! {
    what_is_stored_about_an_account_is_found_in_every_table(db) {
        fill(&db).await;
        let found = db.found().await;
        let counts: Vec<_> = found.counts().into_iter().map(|(table, count)| format!("{table} {count}")).collect();
        assert_eq!(counts, ["clicks 2", "conversions 7", "events 9", "links 3", "postbacks 12", "rejections 5", "reread_requests 1", "work_items 9"]);
        let rows: String = found.tables().flat_map(|(_, rows)| rows.values()).map(ToString::to_string).collect();
        for told in ["canary u\u{e4}/7", "visit-1", "192.0.2.77", "\"usd_sale_amount\":", "\"referrer\":\"https://a.example/p\""] {
            assert!(rows.contains(told), "{told}: {rows}");
        }
        let nobody = Account::new("anary u\u{e4}/7", &["account_id".to_owned()]);
        let nobody = db.store.find_subject(&nobody, |_| ()).await.unwrap();
        assert_eq!(nobody.counts().len(), 0, "whose ends alike is another");
    }

    what_a_policy_ignored_is_erased_with_its_conversion(db) {
        for other in 0..5 {
            db.record(&deposit(&format!("o{other}"), "other", "20", "2025-11-20+09:00:00")).await;
        }
        db.record(&deposit("d1", SENT, "20", "2025-11-20+10:00:00")).await;
        let ignoring = db.place.open(DuplicatePolicy { repeat: OnRepeat::Ignore, ..DuplicatePolicy::default() }).await.unwrap();
        let ignored = from_there(&format!("conversion_id=d1&event=deposit&status=Approved&rewars=3&{PERSONAL}"));
        let later = Receipt { received_at: at("2025-11-22T08:00:00Z"), ..ignored.receipt.clone() };
        assert_eq!(ignoring.record(Record { receipt: later, ..ignored }).await.unwrap(), Recorded::As(Duplicate));
        // A refund under another id names what was ignored.
        let ignored = db.one("select event_id from events where conversion_id = 'd1' and content ->> 'status' is not null").await;
        let refund = from_there(&format!("conversion_id=x1&event=refund&original_event_id={ignored}&rewars=1&{PERSONAL}"));
        let later = Receipt { received_at: at("2025-11-22T09:00:00Z"), ..refund.receipt.clone() };
        assert_eq!(ignoring.record(Record { receipt: later, ..refund }).await.unwrap(), Recorded::As(Created));
        Processing::new().all(&ignoring).await;
        assert_eq!(db.one("select refund_of from conversions where conversion_id = 'x1'").await, "d1");
        ignoring.close().await;
        assert_eq!(db.one("select cast(count(*) as text) from events where conversion_id = 'd1'").await, "2");
        db.erase().await;
        assert_eq!(db.telling().await, Vec::<String>::new());
    }

    what_is_erased_before_a_late_receipt_is_folded_leaves_nothing_behind(db) {
        for other in 0..5 {
            db.record(&deposit(&format!("o{other}"), "other", "20", "2025-11-20+09:00:00")).await;
        }
        let late = |query: String| {
            let record = from_there(&query);
            let receipt = Receipt { received_at: at("2025-11-21T07:00:00Z"), ..record.receipt.clone() };
            Record { receipt, ..record }
        };
        for (first, second) in [
            // The late one alone says whose it is.
            (format!("conversion_id=d1&event=deposit&rewars=1&{PERSONAL}"), deposit("d1", SENT, "20", "2025-11-20+10:00:00")),
            // The late one does not say it.
            (deposit("d2", SENT, "20", "2025-11-20+10:00:00"), format!("conversion_id=d2&event=deposit&rewars=1&{PERSONAL}")),
        ] {
            assert_eq!(db.store.record(from_there(&first)).await.unwrap(), Recorded::As(Created));
            assert_eq!(db.store.record(late(second)).await.unwrap(), Recorded::As(Revised));
        }
        let generations = "select cast(generation as text) from rebuilds order by conversion_key";
        let numbers = async || -> Vec<i64> {
            db.column(generations).await.iter().map(|generation| generation.parse().unwrap()).collect()
        };
        let before = numbers().await;
        let erasing = db.erase().await;
        let grown: Vec<_> = before.iter().map(|generation| generation + 1).collect();
        assert_eq!((before.len(), numbers().await), (2, grown), "a fold that was read before is not written");
        assert_eq!(db.rebuilt().await, 2);
        assert_eq!(db.telling().await, Vec::<String>::new());
        let accounts = "select account_id from conversions where conversion_id in ('d1', 'd2')";
        assert_eq!(db.column(accounts).await, [erasing.pseudonym(); 2]);
        Processing::new().all(&db.store).await;
        assert_eq!(db.telling().await, Vec::<String>::new());
        db.assert_totals_are_a_recount().await;
    }

    what_is_stored_after_an_erasure_is_what_the_events_left_fold_to(db) {
        for other in 0..5 {
            db.record(&deposit(&format!("o{other}"), "other", "20", "2025-11-20+09:00:00")).await;
        }
        let moment = |second: u32| at(&format!("2025-11-21T09:00:{second:02}Z"));
        for (second, query) in (0..).zip([
            // A refund that names nobody has a conversion of its own.
            format!("conversion_id=z1&event=purchase&rewars=9&account_id={SENT}"),
            format!("conversion_id=z1&event=refund&event_id=r1&rewars=4&order_id=o%20{SENT}&{PERSONAL}"),
            // Another's, which has become this person's, and the other way round.
            "conversion_id=z2&event=purchase&rewars=1&account_id=other&sub_id=theirs&geo=SG".to_owned(),
            format!("conversion_id=z2&event=purchase&rewars=2&account_id={SENT}&device=canary"),
            format!("conversion_id=z3&event=purchase&rewars=1&account_id={SENT}&campaign=to%20{SENT}&{PERSONAL}"),
            "conversion_id=z3&event=purchase&rewars=2&account_id=other&geo=SG".to_owned(),
            // Its own, and one that has nothing to do with it.
            format!("conversion_id=z4&event=purchase&event_id=p4&rewars=1&account_id={SENT}&{PERSONAL}"),
            "conversion_id=z5&event=purchase&rewars=1&account_id=other&sub_id=theirs".to_owned(),
            "conversion_id=z5&event=purchase&rewars=1.5&geo=SG".to_owned(),
            // Under another's id, a refund of this person's purchase.
            format!("conversion_id=z5&event=refund&original_event_id=p4&rewars=1&order_id=o%20{SENT}&{PERSONAL}"),
            // Under this person's id, a refund of another's purchase.
            "conversion_id=z6&event=purchase&event_id=p6&rewars=1&account_id=other".to_owned(),
            format!("conversion_id=z7&event=purchase&rewars=1&account_id={SENT}"),
            "conversion_id=z7&event=refund&original_event_id=p6&rewars=1&sub_id=theirs&geo=SG".to_owned(),
        ]) {
            let record = received(&query, moment(second));
            assert!(matches!(db.store.record(record).await.unwrap(), Recorded::As(Created | Revised)), "{query}");
        }
        let processing = Processing::new();
        processing.all(&db.store).await;
        assert_eq!(db.differences(&processing).await, [""; 0]);
        let erasing = db.erase().await;
        // At once, but for what another's conversion has of it.
        let telling = db.telling().await;
        assert!(telling.iter().all(|row| row.starts_with("conversions") && row.contains("z3")), "{telling:#?}");
        let rebuilds = db.column("select conversion_key from rebuilds order by 1").await;
        assert_eq!(rebuilds.len(), 2, "what is one person's alone is not evaluated again: {rebuilds:?}");
        assert_eq!(db.rebuilt().await, 2);
        assert_eq!(db.differences(&processing).await, [""; 0]);
        assert_eq!(db.telling().await, Vec::<String>::new());
        let conversions = "select conversion_id || ' ' || event || ' ' || coalesce(account_id, '-') || ' ' || coalesce(sub_id, '-') || ' ' ||
            coalesce(geo, '-') || ' ' || coalesce(device, '-') || ' ' || coalesce(order_id, '-') || ' ' || coalesce(campaign, '-')
            from conversions where conversion_id like 'z%' order by conversion_id, event";
        let name = erasing.pseudonym();
        assert_eq!(db.column(conversions).await, [
            format!("z1 purchase {name} - - - - -"),
            format!("z1 refund - - - - {name} -"),
            format!("z2 purchase {name} theirs SG - - -"),
            format!("z3 purchase other - SG - - {name}"),
            format!("z4 purchase {name} - - - - -"),
            "z5 purchase other theirs SG - - -".to_owned(),
            format!("z5 refund - - - - {name} -"),
            "z6 purchase other - - - - -".to_owned(),
            format!("z7 purchase {name} - - - - -"),
            "z7 refund - theirs SG - - -".to_owned(),
        ]);
        processing.all(&db.store).await;
        assert_eq!(db.differences(&processing).await, [""; 0]);
        db.assert_totals_are_a_recount().await;
    }

    a_sale_is_another_s_by_its_click_or_its_id_as_well(db) {
        let policy = DuplicatePolicy { key: DuplicateKey::ConversionIdAndEvent, ..DuplicatePolicy::default() };
        let store = db.place.open(policy).await.unwrap();
        for query in [
            format!("conversion_id=z1&event=purchase&account_id={SENT}"),
            // Another's by its click, and by the id of a sign-up: their refunds have this person's id.
            "conversion_id=z2&event=registration&click_id=k2&account_id=other".to_owned(),
            "conversion_id=z3&event=purchase&event_id=p3&rewars=5&click_id=k2".to_owned(),
            "conversion_id=z1&event=refund&event_id=r3&original_event_id=p3&rewars=1&sub_id=theirs&geo=SG".to_owned(),
            "conversion_id=z4&event=registration&account_id=other".to_owned(),
            "conversion_id=z4&event=purchase&event_id=p4&rewars=5".to_owned(),
            "conversion_id=z1&event=chargeback&event_id=r4&original_event_id=p4&rewars=1&sub_id=theirs&geo=SG".to_owned(),
            // A click of both, where the other's account and click came in two events.
            "conversion_id=z5&event=lead&click_id=k5".to_owned(),
            "conversion_id=z5&event=lead&account_id=other".to_owned(),
            "conversion_id=z6&event=install&click_id=k5&sub_id=theirs&geo=SG".to_owned(),
            format!("conversion_id=z7&event=lead&click_id=k5&account_id={SENT}"),
        ] {
            assert!(matches!(store.record(record(&query)).await.unwrap(), Recorded::As(Created | Revised)), "{query}");
        }
        Processing::new().all(&store).await;
        store.close().await;
        let name = db.erase().await.pseudonym().to_owned();
        let conversions = "select conversion_id || ' ' || event || ' ' || coalesce(account_id, '-') || ' ' || coalesce(sub_id, '-') || ' ' ||
            coalesce(geo, '-') from conversions where sub_id is not null or account_id <> 'other' order by conversion_id, event";
        assert_eq!(db.column(conversions).await, [
            "z1 chargeback - theirs SG".to_owned(),
            format!("z1 purchase {name} - -"),
            "z1 refund - theirs SG".to_owned(),
            "z6 install - theirs SG".to_owned(),
            format!("z7 lead {name} - -"),
        ]);
    }

    what_goes_back_of_a_person_s_sale_is_that_person_s_whatever_its_id(db) {
        let policy = DuplicatePolicy { key: DuplicateKey::ConversionIdAndEvent, ..DuplicatePolicy::default() };
        let store = db.place.open(policy).await.unwrap();
        for query in [
            format!("conversion_id=z1&event=registration&account_id={SENT}"),
            // It names nobody, and has the id of the sign-up.
            "conversion_id=z1&event=purchase&event_id=p1&rewars=5".to_owned(),
            format!("conversion_id=z2&event=refund&original_event_id=p1&rewars=1&{PERSONAL}"),
            // Under this person's id, a refund of another's purchase; under another's, one of this person's.
            "conversion_id=z3&event=purchase&event_id=p3&rewars=5&account_id=other".to_owned(),
            format!("conversion_id=z4&event=purchase&event_id=p4&rewars=5&account_id={SENT}"),
            "conversion_id=z4&event=refund&original_event_id=p3&rewars=1&sub_id=theirs&geo=SG".to_owned(),
            format!("conversion_id=z3&event=refund&original_event_id=p4&rewars=1&{PERSONAL}"),
        ] {
            assert_eq!(store.record(record(&query)).await.unwrap(), Recorded::As(Created), "{query}");
        }
        Processing::new().all(&store).await;
        store.close().await;
        let of = "select conversion_id || ' ' || event || ' ' || coalesce(refund_of, '-') from conversions where event = 'refund' order by 1";
        assert_eq!(db.column(of).await.len(), 3);
        let name = db.erase().await.pseudonym().to_owned();
        let conversions = "select conversion_id || ' ' || event || ' ' || coalesce(account_id, '-') || ' ' || coalesce(sub_id, '-') || ' ' ||
            coalesce(geo, '-') || ' ' || coalesce(device, '-') from conversions order by conversion_id, event";
        assert_eq!(db.column(conversions).await, [
            "z1 purchase - - - -".to_owned(),
            format!("z1 registration {name} - - -"),
            "z2 refund - - - -".to_owned(),
            "z3 purchase other - - -".to_owned(),
            "z3 refund - - - -".to_owned(),
            format!("z4 purchase {name} - - -"),
            "z4 refund - theirs SG -".to_owned(),
        ]);
        assert_eq!(db.telling().await, Vec::<String>::new());
    }

    what_is_erased_is_nowhere_and_money_is_as_it_was(db) {
        let (records, processing) = fill(&db).await;
        processing.all(&db.store).await;
        let (counted, others) = (db.counted().await, db.others().await);
        assert!(others.len() >= 5, "{others:?}");
        assert!(db.telling().await.len() > 20);
        let erasing = db.erase().await;
        assert_eq!(db.telling().await, Vec::<String>::new());
        assert_eq!(db.counted().await, counted);
        assert_eq!(db.others().await, others, "what is another's is as it was");
        let accounts = "select conversion_key || ' ' || account_id || ' ' || coalesce(deposit, '-') from conversions
            where deposit in ('first', 'repeat') order by 1";
        let pseudonym = erasing.pseudonym();
        let deposits = |account: &str| {
            let own = [format!("d1 {account} first"), format!("d2 {account} repeat")];
            own.into_iter().chain(["m1 other repeat", "o1 other first"].map(str::to_owned)).collect::<Vec<_>>()
        };
        assert_eq!(db.column(accounts).await, deposits(pseudonym), "one pseudonym for all of them");
        assert_eq!(db.store.ids_with_subject(&erasing).await.unwrap(), 0);
        assert_eq!(db.found().await.counts().len(), 0);
        // Judged again, it comes to the same.
        processing.all(&db.store).await;
        let differs = async |_| Ok(());
        let again_judged = judging_again::compare(&processing.shared, &processing.partner, &db.store, now(), |_| {}, differs).await.unwrap();
        assert_eq!(again_judged.changed, 0, "{again_judged:?}");
        assert_eq!(db.counted().await, counted);
        // A repeat is one, and a notice that names nobody leaves the conversion whose it is.
        let conversions = "select cast(count(*) as text) from conversions";
        let count = db.one(conversions).await;
        for record in &records {
            let repeat = Record { receipt: Receipt { nonce: Some(nonce()), ..record.receipt.clone() }, ..again(record) };
            assert_eq!(db.store.record(repeat).await.unwrap(), Recorded::As(Duplicate));
        }
        assert_eq!(db.one(conversions).await, count);
        assert_eq!(db.record("conversion_id=d2&event=deposit&status=Approved").await, Recorded::As(Revised));
        processing.all(&db.store).await;
        assert_eq!(db.column(accounts).await, deposits(pseudonym));
        db.assert_totals_are_a_recount().await;
        db.erase().await;
        let named: Vec<_> = db.telling().await.into_iter().filter(|row| row.contains("canary")).collect();
        assert_eq!(named, Vec::<String>::new(), "what the repeats brought goes as well, where they name it");
    }

    rejected_requests_are_found_and_erased_by_the_ids_that_they_name(db) {
        fill(&db).await;
        let theirs = db.one("select event_id from events where conversion_id = 'd2'").await;
        let clicked = click(1).click_id.to_string();
        let before = db.found().await.counts().get("rejections").copied().unwrap();
        // Their texts tell nothing of the person; the ids beside them do.
        let mut requests = Vec::new();
        for (ids, is_theirs) in [
            (format!("account_id = '{ACCOUNT}', order_id = 'o-1'"), true),
            (format!("event_id = '{theirs}'"), true),
            ("conversion_id = 's1'".to_owned(), true),
            (format!("click_id = '{clicked}'"), true),
            ("conversion_id = 's1', account_id = 'other'".to_owned(), false),
            ("conversion_id = 'o1'".to_owned(), false),
            (format!("click_id = '{}'", click(2).click_id), false),
            ("order_id = 'o-1'".to_owned(), false),
        ] {
            let mut one = rejected("/involve/event?x=1", Some("y=2"));
            one.receipt.client_ip = Some(if is_theirs { "192.0.2.77" } else { "198.51.100.1" }.to_owned());
            let request_id = one.receipt.request_id.clone();
            db.store.reject(one).await.unwrap();
            db.execute(&format!("update rejections set {ids} where request_id = '{request_id}'")).await;
            requests.push((request_id, is_theirs));
        }
        assert_eq!(db.found().await.counts()["rejections"], before + 4);
        db.erase().await;
        for (request_id, is_theirs) in requests {
            let left = format!(
                "select coalesce(event_id, conversion_id, order_id, click_id, account_id, '-') || ' ' || coalesce(client_ip, '-') || ' ' ||
                    coalesce(body, '-') || ' ' || target || ' ' || code from rejections where request_id = '{request_id}'"
            );
            let left = db.one(left.leak()).await;
            assert_eq!(left == "- - - /involve/event invalid_amount", is_theirs, "{left}");
            assert!(is_theirs || left.ends_with(" 198.51.100.1 y=2 /involve/event?x=1 invalid_amount"), "{left}");
        }
        assert_eq!(db.telling().await, Vec::<String>::new());
    }

    what_returned_a_conversion_to_an_earlier_state_is_erased_with_it(db) {
        db.record(&deposit("d1", SENT, "20", "2025-11-20+10:00:00")).await;
        // Notices that name nobody: the first one comes again, a month behind another.
        let notice = from_there(&format!("conversion_id=d1&event=deposit&event_id=n1&rewars=1&{PERSONAL}"));
        let receipt = Receipt { received_at: at("2025-11-21T09:00:00Z"), ..notice.receipt.clone() };
        let notice = Record { receipt, now: at("2025-11-21T09:00:00Z"), ..notice };
        assert_eq!(db.store.record(notice.clone()).await.unwrap(), Recorded::As(Revised));
        let other = received("conversion_id=d1&event=deposit&event_id=n2&rewars=2", at("2025-11-21T10:00:00Z"));
        assert_eq!(db.store.record(other).await.unwrap(), Recorded::As(Revised));
        let time = at("2025-12-21T09:00:00Z");
        let request_id = crate::request_id();
        let receipt = Receipt { received_at: time, request_id, nonce: Some(nonce()), ..notice.receipt.clone() };
        let returned = Record { receipt, now: time, ..again(&notice) };
        assert_eq!(db.store.record(returned).await.unwrap(), Recorded::As(Revised));
        db.erase().await;
        assert_eq!(db.telling().await, Vec::<String>::new());
    }

    who_is_judging_what_is_erased_brings_nothing_back(db) {
        let (_, processing) = fill(&db).await;
        let taken = lease(30);
        let items = db.store.take_items(&taken).await.unwrap();
        let facts = db.store.facts_of(&items).await.unwrap();
        db.erase().await;
        let judged = Judged { attribution: "no_click", deposit: Some(Judged::COUNTS), ..Judged::default() };
        let conclusion = |item: &bytec_origin::store::worklist::Item| {
            let facts = facts.get(&item.event_id).cloned();
            Conclusion { item: item.clone(), judged: facts.map(|facts| (facts, judged.clone())), next: Next::Done, others: Vec::new() }
        };
        db.store.conclude_items(&taken, items.iter().map(conclusion).collect()).await.unwrap();
        assert_eq!(db.telling().await, Vec::<String>::new());
        processing.all(&db.store).await;
        assert_eq!(db.telling().await, Vec::<String>::new());
        let open = "select cast(count(*) as text) from conversions where not is_processed";
        assert_eq!(db.one(open).await, "0", "all is judged after all");
        db.assert_totals_are_a_recount().await;
    }

    a_short_account_is_not_found_in_others_amounts(db) {
        db.record("conversion_id=c5&rewars=5&offer_id=5&account_id=55&sub_id=5").await;
        db.store.reject(rejected("/involve/event?conversion_id=5&rewars=5&account_id=55", None)).await.unwrap();
        let before = db.dump().await;
        db.record("conversion_id=c6&rewars=6&account_id=5").await;
        db.store.reject(rejected("/involve/event?account_id=5&rewars=x", Some("{\"account_id\": 5, \"a\": 1}"))).await.unwrap();
        let five = Account::new("5", &["account_id".to_owned()]);
        let found = db.store.find_subject(&five, |_| ()).await.unwrap();
        let counts: Vec<_> = found.counts().into_iter().map(|(table, count)| format!("{table} {count}")).collect();
        assert_eq!(counts, ["conversions 1", "events 1", "postbacks 1", "rejections 1", "work_items 1"]);
        db.store.erase_subject(&Erasing::new(five, &nonce(), now()), &found).await.unwrap();
        let after = db.dump().await;
        assert!(before.iter().filter(|row| !row.starts_with("totals")).all(|row| after.contains(row)), "{before:#?} {after:#?}");
    }

    an_account_that_is_the_id_of_a_conversion_is_told(db) {
        db.record("conversion_id=canary-77&event=signup&account_id=canary-77&event_id=x-canary-77").await;
        let account = Account::new("canary-77", &["account_id".to_owned()]);
        let found = db.store.find_subject(&account, |_| ()).await.unwrap();
        let erasing = Erasing::new(account, &nonce(), now());
        db.store.erase_subject(&erasing, &found).await.unwrap();
        assert_eq!(db.store.ids_with_subject(&erasing).await.unwrap(), 2, "a conversion's and an event's");
        assert_eq!(db.record("conversion_id=canary-77&event=signup&account_id=canary-77&event_id=x-canary-77").await, Recorded::As(Duplicate));
    }

    postbacks_go_on_coming_while_an_account_is_erased(db) {
        let processing = Processing::new();
        let sending = async |worker: u32| {
            for number in 0..20_u32 {
                let (id, status) = (number % 5, ["Pending", "Approved"][usize::from(number >= 10)]);
                let query = deposit(&format!("d{worker}-{id}"), SENT, &format!("{}", 20 + number), "2025-11-20+10:00:00");
                db.record(&format!("{query}&status={status}")).await;
            }
        };
        let erasing = async {
            for _ in 0..4 {
                db.erase().await;
                processing.all(&db.store).await;
            }
        };
        tokio::join!(sending(0), sending(1), sending(2), erasing);
        db.erase().await;
        processing.all(&db.store).await;
        assert_eq!(db.telling().await, Vec::<String>::new());
        assert_eq!(db.one("select cast(count(*) as text) from conversions").await, "15");
        db.assert_totals_are_a_recount().await;
    }

    rows_are_found_with_all_their_columns(db) {
        fill(&db).await;
        let found = db.found().await;
        for (table, rows) in found.tables() {
            let is_postgres = matches!(db.store.database(), Database::Postgres(_));
            let columns = if is_postgres {
                format!("select attname::text from pg_attribute where attrelid = '{table}'::regclass and attnum > 0 and not attisdropped")
            } else {
                format!("select name from pragma_table_xinfo('{table}') where name not like '%\\_micros' escape '\\'")
            };
            let columns = db.column(columns.leak()).await;
            let mut known: Vec<_> = bytec_origin::store::subject::columns(table).iter().map(|name| (*name).to_owned()).collect();
            let mut columns = columns;
            known.sort();
            columns.sort();
            assert_eq!(known, columns, "{table}");
            assert!(rows.values().all(serde_json::Value::is_object));
        }
    }
}

/// No command reaches D1: what is printed for it finds the same, and does the same.
#[tokio::test(flavor = "multi_thread")]
async fn printed_sql_finds_as_the_command_would() {
    let db = crate::fresh("d1").await;
    fill(&db).await;
    db.execute("update rejections set account_id = 'canary u\u{e4}/7' where rejection_id = 1").await;
    let mut counts = Vec::new();
    for statement in finding_sql(&account()).split(";\n").filter(|statement| !statement.trim().is_empty()) {
        counts.push(db.d1().column(statement).await.len());
    }
    let found = db.found().await.counts();
    let tables =
        ["events", "conversions", "links", "clicks", "work_items", "postbacks", "rejections", "reread_requests"];
    assert_eq!(counts, tables.map(|table| found[table]));
}

#[tokio::test(flavor = "multi_thread")]
async fn printed_sql_erases_as_the_command_would() {
    let db = crate::fresh("d1").await;
    let (_, processing) = fill(&db).await;
    processing.all(&db.store).await;
    let (counted, others) = (db.counted().await, db.others().await);
    for statement in erasing_sql(&erasing()).split(";\n").filter(|statement| !statement.trim().is_empty()) {
        assert!(statement.len() < 100_000);
        drop(db.d1().column(statement).await);
    }
    assert_eq!(db.telling().await, Vec::<String>::new());
    assert_eq!(db.counted().await, counted);
    assert_eq!(db.others().await, others);
    assert_eq!(db.column("select conversion_key from rebuilds").await, ["m1"], "what became another's is folded again");
    assert_eq!(db.rebuilt().await, 1);
    assert_eq!(db.differences(&processing).await, [""; 0]);
    assert_eq!(db.telling().await, Vec::<String>::new());
}

/// Once it is written anew, the file of SQLite has nothing left in its free space either.
#[tokio::test(flavor = "multi_thread")]
async fn sqlite_has_nothing_of_it_in_its_file() {
    let db = crate::fresh("sqlite").await;
    fill(&db).await;
    db.erase().await;
    db.store.rewrite().await.unwrap();
    let crate::Place::Native(bytec_origin::store::location::Location::Sqlite(path), _) = &db.place else {
        unreachable!("asked for SQLite")
    };
    let path = path.clone();
    for file in [path.clone(), path.with_extension("sqlite-wal")] {
        let bytes = std::fs::read(&file).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes).to_lowercase();
        let at =
            CANARIES.iter().filter(|canary| **canary != "it''s").find_map(|canary| Some((canary, text.find(*canary)?)));
        assert_eq!(at, None, "{}", file.display());
    }
}
