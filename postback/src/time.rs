//! Instants: every way partners write a time, read into UTC (R8). The clock is never asked here; "now" is an argument.

use crate::zone::Zone;
use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime, SecondsFormat, Timelike, Utc};
use std::fmt;

/// The years read, on local clocks and as instants. The zones' tables do not reach farther, nor do conversions.
const YEARS: std::ops::RangeInclusive<u32> = 1970..=2099;
/// The farthest any clock stands from UTC: +14:00 in Kiritimati.
const OFFSET_S_MAX: i64 = 14 * 3600;
/// Months, each in the ways it is written.
const MONTHS: [&[&str]; 12] = [
    &["jan", "january"],
    &["feb", "february"],
    &["mar", "march"],
    &["apr", "april"],
    &["may"],
    &["jun", "june"],
    &["jul", "july"],
    &["aug", "august"],
    &["sep", "sept", "september"],
    &["oct", "october"],
    &["nov", "november"],
    &["dec", "december"],
];
/// Weekdays, which say nothing that the date does not.
const WEEKDAYS: [&str; 18] = [
    "mon",
    "monday",
    "tue",
    "tues",
    "tuesday",
    "wed",
    "wednesday",
    "thu",
    "thur",
    "thurs",
    "thursday",
    "fri",
    "friday",
    "sat",
    "saturday",
    "sun",
    "sunday",
    "weds",
];

/// An instant in UTC, to the microsecond (what the databases hold).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(DateTime<Utc>);

impl Timestamp {
    /// 1970-01-01T00:00:00Z.
    pub const EPOCH: Timestamp = Timestamp(DateTime::UNIX_EPOCH);

    /// From Unix milliseconds, as platform clocks give them. None when out of range.
    pub fn from_unix_ms(unix_ms: i64) -> Option<Timestamp> {
        DateTime::from_timestamp_millis(unix_ms).map(Timestamp)
    }

    /// Whole milliseconds since 1970.
    pub fn unix_ms(self) -> i64 {
        self.0.timestamp_millis()
    }

    /// Whole seconds since 1970.
    pub fn unix_s(self) -> i64 {
        self.0.timestamp()
    }

    /// Reads a time as a partner writes it: date and time (`2025-01-01 12:00:00`, `T` form, fractions, with or without
    /// an offset), a bare date (its midnight), epoch seconds (10 digits) or milliseconds (13 digits), and forms with a
    /// month's name (`20 Jan 2020`, `jan 20, 2020 09:30`). A text without an offset is in `zone`. An offset whose `+`
    /// arrived as a space is understood. Digits beyond the microsecond are dropped. None: not a time.
    pub fn parse(text: &str, zone: &Zone) -> Option<Timestamp> {
        Timestamp::read(text, zone).map(|(instant, _)| instant)
    }

    /// The same, and in which way the time was written.
    pub fn read(text: &str, zone: &Zone) -> Option<(Timestamp, Written)> {
        let text = text.trim_matches(' ');
        if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
            return epoch(text);
        }
        let mut scan = Scan { rest: text.as_bytes() };
        let date = date(&mut scan)?;
        if scan.rest.is_empty() {
            let midnight_s = zone.instant(date.and_time(NaiveTime::MIN).and_utc().timestamp());
            return Some((in_range(DateTime::from_timestamp(midnight_s, 0)?)?, Written::Date));
        }
        separator(&mut scan)?;
        let (time, micros) = time_of_day(&mut scan)?;
        let clock = clock(&mut scan)?;
        if !scan.rest.is_empty() {
            return None;
        }
        let local_s = NaiveDateTime::new(date, time).and_utc().timestamp();
        let (unix_s, written) = match clock {
            Clock::Local => (zone.instant(local_s), Written::LocalClock),
            Clock::Offset { seconds_east } => (local_s.checked_sub(seconds_east)?, Written::WithOffset),
        };
        let instant = DateTime::from_timestamp(unix_s, micros.checked_mul(1000)?).and_then(in_range)?;
        Some((instant, written))
    }

    /// Always 27 characters with six digits behind the point, so that the order of texts is the order of times.
    pub fn to_sortable(self) -> String {
        self.0.to_rfc3339_opts(SecondsFormat::Micros, true)
    }

    /// The instant as chrono has it, for databases with a type of their own.
    pub fn to_chrono(self) -> DateTime<Utc> {
        self.0
    }
}

