//! What a comparison comes to, day by day.

use super::{Pair, Rules, Sums};
use jiff::civil::Date;
use postback::field::Field;
use postback::money::Amount;
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

/// A share, in per cent. Shown with two digits behind the point.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(pub Decimal);

impl std::fmt::Display for Share {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.round_dp(2).normalize().fmt(f)
    }
}

impl Share {
    /// What a part is of a whole; of nothing everything is all.
    fn of(part: Decimal, whole: Decimal) -> Share {
        let part = part.abs();
        let per_cent = part.checked_mul(Decimal::ONE_HUNDRED).and_then(|part| part.checked_div(whole.abs()));
        Share(match per_cent {
            Some(per_cent) => per_cent,
            None if part.is_zero() => Decimal::ZERO,
            None => Decimal::ONE_HUNDRED,
        })
    }
}

/// Which amounts a report has of what we are paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Says {
    pub usd: bool,
    pub local: bool,
}

/// What a pair pays, in one currency on both sides.
struct Payout {
    theirs: Option<(String, Amount)>,
    ours: Option<(String, Amount)>,
}

impl Payout {
    /// A row that does not say what it pays is not compared, but where it was rejected: that pays nothing. What the report has not at all is in the currency in which it would be.
    fn of(pair: &Pair, says: Says) -> Payout {
        let (theirs, ours) = (pair.theirs.as_ref(), pair.ours.as_ref());
        let said = |field: Field| theirs.and_then(|theirs| theirs.money.get(&field).copied());
        let stored = |field: Field| ours.and_then(|ours| ours.money.get(&field).copied());
        let in_usd = |amount: Option<Amount>| amount.map(|amount| ("USD".to_owned(), amount));
        let our_usd = || in_usd(ours.and_then(|ours| ours.amount(Field::UsdPayout)));
        let our_currency = ours.and_then(|ours| ours.currency.clone());
        let assumed = || theirs.and_then(|theirs| theirs.assumed_currency.clone());
        let said_currency = theirs.and_then(|theirs| theirs.currency.clone());
        let currency = said_currency.or(our_currency.clone()).or_else(assumed);
        let our_local = || stored(Field::Payout).map(|amount| (our_currency.clone().unwrap_or_default(), amount));
        match (said(Field::UsdPayout), said(Field::Payout)) {
            (Some(amount), _) => Payout { theirs: in_usd(Some(amount)), ours: our_usd() },
            (None, Some(amount)) => Payout { theirs: Some((currency.unwrap_or_default(), amount)), ours: our_local() },
            (None, None) if theirs.is_some_and(|theirs| theirs.status != Some(Status::Rejected)) => {
                Payout { theirs: None, ours: None }
            }
            (None, None) => {
                let is_local = says.local && our_local().is_some();
                let in_dollars = says.usd && (stored(Field::UsdPayout).is_some() || !is_local);
                let ours = if in_dollars { our_usd() } else { our_local().filter(|_| says.local) };
                Payout { theirs: None, ours }
            }
        }
    }
}

/// A day that is being summed up.
#[derive(Default)]
struct Sum {
    day: Day,
    theirs: Sums,
    ours: Sums,
}

/// Sums pairs up by the day, and all together.
pub(super) fn of(pairs: &[Pair], rules: &Rules, says: Says) -> (Vec<Day>, Day) {
    let mut days: BTreeMap<Option<Date>, Sum> = BTreeMap::new();
    let mut total = Sum::default();
    for pair in pairs {
        let day = pair.day(&rules.zone);
        let sum = days.entry(day).or_default();
        sum.day.day = day;
        sum.add(pair, says);
        total.add(pair, says);
    }
    (days.into_values().map(|sum| sum.end(rules.threshold)).collect(), total.end(rules.threshold))
}

