//! Reading what was stored: totals by spans of time, conversions and requests by the page, everything about an id, and how postbacks have
//! been arriving.
//! Nothing here changes anything.

mod spans;
mod sums;
mod kinds;
mod conversions;
mod converted;
mod arrivals;
mod rejections;
mod edge;

mod listing;
pub(super) mod receipt;
pub(super) mod requests;
mod rejected;
pub mod trace;
#[cfg(test)]
mod plans;

pub use arrivals::{Arrivals, DELAYS_MAX};
pub use conversions::{Conversion, Filter, Page, Position, Reporting};
pub use edge::{OutcomeTotal, RejectionsSince};
pub use kinds::{Kind, KindKey, KindMoney, Waiting};
pub use listing::{Ids, Place};
pub use rejected::{RejectedRequest, RejectionFilter, RejectionPage};
pub use rejections::Rejection;
pub use requests::{Request, RequestFilter, RequestPage};
pub use spans::Span;
pub use sums::{Counts, Money, Total, Totals};

use super::statement::Dialect;
use super::{End, Store, StoreError, in_time};
use chrono::NaiveDate;
use postback::time::Timestamp;
use postback::zone::Zone;
use serde::{Deserialize, Deserializer};
use std::collections::BTreeSet;
use std::time::Duration;

/// How long reading may take: the connection's own limit on a statement, and room for what is to be fetched.
const READ_TIMEOUT: Duration = Duration::from_secs(4);
/// The same of what is asked every few seconds.
const WATCH_TIMEOUT: Duration = Duration::from_secs(1);

impl Store {
    /// What conversions that happened within a span of time come to: in each of its parts, and of each kind. All begin and end at
    /// quarters of an hour. What comes to nothing is left out.
    ///
    /// # Errors
    /// The database cannot say.
    pub async fn totals_of(&self, whole: Span, parts: &[Span]) -> Result<Totals, StoreError> {
        let statement = spans::totals_of(self.dialect()).over(&spans::periods(whole, parts));
        let database = self.database();
        sums::read(in_time(READ_TIMEOUT, database.run(vec![statement], End::Commit)).await?)
    }

    /// How many conversions that count have an amount that waits for a rate, so that it is in no sum yet.
    ///
    /// # Errors
    /// The database cannot say.
    pub async fn waiting_for_rates(&self) -> Result<i64, StoreError> {
        let statement = spans::waiting_for_rates(self.dialect()).over(&[()]);
        let database = self.database();
        spans::read_waiting_for_rates(in_time(WATCH_TIMEOUT, database.run(vec![statement], End::Commit)).await?)
    }

    /// Conversions that a filter lets through, the latest first, from behind a position.
    ///
    /// # Errors
    /// The database cannot say.
    pub async fn conversions(&self, page: &Page) -> Result<Vec<Conversion>, StoreError> {
        let statement = conversions::select(self.dialect(), page);
        let database = self.database();
        conversions::read(in_time(READ_TIMEOUT, database.run(vec![statement], End::Commit)).await?)
    }

    /// Requests that reached a verdict and that a filter lets through, the latest first, from behind a place.
    ///
    /// # Errors
    /// The database cannot say.
    pub async fn requests(&self, page: &RequestPage) -> Result<Vec<Request>, StoreError> {
        let statement = requests::select(self.dialect(), page);
        let database = self.database();
        requests::read(in_time(READ_TIMEOUT, database.run(vec![statement], End::Commit)).await?)
    }

    /// Rejected requests that a filter lets through, the latest first, from behind a place.
    ///
    /// # Errors
    /// The database cannot say.
    pub async fn rejected_requests(&self, page: &RejectionPage) -> Result<Vec<RejectedRequest>, StoreError> {
        let statement = rejected::select(self.dialect(), page);
        let database = self.database();
        rejected::read(in_time(READ_TIMEOUT, database.run(vec![statement], End::Commit)).await?)
    }

    /// All conversions of some ids; None where these have more than can be answered at once.
    ///
    /// # Errors
    /// The database cannot say.
    pub async fn conversions_named(&self, ids: &[String]) -> Result<Option<Vec<Conversion>>, StoreError> {
        let statement = conversions::named(self.dialect()).over(ids);
        let database = self.database();
        let found = conversions::read(in_time(READ_TIMEOUT, database.run(vec![statement], End::Commit)).await?)?;
        Ok((found.len() < conversions::NAMED_MAX).then_some(found))
    }

