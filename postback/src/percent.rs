//! Percent-encoding (RFC 3986) as forms use it, strictly: what a lenient decoder would guess at is a problem.

use std::borrow::Cow;
use std::fmt::Write;

/// What can be wrong with a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// A `%` that two hexadecimal digits do not follow.
    Percent,
    /// Not UTF-8, or U+FFFD, which stands where something was not UTF-8 before: two different ids would become one.
    Utf8,
    /// A control character.
    Control,
}

/// Decodes one piece of a query or form; borrowed where there is nothing to decode.
///
/// # Errors
/// The first damage found.
pub fn decode(piece: &str) -> Result<Cow<'_, str>, Damage> {
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

fn decode_escapes(piece: &str) -> Result<String, Damage> {
    let mut bytes = Vec::with_capacity(piece.len());
    let mut rest = piece.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let high = rest.next().and_then(hex_digit).ok_or(Damage::Percent)?;
                let low = rest.next().and_then(hex_digit).ok_or(Damage::Percent)?;
                high << 4 | low
            }
            other => other,
        });
    }
    String::from_utf8(bytes).map_err(|_| Damage::Utf8)
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// What is wrong with a text that needs no decoding.
pub(crate) fn damage(text: &str) -> Option<Damage> {
    // Nearly every text is visible ASCII and spaces.
    if text.bytes().all(|b| (b' '..=b'~').contains(&b)) {
        return None;
    }
    if text.contains(char::REPLACEMENT_CHARACTER) {
        return Some(Damage::Utf8);
    }
    text.chars().any(char::is_control).then_some(Damage::Control)
}

/// Percent-encodes every byte but the literal ones, in capitals.
pub(crate) fn encode(text: &str, is_literal: impl Fn(u8) -> bool) -> String {
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

/// A URL or a part of one in visible ASCII, everything else percent-encoded: as clients send it, and so that it can stand
/// in a header.
pub fn visible(text: &str) -> String {
    encode(text, |byte| byte.is_ascii_graphic())
}
