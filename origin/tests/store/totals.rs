//! Totals (R47): what conversions come to, brought up to date with them.

use crate::{Fresh, again, at, fresh, fresh_with, record};
use bytec_origin::store::{Database, Receipt, Record, Recorded, Store};
use postback::duplicate::{DuplicateKey, DuplicatePolicy, OnRepeat};
use postback::id::Nonce;
use postback::verdict::Verdict::{Created, Duplicate, Revised};
use std::time::Duration;

impl Fresh {
    /// What the totals say: quarter of an hour, event, status, currency, whether marked, conversions, and the four amounts in
    /// micro-units. What comes to nothing is left out.
    pub async fn totals(&self) -> Vec<String> {
        let day = match self.store.database() {
            Database::Postgres(_) => "date_trunc('day', period_start at time zone 'UTC') at time zone 'UTC'",
            Database::Sqlite(_) | Database::D1(_) => {
                "strftime('%Y-%m-%dT%H:%M:%SZ', unixepoch(period_start) / 86400 * 86400, 'unixepoch')"
            }
        };
        let amounts = self.amounts().map(|(column, _)| column).join(", ");
        let by_day = format!(
            "(select {day} as period_start, event, status, currency, is_duplicate, conversions, {amounts} from totals) as days"
        );
        assert_eq!(self.summed("totals_by_day").await, self.summed(&by_day).await, "days are their quarters");
        assert_eq!(self.hours(true).await, self.hours(false).await, "hours are their conversions");
        self.summed("totals").await
    }

    /// What they ought to say; quarters are worked out in another way than the store does it.
    pub async fn recount(&self) -> Vec<String> {
        let quarter = match self.store.database() {
            Database::Postgres(_) => "to_timestamp(floor(extract(epoch from happened_at) / 900) * 900)",
            Database::Sqlite(_) | Database::D1(_) => {
                "strftime('%Y-%m-%dT%H:%M:%SZ', unixepoch(happened_at) / 900 * 900, 'unixepoch')"
            }
        };
        let amounts = self.amounts().map(|(column, _)| format!("coalesce({column}, 0) as {column}")).join(", ");
        self.summed(&format!(
            "(select {quarter} as period_start, event, coalesce(status, '') as status, coalesce(currency, '') as currency,
                is_duplicate, 1 as conversions, {amounts}
              from (select *, coalesce(conversion_datetime, ts_event, received_at) as happened_at from conversions) as timed
             ) as counted"
        ))
        .await
    }

    /// What hours say, or what they ought to: which conversions count and which do not, and the money of those that do.
    async fn hours(&self, stored: bool) -> Vec<String> {
        let (hour, micros, prefix) = match self.store.database() {
            Database::Postgres(_) => ("to_timestamp(floor(extract(epoch from at) / 3600) * 3600)", "", " * 1000000"),
            Database::Sqlite(_) | Database::D1(_) => {
                ("strftime('%Y-%m-%dT%H:%M:%SZ', unixepoch(at) / 3600 * 3600, 'unixepoch')", "_micros", "")
            }
        };
        let rows = if stored {
            format!(
                "select period_start as at, conversions, rejected, duplicates, first_deposits,
                    reporting_sale_amount{micros}{prefix} as sale, reporting_payout{micros}{prefix} as payout from totals_by_hour"
            )
        } else {
            let counts = "not is_duplicate and coalesce(status, '') <> 'rejected'";
            let money = |name: &str| {
                format!("case when {counts} then coalesce(usd_{name}{micros}, fx_{name}{micros}, 0){prefix} else 0 end")
            };
            format!(
                "select coalesce(conversion_datetime, ts_event, received_at) as at, case when {counts} then 1 else 0 end as conversions,
                    case when not is_duplicate and status = 'rejected' then 1 else 0 end as rejected,
                    case when is_duplicate then 1 else 0 end as duplicates,
                    case when {counts} and deposit = 'first' then 1 else 0 end as first_deposits,
                    {} as sale, {} as payout from conversions",
                money("sale_amount"),
                money("payout"),
            )
        };
        let sum = |name: &str| format!("cast(cast(sum({name}) as bigint) as text)");
        let sums =
            ["conversions", "rejected", "duplicates", "first_deposits", "sale", "payout"].map(sum).join(" || ' ' || ");
        let sql = format!(
            "select replace(substr(cast({hour} as text), 1, 16), 'T', ' ') || ' ' || {sums} from ({rows}) as hours group by {hour}
             having sum(conversions) <> 0 or sum(rejected) <> 0 or sum(duplicates) <> 0 order by 1"
        );
        self.column(sql.leak()).await
    }

    async fn summed(&self, counted: &str) -> Vec<String> {
        let sums = self
            .amounts()
            .map(|(_, micros)| format!("cast(cast(sum({micros}) as bigint) as text)"))
            .join(" || ' ' || ");
        let are_any = self.amounts().map(|(column, _)| format!("or sum({column}) <> 0")).join(" ");
        let sql = format!(
            "select replace(substr(cast(period_start as text), 1, 16), 'T', ' ') || ' ' || event || ' ' || status || ' ' ||
                currency || case when is_duplicate then ' marked' else '' end || ' ' || cast(sum(conversions) as text) || ' ' || {sums}
             from {counted} group by period_start, event, status, currency, is_duplicate
             having sum(conversions) <> 0 {are_any} order by 1"
        );
        self.column(sql.leak()).await
    }

    /// The columns of amounts, and each in micro-units.
    fn amounts(&self) -> [(String, String); 4] {
        ["sale_amount", "payout", "usd_sale_amount", "usd_payout"].map(|name| match self.store.database() {
            Database::Postgres(_) => (name.to_owned(), format!("{name} * 1000000")),
            Database::Sqlite(_) | Database::D1(_) => (format!("{name}_micros"), format!("{name}_micros")),
        })
    }
}

