//! CSV that a spreadsheet opens without running any of it.

use serde_json::Value;

/// Rows of named cells as CSV (RFC 4180).
pub struct Table;

impl Table {
    /// The table of rows; the first one's names are its head. Without rows there is no head.
    pub fn of<'a>(rows: impl Iterator<Item = Vec<(&'a str, Value)>>) -> String {
        let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
        for (row, number) in rows.zip(0_u64..) {
            // A writer into memory does not fail; a row of another length than the head cannot be.
            if number == 0 {
                let _ = writer.write_record(row.iter().map(|(name, _)| *name));
            }
            let _ = writer.write_record(row.iter().map(|(_, value)| cell(value)));
        }
        writer.into_inner().ok().and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default()
    }

    /// The text of which a cell was made.
    pub fn text_of(cell: &str) -> &str {
        cell.strip_prefix('\'').filter(|text| begins_formula(text)).unwrap_or(cell)
    }
}

/// Whether a text begins as a formula does, or as one behind apostrophes, which gets another: so each cell is made of one text.
fn begins_formula(text: &str) -> bool {
    text.trim_start_matches('\'').starts_with(['=', '+', '-', '@', '\t', '\r', '\n'])
}

/// A cell. A text that a spreadsheet would take for a formula gets an apostrophe in front (OWASP, CSV injection); numbers are numbers,
/// also those below zero.
fn cell(value: &Value) -> String {
    let text = match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    };
    let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b == b'.' || b == b'-');
    let is_formula = begins_formula(&text) && !(is_number && number_of(&text));
    if is_formula { format!("'{text}") } else { text }
}

fn number_of(text: &str) -> bool {
    text.parse::<rust_decimal::Decimal>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_cell_is_read_back_as_the_text_that_it_was(text in "[-'=+@\\t0-9.a]{0,6}") {
            let cell = cell(&Value::from(text.as_str()));
            prop_assert!(!cell.starts_with(['=', '+', '@', '\t']));
            prop_assert_eq!(Table::text_of(&cell), text.as_str());
        }
    }

    #[test]
    fn no_cell_is_a_formula() {
        for (text, safe) in [
            ("=1+1", "'=1+1"),
            ("+cmd|' /C calc'!A0", "'+cmd|' /C calc'!A0"),
            ("-2+3", "'-2+3"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\t=1", "'\t=1"),
            ("-10.50", "-10.50"),
            ("10.50", "10.50"),
            ("--1", "'--1"),
            ("a=b", "a=b"),
            ("", ""),
            ("'=1", "''=1"),
            ("''-a", "'''-a"),
            ("'-1", "''-1"),
            ("'a", "'a"),
            ("'", "'"),
        ] {
            assert_eq!(cell(&Value::from(text)), safe, "{text:?}");
            assert_eq!(Table::text_of(safe), text);
        }
        let table = Table::of(vec![vec![("a", Value::from("x,\"y\"")), ("b", Value::Null)]].into_iter());
        assert_eq!(table, "a,b\r\n\"x,\"\"y\"\"\",\r\n");
    }
}
