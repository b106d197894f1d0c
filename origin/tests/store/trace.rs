//! Everything about an id: the same story from every id that leads to it, on every kind of database.

use crate::processing::Processing;
use crate::{Fresh, again, at, batch, click, nonce, received, record, rejection};
use bytec_origin::reports::{TraceQuestion, trace_of};
use bytec_origin::store::rebuild::Growth;
use bytec_origin::store::{Receipt, Record, Recorded};
use postback::verdict::Verdict::{Created, Duplicate, Revised};
use serde_json::{Value, json};

impl Fresh {
    async fn traced(&self, id: &str) -> Value {
        let query: String = form_urlencoded::Serializer::new(String::new()).append_pair("id", id).finish();
        let question = TraceQuestion::read(&query).unwrap();
        trace_of("involve_asia", &self.store, &question).await.unwrap()
    }

    /// A request that was rejected, and the ids that it names.
    async fn rejected(&self, time: &str, ids: &[(&str, &str)]) -> String {
        let receipt = Receipt { received_at: at(time), ..record("conversion_id=r").receipt };
        let request_id = receipt.request_id.clone();
        self.store.reject(rejection(receipt, Some("rewars"))).await.unwrap();
        for (name, id) in ids {
            self.execute(&format!("update rejections set {name} = '{id}' where request_id = '{request_id}'")).await;
        }
        request_id
    }

    async fn take(&self, query: &str, time: &str, expected: Recorded) -> String {
        let record = received(query, at(time));
        let request_id = record.receipt.request_id.clone();
        assert_eq!(self.store.record(record).await.unwrap(), expected, "{query}");
        request_id
    }
}

/// What is told of each entry, without the labels of the id that was asked about.
fn told(trace: &Value) -> Vec<String> {
    let text = |entry: &Value, name: &str| {
        let value = &entry[name];
        let word = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        if value.is_null() { "-".to_owned() } else { word }
    };
    let entry = |entry: &Value| {
        let names: &[&str] = match entry["kind"].as_str().unwrap() {
            "click" => &["click_id", "offer"],
            "request" => &["request_id", "verdict", "event", "warnings", "auth_mode", "via"],
            "event" => &["request_id", "event"],
            "rejection" => &["request_id", "code", "field", "is_authenticated"],
            "revision" => &["conversion_id", "revision", "event", "deltas"],
            _ => &["conversion_id", "attribution", "deposit", "refund_of", "findings"],
        };
        let told: Vec<_> = ["at", "kind"].iter().chain(names).map(|name| text(entry, name)).collect();
        told.join(" ")
    };
    trace["timeline"].as_array().unwrap().iter().map(entry).collect()
}

fn matches(entries: &Value) -> Vec<Value> {
    entries
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["matches"].clone())
        .filter(|matches| *matches != json!([]))
        .collect()
}