contract! {
    a_conversion_counts_in_the_quarter_of_an_hour_of_its_own_time(db) {
        // Clocks of the partner are eight hours east.
        db.record("conversion_id=c1&event=purchase&rewars=10.50&event_time=2025-11-20+12:29:59").await;
        db.record("conversion_id=c2&event=purchase&rewars=2&event_time=2025-11-20+09:00:00&datetime_conversion=2025-11-20+12:15:00").await;
        db.record("conversion_id=c3&event=purchase&rewars=4&event_time=2025-11-20+12:30:00").await;
        db.record("conversion_id=c4&event=purchase&rewars=8").await;
        assert_eq!(
            db.totals().await,
            [
                "2025-11-20 04:15 purchase   2 0 0 0 12500000",
                "2025-11-20 04:30 purchase   1 0 0 0 4000000",
                "2025-11-21 08:00 purchase   1 0 0 0 8000000",
            ]
        );
    }

    a_revised_conversion_counts_as_it_stands_now(db) {
        db.record("conversion_id=c1&event=purchase&status=Pending&payout_local=10&sale_amount_local=100&conversion_currency=EUR&usd_sale_amount=110").await;
        db.record("conversion_id=c2&event=purchase&status=Pending&payout_local=1&conversion_currency=EUR").await;
        assert_eq!(db.totals().await, ["2025-11-21 08:00 purchase pending EUR 2 100000000 11000000 110000000 0"]);
        let approval = "conversion_id=c1&status=Approved&payout_local=12&datetime_conversion=2025-11-20+08:14:59";
        assert_eq!(db.record(approval).await, Recorded::As(Revised));
        assert_eq!(
            db.totals().await,
            [
                "2025-11-20 00:00 purchase approved EUR 1 100000000 12000000 110000000 0",
                "2025-11-21 08:00 purchase pending EUR 1 0 1000000 0 0",
            ]
        );
        // Money that goes back just adds.
        db.record("conversion_id=c3&event=refund&status=Pending&payout_local=3&conversion_currency=EUR").await;
        assert_eq!(db.totals().await[1..], ["2025-11-21 08:00 purchase pending EUR 1 0 1000000 0 0", "2025-11-21 08:00 refund pending EUR 1 0 -3000000 0 0"]);
        assert_eq!(db.totals().await, db.recount().await);
    }

    what_is_no_new_event_counts_for_nothing(db) {
        let first = record("event_id=e1&conversion_id=c1&rewars=10");
        assert_eq!(db.store.rehearse(again(&first)).await.unwrap(), Recorded::As(Created));
        assert_eq!(db.totals().await, [""; 0]);
        db.store.record(again(&first)).await.unwrap();
        let totals = ["2025-11-21 08:00 conversion   1 0 0 0 10000000"];
        assert_eq!(db.totals().await, totals);
        assert_eq!(db.store.record(again(&first)).await.unwrap(), Recorded::Replayed);
        assert_eq!(db.record("event_id=e1&conversion_id=c1&rewars=10").await, Recorded::As(Duplicate));
        db.record("event_id=e1&conversion_id=c1&rewars=11").await;
        assert_eq!(db.store.rehearse(record("conversion_id=c1&rewars=12")).await.unwrap(), Recorded::As(Revised));
        assert_eq!(db.totals().await, totals);
    }

    totals_are_right_whatever_comes_at_the_same_moment(db) {
        let statuses = ["Pending", "Approved", "Rejected", "Paid"];
        let records = (0..64).map(|number: usize| {
            record(&format!("conversion_id=c{}&rewars={number}&status={}&event_time=2025-11-20+0{}:20:00", number % 5, statuses[number % 4], number % 3))
        });
        for recorded in futures_util::future::join_all(records.map(|record| db.store.record(record))).await {
            assert!(matches!(recorded.unwrap(), Recorded::As(Created | Revised)));
        }
        let totals = db.totals().await;
        assert_eq!(totals, db.recount().await);
        assert!(!totals.is_empty());
    }

    no_sum_of_money_is_too_large_to_be_recorded(db) {
        for number in 0..12 {
            assert_eq!(db.record(&format!("conversion_id=c{number}&rewars=999999999999.999999")).await, Recorded::As(Created));
        }
        let at_once = (12..60).map(|number| record(&format!("conversion_id=c{number}&rewars=999999999999.999999")));
        for recorded in futures_util::future::join_all(at_once.map(|record| db.store.record(record))).await {
            assert_eq!(recorded.unwrap(), Recorded::As(Created));
        }
        assert_eq!(db.one("select cast(sum(conversions) as text) from totals").await, "60");
    }
}

