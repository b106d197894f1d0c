//! Whose click it was (R50): accounts and installations that events name together with a click.

use crate::{Fresh, again, at, fresh, received, record};
use bytec_origin::store::{Receipt, Record, Recorded};
use postback::duplicate::DuplicatePolicy;
use postback::verdict::Verdict::{Conflict, Created, Duplicate, Revised};

impl Fresh {
    async fn links(&self) -> Vec<String> {
        self.column(
            "select click_id || ' ' || kind || ' ' || linked_id || ' ' || event_id || ' ' || substr(cast(linked_at as text), 18, 2)
             from links order by click_id, kind, linked_id",
        )
        .await
    }

    async fn record_at_second(&self, second: u8, query: &str) -> Recorded {
        self.store.record(received(query, at(&format!("2025-11-21T08:00:{second:02}Z")))).await.unwrap()
    }

    /// The same, by a request of this id.
    async fn record_by(&self, second: u8, request_id: &str, query: &str) -> Recorded {
        let record = received(query, at(&format!("2025-11-21T08:00:{second:02}Z")));
        let receipt = Receipt { request_id: request_id.to_owned(), ..record.receipt.clone() };
        self.store.record(Record { receipt, ..record }).await.unwrap()
    }
}

contract! {
    an_event_that_names_a_click_and_an_account_or_an_installation_links_them(db) {
        db.record_at_second(1, "event_id=e1&conversion_id=c1&click_id=k1&account_id=a1&install_id=i1").await;
        db.record_at_second(2, "event_id=e2&conversion_id=c2&click_id=k1&account_id=a2").await;
        db.record_at_second(3, "event_id=e3&conversion_id=c3&click_id=k2&install_id=i1").await;
        db.record_at_second(4, "event_id=e4&conversion_id=c4&click_id=k3").await;
        db.record_at_second(5, "event_id=e5&conversion_id=c5&account_id=a1&install_id=i1").await;
        let links = ["k1 account a1 e1 01", "k1 account a2 e2 02", "k1 install i1 e1 01", "k2 install i1 e3 03"];
        assert_eq!(db.links().await, links);
    }

    the_first_event_that_says_whose_click_it_was_stays(db) {
        assert_eq!(db.record_at_second(1, "event_id=e1&conversion_id=c1&click_id=k1&account_id=a1").await, Recorded::As(Created));
        assert_eq!(db.record_at_second(2, "event_id=e2&conversion_id=c2&click_id=k1&account_id=a1").await, Recorded::As(Created));
        // A revision of the first says of which installation it was.
        let revision = "event_id=e3&conversion_id=c1&click_id=k1&account_id=a1&install_id=i1";
        assert_eq!(db.record_at_second(3, revision).await, Recorded::As(Revised));
        assert_eq!(db.links().await, ["k1 account a1 e1 01", "k1 install i1 e3 03"]);
    }

    the_event_that_was_received_first_stays_whatever_order_they_are_stored_in(db) {
        let query = |event: &str| format!("event_id={event}&conversion_id={event}&click_id=k1&account_id=a1");
        for (second, request_id, event, first) in [
            (5, "b", "e1", "k1 account a1 e1 05"),
            (6, "a", "e2", "k1 account a1 e1 05"),
            (3, "c", "e3", "k1 account a1 e3 03"),
            // At the same time the request id decides, by its bytes, and not the event's.
            (3, "d", "e0", "k1 account a1 e3 03"),
            (3, "B", "e9", "k1 account a1 e9 03"),
        ] {
            db.record_by(second, request_id, &query(event)).await;
            assert_eq!(db.links().await, [first], "{event}");
        }
        // An event that was known, by a request that came before the one that it entered by.
        assert_eq!(db.record_by(2, "z", &query("e2")).await, Recorded::As(Duplicate));
        assert_eq!(db.links().await, ["k1 account a1 e2 02"]);
    }

    of_links_that_are_stored_together_the_one_received_first_stays(db) {
        let query = |event: &str| format!("event_id={event}&conversion_id={event}&click_id=k1&account_id=a1");
        let sent = [(5, "a", "e1"), (4, "c", "e2"), (4, "b", "e3"), (6, "0", "e4")];
        let stored = sent.map(|(second, request_id, event)| {
            let (db, query) = (&db, query(event));
            async move { db.record_by(second, request_id, &query).await }
        });
        assert_eq!(futures_util::future::join_all(stored).await, [Recorded::As(Created); 4]);
        assert_eq!(db.links().await, ["k1 account a1 e3 04"]);
    }

    what_is_no_new_event_links_nothing(db) {
        let first = record("event_id=e1&conversion_id=c1&click_id=k1&account_id=a1");
        assert_eq!(db.store.rehearse(again(&first)).await.unwrap(), Recorded::As(Created));
        assert_eq!(db.links().await, [""; 0]);
        assert_eq!(db.store.record(first).await.unwrap(), Recorded::As(Created));
        for (query, verdict) in [
            ("event_id=e1&conversion_id=c1&click_id=k1&account_id=a1&install_id=i1", Duplicate),
            ("event_id=e1&conversion_id=c1&click_id=k1&account_id=a2", Conflict),
        ] {
            assert_eq!(db.record(query).await, Recorded::As(verdict), "{query}");
        }
        assert_eq!(db.links().await, ["k1 account a1 e1 00"]);
    }
}

/// Many events of several conversions name the same clicks and accounts, in every order.
#[tokio::test(flavor = "multi_thread")]
async fn the_same_links_the_other_way_round_do_not_wait_for_each_other() {
    let db = fresh("postgres").await;
    // Each link takes its time, so that transactions hold one when they come to another's.
    db.execute(
        "create function slowly() returns trigger language plpgsql as
         $$ begin perform pg_sleep(0.01); return new; end $$",
    )
    .await;
    db.execute("create trigger slowly before insert on links for each row execute function slowly()").await;
    let other = db.place.open(DuplicatePolicy::default()).await.unwrap();
    let at_once = |store: bytec_origin::store::Store, numbers: Vec<u8>, name: &'static str| async move {
        let records = numbers
            .into_iter()
            .map(|number| record(&format!("conversion_id={name}{number}&click_id=k{}&account_id=a{}", number, number)));
        futures_util::future::join_all(records.map(|record| store.record(record))).await
    };
    let forward = at_once(db.store.clone(), (0..16).collect(), "f");
    let backward = at_once(other.clone(), (0..16).rev().collect(), "b");
    let (forward, backward) = tokio::join!(forward, backward);
    for recorded in forward.into_iter().chain(backward) {
        assert_eq!(recorded.unwrap(), Recorded::As(Created));
    }
    assert_eq!(db.links().await.len(), 16);
}
