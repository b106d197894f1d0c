//! Strict decoding of queries and forms: what a lenient decoder would guess at is refused.

use super::ParamValue;
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
    let read = |piece| {
        let (name, value) = split(piece);
        let name = decode(name).map_err(|damage| refusal(damage, NAME_ITSELF))?;
        let value = decode(value).map_err(|damage| refusal(damage, &name))?;
        check_name(&name)?;
        check_value(&name, &value, PARAM_VALUE_BYTES_MAX)?;
        Ok((name, value))
    };
    check_count(raw)?;
    pieces(raw).map(read).collect()
}

/// Splits and decodes a query for reading: as [`decode_pairs`], but a value that cannot be decoded costs its own parameter alone, and one
/// that is a whole `%MACRO%` stands for itself: it is no broken encoding, and who sent it is to be told what it is.
///
/// # Errors
/// A name that cannot be decoded: it could be any field's. Or the code of a limit.
pub(super) fn read_pairs(raw: &str) -> Result<Vec<(Cow<'_, str>, ParamValue<'_>)>, Rejection> {
    let read = |piece| {
        let (name, value) = split(piece);
        let name = decode(name).map_err(|damage| refusal(damage, NAME_ITSELF))?;
        check_name(&name)?;
        if is_percent_macro(value) {
            return Ok((name, ParamValue::Text(Cow::Borrowed(value))));
        }
        let decoded = decode(value).map_err(|damage| refusal(damage, &name));
        let checked = decoded.and_then(|text| check_value(&name, &text, PARAM_VALUE_BYTES_MAX).map(|()| text));
        Ok(match checked {
            Ok(text) => (name, ParamValue::Text(text)),
            Err(refusal) => (name, ParamValue::unreadable(refusal, [Cow::Borrowed(value)])),
        })
    };
    check_count(raw)?;
    pieces(raw).map(read).collect()
}

/// Where each value has `=` that was not encoded, as places in the decoded value, in the order of [`decode_pairs`]. Clients
/// encode those that belong to a value; one that is not encoded shows where another parameter was glued on.
pub(crate) fn unencoded_equals(raw: &str) -> impl Iterator<Item = Vec<usize>> {
    pieces(raw).map(|piece| {
        let (_, value) = split(piece);
        let mut places = Vec::new();
        let (mut place, mut bytes) = (0_usize, value.bytes());
        while let Some(byte) = bytes.next() {
            match byte {
                b'=' => places.push(place),
                // An escape is one byte, decoded.
                b'%' => drop((bytes.next(), bytes.next())),
                _ => {}
            }
            place = place.saturating_add(1);
        }
        places
    })
}

/// Whether any value has one. Nearly none does.
pub(super) fn has_unencoded_equals(raw: &str) -> bool {
    pieces(raw).any(|piece| piece.bytes().filter(|b| *b == b'=').nth(1).is_some())
}

fn check_count(raw: &str) -> Result<(), Rejection> {
    let count = raw.bytes().filter(|b| *b == b'&').count();
    // Empty pieces do not count, so a long row of `&` is looked at more closely.
    if count >= PARAMS_MAX && pieces(raw).count() > PARAMS_MAX { Err(too_many()) } else { Ok(()) }
}

fn split(piece: &str) -> (&str, &str) {
    piece.split_once('=').unwrap_or((piece, ""))
}

fn pieces(raw: &str) -> impl Iterator<Item = &str> {
    raw.split('&').filter(|piece| !piece.is_empty())
}

pub(super) fn check_name(name: &str) -> Result<(), Rejection> {
    if name.len() > PARAM_NAME_BYTES_MAX {
        return Err(Rejection::of(Code::NameTooLong, "a parameter's name has at most 64 bytes"));
    }
    Ok(())
}

pub(super) fn check_value(name: &str, value: &str, bytes_max: usize) -> Result<(), Rejection> {
    if value.len() > bytes_max {
        let hint = format!("a value has at most {bytes_max} bytes here");
        return Err(Rejection::at(Code::ValueTooLong, name, hint));
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
