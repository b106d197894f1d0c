//! Secrets among the parameters: found where they are needed, taken out of everything that is kept.

use super::json::members;
use crate::percent::{decode, visible};
use std::borrow::Cow;

/// The parameter that carries a tenant's token. Never stored, logged or forwarded.
pub const TOKEN_PARAM: &str = "ts_token";

/// The parameters of a `bytec-v1` signature in a query: key id, timestamp, nonce, signature.
pub const SIGNATURE_PARAMS: [&str; 4] = ["_kid", "_ts", "_nonce", "_sig"];

/// Parameters whose values are secrets: they are taken out of everything that is kept.
pub(super) const CREDENTIALS: [&str; 2] = [TOKEN_PARAM, "_sig"];

/// Parameters that prove who sends and say nothing about what happened.
pub(crate) fn is_proof(name: &str) -> bool {
    let is = |known: &&str| known.eq_ignore_ascii_case(name);
    is(&TOKEN_PARAM) || SIGNATURE_PARAMS.iter().any(is)
}

/// What stands in the place of a secret.
pub const REDACTED: &str = "***";

/// How often a secret's name is decoded to be recognised.
const ENCODINGS_MAX: usize = 3;
/// Words in the names that secrets usually have. Who failed authentication may have sent one under any of them.
const SECRET_WORDS: [&str; 11] = [
    "token",
    "secret",
    "passw",
    "api_key",
    "apikey",
    "signature",
    "authorization",
    "bearer",
    "jwt",
    "path_key",
    "credential",
];

/// The tenant's token in a query, found without judging the rest of the query: what else is wrong with a request is
/// told to callers who are believed.
pub fn token_param(query: &str) -> Option<String> {
    params_named(query, TOKEN_PARAM).into_iter().next().flatten()
}

/// The values of a name in a query, as often as it is there; None for one that cannot be decoded.
pub(crate) fn params_named(query: &str, name: &str) -> Vec<Option<String>> {
    let pairs = query.split('&').filter_map(|piece| piece.split_once('='));
    let is_named = |encoded: &str| encoded == name || encoded.contains('%') && decode(encoded).is_ok_and(|n| n == name);
    pairs.filter(|(encoded, _)| is_named(encoded)).map(|(_, value)| decode(value).ok().map(Cow::into_owned)).collect()
}

/// A request target as it came, in printable ASCII, the values of secrets replaced.
pub fn redact_target(target: &str) -> String {
    match target.split_once('?') {
        Some((path, query)) if query.split('&').any(|piece| redacted(piece).is_some()) => {
            visible(&format!("{path}?{}", redact_pairs(query)))
        }
        Some(_) | None => visible(target),
    }
}

/// A form or JSON body as it came, the values of secrets replaced. One without secrets is not touched.
pub fn redact_body(body: &str) -> String {
    if !body.trim_ascii_start().starts_with('{') {
        return redact_pairs(body);
    }
    // A body that is no object was refused before it came here; there is nothing to find in it.
    let Some(members) = members(body.as_bytes()) else { return body.to_owned() };
    if members.iter().all(|(name, value)| !names_credential(name) && glued_credential(value).is_none()) {
        return body.to_owned();
    }
    let member = |(name, value): (String, String)| {
        let value = match without_glued_secret(&value) {
            _ if names_credential(&name) => format!("\"{REDACTED}\""),
            Some(redacted) if value.starts_with('"') => format!("{redacted}\""),
            Some(_) => format!("\"{REDACTED}\""),
            None => value,
        };
        format!("{}:{value}", serde_json::Value::from(name))
    };
    format!("{{{}}}", members.into_iter().map(member).collect::<Vec<_>>().join(","))
}

/// A body that could not be read, secrets redacted. A secret may stand anywhere in it: a body that names one elsewhere than as a form's
/// parameter or as a member of a JSON object is redacted as a whole.
pub fn redact_unread_body(body: &str) -> String {
    let redacted = redact_body(body);
    let has_other_secrets = match members(body.as_bytes()) {
        // In a nested object an escaped name would not be recognised.
        Some(members) => members.iter().any(|(name, value)| {
            let is_hidden = value.starts_with(['{', '[']) && value.contains("\\u");
            !names_credential(name) && (is_hidden || mentions_credential(value))
        }),
        None if body.trim_ascii_start().starts_with(['{', '[']) => {
            body.contains("\\u") || mentions_credential(&without_escapes(body))
        }
        None => redacted
            .split('&')
            .filter(|piece| !is_redacted(piece))
            .any(|piece| mentions_credential(&without_escapes(piece))),
    };
    if has_other_secrets { REDACTED.to_owned() } else { redacted }
}

/// The target of a rejected request: as [`redact_target`], and without each parameter that may hold a secret under a damaged name. Where
/// authentication failed, neither under a name that secrets usually have.
pub fn redact_rejected_target(target: &str, is_authenticated: bool) -> String {
    let redacted = redact_target(target);
    match redacted.split_once('?') {
        Some((path, query)) => format!("{path}?{}", redact_doubtful(query, is_authenticated)),
        None => redacted,
    }
}

