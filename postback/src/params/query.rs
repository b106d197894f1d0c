//! Strict decoding of queries and forms: what a lenient decoder would guess at is refused.

use crate::limits::{PARAM_NAME_BYTES_MAX, PARAM_VALUE_BYTES_MAX, PARAMS_MAX};
use crate::macros::is_percent_macro;
use crate::rejection::{Code, NAME_ITSELF, Rejection};
use std::borrow::Cow;
use std::fmt::Write;

/// A decoded name and its decoded value, borrowed where decoding changed nothing.
pub type Pair<'q> = (Cow<'q, str>, Cow<'q, str>);

/// Splits and decodes a query as the mapping and `bytec-v1` signatures both need it: on `&` only, empty pieces skipped,
/// at the first `=`, `+` is a space, then strict percent-decoding. Repeats are kept.
///
/// # Errors
/// `bad_percent`, `bad_utf8`, `control_char`, or the code of a limit.
pub fn decode_pairs(raw: &str) -> Result<Vec<Pair<'_>>, Rejection> {
    decode_with(raw, decode)
}

/// The same for reading, where a value that is a whole `%MACRO%` stands for itself: it is no broken encoding, and who
/// sent it is to be told what it is.
///
/// # Errors
/// As [`decode_pairs`].
pub(super) fn decode_pairs_and_macros(raw: &str) -> Result<Vec<Pair<'_>>, Rejection> {
    decode_with(raw, |value| if is_percent_macro(value) { Ok(Cow::Borrowed(value)) } else { decode(value) })
}

fn decode_with<'q>(
    raw: &'q str,
    decode_value: impl Fn(&'q str) -> Result<Cow<'q, str>, DecodeProblem>,
) -> Result<Vec<Pair<'q>>, Rejection> {
    let count = raw.bytes().filter(|b| *b == b'&').count().saturating_add(1);
    // Empty pieces do not count, so a long row of `&` is looked at more closely.
    if count > PARAMS_MAX && pieces(raw).count() > PARAMS_MAX {
        return Err(too_many());
    }
    let mut pairs = Vec::with_capacity(count.min(PARAMS_MAX));
    for piece in pieces(raw) {
        let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
        let name = decode(name).map_err(|problem| problem.about(NAME_ITSELF))?;
        let value = decode_value(value).map_err(|problem| problem.about(&name))?;
        check_sizes(&name, &value, PARAM_VALUE_BYTES_MAX)?;
        pairs.push((name, value));
    }
    Ok(pairs)
}

fn pieces(raw: &str) -> impl Iterator<Item = &str> {
    raw.split('&').filter(|piece| !piece.is_empty())
}

/// Decodes a text that may have been encoded once more than it should. None where it is not wholly valid encoding.
pub(crate) fn percent_decode(text: &str) -> Option<Cow<'_, str>> {
    decode(text).ok()
}

pub(super) fn check_sizes(name: &str, value: &str, value_bytes_max: usize) -> Result<(), Rejection> {
    if name.len() > PARAM_NAME_BYTES_MAX {
        return Err(Rejection::of(Code::NameTooLong, "a parameter's name has at most 64 bytes"));
    }
    if value.len() > value_bytes_max {
        return Err(Rejection::at(
            Code::ValueTooLong,
            name,
            format!("a value has at most {value_bytes_max} bytes here"),
        ));
    }
    Ok(())
}

/// Refuses what no text of a postback holds, however it was encoded: control characters, and U+FFFD, which stands where
/// something was not UTF-8 before, so that two different ids would become one.
pub(super) fn check_characters(name: &str, text: &str) -> Result<(), Rejection> {
    match damage(text) {
        Some(problem) => Err(problem.about(name)),
        None => Ok(()),
    }
}

fn damage(text: &str) -> Option<DecodeProblem> {
    // Nearly every text is visible ASCII and spaces.
    if text.bytes().all(|b| (b' '..=b'~').contains(&b)) {
        return None;
    }
    if text.contains(char::REPLACEMENT_CHARACTER) {
        return Some(DecodeProblem::Utf8);
    }
    text.chars().any(char::is_control).then_some(DecodeProblem::Control)
}

/// The refusal of a form that is not UTF-8, at the first piece that is not.
pub(super) fn not_utf8(form: &[u8]) -> Rejection {
    let broken = form.split(|b| *b == b'&').find(|piece| std::str::from_utf8(piece).is_err()).unwrap_or_default();
    let name = broken.split(|b| *b == b'=').next().unwrap_or_default();
    let name = std::str::from_utf8(name).ok().and_then(|name| decode(name).ok());
    DecodeProblem::Utf8.about(name.as_deref().unwrap_or(NAME_ITSELF))
}

/// What can be wrong with one percent-encoded piece.
pub(super) enum DecodeProblem {
    Percent,
    Utf8,
    Control,
}

impl DecodeProblem {
    fn about(self, name: &str) -> Rejection {
        match self {
            DecodeProblem::Percent => Rejection::at(
                Code::BadPercent,
                name,
                "write a percent sign as %25; after % come two hexadecimal digits",
            ),
            DecodeProblem::Utf8 => {
                Rejection::at(Code::BadUtf8, name, "encode the text as UTF-8 before percent-encoding")
            }
            DecodeProblem::Control => {
                Rejection::at(Code::ControlChar, name, "remove line breaks and control characters")
            }
        }
    }
}

pub(super) fn decode(piece: &str) -> Result<Cow<'_, str>, DecodeProblem> {
    let text = if piece.bytes().any(|b| b == b'%' || b == b'+') {
        Cow::Owned(decode_escapes(piece)?)
    } else {
        Cow::Borrowed(piece)
    };
    match damage(&text) {
        Some(problem) => Err(problem),
        None => Ok(text),
    }
}

fn decode_escapes(piece: &str) -> Result<String, DecodeProblem> {
    let mut bytes = Vec::with_capacity(piece.len());
    let mut rest = piece.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let high = rest.next().and_then(hex_digit).ok_or(DecodeProblem::Percent)?;
                let low = rest.next().and_then(hex_digit).ok_or(DecodeProblem::Percent)?;
                high << 4 | low
            }
            other => other,
        });
    }
    String::from_utf8(bytes).map_err(|_| DecodeProblem::Utf8)
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

pub(super) fn too_many() -> Rejection {
    Rejection::of(Code::TooManyParams, "send at most 64 parameters")
}

/// Percent-encodes every byte but the literal ones, in capitals.
pub(crate) fn percent_encode(text: &str, is_literal: impl Fn(u8) -> bool) -> String {
    if text.bytes().all(&is_literal) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len().saturating_mul(2));
    for byte in text.bytes() {
        if is_literal(byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}
