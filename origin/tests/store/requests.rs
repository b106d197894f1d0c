//! Requests and rejected requests by the page: the same from every kind of database.

use crate::{Fresh, at, received, record, rejection};
use bytec_origin::reports::{RejectionsQuestion, RequestsQuestion, rejections, requests};
use bytec_origin::store::{Receipt, Recorded, Rejected};
use postback::verdict::Verdict::{Conflict, Created, Duplicate, Revised};
use serde_json::{Value, json};

impl Fresh {
    async fn requests(&self, query: &str) -> Value {
        let question = RequestsQuestion::read(query, None).unwrap();
        serde_json::from_str(&requests("involve_asia", &self.store, &question).await.unwrap().body).unwrap()
    }

    async fn rejected_requests(&self, query: &str) -> Value {
        let question = RejectionsQuestion::read(query, None).unwrap();
        serde_json::from_str(&rejections("involve_asia", &self.store, &question).await.unwrap().body).unwrap()
    }

    /// Four requests of each verdict, in pairs of one instant.
    async fn sent(&self) {
        for (second, query, expected) in [
            (1, "conversion_id=c1&event_id=e1&order_id=o1&click_id=k1&account_id=a1&rewars=1", Created),
            (1, "conversion_id=c1&event_id=e1&order_id=o1&click_id=k1&account_id=a1&rewars=1", Duplicate),
            (2, "conversion_id=c1&event_id=e1&rewars=2", Conflict),
            (2, "conversion_id=c1&event_id=e2&rewars=3", Revised),
            (3, "conversion_id=c2&event_id=e3&order_id=o2&rewars=4&unknown=%3D1", Created),
        ] {
            let record = received(query, at(&format!("2025-11-21T08:00:0{second}Z")));
            assert_eq!(self.store.record(record).await.unwrap(), Recorded::As(expected), "{query}");
        }
    }

    async fn reject_one(&self, number: u32, set: &str) {
        let receipt = Receipt {
            received_at: at(&format!("2025-11-21T08:00:0{}Z", number / 2)),
            target: format!("/involve/event?number={number}"),
            ..record("conversion_id=r").receipt
        };
        let request_id = receipt.request_id.clone();
        let code = ["invalid_amount", "invalid_time"][usize::from(number % 2 == 1)].to_owned();
        let rejected = Rejected { code, ..rejection(receipt, Some("=rewars")) };
        self.store.reject(rejected).await.unwrap();
        self.execute(&format!("update rejections set {set} where request_id = '{request_id}'")).await;
    }
}

fn of(list: &Value, names: &[&str]) -> Vec<String> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    list.as_array()
        .unwrap()
        .iter()
        .map(|row| names.iter().map(|name| text(&row[name])).collect::<Vec<_>>().join(" "))
        .collect()
}