/// RFC 3339 in UTC with `Z`, and a fraction only where there is one.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (date, time) = (self.0.date_naive(), self.0.time());
        let mut text = Digits::default();
        text.put(date.year().unsigned_abs(), 4, b'-');
        text.put(date.month(), 2, b'-');
        text.put(date.day(), 2, b'T');
        text.put(time.hour(), 2, b':');
        text.put(time.minute(), 2, b':');
        let micros = time.nanosecond() / 1_000;
        text.put(time.second(), 2, if micros == 0 { b'Z' } else { b'.' });
        if micros.is_multiple_of(1_000) && micros > 0 {
            text.put(micros / 1_000, 3, b'Z');
        } else if micros > 0 {
            text.put(micros, 6, b'Z');
        }
        f.write_str(text.as_str())
    }
}

/// A time being written, digit by digit: format strings take several times as long, and every postback has several times. Years
/// have four digits, see [`YEARS`].
#[derive(Default)]
struct Digits {
    text: [u8; 27],
    length: usize,
}

impl Digits {
    /// Writes the last `width` digits of a number and a mark behind them.
    fn put(&mut self, number: u32, width: usize, mark: u8) {
        let room = self.text.iter_mut().skip(self.length).take(width.saturating_add(1));
        let mut rest = number;
        for (place, byte) in room.rev().enumerate() {
            if place == 0 {
                *byte = mark;
            } else {
                *byte = b'0'.wrapping_add(u8::try_from(rest % 10).unwrap_or(0));
                rest /= 10;
            }
        }
        self.length = self.length.saturating_add(width).saturating_add(1);
    }

    fn as_str(&self) -> &str {
        self.text.get(..self.length).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default()
    }
}

/// In which way a time was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// Seconds since 1970.
    EpochSeconds,
    /// Milliseconds since 1970.
    EpochMilliseconds,
    /// A date alone: midnight on the zone's clocks.
    Date,
    /// As the zone's clocks showed it.
    LocalClock,
    /// With an offset, or `Z`.
    WithOffset,
}

/// What the clock that showed a time was set to.
enum Clock {
    Local,
    Offset { seconds_east: i64 },
}

/// An instant whose UTC form can be read again: a local time near the ends may lie beyond them. The epoch itself is
/// what a missing time turns into in many systems, and no time.
fn in_range(instant: DateTime<Utc>) -> Option<Timestamp> {
    let in_years = u32::try_from(instant.year()).is_ok_and(|year| YEARS.contains(&year));
    (in_years && instant > DateTime::UNIX_EPOCH).then_some(Timestamp(instant))
}

fn epoch(digits: &str) -> Option<(Timestamp, Written)> {
    let number: i64 = digits.parse().ok()?;
    let (instant, written) = match digits.len() {
        10 => (DateTime::from_timestamp(number, 0)?, Written::EpochSeconds),
        13 => (DateTime::from_timestamp_millis(number)?, Written::EpochMilliseconds),
        _ => return None,
    };
    Some((in_range(instant)?, written))
}

/// `2025-01-31`, `2025/01/31`, `31 Jan 2025`, `Jan 31, 2025`, each with a weekday in front if the sender likes.
fn date(scan: &mut Scan) -> Option<NaiveDate> {
    let (year, month, day);
    if let Some(number) = scan.digits(4, 4) {
        let dash = scan.eat(b'-').or_else(|| scan.eat(b'/'))?;
        year = number;
        month = scan.digits(1, 2)?;
        scan.eat(dash)?;
        day = scan.digits(1, 2)?;
    } else {
        let mut word = scan.word();
        if WEEKDAYS.contains(&word.as_str()) {
            let _ = scan.eat(b',');
            scan.spaces();
            word = scan.word();
        }
        if word.is_empty() {
            day = scan.digits(1, 2)?;
            scan.joint()?;
            month = month_number(&scan.word())?;
        } else {
            month = month_number(&word)?;
            scan.joint()?;
            day = scan.digits(1, 2)?;
            let _ = scan.eat(b',');
        }
        scan.joint()?;
        year = scan.digits(4, 4)?;
    }
    if !YEARS.contains(&year) {
        return None;
    }
    NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, day)
}

