//! Totals (R47): what conversions come to, brought up to date with them.

use crate::{Fresh, again, at, fresh, fresh_with, record};
use bytec_origin::store::reader::{Counts, Span, Total, Totals};
use bytec_origin::store::{Database, Receipt, Record, Recorded, Store};
use postback::duplicate::{DuplicateKey, DuplicatePolicy, OnRepeat};
use postback::id::Nonce;
use postback::time::Timestamp;
use postback::verdict::Verdict::{Created, Duplicate, Revised};
use rust_decimal::Decimal;
use std::collections::BTreeMap;
use std::time::Duration;

impl Fresh {
    /// What the totals say: quarter of an hour, event, status, currencies, whether marked, which amounts wait for rates, conversions, and the
    /// four amounts in micro-units. What comes to nothing is left out.
    pub async fn totals(&self) -> Vec<String> {
        let quarters = self.stored(QUARTERS).await;
        assert_eq!(self.stored(DAYS).await, by_longer_periods(&quarters, DAYS.period_s), "days are their quarters");
        assert_eq!(self.stored(HOURS).await, self.hours_of_conversions().await, "hours are their conversions");
        shown(&quarters)
    }

    /// What they ought to say: counted one by one, in another way than the store does it.
    pub async fn recount(&self) -> Vec<String> {
        shown(&self.kinds_of_conversions().await)
    }

    /// The rows of a table of totals, those of several slots together.
    async fn stored(&self, table: StoredTable) -> Sums {
        let numbers = table.numbers.iter().map(|name| format!("cast({name} as text)"));
        let is_postgres = matches!(self.store.database(), Database::Postgres(_));
        let amounts = table.amounts.iter().map(|name| match is_postgres {
            true => format!("cast(trunc({name} * 1000000) as text)"),
            false => format!("cast({name}_thousands as text) || ':' || cast({name}_micros as text)"),
        });
        let columns = [self.unix_s("period_start")].into_iter().chain(table.key.iter().map(|name| match *name {
            "is_duplicate" => "case when is_duplicate then 'marked' else '' end".to_owned(),
            name => name.to_owned(),
        }));
        let rows = self.rows_of(columns.chain(numbers).chain(amounts).collect(), table.name).await;
        let mut sums = Sums::new();
        for row in rows {
            let (key, held) = row.split_at(1 + table.key.len());
            add(&mut sums, key[0].parse().unwrap(), key[1..].to_vec(), held.iter().map(|held| micros(held)).collect());
        }
        without_nothing(sums)
    }

    /// All conversions as kinds, by quarters of an hour.
    async fn kinds_of_conversions(&self) -> Sums {
        let mut sums = Sums::new();
        for one in self.counted_conversions().await {
            let marked = if one.is_duplicate { "marked" } else { "" };
            let key = [&one.event, &one.status, &one.sale.currency, &one.payout.currency, marked, one.waiting()];
            let amounts =
                [one.sale.own, one.payout.own, one.sale.dollars, one.payout.dollars].map(Option::unwrap_or_default);
            let numbers = [1, i128::from(one.is_first_deposit)];
            let at = one.at_s.div_euclid(QUARTERS.period_s) * QUARTERS.period_s;
            add(&mut sums, at, key.map(str::to_owned).into(), [&numbers[..], &amounts[..]].concat());
        }
        without_nothing(sums)
    }

    /// All conversions by hours.
    async fn hours_of_conversions(&self) -> Sums {
        let mut sums = Sums::new();
        for one in self.counted_conversions().await {
            let at = one.at_s.div_euclid(HOURS.period_s) * HOURS.period_s;
            let is_rejected = !one.is_duplicate && one.status == "rejected";
            let counts = !one.is_duplicate && !is_rejected;
            let event = one.event.as_str();
            let takes_back = ["refund", "chargeback"].contains(&event);
            let others = ["registration", "kyc_approved", "deposit", "lead", "install"];
            let numbers = [
                counts && !takes_back,
                counts && !takes_back && !others.contains(&event),
                counts && event == "registration",
                counts && event == "deposit",
                counts && event == "refund",
                counts && event == "chargeback",
                is_rejected,
                one.is_duplicate,
                counts && one.is_first_deposit,
                counts && !one.waiting().is_empty(),
            ];
            let money = [one.sale.dollars, one.payout.dollars].map(Option::unwrap_or_default);
            let of = |is_in: bool| money.map(|amount| if is_in { amount } else { 0 });
            let amounts = [of(counts), of(counts && takes_back), of(counts && one.status == "pending")].concat();
            add(&mut sums, at, Vec::new(), [numbers.map(i128::from).to_vec(), amounts].concat());
        }
        without_nothing(sums)
    }

