//! A JSON body as parameters: one object, its members' values as text. Numbers keep their source text, because an
//! amount that has been a float once is no longer what the sender wrote (R9).

use super::query::{check_characters, check_name, check_value};
use super::{ParamValue, Params};
use crate::limits::{JSON_DEPTH_MAX, JSON_STRING_BYTES_MAX};
use crate::rejection::{Code, NAME_ITSELF, Rejection};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// Reads a JSON body. A member that is `null` is an empty value, which counts as absent.
///
/// # Errors
/// `malformed_json`, `json_too_deep`, `duplicate_param`, `control_char`, or the code of a limit.
pub(super) fn params_from_json<'r>(body: &[u8]) -> Result<Params<'r>, Rejection> {
    let malformed = || Rejection::of(Code::MalformedJson, "send one JSON object in UTF-8, without trailing data");
    if depth(body) > JSON_DEPTH_MAX {
        return Err(Rejection::of(Code::JsonTooDeep, "send a flat JSON object; nesting ends at 8 levels"));
    }
    let members: Members = serde_json::from_slice(body).map_err(|_| malformed())?;
    let mut pairs = Vec::new();
    for (name, raw) in members.0 {
        let source = raw.get();
        check_characters(NAME_ITSELF, &name)?;
        check_name(&name)?;
        let value = match source.bytes().next() {
            Some(b'{' | b'[') => {
                let refusal = Rejection::at(Code::NotScalar, &name, "send a string, a number, true or false");
                ParamValue::unreadable(refusal, [Cow::Owned(source.to_owned())])
            }
            Some(b'"') => ParamValue::Text(Cow::Owned(serde_json::from_str(source).map_err(|_| malformed())?)),
            // Counts as absent, and as a value where a name is there twice.
            Some(b'n') => ParamValue::Text(Cow::Borrowed("")),
            Some(_) | None => ParamValue::Text(Cow::Owned(source.to_owned())),
        };
        let checked = match &value {
            ParamValue::Text(text) => {
                check_characters(&name, text).and_then(|()| check_value(&name, text, JSON_STRING_BYTES_MAX))
            }
            ParamValue::Unreadable(_) => Ok(()),
        };
        let value = match checked {
            Ok(()) => value,
            Err(refusal) => ParamValue::unreadable(refusal, [Cow::Owned(source.to_owned())]),
        };
        pairs.push((Cow::Owned(name), value));
    }
    Params::unique(pairs.into_iter())
}

/// The members of a JSON object: names, and values as their source text. None when it is no object.
pub(crate) fn members(body: &[u8]) -> Option<Vec<(String, String)>> {
    let members: Members = serde_json::from_slice(body).ok()?;
    Some(members.0.into_iter().map(|(name, raw)| (name, raw.get().to_owned())).collect())
}

/// The deepest nesting of brackets outside strings; right for every JSON text, and an upper bound for any other.
pub(crate) fn depth(body: &[u8]) -> usize {
    let (mut now, mut deepest) = (0_usize, 0_usize);
    let (mut in_string, mut escaped) = (false, false);
    for byte in body {
        match (in_string, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (_, b'"') => in_string = !in_string,
            (false, b'{' | b'[') => {
                now = now.saturating_add(1);
                deepest = deepest.max(now);
            }
            (false, b'}' | b']') => now = now.saturating_sub(1),
            (true | false, _) => {}
        }
    }
    deepest
}

/// The members of an object in their order, repeats included.
struct Members(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Members;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::tests::code_of;
    use proptest::prelude::*;

    fn code(body: &str) -> Option<&'static str> {
        code_of(params_from_json(body.as_bytes()))
    }

    #[test]
    fn a_number_keeps_its_source_text() {
        let params = params_from_json(br#"{"amount":100.00,"n":1e3,"s":"x\u00e9","b":true,"z":null}"#).unwrap();
        let text = |s: &str| Some(ParamValue::Text(s.to_owned().into()));
        assert_eq!(params.get("amount").cloned(), text("100.00"));
        assert_eq!(params.get("n").cloned(), text("1e3"));
        assert_eq!(params.get("s").cloned(), text("xé"));
        assert_eq!(params.get("b").cloned(), text("true"));
        assert_eq!(params.get("z").cloned(), text(""), "null counts as absent, as an empty value does");
    }

    #[test]
    fn what_is_not_one_flat_object_is_refused() {
        for (body, expected) in [
            ("", "malformed_json"),
            ("[]", "malformed_json"),
            ("1", "malformed_json"),
            ("null", "malformed_json"),
            (r#"{"a":1"#, "malformed_json"),
            (r#"{"a":1,}"#, "malformed_json"),
            (r#"{"a":1} x"#, "malformed_json"),
            (r#"{"a":01}"#, "malformed_json"),
            (r#"{"a":NaN}"#, "malformed_json"),
            (r#"{"a":"\ud800"}"#, "malformed_json"),
            (r#"{"a":1,"a":2}"#, "duplicate_param"),
            (r#"{"a":null,"a":2}"#, "duplicate_param"),
            (r#"{"a":"x\ny"}"#, "control_char"),
            (r#"{"a":[[[[[[[[1]]]]]]]]}"#, "json_too_deep"),
        ] {
            assert_eq!(code(body), Some(expected), "{body}");
        }
        assert_eq!(code(&format!("{{\"a\":{}1{}}}", "[".repeat(60_000), "]".repeat(60_000))), Some("json_too_deep"));
        assert_eq!(code(r#"{"a":[[[[[[[1]]]]]]]}"#), Some("not_scalar"), "eight levels are allowed");
        assert_eq!(code(r#"{"a":"[[[[[[[[[[[["}"#), None, "brackets in a string are text");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused_without_a_panic(body in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = params_from_json(&body);
        }
    }
}
