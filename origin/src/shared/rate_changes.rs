//! Rates that cannot be right because they differ too much from those of the days around them: a decimal point that slipped, two
//! columns that were exchanged. Pure.

use super::rates::Quote;
use chrono::{Days, NaiveDate};
use rust_decimal::Decimal;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound::{Excluded, Included};

/// How many days apart two rates may be to be compared. Over a longer gap anything may have happened.
pub const COMPARED_DAYS: u64 = 10;
/// How many times as much a rate may be as the one that it is compared with; or the one compared with as it.
const FACTOR_MAX: Decimal = Decimal::from_parts(3, 0, 0, false, 0);

/// Where the other rate is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The database.
    Stored,
    /// The same file.
    File,
}

/// A rate that differs too much from the one of a day near it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateChange {
    /// The rate.
    pub quote: Quote,
    /// The other day.
    pub other_day: NaiveDate,
    /// The rate of that day.
    pub other_rate: Decimal,
    /// Where that is from.
    pub source: Source,
}

impl fmt::Display for RateChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RateChange { quote: Quote { day, currency, rate }, other_day, other_rate, source } = self;
        let how = if rate > other_rate { "more than 3 times" } else { "less than a third of" };
        let place = match source {
            Source::Stored => "stored",
            Source::File => "in this file",
        };
        write!(f, "{rate} {currency} of {day} is {how} the {other_rate} of {other_day} ({place})")
    }
}

/// Rates by currency and day.
pub type ByCurrency = BTreeMap<String, BTreeMap<NaiveDate, Decimal>>;

/// The rates among `imported` that differ too much from the last one of the same currency within the ten days before, or from the
/// first one within the ten days after that is stored. `file` is the whole file, whose rates replace the stored ones of their days.
pub fn too_large(imported: &[Quote], file: &[Quote], stored: &ByCurrency) -> Vec<RateChange> {
    let mut known: BTreeMap<&str, BTreeMap<NaiveDate, (Decimal, Source)>> = BTreeMap::new();
    for (currency, days) in stored {
        let days = days.iter().map(|(day, rate)| (*day, (*rate, Source::Stored)));
        known.entry(currency).or_default().extend(days);
    }
    for quote in file {
        known.entry(&quote.currency).or_default().insert(quote.day, (quote.rate, Source::File));
    }
    imported.iter().filter_map(|quote| change_of(quote, known.get(quote.currency.as_str())?)).collect()
}

fn change_of(quote: &Quote, known: &BTreeMap<NaiveDate, (Decimal, Source)>) -> Option<RateChange> {
    let days = Days::new(COMPARED_DAYS);
    let first = quote.day.checked_sub_days(days).unwrap_or(NaiveDate::MIN);
    let last = quote.day.checked_add_days(days).unwrap_or(NaiveDate::MAX);
    let before = known.range((Included(first), Excluded(quote.day))).next_back();
    // A later day of the same file is compared with this one itself.
    let after = known.range((Excluded(quote.day), Included(last))).next();
    let after = after.filter(|(_, (_, source))| *source == Source::Stored);
    let mut near = before.into_iter().chain(after);
    near.find(|(_, (rate, _))| is_too_large(quote.rate, *rate)).map(|(day, (rate, source))| RateChange {
        quote: quote.clone(),
        other_day: *day,
        other_rate: *rate,
        source: *source,
    })
}

/// Whether one of two rates is more than three times the other. What cannot be compared is.
fn is_too_large(a: Decimal, b: Decimal) -> bool {
    let exceeds = |more: Decimal, less: Decimal| less.checked_mul(FACTOR_MAX).is_none_or(|most| more > most);
    exceeds(a, b) || exceeds(b, a)
}

#[cfg(test)]
mod tests {
    use super::super::rates::read_ecb;
    use super::*;
    use std::fmt::Write;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    fn quotes(csv: &str) -> Vec<Quote> {
        read_ecb(csv, day("2026-11-29")).unwrap().quotes
    }

    fn stored(csv: &str) -> ByCurrency {
        let mut stored = ByCurrency::new();
        for Quote { day, currency, rate } in quotes(csv) {
            stored.entry(currency).or_default().insert(day, rate);
        }
        stored
    }