    /// How many conversions were converted by a rate of a day: of a currency, or of any. It goes through all conversions, which takes
    /// seconds where there are millions.
    ///
    /// # Errors
    /// The database cannot say.
    pub async fn count_converted(&self, day: NaiveDate, currency: Option<&str>) -> Result<u64, StoreError> {
        let question = converted::Converted { day, currency: currency.map(str::to_owned) };
        let count = converted::count(self.dialect()).over(&[question]);
        converted::read(self.run_within(&converted::LIMITS, vec![count]).await?)
    }

    /// Rejected requests of authenticated senders, received at an instant or later: the next ones behind a number, in the order of their
    /// numbers; none where there are no more.
    ///
    /// # Errors
    /// The database cannot say.
    pub async fn rejections(&self, since: Timestamp, after: i64) -> Result<Vec<Rejection>, StoreError> {
        let statement = rejections::page(self.dialect()).over(&[rejections::After { since, rejection_id: after }]);
        let database = self.database();
        rejections::read(in_time(READ_TIMEOUT, database.run(vec![statement], End::Commit)).await?)
    }

    /// How many rejected requests of the edge are stored that an origin received at an instant or later.
    ///
    /// # Errors
    /// The database cannot say.
    pub async fn count_edge_rejections(&self, asked: RejectionsSince) -> Result<u64, StoreError> {
        let statement = edge::count_rejections(self.dialect()).over(&[asked]);
        let database = self.database();
        edge::read_count(in_time(WATCH_TIMEOUT, database.run(vec![statement], End::Commit)).await?)
    }

    /// Those of some request ids under which a rejected request is stored.
    ///
    /// # Errors
    /// The database cannot say.
    pub async fn known_rejections(&self, request_ids: &[String]) -> Result<BTreeSet<String>, StoreError> {
        if request_ids.is_empty() {
            return Ok(BTreeSet::new());
        }
        let statement = edge::known(self.dialect()).over(request_ids);
        let done = in_time(WATCH_TIMEOUT, self.database().run(vec![statement], End::Commit)).await?;
        Ok(done.into_iter().flat_map(|done| done.answers).map(|(request_id, _)| request_id).collect())
    }

    /// How often the edge's requests and deliveries ended in each outcome.
    ///
    /// # Errors
    /// The database cannot say.
    pub async fn edge_outcomes(&self) -> Result<Vec<OutcomeTotal>, StoreError> {
        let statement = edge::outcomes(self.dialect()).over(&[()]);
        let database = self.database();
        edge::read_outcomes(in_time(WATCH_TIMEOUT, database.run(vec![statement], End::Commit)).await?)
    }

    /// How postbacks have been arriving lately.
    ///
    /// # Errors
    /// The database cannot say.
    pub async fn arrivals(&self, now: Timestamp) -> Result<Arrivals, StoreError> {
        let statement = arrivals::lately(self.dialect()).over(&[now]);
        let database = self.database();
        arrivals::read_lately(in_time(WATCH_TIMEOUT, database.run(vec![statement], End::Commit)).await?)
    }

    /// The numbers of those spans of time within which a postback came; they may begin and end anywhere.
    ///
    /// # Errors
    /// The database cannot say.
    pub async fn spans_with_arrivals(&self, spans: &[Span]) -> Result<BTreeSet<i64>, StoreError> {
        let statement = arrivals::within(self.dialect()).over(spans);
        let database = self.database();
        arrivals::read_within(in_time(WATCH_TIMEOUT, database.run(vec![statement], End::Commit)).await?)
    }

    fn dialect(&self) -> Dialect {
        self.database().dialect()
    }
}

/// A yes or no; SQLite's are numbers.
#[derive(Deserialize)]
#[serde(untagged)]
enum Flag {
    Bool(bool),
    Number(i64),
}

impl From<Flag> for bool {
    fn from(flag: Flag) -> bool {
        match flag {
            Flag::Bool(flag) => flag,
            Flag::Number(number) => number != 0,
        }
    }
}

pub(super) fn flag<'de, D: Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
    Ok(Flag::deserialize(from)?.into())
}

pub(super) fn optional_flag<'de, D: Deserializer<'de>>(from: D) -> Result<Option<bool>, D::Error> {
    Ok(Option::<Flag>::deserialize(from)?.map(bool::from))
}

pub(in crate::store) fn optional_time<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Timestamp>, D::Error> {
    Ok(Option::<String>::deserialize(from)?.and_then(|text| Timestamp::parse(&text, &Zone::utc())))
}
