//! Secrets among the parameters: found where they are needed, taken out of everything that is kept.

use super::query::decode;

/// The parameter that carries a tenant's token. Never stored, logged or forwarded.
pub const TOKEN_PARAM: &str = "ts_token";

/// Parameters whose values are secrets: they are taken out of everything that is kept.
pub(super) const CREDENTIALS: [&str; 2] = [TOKEN_PARAM, "_sig"];

/// What stands in the place of a secret.
const REDACTED: &str = "***";

/// The tenant's token in a query, found without judging the rest of the query: what else is wrong with a request is told
/// to callers who are believed.
pub fn token_param(query: &str) -> Option<String> {
    let mut pairs = query.split('&').filter_map(|piece| piece.split_once('='));
    let (_, value) = pairs.find(|(name, _)| decode(name).is_ok_and(|name| name == TOKEN_PARAM))?;
    decode(value).ok()
}

/// A query, form or request target as it came, with the values of secrets replaced, in printable ASCII.
pub fn redact(target: &str) -> String {
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (Some(path), query),
        None if target.starts_with('/') => (Some(target), ""),
        None => (None, target),
    };
    let pieces = query.split('&').map(|piece| match piece.split_once('=') {
        Some((name, _)) if is_credential(name) => format!("{name}={REDACTED}"),
        Some(_) | None => piece.to_owned(),
    });
    let query = pieces.collect::<Vec<_>>().join("&");
    let whole = match path {
        Some(path) if target.contains('?') => format!("{path}?{query}"),
        Some(path) => path.to_owned(),
        None => query,
    };
    printable(&whole)
}

fn is_credential(encoded_name: &str) -> bool {
    decode(encoded_name).is_ok_and(|name| CREDENTIALS.contains(&name.as_str()))
}

/// Everything but visible ASCII percent-encoded, so that the text can stand in a header.
fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_graphic() {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
