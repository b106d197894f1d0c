//! Text for people at a terminal, and their word.

use serde::Serialize;
use std::io::{BufRead, IsTerminal};

/// Bytes of an answer that are read at most.
const ANSWER_BYTES_MAX: u64 = 1_024;

/// A text without what a terminal could take for a command, and without what is not seen and may show a text other than it is.
pub fn plain(text: &str) -> String {
    text.chars().map(|char| if is_unseen(char) { ' ' } else { char }).collect()
}

/// Whether a character is a command to a terminal, or to what sets a text: it turns its direction, breaks its lines or has no width.
fn is_unseen(char: char) -> bool {
    let sets_text = matches!(char,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}');
    sets_text || char.is_control()
}

/// Rows as columns that stand below one another.
pub fn columns(rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|cell| plain(cell)).collect()).collect();
    let mut widths: Vec<usize> = Vec::new();
    for row in &rows {
        widths.resize(widths.len().max(row.len()), 0);
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Something as JSON in lines. JSON itself lets some characters stand that a terminal could take for commands.
///
/// # Errors
/// It cannot be JSON.
pub fn json(value: &impl Serialize) -> Result<String, String> {
    Ok(escaped(&serde_json::to_string_pretty(value).map_err(|error| error.to_string())?))
}

/// Something as JSON in one line, as [`json`] has it in several.
///
/// # Errors
/// It cannot be JSON.
pub fn json_line(value: &impl Serialize) -> Result<String, String> {
    Ok(escaped(&serde_json::to_string(value).map_err(|error| error.to_string())?))
}

fn escaped(text: &str) -> String {
    // Such characters are in strings alone; line feeds are what parts the lines.
    let escaped = text.chars().map(|char| match char {
        char if char != '\n' && is_unseen(char) => {
            char.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect()
        }
        char => char.to_string(),
    });
    escaped.collect()
}

/// Asks at the terminal, and goes on only with a yes. `otherwise` is told where there is no terminal.
///
/// # Errors
/// There is no terminal, or somebody does not want it.
pub fn confirm(question: &str, otherwise: &str) -> Result<(), String> {
    let input = std::io::stdin();
    if !input.is_terminal() {
        return Err(format!("there is no terminal to ask at: {otherwise}"));
    }
    eprint!("{} Write yes: ", plain(question));
    if is_yes(input.lock()) { Ok(()) } else { Err("that was no yes".to_owned()) }
}

/// Whether the next line is a yes.
fn is_yes(input: impl BufRead) -> bool {
    let mut answer = String::new();
    // What cannot be read is none.
    input.take(ANSWER_BYTES_MAX).read_line(&mut answer).is_ok() && answer.trim() == "yes"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_holds_no_command_of_a_terminal() {
        assert_eq!(plain("a\u{1b}[31mb\u{7}\r\n\u{7f}\u{9b}2Jü日"), "a [31mb     2Jü日");
        let text = json(&serde_json::json!({"a": "\u{1b}[31m\u{7f}\u{9b}2J\n\"ü"})).unwrap();
        assert_eq!(text, "{\n  \"a\": \"\\u001b[31m\\u007f\\u009b2J\\n\\\"ü\"\n}");
        let read: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(read["a"], "\u{1b}[31m\u{7f}\u{9b}2J\n\"ü");
    }

    #[test]
    fn a_text_is_shown_as_it_is() {
        assert_eq!(
            plain("a\u{202e}b\u{2066}c\u{2069}d\u{200b}e\u{200f}f\u{2028}g\u{2029}h\u{e0041}é日"),
            "a b c d e f g h é日"
        );
        let odd = serde_json::json!("a\u{202e}\u{2028}\u{e0041}é日");
        let text = json(&odd).unwrap();
        assert_eq!(text, "\"a\\u202e\\u2028\\udb40\\udc41é日\"");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), odd);
    }

    #[test]
    fn columns_stand_below_one_another() {
        let row = |cells: &[&str]| cells.iter().map(|&cell| cell.to_owned()).collect::<Vec<_>>();
        assert_eq!(columns(&[row(&["id", "ü", "z"]), row(&["longer\n", "-"])]), "id       ü  z\nlonger   -");
        assert_eq!(columns(&[]), "");
    }

    #[test]
    fn only_yes_is_yes() {
        assert!(is_yes(&b"yes\nno\n"[..]) && is_yes(&b" yes"[..]));
        for no in ["", "\n", "no\nyes\n", "y\n", "Yes please\n", "\u{80}"] {
            assert!(!is_yes(no.as_bytes()), "{no:?}");
        }
        assert!(!is_yes(&[0xff, b'\n'][..]) && !is_yes(" ".repeat(2_000).as_bytes()));
    }
}
