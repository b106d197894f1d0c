//! Exchange rates as the European Central Bank publishes them (R51).
//!
//! Both of its CSV files are read: the day's (`eurofxref.csv`, `23 October 2026`) and the history (`eurofxref-hist.csv`,
//! `2026-10-23`). The first line names the currencies; each further one has a day and how many units of each currency one euro was
//! worth; `N/A` or nothing where there was no rate.

use chrono::NaiveDate;
use postback::money::Currency;
use rust_decimal::Decimal;
use std::fmt;

/// Characters of a rate at most.
const RATE_LENGTH_MAX: usize = 20;

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

/// Reads a file of rates. Currencies that are none any more are left out.
///
/// # Errors
/// Every line that is wrong; then nothing of the file is to be used.
pub fn read_ecb(text: &str) -> Result<Vec<Quote>, Vec<Problem>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut lines = text.lines().zip(1_usize..).filter(|(line, _)| !line.trim().is_empty());
    let wrong = |line, reason: String| Problem { line, reason };
    let Some((head, _)) = lines.next() else {
        return Err(vec![wrong(1, "the file is empty".to_owned())]);
    };
    let mut names = head.split(',').map(str::trim);
    if names.next() != Some("Date") {
        return Err(vec![wrong(1, "must begin with Date, and name the currencies: Date,USD,JPY,...".to_owned())]);
    }
    let names: Vec<&str> = names.collect();
    let is_code = |name: &&str| name.is_empty() || name.len() == 3 && name.bytes().all(|b| b.is_ascii_uppercase());
    if let Some(name) = names.iter().find(|name| !is_code(name)) {
        return Err(vec![wrong(1, format!("{name:?} is no currency: three capital letters"))]);
    }
    let (mut quotes, mut problems) = (Vec::new(), Vec::new());
    for (line, number) in lines {
        match read_line(line, &names) {
            Ok(read) => quotes.extend(read),
            Err(reason) => problems.push(wrong(number, reason)),
        }
    }
    if quotes.is_empty() && problems.is_empty() {
        problems.push(wrong(1, "there are no rates in it".to_owned()));
    }
    if problems.is_empty() { Ok(quotes) } else { Err(problems) }
}

fn read_line(line: &str, names: &[&str]) -> Result<Vec<Quote>, String> {
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
        let plain = cell.len() <= RATE_LENGTH_MAX && cell.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        let rate = cell.parse::<Decimal>().ok().filter(|rate| plain && *rate > Decimal::ZERO);
        let rate =
            rate.ok_or_else(|| format!("{cell:?} is no rate of {name}: a decimal above zero, such as 1.0843"))?;
        if let Some(currency) = Currency::parse(name) {
            quotes.push(Quote { day, currency: currency.code().to_owned(), rate });
        }
    }
    Ok(quotes)
}

fn read_day(text: &str) -> Option<NaiveDate> {
    ["%Y-%m-%d", "%d %B %Y"].iter().find_map(|form| NaiveDate::parse_from_str(text, form).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<String>, Vec<String>> {
        let told = |quote: Quote| format!("{} {} {}", quote.day, quote.currency, quote.rate);
        match read_ecb(text) {
            Ok(quotes) => Ok(quotes.into_iter().map(told).collect()),
            Err(problems) => Err(problems.iter().map(ToString::to_string).collect()),
        }
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
        ] {
            let problems = read(text).unwrap_err();
            assert!(problems.len() == 1 && problems[0].starts_with(problem), "{text:?}: {problems:?}");
        }
    }
}
