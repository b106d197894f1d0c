//! How postbacks have been arriving (R58): the same answers from every kind of database.

use crate::{at, received};
use bytec_origin::store::reader::Span;
use bytec_origin::watch::{Watched, watch};
use postback::time::Timestamp;

fn hours_later(instant: Timestamp, hours: i64) -> Timestamp {
    Timestamp::from_unix_ms(instant.unix_ms() + hours * 3_600_000).unwrap()
}

contract! {
    arrivals_tell_how_late_events_come(db) {
        let now = at("2025-11-21T12:00:00Z");
        assert_eq!(watch(&db.store, now).await.unwrap(), Watched::default(), "nobody has sent anything");
        // About what happened at a time of Singapore's, received at one of UTC's.
        for (query, received_at) in [
            // Longer ago than is looked at.
            ("conversion_id=old&event_time=2025-11-01+08:00:00", "2025-11-01T00:00:05Z"),
            ("conversion_id=a&event_time=2025-11-21+08:00:00", "2025-11-21T00:00:30Z"),
            ("conversion_id=b&event_time=2025-11-21+18:00:00", "2025-11-21T02:00:00Z"),
            // It does not say when it happened.
            ("conversion_id=c", "2025-11-21T03:00:00Z"),
            // A repeat comes when it comes.
            ("conversion_id=a&event_time=2025-11-21+08:00:00", "2025-11-21T09:00:00Z"),
        ] {
            db.store.record(received(query, at(received_at))).await.unwrap();
        }
        let arrivals = db.store.arrivals(now).await.unwrap();
        assert_eq!(arrivals.last_s, Some(at("2025-11-21T09:00:00Z").unix_s()));
        assert_eq!(arrivals.delays_s, [-8 * 3600, 30], "the newest first");
        let span = |number, start, end| Span { number, start: at(start), end: at(end) };
        let spans = [
            span(1, "2025-11-21T02:00:00Z", "2025-11-21T02:30:00Z"),
            span(2, "2025-11-21T01:00:00Z", "2025-11-21T02:00:00Z"),
            span(3, "2025-11-01T00:00:00Z", "2025-11-02T00:00:00Z"),
        ];
        assert_eq!(db.store.spans_with_arrivals(&spans).await.unwrap().into_iter().collect::<Vec<_>>(), [1, 3]);
        assert!(db.store.spans_with_arrivals(&[]).await.unwrap().is_empty());
    }

    a_sender_that_says_no_times_has_no_more_read_than_others(db) {
        // One that says when it happened, and a great many behind it that do not.
        db.store.record(received("conversion_id=a&event_time=2025-11-21+08:00:00", at("2025-11-21T00:00:30Z"))).await.unwrap();
        db.store.record(received("conversion_id=b", at("2025-11-21T03:00:00Z"))).await.unwrap();
        let now = at("2025-11-21T12:00:00Z");
        assert_eq!(db.store.arrivals(now).await.unwrap().delays_s, [30]);
        const COLUMNS: &str = "receipt_id, event_id, verdict, request_id, received_at, auth_mode, key_id, client_ip, method, target, headers,
            content_type, body, content, ignored, warnings";
        db.execute(&format!(
            "insert into postbacks ({COLUMNS})
             with recursive numbers(n) as (select 1 union all select n + 1 from numbers where n < 1000)
             select {COLUMNS} from postbacks cross join numbers where received_at > '2025-11-21T02:00:00Z'"
        )).await;
        assert!(db.store.arrivals(now).await.unwrap().delays_s.is_empty(), "a thousand are looked at");
    }

    a_sender_in_the_wrong_zone_and_one_that_fell_silent_are_told(db) {
        // A week of one an hour, each about something eight hours before: Singapore's time, sent as if it were UTC.
        let first = at("2025-11-10T00:00:30Z");
        for hour in 0..(8 * 24) {
            let happened = hours_later(first, hour).to_chrono().format("%Y-%m-%d %H:%M:%S").to_string();
            let query = format!("conversion_id=h{hour}&event_time={}", happened.replace(' ', "+"));
            db.store.record(received(&query, hours_later(first, hour))).await.unwrap();
        }
        let last = hours_later(first, 8 * 24 - 1);
        let watched = async |hours: i64| watch(&db.store, hours_later(last, hours)).await.unwrap();
        let an_hour_later = watched(1).await;
        assert_eq!(an_hour_later.last_s, Some(last.unix_s()));
        assert_eq!(an_hour_later.clock_offset_s, 8 * 3600);
        assert!(!an_hour_later.is_silent, "one an hour may well not come for an hour");
        assert!(watched(8).await.is_silent, "but not for eight");
        assert!(!watched(24 * 20).await.is_silent, "it has ended");
    }
}
