//! How many conversions were converted by the rates of a day.

use super::super::limits::Limits;
use super::super::statement::{Column, Dialect, Done, Step};
use super::super::{StoreError, statement};
use super::conversions::join_sale;
use chrono::NaiveDate;
use std::time::Duration;

/// It is a command's, and no index has the day of a rate. One would cost every postback in a foreign currency, for what is asked a few
/// times a year.
pub(super) const LIMITS: Limits =
    Limits { settings: &[("statement_timeout", "120000")], total: Duration::from_secs(125) };

/// A question: how many conversions the rates of a day converted.
pub(super) struct Converted {
    pub day: NaiveDate,
    /// Of which currency; None: whatever theirs is.
    pub currency: Option<String>,
}

/// What a conversion is made of on one of its two sides.
struct Side {
    amount: &'static str,
    dollars: &'static str,
    currency: &'static str,
    converted: &'static str,
    counted_dollars: &'static str,
    counted_currency: &'static str,
}

const SIDES: [Side; 2] = [
    Side {
        amount: "sale_amount",
        dollars: "usd_sale_amount",
        currency: "currency",
        converted: "fx_sale_amount",
        counted_dollars: "counted_usd_sale_amount",
        counted_currency: "counted_currency",
    },
    Side {
        amount: "payout",
        dollars: "usd_payout",
        currency: "payout_currency",
        converted: "fx_payout",
        counted_dollars: "counted_usd_payout",
        counted_currency: "counted_payout_currency",
    },
];

/// When a conversion happened says nothing: a return is converted by the rate of its sale's day, and may come months later.
pub(super) fn count(dialect: Dialect) -> Step<Converted> {
    const COLUMNS: &[Column<Converted>] = &[
        Column::text("day", |converted| Some(converted.day.to_string())),
        Column::text("currency", |converted| converted.currency.clone()),
    ];
    let statement = format!(
        "select 'conversions' as id, cast(count(*) as text) as answer from conversions as known {}
         where known.fx_rate_date = (select {} from input) and ({})",
        join_sale(dialect),
        dialect.date("day"),
        SIDES.map(|side| side.is_by_the_rates(dialect)).join(" or "),
    );
    Step::new(dialect, COLUMNS, &statement).answering()
}

impl Side {
    /// That the side's dollars are reckoned by rates, and from the currency that is asked about.
    ///
    /// (1) a sale's, where its sender did not state them
    /// (2) what a return counts for, where that is not what its sender stated. A sale that states an amount and dollars has a rate of its
    ///     own, which is noted with the returns and is no bank's
    fn is_by_the_rates(&self, dialect: Dialect) -> String {
        let Side { amount, dollars, currency, converted, counted_dollars, counted_currency } = *self;
        let [amount, dollars, converted, counted_dollars] =
            [amount, dollars, converted, counted_dollars].map(|name| dialect.amount(name));
        let asked = "(select currency from input)";
        format!(
            "known.{converted} is not null and ({asked} is null or known.{currency} = {asked})
             or known.{counted_dollars} <> 0
                and (known.{dollars} is null or abs(known.{counted_dollars}) <> abs(known.{dollars}))
                and ({asked} is null or coalesce(known.{currency}, known.{counted_currency}) = {asked})
                and not coalesce(sale.{amount} > 0 and sale.{dollars} is not null
                    and coalesce(known.{currency}, sale.{currency}, '') = coalesce(sale.{currency}, known.{currency}, ''), false)"
        )
    }
}

pub(super) fn read(done: Vec<Done>) -> Result<u64, StoreError> {
    let answer = done.into_iter().flat_map(|done| done.answers).next();
    let (_, count) = answer.ok_or_else(|| StoreError::Bug("a count without an answer".to_owned()))?;
    statement::read_json("a count", &count)
}