/// What stands between date and time: `T`, spaces, or a comma and spaces.
fn separator(scan: &mut Scan) -> Option<()> {
    let mark = scan.eat(b'T').or_else(|| scan.eat(b't')).or_else(|| scan.eat(b','));
    let spaces = scan.spaces();
    (mark.is_some() || spaces).then_some(())
}

/// `12:00`, `12:00:00`, `12:00:00.123456`: the time and its microseconds.
fn time_of_day(scan: &mut Scan) -> Option<(NaiveTime, u32)> {
    let hour = scan.digits(1, 2)?;
    scan.eat(b':')?;
    let minute = scan.digits(2, 2)?;
    let mut second = 0;
    let mut micros = 0;
    if scan.eat(b':').is_some() {
        second = scan.digits(2, 2)?;
        if scan.eat(b'.').is_some() {
            micros = scan.fraction()?;
        }
    }
    Some((NaiveTime::from_hms_opt(hour, minute, second)?, micros))
}

/// `Z`, `UTC`, `GMT`, `+08:00`, `+0800`, `+08`, with or without a space before; and ` 08:00`, where form decoding has
/// turned the plus into a space.
fn clock(scan: &mut Scan) -> Option<Clock> {
    let spaced = scan.spaces();
    if scan.rest.is_empty() {
        return Some(Clock::Local);
    }
    let word = scan.word();
    if !word.is_empty() {
        return matches!(word.as_str(), "z" | "utc" | "gmt").then_some(Clock::Offset { seconds_east: 0 });
    }
    let before_sign = scan.rest.len();
    let west = match (scan.eat(b'-'), scan.eat(b'+')) {
        (Some(_), _) => true,
        (None, Some(_)) => false,
        (None, None) if spaced => false,
        (None, None) => return None,
    };
    // Without a sign two digits may be anything; four are an offset whose plus was lost.
    let is_unsigned = scan.rest.len() == before_sign;
    let hours = scan.digits(2, 2)?;
    let colon = scan.eat(b':').is_some();
    let minutes = scan.digits(2, 2);
    let minutes = if colon || is_unsigned { minutes? } else { minutes.unwrap_or(0) };
    let seconds = i64::from(hours).checked_mul(3600)?.checked_add(i64::from(minutes).checked_mul(60)?)?;
    if minutes > 59 || seconds > OFFSET_S_MAX {
        return None;
    }
    Some(Clock::Offset { seconds_east: if west { seconds.checked_neg()? } else { seconds } })
}

fn month_number(word: &str) -> Option<u32> {
    let index = MONTHS.iter().position(|names| names.contains(&word))?;
    u32::try_from(index).ok()?.checked_add(1)
}

/// A place in a text, moving forward.
struct Scan<'a> {
    rest: &'a [u8],
}

