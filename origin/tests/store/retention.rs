//! What is dropped after its days (R59), and what stays.

use crate::{FIRST, Fresh, at, fresh, received};
use bytec_origin::store::{Database, Recorded};
use postback::verdict::Verdict::{Created, Duplicate};

impl Fresh {
    async fn record_on(&self, day: &str, query: &str) -> Recorded {
        self.store.record(received(query, at(day))).await.unwrap()
    }

    async fn partitions(&self) -> Vec<String> {
        self.column("select relname::text from pg_inherits join pg_class on oid = inhrelid where inhparent = 'postbacks'::regclass order by 1")
            .await
    }
}

contract! {
    requests_are_dropped_when_they_are_too_old_and_nothing_else_is(db) {
        db.store.make_ready(at("2025-09-10T00:00:00Z")).await.unwrap();
        assert_eq!(db.record_on("2025-08-31T23:59:59Z", FIRST).await, Recorded::As(Created));
        assert_eq!(db.record_on("2025-10-01T00:00:00Z", "conversion_id=c2").await, Recorded::As(Created));
        db.store.drop_postbacks(at("2025-10-01T00:00:00Z")).await.unwrap();
        assert_eq!(db.column("select target from postbacks").await, ["/involve/event?conversion_id=c2"]);
        assert_eq!(db.rows().await[..3], ["2", "2", "2"], "events, conversions and their history stay");
        assert_eq!(db.record(FIRST).await, Recorded::As(Duplicate), "and so does what makes a repeat harmless");
        assert_eq!(db.store.drop_postbacks(at("2025-10-01T00:00:00Z")).await.unwrap(), 0);
    }
}

mod of_clicks {
    use super::*;
    use crate::processing::Processing;
    use crate::{batch, click, nonce, record};
    use bytec_origin::processing::again;
    use postback::click::Click;

    const JUDGED: &str = "select conversion_key || ' ' || attribution || ' ' || coalesce(consent, '-') || ' ' ||
        replace(cast(findings as text), ' ', '') from conversions order by conversion_key";
    const CLICKS: &str = "select cast(count(*) as text) from clicks";

    fn made_on(number: u16, time: &str) -> Click {
        Click { clicked_at: at(time), ..click(number) }
    }

    contract! {
        clicks_are_dropped_when_they_are_too_old_and_what_was_attributed_stays_so(db) {
            let processing = Processing::new();
            let clicks = [(1, "2025-11-01T00:00:00Z"), (2, "2025-10-01T00:00:00Z"), (3, "2025-11-02T00:00:00Z")].map(|(n, time)| made_on(n, time));
            db.store.record_clicks(&batch(clicks.to_vec(), nonce())).await.unwrap();
            // In the window, out of it, of another consent, of a click that stays, and of one that was never known.
            for (id, query) in [
                ("c1", format!("click_id={}", clicks[0].click_id)),
                ("c2", format!("click_id={}", clicks[1].click_id)),
                ("c3", format!("click_id={}&consent_version=9", clicks[0].click_id)),
                ("c4", format!("click_id={}", clicks[2].click_id)),
                ("c5", "click_id=unknown".to_owned()),
            ] {
                db.record(&format!("conversion_id={id}&event_time=2025-11-20+12:00:00&{query}")).await;
            }
            let judged = db.processed(&processing, JUDGED).await;
            assert_eq!(judged, [
                "c1 clicked 2 []",
                "c2 clicked 2 [\"click_too_old\"]",
                "c3 clicked 9 [\"consent_differs\"]",
                "c4 clicked 2 []",
                "c5 unknown_click - [\"consent_missing\",\"unknown_click\"]",
            ]);
            // One that has not been judged when its click goes.
            db.record(&format!("conversion_id=c0&event_time=2025-11-20+12:00:00&click_id={}", clicks[0].click_id)).await;
            assert_eq!(db.store.drop_clicks(at("2025-11-02T00:00:00Z")).await.unwrap(), 2);
            assert_eq!(db.store.drop_clicks(at("2025-11-02T00:00:00Z")).await.unwrap(), 0);
            assert_eq!(db.one(CLICKS).await, "1");
            let after = db.processed(&processing, JUDGED).await;
            assert_eq!((after[0].as_str(), &after[1..]), ("c0 clicked 2 []", &judged[..]));
            // All of it judged again, and by a window that was another then.
            let compared = async |processing: &Processing| {
                let differs = async |changed| again::put_back(&db.store, changed, crate::processing::now()).await;
                again::compare(&processing.shared, &processing.partner, &db.store, crate::processing::now(), |_| {}, differs).await.unwrap()
            };
            assert_eq!(compared(&processing).await.changed, 0);
            let partner = postback::partner::Partner { attribution_window_days: Some(60), ..processing.partner.clone() };
            let other = Processing { partner, ..processing };
            assert_eq!(compared(&other).await.changed, 1);
            assert_eq!(db.processed(&other, JUDGED).await[2], "c2 clicked 2 []");
            // A notice that names the same click, and one that names another.
            db.record(&format!("conversion_id=c1&status=Approved&click_id={}", clicks[0].click_id)).await;
            db.record("conversion_id=c3&status=Approved&click_id=another").await;
            let after = db.processed(&other, JUDGED).await;
            assert_eq!((after[1].as_str(), after[3].as_str()), ("c1 clicked 2 []", "c3 unknown_click 9 [\"unknown_click\"]"));
        }

        clicks_are_dropped_in_portions_while_postbacks_come(db) {
            let processing = Processing::new();
            let old: Vec<_> = (0..1200).map(|number| made_on(number, "2025-08-01T00:00:00Z")).collect();
            for some in old.chunks(100) {
                db.store.record_clicks(&batch(some.to_vec(), nonce())).await.unwrap();
            }
            let coming = async {
                for (number, click) in old.iter().enumerate().step_by(30) {
                    let query = format!("conversion_id=c{number}&event_time=2025-08-02+12:00:00&click_id={}", click.click_id);
                    db.store.record(record(&query)).await.unwrap();
                }
            };
            let dropping = async { db.store.drop_clicks(at("2025-09-01T00:00:00Z")).await.unwrap() };
            let judging = async { processing.all(&db.store).await };
            let ((), dropped, ()) = tokio::join!(coming, dropping, judging);
            assert_eq!((dropped, db.one(CLICKS).await), (1200, "0".to_owned()));
            processing.all(&db.store).await;
            assert_eq!(db.one("select cast(count(*) as text) from conversions where is_processed").await, "40");
            // Whose click was there when it came has it for good.
            let kept = "select cast(count(*) as text) from conversions
                where (attribution = 'clicked') <> coalesce(dropped_click_id = click_id, false)";
            assert_eq!(db.one(kept).await, "0");
            db.assert_totals_are_a_recount().await;
        }
    }
}