async fn each_policy_counts_what_conversions_it_makes(kind: &str) {
    let policy = |key, window_s, repeat| DuplicatePolicy { key, window_s, repeat, ..DuplicatePolicy::default() };
    for (policy, totals) in [
        (policy(DuplicateKey::ConversionId, None, OnRepeat::Revise), vec!["conversion   1 0 0 0 4000000"]),
        (policy(DuplicateKey::ConversionId, Some(60), OnRepeat::Revise), vec!["conversion   2 0 0 0 6000000"]),
        (policy(DuplicateKey::ConversionId, Some(60), OnRepeat::Ignore), vec!["conversion   2 0 0 0 5000000"]),
        (
            policy(DuplicateKey::ConversionId, None, OnRepeat::Flag),
            vec!["conversion   1 0 0 0 1000000", "conversion   marked 2 0 0 0 6000000"],
        ),
    ] {
        let db = fresh_with(kind, policy).await;
        for (time, payout) in [("08:00:00", 1), ("08:00:30", 2), ("08:10:00", 4)] {
            let record = record(&format!("conversion_id=c1&rewars={payout}"));
            let receipt = Receipt { received_at: at(&format!("2025-11-21T{time}Z")), ..record.receipt.clone() };
            db.store.record(Record { receipt, ..record }).await.unwrap();
        }
        assert_eq!(
            db.totals().await,
            totals.iter().map(|total| format!("2025-11-21 08:00 {total}")).collect::<Vec<_>>(),
            "{policy:?}"
        );
        assert_eq!(db.totals().await, db.recount().await, "{policy:?}");
    }
}