contract! {
    requests_are_listed_the_latest_first_and_by_what_they_are_about(db) {
        db.sent().await;
        let all = db.requests("").await;
        assert_eq!(of(&all["postbacks"], &["verdict", "event_id", "conversion_id", "received_at", "via"]), [
            "created e3 c2 2025-11-21T08:00:03+00:00 direct",
            "revised e2 c1 2025-11-21T08:00:02+00:00 direct",
            "conflict e1 c1 2025-11-21T08:00:02+00:00 direct",
            "duplicate e1 c1 2025-11-21T08:00:01+00:00 direct",
            "created e1 c1 2025-11-21T08:00:01+00:00 direct",
        ]);
        assert_eq!(of(&all["postbacks"], &["warnings", "ignored"])[0], r#"[] ["unknown"]"#);
        let first = all["postbacks"][0]["request_id"].as_str().unwrap().to_owned();
        for (query, expected) in [
            ("verdict=created", vec!["created e3", "created e1"]),
            ("verdict=duplicate", vec!["duplicate e1"]),
            ("verdict=revised", vec!["revised e2"]),
            ("verdict=conflict", vec!["conflict e1"]),
            ("event_id=e1", vec!["conflict e1", "duplicate e1", "created e1"]),
            ("event_id=e1&verdict=conflict", vec!["conflict e1"]),
            ("conversion_id=c1", vec!["revised e2", "conflict e1", "duplicate e1", "created e1"]),
            ("order_id=o1&event_id=e2", vec!["revised e2"]),
            ("order_id=o2&event_id=e2", vec![]),
            ("order_id=o2", vec!["created e3"]),
            ("click_id=k1&verdict=revised", vec!["revised e2"]),
            ("account_id=a1&limit=1", vec!["revised e2"]),
            ("account_id=a2", vec![]),
            (&format!("request_id={first}"), vec!["created e3"]),
            (&format!("request_id={first}&event_id=e1"), vec![]),
            ("from=2025-11-21T08:00:02Z&to=2025-11-21T08:00:03Z", vec!["revised e2", "conflict e1"]),
            ("from=2025-11-22&tz=Asia/Kuala_Lumpur", vec![]),
        ] {
            assert_eq!(of(&db.requests(query).await["postbacks"], &["verdict", "event_id"]), expected, "{query}");
        }
        // Erased, nobody knows how it came.
        db.execute("update postbacks set headers = '{}' where event_id = 'e3'").await;
        db.execute("update postbacks set headers = '{\"signature-input\": \"x\"}' where event_id = 'e2'").await;
        assert_eq!(of(&db.requests("limit=2").await["postbacks"], &["via"]), ["null", "edge"]);
    }

    pages_of_requests_join_without_a_gap_while_others_come(db) {
        db.sent().await;
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = db.requests(&format!("limit=2&tz=Asia/Kuala_Lumpur&cursor={cursor}")).await;
            seen.extend(of(&page["postbacks"], &["verdict", "event_id"]));
            assert_eq!(page["time_zone"], "Asia/Kuala_Lumpur");
            let Some(next) = page["next_cursor"].as_str() else { break };
            cursor = next.to_owned();
            db.record(&format!("conversion_id=later{}", seen.len())).await;
            let late = received(&format!("conversion_id=new{}", seen.len()), at("2025-11-21T09:00:00Z"));
            db.store.record(late).await.unwrap();
        }
        assert!(["created e3", "revised e2", "conflict e1", "duplicate e1", "created e1"].iter().zip(&seen).all(|(expected, seen)| expected == seen), "{seen:?}");
    }

    rejected_requests_are_listed_the_latest_first_and_by_what_they_name(db) {
        for (number, set) in (0..).zip([
            "event_id = 'e0', conversion_id = 'c0', order_id = 'o0', click_id = 'k0', account_id = 'a0', status = 400, rules = 'v1'",
            "via = 'edge', conversion_id = 'c0'",
            "via = 'edge', is_authenticated = false, status = 401",
            "conversion_id = 'c3'",
        ]) {
            db.reject_one(number, set).await;
        }
        let all = db.rejected_requests("").await;
        assert_eq!(of(&all["rejections"], &["code", "via", "is_authenticated", "status", "rules", "conversion_id", "target"]), [
            "invalid_time direct true 400 0123456789abcdef c3 /involve/event?number=3",
            "invalid_amount edge false 401 0123456789abcdef null /involve/event?number=2",
            "invalid_time edge true 400 0123456789abcdef c0 /involve/event?number=1",
            "invalid_amount direct true 400 v1 c0 /involve/event?number=0",
        ]);
        let first = all["rejections"][0]["request_id"].as_str().unwrap().to_owned();
        for (query, expected) in [
            ("code=invalid_time", vec![3, 1]),
            ("code=other", vec![]),
            ("via=edge", vec![2, 1]),
            ("via=direct&code=invalid_amount", vec![0]),
            ("authenticated=false", vec![2]),
            ("authenticated=true", vec![3, 1, 0]),
            ("conversion_id=c0", vec![1, 0]),
            ("conversion_id=c0&via=edge", vec![1]),
            ("event_id=e0", vec![0]),
            ("order_id=o0", vec![0]),
            ("click_id=k0&account_id=a0", vec![0]),
            ("click_id=k0&account_id=a1", vec![]),
            (&format!("request_id={first}"), vec![3]),
            ("from=2025-11-21T08:00:01Z", vec![3, 2]),
            ("to=2025-11-21T08:00:01Z", vec![1, 0]),
        ] {
            let expected: Vec<_> = expected.iter().map(|number: &u32| format!("/involve/event?number={number}")).collect();
            assert_eq!(of(&db.rejected_requests(query).await["rejections"], &["target"]), expected, "{query}");
        }
        let page = db.rejected_requests("limit=3").await;
        let rest = db.rejected_requests(&format!("limit=3&cursor={}", page["next_cursor"].as_str().unwrap())).await;
        assert_eq!((of(&rest["rejections"], &["target"]), &rest["next_cursor"]), (vec!["/involve/event?number=0".to_owned()], &json!(null)));
    }

    tables_of_requests_hold_no_formula(db) {
        db.reject_one(0, "click_id = '=cmd|1', order_id = '+1+1', account_id = '@a', conversion_id = '-2+3'").await;
        let question = RejectionsQuestion::read("format=csv", None).unwrap();
        let answer = rejections("involve_asia", &db.store, &question).await.unwrap();
        assert_eq!(answer.content_type, "text/csv; charset=utf-8");
        let row = answer.body.lines().nth(1).unwrap();
        assert!(row.contains(",'=rewars,") && row.contains(",'-2+3,'+1+1,'=cmd|1,'@a,"), "{row}");
        db.sent().await;
        db.execute("update postbacks set target = '=1+1' where event_id = 'e3'").await;
        let question = RequestsQuestion::read("format=csv&limit=1", None).unwrap();
        let answer = requests("involve_asia", &db.store, &question).await.unwrap();
        assert!(answer.next_cursor.is_some() && answer.body.lines().nth(1).unwrap().contains(",'=1+1,"), "{}", answer.body);
    }
}