#[tokio::test]
async fn sqlite_drops_more_than_one_portion() {
    let db = fresh("sqlite").await;
    db.record_on("2025-08-31T23:59:59Z", FIRST).await;
    db.execute(
        "insert into postbacks (event_id, verdict, request_id, received_at, auth_mode, method, target, headers, content, ignored, warnings)
         with recursive number(n) as (select 1 union all select n + 1 from number where n < 1200)
         select event_id, verdict, request_id, received_at, auth_mode, method, target, headers, content, ignored, warnings
         from postbacks, number",
    )
    .await;
    assert_eq!(db.store.drop_postbacks(at("2025-09-01T00:00:00Z")).await.unwrap(), 1201);
}

#[tokio::test]
async fn postgres_has_a_partition_for_each_month_around_now() {
    let db = fresh("postgres").await;
    assert_eq!(db.partitions().await, ["postbacks_default"]);
    for _ in 0..2 {
        db.store.make_ready(at("2025-12-31T23:59:59Z")).await.unwrap();
        let months =
            ["postbacks_2025_11", "postbacks_2025_12", "postbacks_2026_01", "postbacks_2026_02", "postbacks_default"];
        assert_eq!(db.partitions().await, months);
    }
    db.store.drop_postbacks(at("2026-01-31T23:59:59Z")).await.unwrap();
    assert_eq!(db.partitions().await, ["postbacks_2026_01", "postbacks_2026_02", "postbacks_default"]);
}

#[tokio::test]
async fn postgres_takes_what_comes_before_its_month_has_a_partition() {
    let db = fresh("postgres").await;
    assert_eq!(db.record_on("2025-11-30T23:59:59.999999Z", FIRST).await, Recorded::As(Created));
    assert_eq!(db.record_on("2025-12-01T00:00:00Z", "conversion_id=c2").await, Recorded::As(Created));
    assert_eq!(db.one("select cast(count(*) as text) from postbacks_default").await, "2");
    db.store.make_ready(at("2025-10-05T00:00:00Z")).await.unwrap();
    assert_eq!(db.one("select target from postbacks_2025_12").await, "/involve/event?conversion_id=c2");
    assert_eq!(db.one("select cast(count(*) as text) from postbacks_default").await, "0");
    assert_eq!(db.one("select cast(count(distinct postback_id) as text) from postbacks").await, "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_makes_partitions_while_postbacks_come() {
    let db = fresh("postgres").await;
    let months: Vec<_> = (1..=12).map(|month| at(&format!("2025-{month:02}-15T00:00:00Z"))).collect();
    let coming = (0..40).map(async |round| {
        for number in 0..25 {
            let query = format!("conversion_id=r{round}n{number}");
            let day = format!("2025-{:02}-21T08:00:00Z", 1 + (round + number) % 12);
            assert_eq!(db.record_on(&day, &query).await, Recorded::As(Created));
        }
    });
    let making = async {
        for now in months {
            db.store.make_ready(now).await.unwrap();
        }
    };
    tokio::join!(futures_util::future::join_all(coming), making);
    assert_eq!(db.one("select cast(count(*) as text) from postbacks").await, "1000");
    assert_eq!(db.one("select cast(count(*) as text) from postbacks_default").await, "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_makes_partitions_once_where_several_origins_do() {
    let db = fresh("postgres").await;
    db.record_on("2025-11-30T00:00:00Z", FIRST).await;
    let now = at("2025-11-21T00:00:00Z");
    let made = futures_util::future::join_all((0..8).map(|_| db.store.make_ready(now))).await;
    assert!(made.iter().all(Result::is_ok), "{made:?}");
    assert_eq!(db.partitions().await.len(), 5);
    assert_eq!(db.one("select cast(count(*) as text) from postbacks_2025_11").await, "1");
    let Database::Postgres(_) = db.store.database() else { unreachable!("asked for PostgreSQL") };
}