impl Scan<'_> {
    /// One number of `min` to `max` digits.
    fn digits(&mut self, min: usize, max: usize) -> Option<u32> {
        let length = self.rest.iter().take(max).take_while(|b| b.is_ascii_digit()).count();
        if length < min {
            return None;
        }
        let (digits, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        std::str::from_utf8(digits).ok()?.parse().ok()
    }

    /// One to nine digits behind a point, as microseconds; finer digits are dropped.
    fn fraction(&mut self) -> Option<u32> {
        let length = self.rest.iter().take_while(|b| b.is_ascii_digit()).count();
        if !(1..=9).contains(&length) {
            return None;
        }
        let (digits, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        let six: String = digits.iter().map(|b| char::from(*b)).chain(std::iter::repeat('0')).take(6).collect();
        six.parse().ok()
    }

    /// The given byte, if it stands here.
    fn eat(&mut self, byte: u8) -> Option<u8> {
        self.rest = self.rest.strip_prefix(&[byte])?;
        Some(byte)
    }

    /// Letters, in lower case; empty where there are none.
    fn word(&mut self) -> String {
        let length = self.rest.iter().take_while(|b| b.is_ascii_alphabetic()).count();
        let (word, rest) = self.rest.split_at_checked(length).unwrap_or((&[], self.rest));
        self.rest = rest;
        word.iter().map(|b| char::from(b.to_ascii_lowercase())).collect()
    }

    /// Any number of spaces; whether there was one.
    fn spaces(&mut self) -> bool {
        let before = self.rest.len();
        while self.eat(b' ').is_some() {}
        self.rest.len() < before
    }

    /// What may stand between the parts of a date with a month's name.
    fn joint(&mut self) -> Option<()> {
        (self.eat(b'-').is_some() || self.spaces()).then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utc(text: &str) -> Option<String> {
        Timestamp::parse(text, &Zone::utc()).map(|t| t.to_string())
    }

    #[test]
    fn every_form_of_one_instant_is_that_instant() {
        for text in [
            "2025-01-01 12:00:00",
            "2025-01-01T12:00:00",
            "2025-01-01T12:00:00Z",
            "2025-01-01t12:00:00z",
            "2025-01-01 12:00",
            "2025/01/01 12:00:00",
            "2025-01-01T20:00:00+08:00",
            "2025-01-01T20:00:00+0800",
            "2025-01-01T20:00:00 08:00",
            "2025-01-01T20:00:00 0800",
            "2025-01-01 20:00:00 +08:00",
            "2025-01-01T20:00:00+08",
            "2025-01-01T07:00:00-05:00",
            "2025-01-01 12:00:00 UTC",
            "2025-01-01T12:00:00.000Z",
            "1735732800",
            "1735732800000",
            "1 Jan 2025 12:00:00",
            "01-Jan-2025 12:00:00",
            "Jan 1, 2025 12:00",
            "January 1 2025 12:00",
            "Wed, 01 Jan 2025 12:00:00 GMT",
            "Wednesday 1 January 2025 12:00",
            "Wed, 01 Jan 2025 20:00:00 +0800",
            " 2025-01-01 12:00:00 ",
        ] {
            assert_eq!(utc(text).as_deref(), Some("2025-01-01T12:00:00Z"), "{text:?}");
        }
    }

    #[test]
    fn dates_and_fractions_are_kept_as_they_are() {
        assert_eq!(utc("2025-01-15").as_deref(), Some("2025-01-15T00:00:00Z"));
        assert_eq!(utc("jan 20 2020").as_deref(), Some("2020-01-20T00:00:00Z"));
        assert_eq!(utc("2025-01-01 12:00:00.5").as_deref(), Some("2025-01-01T12:00:00.500Z"));
        assert_eq!(utc("2025-01-01 12:00:00.123456789").as_deref(), Some("2025-01-01T12:00:00.123456Z"));
        assert_eq!(utc("2024-02-29 23:59:59").as_deref(), Some("2024-02-29T23:59:59Z"));
        assert_eq!(Timestamp::parse("2025-01-01", &Zone::utc()).unwrap().to_sortable(), "2025-01-01T00:00:00.000000Z");
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            " ",
            "now",
            "0000-00-00 00:00:00",
            "0000-00-00",
            "2025-13-01",
            "2025-02-30",
            "2025-00-10",
            "2025-01-32",
            "2025-01-01 24:00:00",
            "2025-01-01 12:60:00",
            "2025-01-01 12:00:60",
            "2025-01-01 12",
            "2025-01-01 12:0:0",
            "2025-01-01T",
            "2025-01-01T12:00:00+",
            "2025-01-01T12:00:00+25:00",
            "2025-01-01T12:00:00+08:0",
            "2025-01-01 12:00:00 Mars",
            "2025-01-01 12:00:00.",
            "20250101",
            "173573280",
            "17357328000000",
            "-1735732800",
            "1735732800.5",
            "1e9",
            "25-01-01",
            "1969-12-31",
            "1970-01-01 00:00:00",
            "0000000000",
            "1970-01-01 08:00:00 +08:00",
            "2099-12-31 23:00:00 -05:00",
            "9999999999",
            "2025-01-01T12:00:00+14:59",
            "2100-01-01",
            "01/02/2025",
            "32 Jan 2025",
            "Foo 1 2025",
            "Janember 1 2025",
            "２０２５-01-01",
            "2025-01-01 12:00:00 08:00 08:00",
            "2025-01-01 12:00 08",
            "2025-01-01\n12:00:00",
        ] {
            assert_eq!(utc(text), None, "{text:?}");
        }
    }
}
