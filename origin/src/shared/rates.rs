//! Exchange rates as the European Central Bank publishes them (R51).
//!
//! Both of its CSV files are read: the day's (`eurofxref.csv`, `23 October 2026`) and the history (`eurofxref-hist.csv`,
//! `2026-10-23`). The first line names the currencies; each further one has a day and how many units of each currency one euro was
//! worth; `N/A` or nothing where there was no rate. [`super::rate_changes`] compares the rates of neighbouring days.

use chrono::{Datelike, NaiveDate};
use postback::money::Currency;
use rust_decimal::Decimal;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Characters of a rate at most.
const RATE_LENGTH_MAX: usize = 20;
/// The year of the first day that can have rates, with room before the first ones of the bank.
const FIRST_YEAR: i32 = 1990;

/// One rate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quote {
    /// Of which day.
    pub day: NaiveDate,
    /// ISO 4217.
    pub currency: String,
    /// How many units of the currency one euro was worth; above zero.
    pub rate: Decimal,
}

/// A file of rates that was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RateFile {
    /// Its rates, in the order of the file.
    pub quotes: Vec<Quote>,
    /// The line of each day, from 1. A day has one line.
    pub lines: BTreeMap<NaiveDate, usize>,
}

/// What is wrong with a file of rates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The line, from 1.
    pub line: usize,
    /// Why, and what to write instead.
    pub reason: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.reason)
    }
}

/// Reads a file of rates. Currencies that are none any more are left out. `today` is the day in UTC: a later day has no rates yet.
///
/// # Errors
/// Every line that is wrong; then nothing of the file is to be used.
pub fn read_ecb(text: &str, today: NaiveDate) -> Result<RateFile, Vec<Problem>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut lines = text.lines().zip(1_usize..).filter(|(line, _)| !line.trim().is_empty());
    let wrong = |line, reason: String| Problem { line, reason };
    let Some((head, head_line)) = lines.next() else {
        return Err(vec![wrong(1, "the file is empty".to_owned())]);
    };
    let names = read_head(head).map_err(|reason| vec![wrong(head_line, reason)])?;
    let (mut file, mut problems) = (RateFile::default(), Vec::new());
    for (line, number) in lines {
        let read = read_line(line, &names).and_then(|(day, quotes)| {
            refuse_day(day, today)?;
            match file.lines.insert(day, number) {
                None => Ok(quotes),
                Some(first) => {
                    file.lines.insert(day, first);
                    Err(format!("{day} is listed twice: also on line {first}"))
                }
            }
        });
        match read {
            Ok(quotes) => file.quotes.extend(quotes),
            Err(reason) => problems.push(wrong(number, reason)),
        }
    }
    if file.quotes.is_empty() && problems.is_empty() {
        problems.push(wrong(1, "there are no rates in it".to_owned()));
    }
    if problems.is_empty() { Ok(file) } else { Err(problems) }
}

/// Refuses a day after today: nobody knows its rates, and with it every later amount would count as finally converted. And one of
/// before 1990: the bank's rates begin in 1999, so the year is a mistake, and some databases have no date so far back.
///
/// # Errors
/// Why the day is refused.
pub fn refuse_day(day: NaiveDate, today: NaiveDate) -> Result<(), String> {
    if day > today {
        Err(format!("{day} is in the future: today is {today} (UTC)"))
    } else if day.year() < FIRST_YEAR {
        Err(format!("{day} is before {FIRST_YEAR}: rates in euros begin in 1999"))
    } else {
        Ok(())
    }
}

/// Reads a rate: a decimal above zero in plain digits.
pub fn read_rate(text: &str) -> Option<Decimal> {
    let plain = text.len() <= RATE_LENGTH_MAX && text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    text.parse::<Decimal>().ok().filter(|rate| plain && *rate > Decimal::ZERO)
}

/// The currencies that the first line names, in their order. An empty name is a column without rates.
fn read_head(head: &str) -> Result<Vec<&str>, String> {
    let mut names = head.split(',').map(str::trim);
    if names.next() != Some("Date") {
        return Err("must begin with Date, and name the currencies: Date,USD,JPY,...".to_owned());
    }
    let names: Vec<&str> = names.collect();
    let mut seen = BTreeSet::new();
    for name in names.iter().filter(|name| !name.is_empty()) {
        if name.len() != 3 || !name.bytes().all(|b| b.is_ascii_uppercase()) {
            return Err(format!("{name:?} is no currency: three capital letters"));
        }
        if !seen.insert(name) {
            return Err(format!("{name} is named twice: which of the two columns is right?"));
        }
    }
    Ok(names)
}

fn read_line(line: &str, names: &[&str]) -> Result<(NaiveDate, Vec<Quote>), String> {
    let mut cells = line.split(',').map(str::trim);
    let day = cells.next().unwrap_or_default();
    let day = read_day(day).ok_or_else(|| format!("{day:?} is no day, such as 2026-10-23 or 23 October 2026"))?;
    let cells: Vec<&str> = cells.collect();
    if cells.len() > names.len() {
        return Err(format!("has {} values for {} currencies", cells.len(), names.len()));
    }
    let mut quotes = Vec::new();
    for (name, cell) in names.iter().zip(cells) {
        if cell.is_empty() || cell == "N/A" || name.is_empty() {
            continue;
        }
        let rate = read_rate(cell)
            .ok_or_else(|| format!("{cell:?} is no rate of {name}: a decimal above zero, such as 1.0843"))?;
        if let Some(currency) = Currency::parse(name) {
            quotes.push(Quote { day, currency: currency.code().to_owned(), rate });
        }
    }
    Ok((day, quotes))
}

