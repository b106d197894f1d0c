//! Strict decoding of queries and forms: what a lenient decoder would guess at is refused.

use crate::limits::{PARAM_NAME_BYTES_MAX, PARAM_VALUE_BYTES_MAX, PARAMS_MAX};
use crate::rejection::{Code, Rejection};

/// Splits and decodes a query as the mapping and `bytec-v1` signatures both need it: on `&` only, empty pieces skipped,
/// at the first `=`, `+` is a space, then strict percent-decoding. Repeats are kept.
///
/// # Errors
/// `bad_percent`, `bad_utf8`, `control_char`, or the code of a limit.
pub fn decode_pairs(raw: &str) -> Result<Vec<(String, String)>, Rejection> {
    let pieces = || raw.split('&').filter(|piece| !piece.is_empty());
    if pieces().count() > PARAMS_MAX {
        return Err(too_many());
    }
    pieces()
        .map(|piece| {
            let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
            let name = decode(name).map_err(|problem| problem.about("(name)"))?;
            let value = decode(value).map_err(|problem| problem.about(&name))?;
            check_sizes(&name, &value)?;
            Ok((name, value))
        })
        .collect()
}

pub(super) fn check_sizes(name: &str, value: &str) -> Result<(), Rejection> {
    if name.len() > PARAM_NAME_BYTES_MAX {
        return Err(Rejection::of(Code::NameTooLong, "a parameter's name has at most 64 bytes"));
    }
    if value.len() > PARAM_VALUE_BYTES_MAX {
        return Err(Rejection::at(Code::ValueTooLong, name, "a value has at most 1024 bytes"));
    }
    Ok(())
}

/// Refuses control characters, which no field of a postback holds.
pub(super) fn check_controls(name: &str, text: &str) -> Result<(), Rejection> {
    if text.chars().any(char::is_control) { Err(DecodeProblem::Control.about(name)) } else { Ok(()) }
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

pub(super) fn decode(piece: &str) -> Result<String, DecodeProblem> {
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
    let text = String::from_utf8(bytes).map_err(|_| DecodeProblem::Utf8)?;
    // U+FFFD is what a platform leaves where raw bytes were not UTF-8: two different ids would become one.
    if text.contains(char::REPLACEMENT_CHARACTER) {
        return Err(DecodeProblem::Utf8);
    }
    if text.chars().any(char::is_control) { Err(DecodeProblem::Control) } else { Ok(text) }
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

pub(super) fn too_many() -> Rejection {
    Rejection::of(Code::TooManyParams, "send at most 64 parameters")
}

/// Percent-encodes every byte but the literal ones, in capitals.
pub(crate) fn percent_encode(text: &str, is_literal: impl Fn(u8) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if is_literal(byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