#[tokio::test]
async fn sqlite_counts_under_every_policy() {
    each_policy_counts_what_conversions_it_makes("sqlite").await;
}

#[tokio::test]
async fn postgres_counts_under_every_policy() {
    each_policy_counts_what_conversions_it_makes("postgres").await;
}

#[tokio::test]
async fn d1_counts_under_every_policy() {
    each_policy_counts_what_conversions_it_makes("d1").await;
}

/// Several origins at one database, whose transactions come to the same totals in every order.
#[tokio::test(flavor = "multi_thread")]
async fn several_origins_keep_one_database_s_totals_right() {
    let db = fresh("postgres").await;
    let mut origins = vec![db.store.clone()];
    for _ in 0..2 {
        origins.push(db.place.open(DuplicatePolicy::default()).await.unwrap());
    }
    for round in 0..10 {
        let records = (0..60_usize).map(|number| {
            let (conversion, hour, payout) = (number * 7 % 20, (number * 7 + round) % 6, 1000 * round + number);
            let query = format!("conversion_id=c{conversion}&rewars={payout}&event_time=2025-11-20+0{hour}:00:00");
            origins[number % origins.len()].record(record(&query))
        });
        for recorded in futures_util::future::join_all(records).await {
            assert!(matches!(recorded.unwrap(), Recorded::As(Created | Revised)));
        }
    }
    assert_eq!(db.totals().await, db.recount().await);
    let slots = db.one("select cast(count(distinct slot) as text) from totals").await;
    assert_ne!(slots, "1", "transactions need not wait for each other");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_totals_the_other_way_round_do_not_wait_for_each_other() {
    let db = fresh("postgres").await;
    // Each of the totals takes its time, so that transactions hold one when they come to another's.
    db.execute(
        "create function slowly() returns trigger language plpgsql as
         $$ begin perform pg_sleep(0.02); return new; end $$",
    )
    .await;
    db.execute("create trigger slowly before insert or update on totals for each row execute function slowly()").await;
    let other = db.place.open(DuplicatePolicy::default()).await.unwrap();
    // Names of receipts by which all transactions in one lane have one slot: the same letters in another order.
    let receipt = |turn: usize| {
        let mut bytes = [0, 0, 1, 0, 0, 2, 0, 0, 3, 0, 0, 4, 0, 0, 5, 0];
        bytes[..15].rotate_left(turn % 5 * 3);
        bytes[..6].rotate_left(turn / 5 * 3);
        Nonce::from_bytes(bytes)
    };
    let origin = |store: Store, name: &'static str, first: usize, hours: [u8; 2]| async move {
        let at_hour = |hour: u8, turn: usize, conversion: String| {
            let query = format!("conversion_id={conversion}&rewars={hour}&event_time=2025-11-20+{hour:02}:00:00");
            let (store, receipt_id) = (store.clone(), receipt(first + turn));
            tokio::spawn(async move { store.record(Record { receipt_id, ..record(&query) }).await.unwrap() })
        };
        let mut recorded = Vec::new();
        // These two keep the origin busy, so that those behind them share a transaction.
        for turn in 0..2 {
            recorded.push(at_hour(10 + u8::try_from(first + turn).unwrap(), turn, format!("{name}{turn}")));
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
        for (hour, turn) in hours.into_iter().zip(2..) {
            recorded.push(at_hour(hour, turn, name.to_owned()));
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        for recorded in recorded {
            assert!(matches!(recorded.await.unwrap(), Recorded::As(Created | Revised)));
        }
    };
    tokio::join!(origin(db.store.clone(), "forward", 0, [1, 2]), origin(other, "backward", 4, [2, 1]));
    assert_eq!(db.totals().await, db.recount().await);
    // Those that share a transaction, the second of each origin; the first one's hours are later.
    let slots = "select cast(count(distinct slot) as text) from totals where period_start < '2025-11-19 20:00+00'";
    assert_eq!(db.one(slots).await, "1");
}