contract! {
    every_id_leads_to_the_same_story(db) {
        let processing = Processing::new();
        let known = click(1);
        db.store.record_clicks(&batch(vec![known.clone()], nonce())).await.unwrap();
        let click_id = known.click_id.as_str();
        // Others of its kind, which are no part of it.
        db.take("event=purchase&conversion_id=x1&order_id=ox&account_id=ax&click_id=kx&rewars=5", "2025-11-21T08:00:01Z", Recorded::As(Created)).await;
        db.rejected("2025-11-21T08:00:01Z", &[("conversion_id", "x1")]).await;
        let sale = format!("event=purchase&event_id=e1&conversion_id=c1&order_id=o1&account_id=a1&click_id={click_id}&rewars=10.50&sale_amount_local=0.1&conversion_currency=MYR");
        let first = received(&sale, at("2025-11-21T08:00:02Z"));
        let bought = first.receipt.request_id.clone();
        assert_eq!(db.store.record(first.clone()).await.unwrap(), Recorded::As(Created));
        let approved = db.take("event=purchase&event_id=e2&conversion_id=c1&rewars=12.000001&status=Approved&sale_amount_local=0.3&conversion_currency=MYR", "2025-11-21T08:00:03Z", Recorded::As(Revised)).await;
        let repeat = again(&first);
        let receipt = Receipt { request_id: crate::request_id(), received_at: at("2025-11-21T08:00:04Z"), nonce: Some(nonce()), ..repeat.receipt.clone() };
        let repeated = receipt.request_id.clone();
        assert_eq!(db.store.record(Record { receipt, now: at("2025-11-21T08:00:04Z"), ..repeat }).await.unwrap(), Recorded::As(Duplicate));
        let refused = db.rejected("2025-11-21T08:00:05Z", &[("conversion_id", "c1")]).await;
        let refunded = db.take("event=refund&event_id=r1&conversion_id=c1&rewars=2", "2025-11-21T08:00:06Z", Recorded::As(Created)).await;
        let pending = db.traced("c1").await;
        assert_eq!(pending["conversions"][0]["is_pending"], true);
        processing.all(&db.store).await;

        let trace = db.traced("c1").await;
        let expected = [
            format!("2025-11-21T08:00:00+00:00 click {click_id} summer"),
            format!("2025-11-21T08:00:02+00:00 request {bought} created purchase [] open direct"),
            r#"2025-11-21T08:00:02+00:00 revision c1 1 purchase [{"amount":"0.10","currency":"MYR","of":"sale_amount"},{"amount":"10.50","currency":"USD","of":"usd_payout"}]"#.to_owned(),
            format!("2025-11-21T08:00:03+00:00 request {approved} revised purchase [] open direct"),
            r#"2025-11-21T08:00:03+00:00 revision c1 2 purchase [{"amount":"0.20","currency":"MYR","of":"sale_amount"},{"amount":"1.500001","currency":"USD","of":"usd_payout"}]"#.to_owned(),
            format!(r#"2025-11-21T08:00:04+00:00 request {repeated} duplicate purchase ["superseded_event"] open direct"#),
            format!("2025-11-21T08:00:05+00:00 rejection {refused} invalid_amount rewars true"),
            format!("2025-11-21T08:00:06+00:00 request {refunded} created refund [] open direct"),
            r#"2025-11-21T08:00:06+00:00 revision c1 1 refund [{"amount":"-2.00","currency":"USD","of":"usd_payout"}]"#.to_owned(),
            r#"2025-11-21T08:00:10+00:00 processing c1 clicked - - ["rate_missing"]"#.to_owned(),
            r#"2025-11-21T08:00:10+00:00 processing c1 no_click - c1 ["consent_missing","in_proportion","rate_missing"]"#.to_owned(),
        ];
        let told_of = told(&trace);
        assert_eq!(told_of.len(), expected.len(), "{told_of:#?}");
        for (told, expected) in told_of.iter().zip(&expected) {
            assert_eq!(told, expected);
        }
        assert_eq!(trace["cut"], json!([]));
        let waiting = db.store.waiting_for_rates().await.unwrap();
        assert_eq!(trace["total"], json!({"conversions": 2, "reporting_sale_amount": "0.00", "reporting_payout": "10.000001", "waiting_for_rates": waiting}));
        let [sale, refund] = [&trace["conversions"][0], &trace["conversions"][1]];
        let of = |conversion: &Value| ["event", "status", "revision", "usd_payout", "counted_payout", "reporting_payout", "is_counted", "is_pending", "refund_of"]
            .map(|name| conversion[name].clone());
        assert_eq!(of(sale), [json!("purchase"), json!("approved"), json!(2), json!("12.000001"), json!(null), json!("12.000001"), json!(true), json!(true), json!(null)]);
        assert_eq!(sale["jobs"][0]["state"], "delayed", "it waits for a rate: {sale}");
        assert_eq!(refund["refund_of"], sale["conversion_key"]);
        assert_eq!((&refund["reporting_payout"], &refund["is_counted"]), (&json!("-2.00"), &json!(true)));

        for (id, name) in [
            (bought.as_str(), "request_id"), (&approved, "request_id"), (&repeated, "request_id"), (&refused, "request_id"), (&refunded, "request_id"),
            ("e1", "event_id"), ("e2", "event_id"), ("r1", "event_id"),
            ("c1", "conversion_id"), ("o1", "order_id"), (click_id, "click_id"), ("a1", "account_id"),
        ] {
            let trace = db.traced(id).await;
            assert_eq!((&trace["found"], &trace["id"], &trace["found_as"]), (&json!(true), &json!(id), &json!([name])), "{id}");
            assert_eq!(told(&trace), told_of, "{id}");
            assert_eq!(trace["conversions"].as_array().unwrap().len(), 2, "{id}");
        }
        // No body and no address, whatever was asked.
        let text = db.traced("c1").await.to_string();
        assert!(!text.contains("192.0.2.1") && !text.contains("\"body\""), "{text}");
    }

    an_id_that_is_nowhere_is_told_apart_from_an_empty_story(db) {
        db.record("conversion_id=c1&order_id=o1").await;
        for id in ["c2", "O1", "o1 ", "%", "' or '1'='1", "c1'; drop table events; --", &"a".repeat(512)] {
            let trace = db.traced(id).await;
            // Spaces around a parameter are none of it.
            let is_there = id == "o1 ";
            assert_eq!((&trace["found"], trace["found_as"] == json!([])), (&json!(is_there), !is_there), "{id}");
            assert_eq!(trace["conversions"].as_array().unwrap().len(), usize::from(is_there), "{id}");
        }
    }

    what_an_id_is_the_id_of_is_told_of_each(db) {
        db.take("conversion_id=both&order_id=o1&rewars=1", "2025-11-21T08:00:01Z", Recorded::As(Created)).await;
        db.take("conversion_id=c2&order_id=both&click_id=both&rewars=2", "2025-11-21T08:00:02Z", Recorded::As(Created)).await;
        db.take("conversion_id=c3&event_id=both&rewars=3", "2025-11-21T08:00:03Z", Recorded::As(Created)).await;
        db.rejected("2025-11-21T08:00:04Z", &[("account_id", "both")]).await;
        let trace = db.traced("both").await;
        assert_eq!(trace["found_as"], json!(["event_id", "conversion_id", "order_id", "click_id", "account_id"]));
        assert_eq!(matches(&trace["conversions"]), [json!(["conversion_id"]), json!(["order_id", "click_id"]), json!(["event_id"])]);
        assert_eq!(matches(&trace["timeline"]), [json!(["event_id"]), json!(["event_id"]), json!(["account_id"])]);
        assert_eq!(trace["total"]["reporting_payout"], "6.00");
    }

    a_refund_leads_to_its_sale_and_that_to_its_other_returns(db) {
        let processing = Processing::new();
        db.take("event=purchase&conversion_id=c1&event_id=p1&rewars=10", "2025-11-21T08:00:01Z", Recorded::As(Created)).await;
        db.take("event=refund&conversion_id=z1&event_id=r1&original_event_id=p1&rewars=3", "2025-11-21T08:00:02Z", Recorded::As(Created)).await;
        db.take("event=chargeback&conversion_id=z2&event_id=b1&original_event_id=p1&rewars=2", "2025-11-21T08:00:03Z", Recorded::As(Created)).await;
        let ids = |trace: &Value| trace["conversions"].as_array().unwrap().iter().map(|one| one["conversion_id"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
        for id in ["r1", "z2", "p1", "c1"] {
            assert_eq!(ids(&db.traced(id).await), ["c1", "z1", "z2"], "{id}, by what their senders say");
        }
        processing.all(&db.store).await;
        for id in ["r1", "z2", "p1", "c1"] {
            let trace = db.traced(id).await;
            assert_eq!(ids(&trace), ["c1", "z1", "z2"], "{id}");
            let refund_of: Vec<_> = trace["conversions"].as_array().unwrap().iter().map(|one| one["refund_of"].clone()).collect();
            assert_eq!(refund_of, [json!(null), json!("c1"), json!("c1")]);
            assert_eq!(trace["total"]["reporting_payout"], "5.00", "{id}");
        }
    }

    an_event_whose_request_was_dropped_is_still_told(db) {
        let old = db.take("conversion_id=c1&event_id=e1&rewars=1", "2025-01-02T08:00:00Z", Recorded::As(Created)).await;
        db.store.drop_postbacks(at("2025-11-01T00:00:00Z")).await.unwrap();
        if db.one("select cast(count(*) as text) from postbacks").await != "0" {
            // What PostgreSQL has no month of stays.
            db.execute("delete from postbacks").await;
        }
        let trace = db.traced("e1").await;
        assert_eq!(told(&trace), [
            format!("2025-01-02T08:00:00+00:00 event {old} conversion"),
            r#"2025-01-02T08:00:00+00:00 revision c1 1 conversion [{"amount":"1.00","currency":"USD","of":"usd_payout"}]"#.to_owned(),
        ]);
    }

    a_return_to_an_earlier_state_is_a_revision_that_is_told(db) {
        let query = "conversion_id=c1&event_id=e1&rewars=1&status=Pending";
        let first = received(query, at("2025-11-21T08:00:00Z"));
        assert_eq!(db.store.record(first.clone()).await.unwrap(), Recorded::As(Created));
        db.take("conversion_id=c1&event_id=e2&rewars=2&status=Pending", "2025-11-21T09:00:00Z", Recorded::As(Revised)).await;
        let time = at("2025-12-21T09:00:00Z");
        let repeat = again(&first);
        let receipt = Receipt { request_id: crate::request_id(), received_at: time, nonce: Some(nonce()), ..repeat.receipt.clone() };
        let returned = receipt.request_id.clone();
        assert_eq!(db.store.record(Record { receipt, now: time, ..repeat }).await.unwrap(), Recorded::As(Revised));
        let pending = db.traced("c1").await["conversions"][0]["rebuild_due_at"].clone();
        assert_eq!(pending, json!("2025-12-21T09:00:00+00:00"));
        db.store.rebuild("c1", Growth::Accepted, at("2025-12-21T09:00:01Z")).await.unwrap();
        let trace = db.traced("c1").await;
        let told = told(&trace);
        assert!(told.contains(&format!(r#"2025-12-21T09:00:00+00:00 request {returned} revised conversion ["returned"] open direct"#)), "{told:#?}");
        assert!(told.contains(&r#"2025-12-21T09:00:00+00:00 revision c1 3 conversion [{"amount":"-1.00","currency":"USD","of":"usd_payout"}]"#.to_owned()), "{told:#?}");
    }

    a_trace_that_is_cut_says_so(db) {
        for number in 0..52 {
            db.record(&format!("conversion_id=c{number}&account_id=a1&rewars=1")).await;
        }
        let trace = db.traced("a1").await;
        assert_eq!((trace["conversions"].as_array().unwrap().len(), &trace["cut"]), (50, &json!(["conversions"])));
        assert_eq!(db.traced("c1").await["cut"], json!([]));
    }

    a_part_of_a_sum_is_never_told_as_the_sum(db) {
        for number in 0..51 {
            db.take(&format!("conversion_id=m{number}&account_id=many&rewars=1"), "2025-11-21T08:00:00Z", Recorded::As(Created)).await;
        }
        let trace = db.traced("many").await;
        assert_eq!((&trace["total"], &trace["cut"][0]), (&Value::Null, &json!("conversions")));
        assert_eq!(db.traced("m7").await["total"]["reporting_payout"], "1.00");
    }

    what_was_asked_about_is_shown_however_many_events_its_conversion_has(db) {
        let mut first = String::new();
        for number in 0..205 {
            let expected = Recorded::As(if number == 0 { Created } else { Revised });
            let query = format!("conversion_id=long&event_id=z{:03}&rewars={number}", 999 - number);
            let request = db.take(&query, &format!("2025-11-21T08:{:02}:{:02}Z", number / 60, number % 60), expected).await;
            if number == 0 {
                first = request;
            }
        }
        let shows = |trace: &Value, request: &str| told(trace).iter().any(|line| line.contains(request));
        let whole = db.traced("long").await;
        assert!(whole["cut"].as_array().unwrap().contains(&json!("events")));
        assert!(told(&whole).last().unwrap().contains("long"), "the latest are shown");
        assert!(!shows(&whole, &first) && shows(&db.traced("z999").await, &first) && shows(&db.traced(&first).await, &first));
    }
}
