//! Strict decoding of queries and forms: what a lenient decoder would guess at is refused.

use crate::limits::{PARAM_NAME_BYTES_MAX, PARAM_VALUE_BYTES_MAX, PARAMS_MAX};
use crate::macros::is_percent_macro;
use crate::percent::{Damage, damage, decode};
use crate::rejection::{Code, NAME_ITSELF, Rejection};
use std::borrow::Cow;

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

/// Where each value has `=` that was not encoded, as places in the decoded value, in the order of [`decode_pairs`]. Clients
/// encode those that belong to a value; one that is not encoded shows where another parameter was glued on.
pub(super) fn unencoded_equals(raw: &str) -> impl Iterator<Item = Vec<usize>> {
    pieces(raw).map(|piece| {
        let value = piece.split_once('=').map_or("", |(_, value)| value);
        let before = |(index, _): (usize, &str)| decode(value.get(..index)?).ok().map(|decoded| decoded.len());
        value.match_indices('=').filter_map(before).collect()
    })
}

/// Whether any value has one. Nearly none does.
pub(super) fn has_unencoded_equals(raw: &str) -> bool {
    pieces(raw).any(|piece| piece.bytes().filter(|b| *b == b'=').nth(1).is_some())
}

fn decode_with<'q>(
    raw: &'q str,
    decode_value: impl Fn(&'q str) -> Result<Cow<'q, str>, Damage>,
) -> Result<Vec<Pair<'q>>, Rejection> {
    let count = raw.bytes().filter(|b| *b == b'&').count().saturating_add(1);
    // Empty pieces do not count, so a long row of `&` is looked at more closely.
    if count > PARAMS_MAX && pieces(raw).count() > PARAMS_MAX {
        return Err(too_many());
    }
    let mut pairs = Vec::with_capacity(count.min(PARAMS_MAX));
    for piece in pieces(raw) {
        let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
        let name = decode(name).map_err(|damage| refusal(damage, NAME_ITSELF))?;
        let value = decode_value(value).map_err(|damage| refusal(damage, &name))?;
        check_sizes(&name, &value, PARAM_VALUE_BYTES_MAX)?;
        pairs.push((name, value));
    }
    Ok(pairs)
}

fn pieces(raw: &str) -> impl Iterator<Item = &str> {
    raw.split('&').filter(|piece| !piece.is_empty())
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

/// Refuses what no text of a postback holds, however it was encoded.
pub(super) fn check_characters(name: &str, text: &str) -> Result<(), Rejection> {
    match damage(text) {
        Some(damage) => Err(refusal(damage, name)),
        None => Ok(()),
    }
}

/// The refusal of a form that is not UTF-8, at the first piece that is not.
pub(super) fn not_utf8(form: &[u8]) -> Rejection {
    let broken = form.split(|b| *b == b'&').find(|piece| std::str::from_utf8(piece).is_err());
    let name = broken.and_then(|piece| piece.split(|b| *b == b'=').next());
    let name = name.and_then(|name| std::str::from_utf8(name).ok()).and_then(|name| decode(name).ok());
    refusal(Damage::Utf8, name.as_deref().unwrap_or(NAME_ITSELF))
}

pub(super) fn too_many() -> Rejection {
    Rejection::of(Code::TooManyParams, "send at most 64 parameters")
}

fn refusal(damage: Damage, name: &str) -> Rejection {
    let (code, hint) = match damage {
        Damage::Percent => (Code::BadPercent, "write a percent sign as %25; after % come two hexadecimal digits"),
        Damage::Utf8 => (Code::BadUtf8, "encode the text as UTF-8 before percent-encoding"),
        Damage::Control => (Code::ControlChar, "remove line breaks and control characters"),
    };
    Rejection::at(code, name, hint)
}