/// The same of its body, beside [`redact_unread_body`].
pub fn redact_rejected_body(body: &str, is_authenticated: bool) -> String {
    let redacted = redact_unread_body(body);
    if is_authenticated {
        return redacted;
    }
    match members(redacted.as_bytes()) {
        Some(members) if members.iter().any(|(name, _)| names_secret(name)) => {
            let member = |(name, value): (String, String)| {
                let value = if names_secret(&name) { format!("\"{REDACTED}\"") } else { value };
                format!("{}:{value}", serde_json::Value::from(name))
            };
            format!("{{{}}}", members.into_iter().map(member).collect::<Vec<_>>().join(","))
        }
        Some(_) => redacted,
        None if redacted.trim_ascii_start().starts_with(['{', '[']) => {
            if names_secret(&redacted) {
                REDACTED.to_owned()
            } else {
                redacted
            }
        }
        None => redact_doubtful(&redacted, false),
    }
}

fn redact_doubtful(query: &str, is_authenticated: bool) -> String {
    let shown = |piece: &str| {
        let plain = without_escapes(piece);
        let name = plain.split(['=', ':']).next().unwrap_or("");
        let has_token = plain.to_ascii_lowercase().contains(TOKEN_PARAM);
        let is_doubtful = has_token || mentions_credential(&plain) || !is_authenticated && names_secret(name);
        if is_doubtful && !is_redacted(piece) { REDACTED.to_owned() } else { piece.to_owned() }
    };
    query.split('&').map(shown).collect::<Vec<_>>().join("&")
}

fn is_redacted(piece: &str) -> bool {
    piece.strip_suffix(REDACTED).is_some_and(|name| name.ends_with('='))
}

/// Whether a name is one that secrets usually have.
fn names_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET_WORDS.iter().any(|word| name.contains(word))
}

/// A text without percent-encoding, however often it was encoded and whatever is wrong with it.
fn without_escapes(text: &str) -> Cow<'_, str> {
    let mut plain = Cow::Borrowed(text);
    for _ in 0..ENCODINGS_MAX {
        if !plain.contains('%') {
            break;
        }
        plain = Cow::Owned(unescaped(&plain));
    }
    plain
}

fn unescaped(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let digits = behind.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()).filter(|_| *first == b'%') {
            Some(byte) => {
                bytes.push(byte);
                rest = behind.get(2..).unwrap_or(&[]);
            }
            None => {
                bytes.push(*first);
                rest = behind;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Whether a text holds the name of a secret.
fn mentions_credential(text: &str) -> bool {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').any(names_credential)
}

fn redact_pairs(query: &str) -> String {
    let pieces = query.split('&').map(|piece| redacted(piece).unwrap_or_else(|| piece.to_owned()));
    pieces.collect::<Vec<_>>().join("&")
}

/// A piece of a query or form with its secret replaced, where it has one: under the secret's name, or glued to something else.
fn redacted(piece: &str) -> Option<String> {
    match piece.split_once('=') {
        Some((name, _)) if is_credential(name) => Some(format!("{name}={REDACTED}")),
        Some(_) | None => without_glued_secret(piece),
    }
}

/// A text with the secret replaced that is glued into it, where it has one.
fn without_glued_secret(text: &str) -> Option<String> {
    let (_, secret) = glued_credential(text)?;
    Some(format!("{}{REDACTED}", text.get(..secret)?))
}

/// A text as it may be shown: without a secret that is glued into it.
pub(crate) fn shown(text: &str) -> String {
    without_glued_secret(text).unwrap_or_else(|| text.to_owned())
}

/// Where a credential is glued into a text, encoded or not: the places of its separator and of its secret.
pub(crate) fn glued_credential(text: &str) -> Option<(usize, usize)> {
    // Nearly no text has both.
    if !text.contains(['=', '%']) || !text.contains(['_', '%']) {
        return None;
    }
    let text = text.to_ascii_lowercase();
    let names = ["ts_token", "ts%5ftoken", "_sig", "%5fsig"];
    let found = names.iter().flat_map(|name| text.match_indices(name)).filter_map(|(start, name)| {
        let end = start.saturating_add(name.len());
        let (before, behind) = (text.get(..start)?, text.get(end..)?);
        let separator = ["?", ";", "&", "%3f", "%3b", "%26"].iter().find(|separator| before.ends_with(**separator))?;
        let equals = ["=", "%3d"].iter().find(|equals| behind.starts_with(**equals))?;
        Some((start.saturating_sub(separator.len()), end.saturating_add(equals.len())))
    });
    found.min()
}

fn is_credential(encoded_name: &str) -> bool {
    names_credential(encoded_name)
        || encoded_name.contains('%') && decode(encoded_name).is_ok_and(|name| names_credential(&name))
}

/// However a name was damaged or cased on its way: what it holds may still be the secret.
fn names_credential(name: &str) -> bool {
    let name = name.strip_prefix("amp;").unwrap_or(name);
    CREDENTIALS.iter().any(|credential| credential.eq_ignore_ascii_case(name))
}