impl Sum {
    fn add(&mut self, pair: &Pair, says: Says) {
        let one = |count: &mut u64, is: bool| *count = count.saturating_add(u64::from(is));
        let day = &mut self.day;
        one(&mut day.theirs, pair.theirs.is_some());
        one(&mut day.ours, pair.ours.is_some());
        one(&mut day.missing, pair.ours.is_none());
        one(&mut day.extra, pair.theirs.is_none());
        one(&mut day.differing, !pair.differences.is_empty());
        let add = |sums: &mut Sums, (currency, amount): (String, Amount)| {
            let sum = sums.entry(currency).or_default();
            *sum = sum.saturating_add(i128::from(amount.micros()));
        };
        // Where the report does not say where a conversion stands, it stands as we have it.
        let our_status = pair.ours.as_ref().and_then(|ours| ours.status);
        let their_status = pair.theirs.as_ref().and_then(|theirs| theirs.status).or(our_status);
        let Payout { theirs, ours } = Payout::of(pair, says);
        if let Some(paid) = theirs.filter(|_| their_status != Some(Status::Rejected)) {
            add(&mut self.theirs, paid);
        }
        if let Some(paid) = ours.filter(|_| our_status != Some(Status::Rejected)) {
            add(&mut self.ours, paid);
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
    use super::super::Theirs;
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
        let stored = [
            ours(&format!("a purchase approved 10 {T}")),
            ours(&format!("b purchase rejected 99 {T}")),
            ours(&format!("x purchase pending 2 {T}")),
            ours(&format!("d purchase approved 1 {NEXT}")),
        ];
        let (days, total) = of(
            &pair(&report.iter().collect::<Vec<_>>(), &stored.iter().collect::<Vec<_>>(), &rules()),
            &rules(),
            Says { usd: true, local: false },
        );
        let shown = |day: &Day| {
            let paid = &day.payout[0];
            let counts = [day.theirs, day.ours, day.missing, day.extra, day.differing].map(|count| count.to_string());
            format!(
                "{} {} {} % {} {} {} {} % {}",
                day.day.map(|day| day.to_string()).unwrap_or_default(),
                counts.join(" "),
                day.share,
                paid.currency,
                paid.theirs,
                paid.ours,
                paid.share,
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
    fn what_a_row_does_not_pay_is_compared_on_neither_side() {
        let in_euros = |text: &str| {
            let mut ours = ours(text);
            ours.money = ours.money.into_values().map(|amount| (Field::Payout, amount)).collect();
            ours.currency = Some("EUR".to_owned());
            ours.reporting = Amount::parse("12").into_iter().map(|amount| (Field::UsdPayout, amount)).collect();
            ours
        };
        let stored =
            || vec![in_euros(&format!("a purchase approved 10 {T}")), ours(&format!("b purchase approved 3 {T}"))];
        let paid = |report: &[Theirs], says| {
            let (_, total) = of(
                &pair(&report.iter().collect::<Vec<_>>(), &stored().iter().collect::<Vec<_>>(), &rules()),
                &rules(),
                says,
            );
            let paid = total.payout.iter().map(|paid| format!("{} {} {}", paid.currency, paid.theirs, paid.ours));
            paid.collect::<Vec<_>>().join(", ")
        };
        let [usd, local, both] = [(true, false), (false, true), (true, true)].map(|(usd, local)| Says { usd, local });
        let b = theirs(&format!("b - approved 3 {T}"));
        assert_eq!(paid(&[theirs(&format!("a - approved - {T}")), b.clone()], usd), "USD 3 3", "the row says nothing");
        assert_eq!(paid(&[theirs(&format!("a - approved 12 {T}")), b.clone()], usd), "USD 15 15", "converted");
        let mut a = theirs(&format!("a - approved 10 {T}"));
        a.money = a.money.into_values().map(|amount| (Field::Payout, amount)).collect();
        a.currency = Some("EUR".to_owned());
        assert_eq!(paid(&[a.clone(), b.clone()], both), "EUR 10 10, USD 3 3");
        assert_eq!(paid(&[a], both), "EUR 10 10, USD 0 3", "what is extra");
        assert_eq!(paid(std::slice::from_ref(&b), both), "EUR 0 10, USD 3 3");
        assert_eq!(paid(std::slice::from_ref(&b), usd), "USD 3 15");
        assert_eq!(paid(&[], local), "EUR 0 10");
        assert_eq!(paid(&[], Says { usd: false, local: false }), "", "the report tells of no money");
        let mut a = theirs(&format!("a - approved 10 {T}"));
        a.money = a.money.into_values().map(|amount| (Field::Payout, amount)).collect();
        assert_eq!(paid(&[a, b], both), "EUR 10 10, USD 3 3", "in our currency, where it says none");
    }

    #[test]
    fn what_is_missing_is_summed_in_the_currency_that_it_is_taken_for() {
        let in_rupiah = |text: &str, assumed: Option<&str>| {
            let mut row = theirs(text);
            row.money = row.money.into_values().map(|amount| (Field::Payout, amount)).collect();
            row.assumed_currency = assumed.map(str::to_owned);
            row
        };
        let mut stored = ours(&format!("a purchase approved 1000 {T}"));
        stored.money = stored.money.into_values().map(|amount| (Field::Payout, amount)).collect();
        stored.currency = Some("IDR".to_owned());
        for (assumed, sums) in [(Some("IDR"), vec!["IDR 1010 1000"]), (None, vec![" 10 0", "IDR 1000 1000"])] {
            let report = [("a", "1000"), ("b", "10")]
                .map(|(id, payout)| in_rupiah(&format!("{id} - approved {payout} {T}"), assumed));
            let pairs = pair(&report.iter().collect::<Vec<_>>(), &[&stored], &rules());
            let (_, total) = of(&pairs, &rules(), Says { usd: false, local: true });
            let paid = total.payout.iter().map(|paid| format!("{} {} {}", paid.currency, paid.theirs, paid.ours));
            assert_eq!(paid.collect::<Vec<_>>(), sums);
        }
    }

    #[test]
    fn what_the_report_does_not_say_stands_as_we_have_it() {
        let stored = [ours(&format!("a purchase rejected 5 {T}"))];
        let (_, total) = of(
            &pair(&[&theirs(&format!("a - - 5 {T}"))], &stored.iter().collect::<Vec<_>>(), &rules()),
            &rules(),
            Says { usd: true, local: false },
        );
        assert!(total.payout.is_empty() && !total.is_flagged);
        let stored = [ours(&format!("a purchase approved 5 {T}"))];
        let says = Says { usd: true, local: false };
        let (_, total) = of(
            &pair(&[&theirs(&format!("a - rejected - {T}"))], &stored.iter().collect::<Vec<_>>(), &rules()),
            &rules(),
            says,
        );
        assert_eq!(
            (total.payout[0].theirs, total.payout[0].ours),
            (Decimal::ZERO, Decimal::from(5)),
            "it pays nothing"
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
            assert_eq!(Share::of(decimal(part), decimal(whole)).to_string(), share);
        }
    }
}