    async fn counted_conversions(&self) -> Vec<Counted> {
        let is_postgres = matches!(self.store.database(), Database::Postgres(_));
        let text = |name: &str| format!("coalesce({name}, '')");
        let amount = |name: &str| match is_postgres {
            true => format!("coalesce(cast(trunc({name} * 1000000) as text), '')"),
            false => format!("coalesce(cast({name}_micros as text), '')"),
        };
        let statement = |name: &str, currency: &str| {
            let amounts =
                ["counted_", "", "counted_usd_", "usd_", "fx_"].map(|prefix| amount(&format!("{prefix}{name}")));
            let currencies = ["counted_", ""].map(|prefix| text(&format!("{prefix}{currency}")));
            [amounts.to_vec(), currencies.to_vec()].concat()
        };
        let at = self.unix_s("coalesce(conversion_datetime, ts_event, received_at)");
        let marked = "case when is_duplicate then 'marked' else '' end".to_owned();
        let columns = [at, "event".to_owned(), text("status"), marked, text("deposit")].to_vec();
        let columns = [columns, statement("sale_amount", "currency"), statement("payout", "payout_currency")].concat();
        let rows = self.rows_of(columns, "conversions").await;
        rows.into_iter().map(|row| Counted::of(&row)).collect()
    }

    fn unix_s(&self, instant: &str) -> String {
        match self.store.database() {
            Database::Postgres(_) => format!("cast(cast(floor(extract(epoch from {instant})) as bigint) as text)"),
            Database::Sqlite(_) | Database::D1(_) => format!("cast(unixepoch({instant}) as text)"),
        }
    }

    /// The texts of several columns.
    async fn rows_of(&self, columns: Vec<String>, table: &str) -> Vec<Vec<String>> {
        let sql = format!("select {} from {table}", columns.join(" || '|' || "));
        let rows = self.column(sql.leak()).await;
        rows.iter().map(|row| row.split('|').map(str::to_owned).collect()).collect()
    }
}

/// A table of totals as it is stored.
#[derive(Clone, Copy)]
struct StoredTable {
    name: &'static str,
    period_s: i64,
    key: &'static [&'static str],
    numbers: &'static [&'static str],
    amounts: &'static [&'static str],
}

const QUARTERS: StoredTable = StoredTable {
    name: "totals",
    period_s: 900,
    key: &["event", "status", "currency", "payout_currency", "is_duplicate", "waiting"],
    numbers: &["conversions", "first_deposits"],
    amounts: &["sale_amount", "payout", "reporting_sale_amount", "reporting_payout"],
};
const DAYS: StoredTable = StoredTable { name: "totals_by_day", period_s: 86_400, ..QUARTERS };
const HOURS: StoredTable = StoredTable {
    name: "totals_by_hour",
    period_s: 3_600,
    key: &[],
    numbers: &[
        "conversions",
        "sales",
        "registrations",
        "deposits",
        "refunds",
        "chargebacks",
        "rejected",
        "duplicates",
        "first_deposits",
        "waiting_for_rates",
    ],
    amounts: &[
        "reporting_sale_amount",
        "reporting_payout",
        "returned_sale_amount",
        "returned_payout",
        "pending_sale_amount",
        "pending_payout",
    ],
};

/// Numbers and amounts in micro-units, by period and key.
type Sums = BTreeMap<(i64, Vec<String>), Vec<i128>>;

