//! What a comparison comes to, day by day.

use super::{Pair, Rules, Sums};
use jiff::civil::Date;
use postback::field::Field;
use postback::status::Status;
use rust_decimal::Decimal;
use std::collections::BTreeMap;

/// A day.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Day {
    /// Which; None: what has no time, or all days together.
    pub day: Option<Date>,
    /// How many conversions the report has.
    pub theirs: u64,
    /// How many we have.
    pub ours: u64,
    /// How many of the report's we have not.
    pub missing: u64,
    /// How many of ours the report has not.
    pub extra: u64,
    /// How many differ.
    pub differing: u64,
    /// How many of all, missing, extra and differing together are.
    pub share: Share,
    /// What we are paid for those that are not rejected, by currency.
    pub payout: Vec<Money>,
    /// Whether the share of conversions, or that of the payout in a currency, is above the threshold.
    pub is_flagged: bool,
}

/// What we are paid in a currency.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Money {
    /// ISO 4217; empty where none is said.
    pub currency: String,
    /// As the report has it.
    pub theirs: Decimal,
    /// As we have it.
    pub ours: Decimal,
    /// By how much the two differ, of the report's.
    pub share: Share,
}

/// A share, in per cent with two digits behind the point.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(pub Decimal);

impl Share {
    /// What a part is of a whole; of nothing everything is all.
    fn of(part: Decimal, whole: Decimal) -> Share {
        let part = part.abs();
        let per_cent = part.checked_mul(Decimal::ONE_HUNDRED).and_then(|part| part.checked_div(whole.abs()));
        Share(match per_cent {
            Some(per_cent) => per_cent.round_dp(2),
            None if part.is_zero() => Decimal::ZERO,
            None => Decimal::ONE_HUNDRED,
        })
    }
}

/// A day that is being summed up.
#[derive(Default)]
struct Sum {
    day: Day,
    theirs: Sums,
    ours: Sums,
}

/// Sums pairs up by the day, and all together. What we are paid is in US dollars where the report says it so.
pub(super) fn of(pairs: &[Pair], rules: &Rules, in_usd: bool) -> (Vec<Day>, Day) {
    let mut days: BTreeMap<Option<Date>, Sum> = BTreeMap::new();
    let mut total = Sum::default();
    for pair in pairs {
        let day = pair.day(&rules.zone);
        let sum = days.entry(day).or_default();
        sum.day.day = day;
        sum.add(pair, in_usd);
        total.add(pair, in_usd);
    }
    (days.into_values().map(|sum| sum.end(rules.threshold)).collect(), total.end(rules.threshold))
}

impl Sum {
    fn add(&mut self, pair: &Pair, in_usd: bool) {
        let one = |count: &mut u64, is: bool| *count = count.saturating_add(u64::from(is));
        let day = &mut self.day;
        one(&mut day.theirs, pair.theirs.is_some());
        one(&mut day.ours, pair.ours.is_some());
        one(&mut day.missing, pair.ours.is_none());
        one(&mut day.extra, pair.theirs.is_none());
        one(&mut day.differing, !pair.differences.is_empty());
        let field = if in_usd { Field::UsdPayout } else { Field::Payout };
        let currency = |own: &Option<String>| if in_usd { "USD".to_owned() } else { own.clone().unwrap_or_default() };
        let add = |sums: &mut Sums, currency: String, micros: i64| {
            let sum = sums.entry(currency).or_default();
            *sum = sum.saturating_add(i128::from(micros));
        };
        if let Some(theirs) = pair.theirs.as_ref().filter(|theirs| theirs.status != Some(Status::Rejected))
            && let Some(amount) = theirs.money.get(&field)
        {
            add(&mut self.theirs, currency(&theirs.currency), amount.micros());
        }
        if let Some(ours) = pair.ours.as_ref().filter(|ours| ours.status != Some(Status::Rejected)) {
            let amount = if in_usd { ours.reporting_payout } else { ours.money.get(&field).copied() };
            if let Some(amount) = amount {
                add(&mut self.ours, currency(&ours.currency), amount.micros());
            }
        }
    }