    fn refused(file: &str, stored: &ByCurrency) -> Vec<String> {
        let file = quotes(file);
        too_large(&file, &file, stored).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_rate_is_compared_with_the_last_one_before_it_whatever_the_order_of_the_file() {
        let [older_first, newer_first] = [
            "Date,USD,MYR\n2026-10-20,1.1,4.9\n2026-10-21,1.1,4.9\n2026-10-22,11,N/A\n",
            "Date,USD,MYR\n2026-10-22,11,N/A\n2026-10-21,1.1,4.9\n2026-10-20,1.1,4.9\n",
        ];
        let is = ["11 USD of 2026-10-22 is more than 3 times the 1.1 of 2026-10-21 (in this file)"];
        assert_eq!(refused(older_first, &ByCurrency::new()), is);
        assert_eq!(refused(newer_first, &ByCurrency::new()), is);
        assert_eq!(
            refused("Date,USD\n2026-10-22,0.36\n", &stored("Date,USD\n2026-10-20,9\n2026-10-21,1.1\n")),
            ["0.36 USD of 2026-10-22 is less than a third of the 1.1 of 2026-10-21 (stored)"]
        );
    }

    #[test]
    fn three_times_as_much_and_a_third_are_not_too_large() {
        let known = stored("Date,USD\n2026-10-21,1.2\n");
        for (rate, is_refused) in [("3.6", false), ("3.600001", true), ("0.4", false), ("0.399999", true)] {
            let found = refused(&format!("Date,USD\n2026-10-22,{rate}\n"), &known);
            assert_eq!(!found.is_empty(), is_refused, "{rate}: {found:?}");
        }
        // As large as rates are read.
        let most = "99999999999999999999";
        assert_eq!(refused(&format!("Date,USD\n2026-10-22,{most}\n"), &known).len(), 1);
        assert_eq!(refused(&format!("Date,USD\n2026-10-21,{most}\n2026-10-22,{most}\n"), &ByCurrency::new()).len(), 0);
    }

    #[test]
    fn rates_more_than_ten_days_apart_are_not_compared() {
        let known = stored("Date,USD\n2026-10-10,1.1\n");
        assert_eq!(refused("Date,USD\n2026-10-20,11\n", &known).len(), 1);
        assert_eq!(refused("Date,USD\n2026-10-21,11\n", &known).len(), 0);
        assert_eq!(refused("Date,USD\n2026-09-30,11\n", &known).len(), 1, "the stored day is ten days later");
        assert_eq!(refused("Date,USD\n2026-09-29,11\n", &known).len(), 0);
        // Only the last of the days before counts.
        assert_eq!(refused("Date,USD\n2026-10-15,3\n2026-10-16,8\n", &known).len(), 0);
    }

    #[test]
    fn a_day_that_is_imported_late_is_compared_with_the_stored_day_after_it() {
        let known = stored("Date,USD\n2026-10-23,1.1\n2026-10-26,11\n");
        assert_eq!(
            refused("Date,USD\n2026-10-22,11.1\n", &known),
            ["11.1 USD of 2026-10-22 is more than 3 times the 1.1 of 2026-10-23 (stored)"]
        );
    }

    #[test]
    fn the_right_file_replaces_a_wrong_rate_that_is_stored() {
        let known = stored("Date,USD\n2026-10-21,1.1\n2026-10-22,11\n2026-10-23,11\n");
        assert_eq!(refused("Date,USD\n2026-10-23,1.1\n2026-10-22,1.1\n", &known).len(), 0);
        assert_eq!(refused("Date,USD\n2026-10-22,1.1\n", &known).len(), 1, "the 23rd stays wrong");
    }

    #[test]
    fn days_that_are_left_out_are_still_compared_with() {
        let file = quotes("Date,USD\n2026-10-22,11\n2026-10-21,1.1\n");
        let imported: Vec<_> = file.iter().filter(|quote| quote.day == day("2026-10-22")).cloned().collect();
        assert_eq!(too_large(&imported, &file, &ByCurrency::new()).len(), 1);
        assert_eq!(too_large(&imported, &imported, &ByCurrency::new()).len(), 0);
    }

    /// A file like the bank's whole history: every working day since 1999, the newest first; currencies that begin, end, pause, and lose
    /// six digits under another code.
    fn history() -> String {
        let spans = [
            ("USD", "1999-01-04", "2026-11-27", 11_789),
            ("JPY", "1999-01-04", "2026-11-27", 1_337_300),
            ("CYP", "1999-01-04", "2007-12-31", 5_823),
            ("TRL", "1999-01-04", "2004-12-31", 3_723_000_000),
            ("TRY", "2005-01-03", "2026-11-27", 18_235),
            ("ROL", "1999-01-04", "2005-06-30", 131_111_000),
            ("RON", "2005-07-01", "2026-11-27", 36_050),
            ("ISK", "1999-01-04", "2008-12-09", 2_900_000),
            ("ISK", "2018-02-01", "2026-11-27", 1_251_000),
            ("RUB", "1999-01-04", "2022-03-01", 252_875),
        ];
        let mut head: Vec<&str> = spans.iter().map(|(currency, ..)| *currency).collect();
        head.dedup();
        let mut text = format!("Date,{},\n", head.join(","));
        let mut values: [i64; 10] = spans.map(|(.., value)| value);
        let (mut lines, mut random) = (Vec::new(), 7_u64);
        let mut date = day("1999-01-04");
        while date <= day("2026-11-27") {
            let mut line = date.to_string();
            let mut cells: BTreeMap<&str, String> = BTreeMap::new();
            for ((currency, first, last, _), value) in spans.iter().zip(&mut values) {
                // Up to two per cent a day.
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let by = i64::try_from(random >> 40).unwrap().rem_euclid(401).saturating_sub(200);
                let step = i64::saturating_mul(*value, by).div_euclid(10_000);
                *value = i64::saturating_add(*value, step).max(2_000);
                if (day(first)..=day(last)).contains(&date) {
                    cells.insert(currency, Decimal::new(*value, 4).to_string());
                }
            }
            for currency in &head {
                write!(line, ",{}", cells.get(currency).map_or("N/A", String::as_str)).unwrap();
            }
            lines.push(format!("{line},\n"));
            date = date.checked_add_days(Days::new(if date.format("%u").to_string() == "5" { 3 } else { 1 })).unwrap();
        }
        lines.reverse();
        text.extend(lines);
        text
    }

    #[test]
    fn a_whole_history_has_no_change_that_is_too_large() {
        let text = history();
        assert!(text.lines().count() > 7_000, "{}", text.lines().count());
        let file = quotes(&text);
        assert!(file.len() > 30_000, "{}", file.len());
        assert_eq!(too_large(&file, &file, &ByCurrency::new()), []);
        assert_eq!(too_large(&file, &file, &stored(&text)), [], "nor when it is imported again");
        // Over one that slipped anywhere it does not go without a word.
        let line = text.lines().nth(3_000).unwrap();
        let usd = line.split(',').nth(1).unwrap();
        let slipped = text.replacen(&format!(",{usd},"), &format!(",{},", usd.replace('.', "")), 1);
        let file = quotes(&slipped);
        assert!(!too_large(&file, &file, &ByCurrency::new()).is_empty());
    }
}
