//! Reading what was stored: totals by spans of time, and conversions by the page (R42). Nothing here changes anything.

mod spans;
mod conversions;

pub use conversions::{Conversion, Filter, Page, Position, Reporting};
pub use spans::{Counted, Span, Sums};

use super::statement::Dialect;
use super::{End, Store, StoreError, in_time};
use postback::time::Timestamp;
use postback::zone::Zone;
use serde::{Deserialize, Deserializer};
use std::time::Duration;

/// How long reading may take: the connection's own limit on a statement, and room for what is to be fetched.
const READ_TIMEOUT: Duration = Duration::from_secs(4);

impl Store {
    /// What conversions that happened within spans of time come to: for each span, event, status, currency and mark of a duplicate.
    /// What comes to nothing is left out.
    ///
    /// # Errors
    /// The database cannot say.
    pub async fn totals_of(&self, spans: &[Span]) -> Result<Vec<Counted>, StoreError> {
        let statement = spans::totals_of(self.dialect()).over(spans);
        let database = self.database();
        spans::read(in_time(READ_TIMEOUT, database.run(vec![statement], End::Commit)).await?)
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

fn flag<'de, D: Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
    Ok(Flag::deserialize(from)?.into())
}

fn optional_flag<'de, D: Deserializer<'de>>(from: D) -> Result<Option<bool>, D::Error> {
    Ok(Option::<Flag>::deserialize(from)?.map(bool::from))
}

fn optional_time<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Timestamp>, D::Error> {
    Ok(Option::<String>::deserialize(from)?.and_then(|text| Timestamp::parse(&text, &Zone::utc())))
}