    fn end(self, threshold: Decimal) -> Day {
        let Sum { day, theirs, ours } = self;
        let off = day.missing.saturating_add(day.extra).saturating_add(day.differing);
        let all = day.ours.saturating_add(day.missing);
        let share = Share::of(off.into(), all.into());
        let mut sums: BTreeMap<String, (i128, i128)> = BTreeMap::new();
        for (currency, sum) in theirs {
            sums.entry(currency).or_default().0 = sum;
        }
        for (currency, sum) in ours {
            sums.entry(currency).or_default().1 = sum;
        }
        let payout: Vec<_> =
            sums.into_iter().map(|(currency, (theirs, ours))| Money::of(currency, theirs, ours)).collect();
        let is_flagged = share.0 > threshold || payout.iter().any(|money| money.share.0 > threshold);
        Day { share, payout, is_flagged, ..day }
    }
}

impl Money {
    fn of(currency: String, theirs: i128, ours: i128) -> Money {
        // So many micro-units there are none.
        let decimal = |micros: i128| Decimal::try_from_i128_with_scale(micros, 6).unwrap_or(Decimal::MAX).normalize();
        let (theirs, ours) = (decimal(theirs), decimal(ours));
        Money { currency, theirs, ours, share: Share::of(theirs.saturating_sub(ours), theirs) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::pair;
    use super::super::pairs::tests::{ours, rules, theirs};
    use super::*;

    const T: &str = "2025-11-20T10:00:00Z";
    const NEXT: &str = "2025-11-20T16:00:00Z";

    #[test]
    fn a_day_is_what_is_not_alike_of_all_and_the_money_of_what_is_not_rejected() {
        let report = [
            theirs(&format!("a - approved 10 {T}")),
            theirs(&format!("b - rejected 99 {T}")),
            theirs(&format!("c - approved 5 {T}")),
            theirs(&format!("d - approved 1 {NEXT}")),
        ];
        let stored = vec![
            ours(&format!("a purchase approved 10 {T}")),
            ours(&format!("b purchase rejected 99 {T}")),
            ours(&format!("x purchase pending 2 {T}")),
            ours(&format!("d purchase approved 1 {NEXT}")),
        ];
        let (days, total) = of(&pair(&report, stored, &rules()), &rules(), true);
        let shown = |day: &Day| {
            let paid = &day.payout[0];
            let counts = [day.theirs, day.ours, day.missing, day.extra, day.differing].map(|count| count.to_string());
            format!(
                "{} {} {} % {} {} {} {} % {}",
                day.day.map(|day| day.to_string()).unwrap_or_default(),
                counts.join(" "),
                day.share.0,
                paid.currency,
                paid.theirs,
                paid.ours,
                paid.share.0,
                day.is_flagged
            )
        };
        assert_eq!(
            days.iter().chain([&total]).map(shown).collect::<Vec<_>>(),
            [
                "2025-11-20 3 3 1 1 0 50 % USD 15 12 20 % true",
                "2025-11-21 1 1 0 0 0 0 % USD 1 1 0 % false",
                " 4 4 1 1 0 40 % USD 16 13 18.75 % true",
            ]
        );
    }

    #[test]
    fn a_share_is_rounded_and_of_nothing_it_is_all() {
        for (part, whole, share) in [
            ("1", "3", "33.33"),
            ("2", "3", "66.67"),
            ("-1", "8", "12.5"),
            ("0", "0", "0"),
            ("5", "0", "100"),
            ("3", "-2", "150"),
        ] {
            let decimal = |text: &str| text.parse::<Decimal>().unwrap();
            assert_eq!(Share::of(decimal(part), decimal(whole)).0.normalize().to_string(), share);
        }
    }
}