fn add(sums: &mut Sums, period_s: i64, key: Vec<String>, more: Vec<i128>) {
    let known = sums.entry((period_s, key)).or_insert_with(|| vec![0; more.len()]);
    known.iter_mut().zip(more).for_each(|(known, more)| *known += more);
}

fn without_nothing(mut sums: Sums) -> Sums {
    sums.retain(|_, sums| sums.iter().any(|sum| *sum != 0));
    sums
}

fn by_longer_periods(sums: &Sums, period_s: i64) -> Sums {
    let mut longer = Sums::new();
    for ((at, key), more) in sums {
        add(&mut longer, at.div_euclid(period_s) * period_s, key.clone(), more.clone());
    }
    without_nothing(longer)
}

/// An amount as it is stored, in micro-units: in one part, or in thousands of units and micro-units.
fn micros(text: &str) -> i128 {
    let (thousands, micros) = text.split_once(':').unwrap_or(("0", text));
    thousands.parse::<i128>().unwrap() * 1_000_000_000 + micros.parse::<i128>().unwrap()
}

fn shown(quarters: &Sums) -> Vec<String> {
    let show = |((at, key), sums): (&(i64, Vec<String>), &Vec<i128>)| {
        let time = Timestamp::from_unix_ms(at * 1000).unwrap().to_sortable().replacen('T', " ", 1);
        let minute: String = time.chars().take(16).collect();
        let [event, status, currency, payout_currency, marked, waiting] = &key[..] else { unreachable!() };
        let currencies =
            if currency == payout_currency { currency.clone() } else { format!("{currency}/{payout_currency}") };
        let more = [("marked", marked), ("waits:", waiting)].map(|(name, value)| match value.as_str() {
            "" => String::new(),
            "marked" => format!(" {name}"),
            value => format!(" {name}{value}"),
        });
        let numbers = [&sums[..1], &sums[2..]].concat();
        let numbers = numbers.iter().map(i128::to_string).collect::<Vec<_>>().join(" ");
        format!("{minute} {event} {status} {currencies}{} {numbers}", more.concat())
    };
    quarters.iter().map(show).collect()
}

/// A conversion as it counts.
struct Counted {
    at_s: i64,
    event: String,
    status: String,
    is_duplicate: bool,
    is_first_deposit: bool,
    sale: CountedMoney,
    payout: CountedMoney,
}

struct CountedMoney {
    own: Option<i128>,
    dollars: Option<i128>,
    currency: String,
}

impl Counted {
    fn of(row: &[String]) -> Counted {
        let statement = |cells: &[String]| {
            let amount = |cell: &String| cell.parse().ok();
            // What a return counts for has no other dollars than its own; a currency without an amount is that of an earlier one.
            let dollars = if cells[0].is_empty() { &cells[2..5] } else { &cells[2..3] };
            let currencies = if cells[1].is_empty() { &cells[5..6] } else { &cells[5..7] };
            CountedMoney {
                own: cells[..2].iter().find_map(amount),
                dollars: dollars.iter().find_map(amount),
                currency: currencies.iter().find(|cell| !cell.is_empty()).cloned().unwrap_or_default(),
            }
        };
        Counted {
            at_s: row[0].parse().unwrap(),
            event: row[1].clone(),
            status: row[2].clone(),
            is_duplicate: !row[3].is_empty(),
            is_first_deposit: row[4] == "first",
            sale: statement(&row[5..12]),
            payout: statement(&row[12..19]),
        }
    }

    fn waiting(&self) -> &'static str {
        match (self.sale.waits(), self.payout.waits()) {
            (false, false) => "",
            (true, false) => "sale",
            (false, true) => "payout",
            (true, true) => "both",
        }
    }
}

impl CountedMoney {
    fn waits(&self) -> bool {
        self.own.is_some() && self.dollars.is_none() && !["", "USD"].contains(&self.currency.as_str())
    }
}

