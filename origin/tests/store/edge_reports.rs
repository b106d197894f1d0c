//! What the edge reports: requests that it rejected, and counts. Each takes effect once, however often it is reported.

use crate::{at, nonce, record, rejection};
use bytec_origin::store::reader::RejectionsSince;
use bytec_origin::store::{EdgeOutcome, EdgeReport, Receipt, Rejected, RejectedIds, Via};

const NOW: &str = "2025-11-21T08:00:05Z";

/// A request that the edge rejected.
fn rejected(request_id: &str, is_authenticated: bool) -> Rejected {
    let receipt = Receipt {
        request_id: request_id.to_owned(),
        target: "/involve/event?conversion_id=c1&rewars=1,0".to_owned(),
        ..record("conversion_id=c1").receipt
    };
    let ids = RejectedIds { conversion_id: Some("c1".to_owned()), ..RejectedIds::NONE };
    Rejected { via: Via::Edge, is_authenticated, ids, ..rejection(receipt, Some("rewars")) }
}

fn count(batch_id: &str, kind: &str, outcome: &str, count: u64) -> EdgeOutcome {
    EdgeOutcome { batch_id: batch_id.to_owned(), kind: kind.to_owned(), outcome: outcome.to_owned(), count }
}

fn report(rejected: Vec<Rejected>, outcomes: Vec<EdgeOutcome>) -> EdgeReport {
    EdgeReport { rejected, outcomes, receipt_id: nonce(), now: at(NOW) }
}

contract! {
    a_report_takes_effect_once_however_often_it_is_delivered(db) {
        let rejections = || vec![rejected("r1", true), rejected("r2", false), rejected("r1", true)];
        let counts = || vec![
            count("b1", "requests", "created", 5),
            count("b1", "requests", "missing_field", 2),
            count("b2", "requests", "created", 7),
            count("b2", "deliveries", "retried", 1),
        ];
        assert_eq!(db.store.record_report(report(rejections(), counts())).await.unwrap(), 2);
        assert_eq!(db.store.record_report(report(rejections(), counts())).await.unwrap(), 0);
        // A batch that was in an earlier report beside one that was not.
        let more = vec![count("b2", "requests", "created", 7), count("b3", "requests", "created", 1)];
        db.store.record_report(report(Vec::new(), more)).await.unwrap();
        let totals = db.store.edge_outcomes().await.unwrap();
        let totals: Vec<_> = totals.iter().map(|total| format!("{} {} {}", total.kind, total.outcome, total.count)).collect();
        assert_eq!(totals, ["deliveries retried 1", "requests created 13", "requests missing_field 2"]);
        let stored = "select request_id || ' ' || via || ' ' || code || ' ' || field || ' ' || status || ' ' || rules || ' ' ||
             conversion_id || ' ' || cast(is_authenticated as text) from rejections order by request_id";
        let stored: Vec<_> = db.column(stored).await.iter().map(|row| row.replace("true", "1").replace("false", "0")).collect();
        assert_eq!(stored, [
            "r1 edge invalid_amount rewars 400 0123456789abcdef c1 1",
            "r2 edge invalid_amount rewars 400 0123456789abcdef c1 0",
        ]);
    }

    concurrent_deliveries_of_one_report_count_once(db) {
        let send = || async {
            let counts = vec![count("b1", "requests", "created", 5), count("b1", "requests", "queued", 1)];
            db.store.record_report(report(vec![rejected("r1", true)], counts)).await.unwrap()
        };
        let stored = futures_util::future::join_all((0..8).map(|_| send())).await;
        assert_eq!(stored.iter().sum::<u64>(), 1);
        let totals = db.store.edge_outcomes().await.unwrap();
        assert_eq!(totals.iter().map(|total| total.count).collect::<Vec<_>>(), [5, 1]);
    }

    a_forgotten_batch_leaves_its_counts(db) {
        db.store.record_report(report(Vec::new(), vec![count("b1", "requests", "created", 5)])).await.unwrap();
        assert_eq!(db.store.forget_edge_batches(at(NOW)).await.unwrap(), 0);
        assert_eq!(db.store.forget_edge_batches(at("2025-11-21T08:00:06Z")).await.unwrap(), 1);
        assert_eq!(db.store.edge_outcomes().await.unwrap()[0].count, 5);
    }

    requests_that_failed_authentication_are_never_read_again_and_have_limits_of_their_own(db) {
        let rejections = vec![rejected("r1", true), rejected("r2", false), rejected("r3", false)];
        db.store.record_report(report(rejections, Vec::new())).await.unwrap();
        let since = at("2025-11-21T00:00:00Z");
        let read = db.store.rejections(since, 0).await.unwrap();
        assert_eq!(read.iter().map(|one| one.receipt.request_id.as_str()).collect::<Vec<_>>(), ["r1"]);
        assert_eq!(db.store.count_postbacks(since).await.unwrap(), 0, "they use up nothing of the partner's day");
        let counted = async |is_authenticated| {
            db.store.count_edge_rejections(RejectionsSince { since, is_authenticated }).await.unwrap()
        };
        assert_eq!((counted(true).await, counted(false).await), (1, 2));
    }
}
