//! Reading what was stored (R42): the same answers from every kind of database.

use crate::at;
use bytec_origin::store::reader::{Filter, Page, Position, Span, Totals};
use postback::time::Timestamp;

contract! {
    totals_are_summed_by_spans(db) {
        for (id, time, amount) in [("c1", "2025-11-20+10:00:00", "10.50"), ("c2", "2025-11-20+10:20:00", "0.000001"), ("c3", "2025-11-21+10:00:00", "7")] {
            db.record(&format!("conversion_id={id}&rewars={amount}&event_time={time}&status=Approved")).await;
        }
        db.record("conversion_id=c1&rewars=999999999999.999999&event_time=2025-11-20+10:00:00").await;
        let span = |number, start, end| Span { number, start: at(start), end: at(end) };
        let spans = [
            span(0, "2025-11-20T02:00:00Z", "2025-11-20T02:15:00Z"),
            span(1, "2025-11-20T02:15:00Z", "2025-11-21T00:00:00Z"),
            span(2, "2025-11-21T00:00:00Z", "2025-11-22T00:00:00Z"),
            span(3, "2025-11-22T00:00:00Z", "2025-11-23T00:00:00Z"),
        ];
        for (id, status) in [("c4", "Rejected"), ("c5", "Pending")] {
            db.record(&format!("conversion_id={id}&rewars=100&event_time=2025-11-21+08:20:00&status={status}")).await;
        }
        let whole = span(0, "2025-11-20T02:00:00Z", "2025-11-23T00:00:00Z");
        let found = db.store.totals_of(whole, &spans).await.unwrap();
        let parts: Vec<_> = found.parts.iter().map(|part| {
            format!("{} {} {} {}", part.span, part.counts.conversions, part.counts.rejected, part.money.reporting_payout.normalize())
        }).collect();
        assert_eq!(parts, ["0 1 0 999999999999.999999", "1 1 0 0.000001", "2 2 1 107"]);
        let kinds: Vec<_> = found.kinds.iter().map(|kind| {
            format!("{} {} {} {}", kind.of.event, kind.of.status, kind.conversions, kind.money.reporting_payout.normalize())
        }).collect();
        assert_eq!(kinds, ["conversion approved 3 1000000000007", "conversion pending 1 100", "conversion rejected 1 100"]);
        let nothing = span(0, "2025-11-25T00:00:00Z", "2025-11-26T00:00:00Z");
        assert_eq!(db.store.totals_of(nothing, &[nothing]).await.unwrap(), Totals::default());
        // More than an integer of micro-units holds, in quarters of an hour apart.
        for hour in 0..12 {
            db.record(&format!("conversion_id=m{hour}&rewars=999999999999.999999&event_time=2025-11-19+{hour:02}:00:00")).await;
        }
        let day = span(0, "2025-11-18T00:00:00Z", "2025-11-20T00:00:00Z");
        let most = db.store.totals_of(day, &[day]).await.unwrap();
        assert_eq!(most.parts[0].money.reporting_payout.normalize().to_string(), "11999999999999.999988");
        assert_eq!(most.kinds[0].money.reporting_payout, most.parts[0].money.reporting_payout);
    }

    spans_are_summed_from_hours_and_days_and_the_quarters_around_them(db) {
        // One every seven minutes for two days and a half, each worth another amount.
        for number in 0..520_i64 {
            let minute = number * 7;
            let time = format!("2025-11-{:02}+{:02}:{:02}:30", 19 + minute / 1440, minute / 60 % 24, minute % 60);
            db.record(&format!("conversion_id=c{number}&rewars={}&event_time={time}", 1 + number)).await;
        }
        let quarter = |number: i64| Timestamp::from_unix_ms(at("2025-11-18T16:00:00Z").unix_ms() + number * 900_000).unwrap();
        let happened_in = |start: i64, end: i64| {
            let happened = |number: &i64| (start * 900..end * 900).contains(&(number * 420 + 30));
            (0..520).filter(happened).map(|number| 1 + number).sum::<i64>()
        };
        // Of every length, from every quarter of an hour on.
        for start in 0..8 {
            for end in [start, start + 1, start + 2, start + 3, start + 4, start + 5, start + 9, start + 95, start + 96, start + 140, start + 200] {
                let span = Span { number: 7, start: quarter(start), end: quarter(end) };
                let found = db.store.totals_of(span, &[span]).await.unwrap();
                let all: rust_decimal::Decimal = found.parts.iter().map(|part| part.money.reporting_payout).sum();
                let kinds: rust_decimal::Decimal = found.kinds.iter().map(|kind| kind.money.reporting_payout).sum();
                let happened = happened_in(start, end).into();
                assert_eq!((all, kinds), (happened, happened), "from quarter {start} to {end}");
            }
        }
        // What is put together comes to the same, and goes on being added to.
        let all = Span { number: 0, start: quarter(0), end: quarter(1000) };
        let before = db.store.totals_of(all, &[all]).await.unwrap();
        db.store.put_totals_together(quarter(160)).await.unwrap();
        assert_eq!(db.store.totals_of(all, &[all]).await.unwrap(), before);
        assert_eq!(db.totals().await, db.recount().await);
        // 2025-11-20T08:00:00Z: one day had ended.
        for (table, began_before) in [("totals", "2025-11-20T07:45:00Z"), ("totals_by_hour", "2025-11-20T07:00:00Z"), ("totals_by_day", "2025-11-20T00:00:00Z")] {
            let apart = format!("select cast(count(*) as text) from {table} where slot <> 0 and period_start < '{began_before}'");
            assert_eq!(db.one(apart.leak()).await, "0", "{table}");
        }
        db.record("conversion_id=c1&rewars=1000&event_time=2025-11-19+00:07:30").await;
        assert_eq!(db.totals().await, db.recount().await);
        assert_eq!(db.store.put_totals_together(quarter(0)).await.unwrap(), 0, "nothing is that old");
    }

    conversions_are_found_by_many_ids_at_once(db) {
        for (id, event) in [("c1", "purchase"), ("c1", "refund"), ("c2", "purchase"), ("c3", "purchase")] {
            db.record(&format!("conversion_id={id}&event={event}&rewars=1")).await;
        }
        let ids = ["c1", "c2", "c9", "'; --"].map(str::to_owned);
        let found = db.store.conversions_named(&ids).await.unwrap().unwrap();
        let mut shown: Vec<_> = found.iter().map(|one| format!("{} {}", one.conversion_id, one.event)).collect();
        shown.sort();
        assert_eq!(shown, ["c1 purchase", "c1 refund", "c2 purchase"]);
        assert_eq!(db.store.conversions_named(&[]).await.unwrap(), Some(Vec::new()));
    }

    pages_are_filtered_and_follow_each_other(db) {
        for number in 0..7 {
            let status = if number % 2 == 0 { "Approved" } else { "Pending" };
            // Two at each time: the key decides between them.
            db.record(&format!(
                "conversion_id=c{number}&status={status}&click_id=k{}&account_id=a&rewars=1.50&event_time=2025-11-20+1{}:00:00",
                number % 3, number / 2,
            )).await;
        }
        let page = |filter: &Filter, after: Option<Position>, limit| Page { filter: filter.clone(), after, limit };
        let asked = async |filter: Filter| {
            let (mut ids, mut after) = (Vec::new(), None);
            loop {
                let found = db.store.conversions(&page(&filter, after, 2)).await.unwrap();
                let Some(last) = found.last() else { return ids.join(" ") };
                after = Some(Position {
                    happened_at: last.happened_at,
                    conversion_key: last.conversion_key.clone(),
                    occurrence: last.occurrence,
                });
                ids.extend(found.into_iter().map(|conversion| conversion.conversion_id));
            }
        };
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(asked(Filter::default()).await, "c6 c5 c4 c3 c2 c1 c0");
        assert_eq!(asked(Filter { status: text("pending"), ..Filter::default() }).await, "c5 c3 c1");
        assert_eq!(asked(Filter { click_id: text("k1"), ..Filter::default() }).await, "c4 c1");
        assert_eq!(asked(Filter { conversion_id: text("c2"), ..Filter::default() }).await, "c2");
        assert_eq!(asked(Filter { account_id: text("b"), ..Filter::default() }).await, "");
        let from = Some(at("2025-11-20T03:00:00Z"));
        assert_eq!(asked(Filter { from, to: Some(at("2025-11-20T05:00:00Z")), ..Filter::default() }).await, "c5 c4 c3 c2");
        assert_eq!(asked(Filter { event: text("deposit"), from, ..Filter::default() }).await, "");
        let one = Filter { conversion_id: text("c0"), ..Filter::default() };
        let found = db.store.conversions(&page(&one, None, 1)).await.unwrap();
        assert_eq!(found[0].money.usd_payout.unwrap().to_string(), "1.50");
        assert_eq!((found[0].is_duplicate, found[0].is_processed, found[0].revision), (false, false, 1));
        assert_eq!(found[0].happened_at, at("2025-11-20T02:00:00Z"));
    }
}