/// What statistics say of a whole day.
async fn told(db: &Fresh) -> Totals {
    let day = Span { number: 0, start: at("2025-11-21T00:00:00Z"), end: at("2025-11-22T00:00:00Z") };
    db.store.totals_of(day, &[day]).await.unwrap()
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
        assert_eq!(db.totals().await, ["2025-11-21 08:00 purchase pending /EUR waits:payout 1 0 1000000 0 0", "2025-11-21 08:00 purchase pending EUR waits:payout 1 100000000 10000000 110000000 0"]);
        let approval = "conversion_id=c1&status=Approved&payout_local=12&datetime_conversion=2025-11-20+08:14:59";
        assert_eq!(db.record(approval).await, Recorded::As(Revised));
        assert_eq!(
            db.totals().await,
            [
                "2025-11-20 00:00 purchase approved EUR waits:payout 1 100000000 12000000 110000000 0",
                "2025-11-21 08:00 purchase pending /EUR waits:payout 1 0 1000000 0 0",
            ]
        );
        // Money that goes back just adds.
        db.record("conversion_id=c3&event=refund&status=Pending&payout_local=3&conversion_currency=EUR").await;
        assert_eq!(db.totals().await[1..], ["2025-11-21 08:00 purchase pending /EUR waits:payout 1 0 1000000 0 0", "2025-11-21 08:00 refund pending /EUR waits:payout 1 0 -3000000 0 0"]);
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

    sums_of_the_largest_amounts_are_exact_at_every_step(db) {
        let most = "999999999999.999999";
        let all = |amount: &str| format!("rewars={amount}&sale_amount_local={amount}&conversion_currency=EUR");
        let payouts = async || {
            let Totals { parts, kinds, waiting } = told(&db).await;
            assert_eq!(kinds.iter().map(|kind| kind.money.reporting_payout).sum::<Decimal>(), parts[0].money.reporting_payout);
            assert_eq!(waiting[0].sale_amount, parts[0].money.reporting_payout, "the same amount, in euros");
            parts[0].money.reporting_payout.normalize().to_string()
        };
        for number in 1..=10_i64 {
            assert_eq!(db.record(&format!("conversion_id=c{number}&{}", all(most))).await, Recorded::As(Created));
            let sum = Decimal::new(999_999_999_999_999_999, 6) * Decimal::from(number);
            assert_eq!(payouts().await, sum.normalize().to_string());
        }
        assert_eq!(db.totals().await, db.recount().await);
        for number in 1..=10_i64 {
            assert_eq!(db.record(&format!("conversion_id=c{number}&{}", all("1"))).await, Recorded::As(Revised));
            let sum = Decimal::new(999_999_999_999_999_999, 6) * Decimal::from(10 - number) + Decimal::from(number);
            assert_eq!(payouts().await, sum.normalize().to_string());
        }
        assert_eq!(db.totals().await, ["2025-11-21 08:00 conversion  EUR/ waits:sale 10 10000000 0 0 10000000"]);
        // A thousand of them, fifty at once.
        for (amount, verdict, sum) in [(most, Created, "1000000000000009.999"), ("1", Revised, "1010")] {
            let records: Vec<_> = (0..1_000).map(|number| record(&format!("conversion_id=m{number}&{}", all(amount)))).collect();
            for at_once in records.chunks(50) {
                let at_once = at_once.iter().map(|record| db.store.record(record.clone()));
                for recorded in futures_util::future::join_all(at_once).await {
                    assert_eq!(recorded.unwrap(), Recorded::As(verdict));
                }
            }
            assert_eq!(payouts().await, sum);
            assert_eq!(db.totals().await, db.recount().await);
        }
        assert_eq!(db.totals().await, ["2025-11-21 08:00 conversion  EUR/ waits:sale 1010 1010000000 0 0 1010000000"]);
    }

    statistics_say_what_they_count(db) {
        for (number, query) in [
            "event=purchase&status=Approved&usd_sale_amount=100&rewars=10.000001&event_time=2025-11-21+16:05:00",
            "event=purchase&status=Pending&usd_sale_amount=30&rewars=3&event_time=2025-11-21+16:20:00",
            "event=level_5&usd_sale_amount=1&rewars=0.1&event_time=2025-11-21+16:20:00",
            "usd_sale_amount=2&rewars=0.2&event_time=2025-11-21+17:20:00",
            "event=registration&event_time=2025-11-21+17:20:00",
            "event=kyc_approved&event_time=2025-11-21+17:20:00",
            "event=lead&rewars=0.5&event_time=2025-11-21+17:20:00",
            "event=install&event_time=2025-11-21+17:20:00",
            "event=deposit&usd_sale_amount=50&event_time=2025-11-21+17:40:00",
            "event=refund&usd_sale_amount=40&rewars=4&event_time=2025-11-21+17:40:00",
            "event=refund&status=Pending&usd_sale_amount=5&rewars=0.5&event_time=2025-11-21+18:05:00",
            "event=chargeback&usd_sale_amount=7&rewars=0.000002&event_time=2025-11-21+18:05:00",
            "event=purchase&status=Rejected&usd_sale_amount=1000&rewars=100&event_time=2025-11-21+16:20:00",
            "event=refund&status=Rejected&usd_sale_amount=1000&rewars=100&event_time=2025-11-21+16:20:00",
        ].iter().enumerate() {
            db.record(&format!("conversion_id=c{number}&{query}")).await;
        }
        // From hours alone, and from quarters and hours.
        for (start, end) in [("2025-11-21T08:00:00Z", "2025-11-21T11:00:00Z"), ("2025-11-21T07:45:00Z", "2025-11-21T10:15:00Z")] {
            let span = Span { number: 0, start: at(start), end: at(end) };
            let found = db.store.totals_of(span, &[span]).await.unwrap();
            let Total { counts, money, .. } = &found.parts[0];
            let expected = Counts {
                conversions: 9, sales: 4, registrations: 1, deposits: 1, refunds: 2, chargebacks: 1, rejected: 2, ..Counts::default()
            };
            assert_eq!(*counts, expected, "{start}");
            let sale_amounts = [money.gross_sale_amount().unwrap(), money.returned_sale_amount, money.reporting_sale_amount, money.pending_sale_amount];
            assert_eq!(sale_amounts.map(|sum| sum.normalize().to_string()), ["183", "-52", "131", "25"], "{start}");
            let payouts = [money.gross_payout().unwrap(), money.returned_payout, money.reporting_payout, money.pending_payout];
            assert_eq!(payouts.map(|sum| sum.normalize().to_string()), ["13.800001", "-4.500002", "9.299999", "2.5"], "{start}");
        }
        assert_eq!(db.totals().await, db.recount().await);
    }

    what_waits_for_rates_is_said_by_currency(db) {
        db.record("conversion_id=c1&sale_amount_local=100&payout_local=10&conversion_currency=EUR").await;
        db.record("conversion_id=c2&sale_amount_local=7&conversion_currency=EUR").await;
        // Now its payout is in another currency than its sale.
        db.record("conversion_id=c2&payout_local=84&conversion_currency=MYR").await;
        // Neither of these waits: in dollars, in no currency, rejected.
        db.record("conversion_id=c3&sale_amount_local=1&payout_local=1&conversion_currency=USD").await;
        db.record("conversion_id=c4&rewars=5").await;
        db.record("conversion_id=c5&status=Rejected&payout_local=1000&conversion_currency=EUR").await;
        db.record("conversion_id=c6&event=refund&payout_local=2&conversion_currency=MYR").await;
        let told_of = async || {
            let Totals { parts, waiting, .. } = told(&db).await;
            assert_eq!(db.store.waiting_for_rates().await.unwrap(), parts[0].counts.waiting_for_rates);
            let waiting: Vec<_> = waiting.iter().map(|waiting| {
                let [sale_amount, payout] = [waiting.sale_amount, waiting.payout].map(|sum| sum.normalize());
                format!("{} {} {sale_amount} {payout}", waiting.currency, waiting.conversions)
            }).collect();
            (parts[0].counts.waiting_for_rates, waiting.join(", "))
        };
        assert_eq!(told_of().await, (3, "EUR 2 107 10, MYR 2 0 82".to_owned()));
        let kinds = told(&db).await.kinds;
        let of_kinds: Vec<_> = kinds.iter().map(|kind| {
            format!("{} {} {}/{} {} {}", kind.of.event, kind.of.status, kind.of.currency, kind.of.payout_currency, kind.conversions, kind.waiting_for_rates)
        }).collect();
        assert_eq!(of_kinds, [
            "conversion  / 1 0", "conversion  EUR/EUR 1 1", "conversion  EUR/MYR 1 1", "conversion  USD/USD 1 0",
            "conversion rejected /EUR 1 1", "refund  /MYR 1 1",
        ]);
        // Dollars that the sender states itself.
        db.record("conversion_id=c1&sale_amount_local=100&payout_local=10&usd_sale_amount=110&conversion_currency=EUR").await;
        assert_eq!(told_of().await, (3, "EUR 2 7 10, MYR 2 0 82".to_owned()));
        db.record("conversion_id=c1&sale_amount_local=100&payout_local=10&usd_sale_amount=110&usd_payout=11&conversion_currency=EUR").await;
        db.record("conversion_id=c2&status=Rejected").await;
        db.record("conversion_id=c6&event=refund&status=Rejected").await;
        assert_eq!(told_of().await, (0, String::new()));
        assert_eq!(db.totals().await, db.recount().await);
    }

    a_return_counts_for_what_it_was_evaluated_to(db) {
        db.record("conversion_id=c1&event=refund&sale_amount_local=50&usd_sale_amount=58&payout_local=5&conversion_currency=EUR").await;
        let (micros, times) = match db.store.database() {
            Database::Postgres(_) => ("", 1),
            Database::Sqlite(_) | Database::D1(_) => ("_micros", 1_000_000),
        };
        let evaluated = format!(
            "update conversions set counted_sale_amount{micros} = -{}, counted_payout{micros} = -{}, counted_currency = 'MYR',
                counted_payout_currency = 'EUR', counted_usd_sale_amount{micros} = -{}",
            35 * times, 4 * times, 9 * times
        );
        db.execute(&evaluated).await;
        for table in [QUARTERS, HOURS, DAYS] {
            db.execute(&format!("delete from {}", table.name)).await;
        }
        // A revision takes out what counted until then, and puts in what counts now.
        let [before, hours_before] = [db.kinds_of_conversions().await, db.hours_of_conversions().await];
        assert_eq!(shown(&before), ["2025-11-21 08:00 refund  MYR/EUR waits:payout 1 -35000000 -4000000 -9000000 0"]);
        db.record("conversion_id=c1&event=refund&status=Approved").await;
        let mut sums = [db.stored(QUARTERS).await, db.stored(HOURS).await];
        for (sums, before) in sums.iter_mut().zip([before, hours_before]) {
            before.into_iter().for_each(|((at, key), out)| add(sums, at, key, out));
        }
        let [quarters, hours] = sums.map(without_nothing);
        assert_eq!(quarters, db.kinds_of_conversions().await);
        assert_eq!(hours, db.hours_of_conversions().await);
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
            let now = at(&format!("2025-11-21T{time}Z"));
            let receipt = Receipt { received_at: now, ..record.receipt.clone() };
            db.store.record(Record { receipt, now, ..record }).await.unwrap();
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
    // On a busy machine those that are to share a transaction may not come together: then it is tried again.
    for attempt in 1.. {
        db.clear().await;
        tokio::join!(origin(db.store.clone(), "forward", 0, [1, 2]), origin(other.clone(), "backward", 4, [2, 1]));
        assert_eq!(db.totals().await, db.recount().await);
        // Those that share a transaction, the second of each origin; the first one's hours are later.
        let slots = "select cast(count(distinct slot) as text) from totals where period_start < '2025-11-19 20:00+00'";
        if db.one(slots).await == "1" {
            break;
        }
        assert!(attempt < 20, "they never share the rows of one slot");
    }
}