fn read_day(text: &str) -> Option<NaiveDate> {
    ["%Y-%m-%d", "%d %B %Y"].iter().find_map(|form| NaiveDate::parse_from_str(text, form).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<String>, Vec<String>> {
        let told = |quote: Quote| format!("{} {} {}", quote.day, quote.currency, quote.rate);
        match read_ecb(text, "2026-10-23".parse().unwrap()) {
            Ok(file) => Ok(file.quotes.into_iter().map(told).collect()),
            Err(problems) => Err(problems.iter().map(ToString::to_string).collect()),
        }
    }

    #[test]
    fn a_day_that_can_have_no_rates_is_refused() {
        let file = "Date,USD\n0000-12-31,1\n-0005-02-03,1\n0001-01-11,1\n1989-12-31,1\n1990-01-01,1\n2026-10-24,1\n";
        let early = |line: usize, day: &str| format!("line {line}: {day} is before 1990: rates in euros begin in 1999");
        assert_eq!(
            read(file),
            Err(vec![
                early(2, "0000-12-31"),
                early(3, "-0005-02-03"),
                early(4, "0001-01-11"),
                early(5, "1989-12-31"),
                "line 7: 2026-10-24 is in the future: today is 2026-10-23 (UTC)".to_owned(),
            ])
        );
    }

    #[test]
    fn both_files_of_the_bank_are_read() {
        assert_eq!(
            read("Date, USD, JPY, BGN, \n23 October 2026, 1.1608, 177.05, 1.9558, \n"),
            Ok(vec![
                "2026-10-23 USD 1.1608".to_owned(),
                "2026-10-23 JPY 177.05".to_owned(),
                "2026-10-23 BGN 1.9558".to_owned()
            ])
        );
        // A byte order mark, a currency that is none any more, and none on a day.
        assert_eq!(
            read("\u{feff}Date,USD,CYP,MYR,\r\n2026-10-23,1.1608,N/A,4.9,\r\n2026-10-22,1.1600,0.58,N/A,\r\n"),
            Ok(vec![
                "2026-10-23 USD 1.1608".to_owned(),
                "2026-10-23 MYR 4.9".to_owned(),
                "2026-10-22 USD 1.1600".to_owned()
            ])
        );
    }

    #[test]
    fn each_line_that_is_wrong_is_named() {
        let text = "Date,USD\n2026-10-22,1\n2026-10-22,1\n2026-10-22,1\n2027-01-01,x\n2027-01-01,1\n";
        let problems = read(text).unwrap_err();
        let named: Vec<_> = problems.iter().map(|problem| problem.split_once(':').unwrap().0).collect();
        assert_eq!(named, ["line 3", "line 4", "line 5", "line 6"]);
        assert_eq!(
            problems[1], "line 4: 2026-10-22 is listed twice: also on line 2",
            "the first is the one that it repeats"
        );
    }

    #[test]
    fn what_is_wrong_is_told_by_line_and_nothing_is_used() {
        for (text, problem) in [
            ("", "line 1: the file is empty"),
            ("Date,USD\n", "line 1: there are no rates in it"),
            ("date;USD\n", "line 1: must begin with Date"),
            ("Date,usd\n", "line 1: \"usd\" is no currency"),
            ("Date,USD\n2026-13-01,1\n", "line 2: \"2026-13-01\" is no day"),
            ("Date,USD\n\n2026-10-23,1,2\n", "line 3: has 2 values for 1 currencies"),
            ("Date,USD\n2026-10-23,1e3\n", "line 2: \"1e3\" is no rate of USD"),
            ("Date,USD\n2026-10-23,-1\n", "line 2: \"-1\" is no rate of USD"),
            ("Date,USD\n2026-10-23,0\n", "line 2: \"0\" is no rate of USD"),
            ("Date,USD\n2026-10-23,\"1,1608\"\n", "line 2: has 2 values"),
            ("<html>", "line 1: must begin with Date"),
            ("Date,USD,JPY,USD\n2026-10-23,1.1,177,1.1\n", "line 1: USD is named twice"),
            ("\nDate,TRL,TRL\n", "line 2: TRL is named twice"),
            (
                "Date,USD\n2026-10-23,1.1\n2030-01-01,1.1\n",
                "line 3: 2030-01-01 is in the future: today is 2026-10-23 (UTC)",
            ),
            ("Date,USD\n2026-10-24,1.1\n", "line 2: 2026-10-24 is in the future"),
            ("Date,USD\n24 October 2026,N/A\n", "line 2: 2026-10-24 is in the future"),
            (
                "Date,USD\n2026-10-23,1.1\n2026-10-22,1.1\n23 October 2026,1.2\n",
                "line 4: 2026-10-23 is listed twice: also on line 2",
            ),
        ] {
            let problems = read(text).unwrap_err();
            assert!(problems.len() == 1 && problems[0].starts_with(problem), "{text:?}: {problems:?}");
        }
    }
}
