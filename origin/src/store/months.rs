//! The table of requests as they were received, in PostgreSQL: a partition for each month, so that what is too old goes as a
//! whole, without a row being touched.
//!
//! A row whose month has no partition goes into `postbacks_default`: nothing is refused because nobody made room.

use super::StoreError;
use chrono::{DateTime, Datelike, Months, NaiveDate, Utc};
use postback::time::Timestamp;
use sqlx::{AssertSqlSafe, PgExecutor, PgPool};

/// How many months beside the present one have a partition: of before, because what waited in the edge's queue came days
/// ago; of after, because nobody may look in for a while.
const BEFORE: u32 = 1;
const AFTER: u32 = 2;

/// The first day of a month.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Month(NaiveDate);

impl Month {
    fn of(time: DateTime<Utc>) -> Option<Month> {
        time.date_naive().with_day(1).map(Month)
    }

    fn later(self, months: u32) -> Option<Month> {
        self.0.checked_add_months(Months::new(months)).map(Month)
    }

    fn earlier(self, months: u32) -> Option<Month> {
        self.0.checked_sub_months(Months::new(months)).map(Month)
    }

    fn partition(self) -> String {
        self.0.format("postbacks_%Y_%m").to_string()
    }

    fn parse(partition: &str) -> Option<Month> {
        let digits = partition.strip_prefix("postbacks_")?;
        NaiveDate::parse_from_str(&format!("{digits}_01"), "%Y_%m_%d").ok().map(Month)
    }
}

/// Makes the partitions of the months around an instant.
///
/// # Errors
/// One could not be made.
pub async fn make_around(pool: &PgPool, now: Timestamp) -> Result<(), StoreError> {
    let known = partitions(pool).await?;
    let first = Month::of(now.to_chrono()).and_then(|month| month.earlier(BEFORE));
    let months = (0..=BEFORE.saturating_add(AFTER)).filter_map(|number| first?.later(number));
    for month in months.filter(|month| !known.contains(month)) {
        make(pool, month).await?;
    }
    Ok(())
}

/// The partitions of this month and the next one that there are not.
///
/// # Errors
/// The database cannot say.
pub async fn missing(database: impl PgExecutor<'_>, now: Timestamp) -> Result<Vec<String>, StoreError> {
    let known = partitions(database).await?;
    let this = Month::of(now.to_chrono());
    let wanted = [this, this.and_then(|month| month.later(1))].into_iter().flatten();
    Ok(wanted.filter(|month| !known.contains(month)).map(Month::partition).collect())
}

/// Makes one month's partition: beside the table, so that the rows of that month in the default partition can move into it.
async fn make(pool: &PgPool, month: Month) -> Result<(), StoreError> {
    let Some(next) = month.later(1) else { return Ok(()) };
    let (name, from, to) = (month.partition(), month.0, next.0);
    let bounds = format!("received_at >= '{from} 00:00+00' and received_at < '{to} 00:00+00'");
    let mut transaction = pool.begin().await?;
    // Nobody inserts meanwhile: a row that came into the default partition behind the move would keep the month from being attached,
    // and one on its way there would be refused. Two origins that come to this at once take turns by it, too.
    sqlx::query("lock table postbacks in share row exclusive mode").execute(&mut *transaction).await?;
    for sql in [
        format!("create table if not exists {name} (like postbacks including defaults including constraints)"),
        format!(
            "with moved as (delete from postbacks_default where {bounds} returning *) insert into {name} select * from moved"
        ),
    ] {
        sqlx::query(AssertSqlSafe(sql)).execute(&mut *transaction).await?;
    }
    let is_attached: bool =
        sqlx::query_scalar("select exists (select 1 from pg_inherits where inhrelid = $1::text::regclass)")
            .bind(&name)
            .fetch_one(&mut *transaction)
            .await?;
    if !is_attached {
        let sql = format!(
            "alter table postbacks attach partition {name} for values from ('{from} 00:00+00') to ('{to} 00:00+00')"
        );
        sqlx::query(AssertSqlSafe(sql)).execute(&mut *transaction).await?;
    }
    Ok(transaction.commit().await?)
}

/// Drops the partitions of months that were over before an instant; answers how many rows they are thought to have had.
///
/// # Errors
/// One could not be dropped, such as when it is being read; those before it are.
pub async fn drop_before(pool: &PgPool, before: Timestamp) -> Result<u64, StoreError> {
    let mut dropped: u64 = 0;
    for month in partitions(pool).await? {
        let is_over = month.later(1).is_some_and(|next| next.0 <= before.to_chrono().date_naive());
        if is_over {
            let name = month.partition();
            let rows: i64 = sqlx::query_scalar(
                "select greatest(reltuples, 0)::bigint from pg_class where oid = $1::text::regclass",
            )
            .bind(&name)
            .fetch_one(pool)
            .await?;
            sqlx::query(AssertSqlSafe(format!("drop table {name}"))).execute(pool).await?;
            dropped = dropped.saturating_add(u64::try_from(rows).unwrap_or(0));
        }
    }
    Ok(dropped)
}

/// The months that have a partition, oldest first.
async fn partitions(database: impl PgExecutor<'_>) -> Result<Vec<Month>, StoreError> {
    let names: Vec<String> = sqlx::query_scalar(
        "select relname::text from pg_inherits join pg_class on pg_class.oid = inhrelid
         where inhparent = 'postbacks'::regclass order by relname",
    )
    .fetch_all(database)
    .await?;
    Ok(names.iter().filter_map(|name| Month::parse(name)).collect())
}
