//! The opt-in profile in which a JSON body is signed by what it says and not by how it is spelled: the digest is of its
//! RFC 8785 form (JCS). Parsing is strict first, because correct libraries disagree about what JSON leaves open (repeated
//! names, integers that a double cannot hold): what two readers could read differently is refused, not signed.

use crate::limits::{JSON_DEPTH_MAX, PARAMS_MAX};
use crate::params::{json_depth, json_members};
use crate::rejection::{Code, Rejection};
use serde_json::value::RawValue;
use serde_json::{Map, Number, Value};

/// The largest integer that every reader holds exactly: 2^53 - 1 (RFC 7493, section 2.2).
const INTEGER_MAX: u64 = 9_007_199_254_740_991;

/// The RFC 8785 form of a JSON object.
///
/// # Errors
/// `json_too_deep` beyond 8 levels; `malformed_json` for what is not one strict JSON object: repeated names in any
/// object, integers beyond ±(2^53-1), lone surrogates, numbers that are not finite, over 64 members, trailing data.
pub fn canonical_json(body: &[u8]) -> Result<Vec<u8>, Rejection> {
    if json_depth(body) > JSON_DEPTH_MAX {
        return Err(Rejection::of(Code::JsonTooDeep, "nesting ends at 8 levels"));
    }
    let object = strict_object(body);
    object.and_then(|object| serde_json_canonicalizer::to_vec(&object).ok()).ok_or_else(|| {
        let hint = "the jcs profile signs one JSON object without repeated names, with at most 64 members in each object \
                    and integers within 2^53-1; send larger numbers as strings";
        Rejection::of(Code::MalformedJson, hint)
    })
}

fn strict_object(source: &[u8]) -> Option<Value> {
    let mut members = Map::new();
    for (name, value) in json_members(source)? {
        let is_new = members.insert(name, strict_value(&value)?).is_none();
        if !is_new || members.len() > PARAMS_MAX {
            return None;
        }
    }
    Some(Value::Object(members))
}

/// One value from its source text, which alone shows whether a number was written as an integer. The depth has been
/// checked, so that this ends.
fn strict_value(source: &str) -> Option<Value> {
    match source.bytes().next()? {
        b'{' => strict_object(source.as_bytes()),
        b'[' => {
            let items: Vec<Box<RawValue>> = serde_json::from_str(source).ok()?;
            items.iter().map(|item| strict_value(item.get())).collect::<Option<Vec<_>>>().map(Value::Array)
        }
        b'-' | b'0'..=b'9' if !source.contains(['.', 'e', 'E']) => {
            let integer: i64 = source.parse().ok()?;
            // `-0` is an integer to its writer and the double 0 to RFC 8785.
            (integer.unsigned_abs() <= INTEGER_MAX).then(|| Value::from(integer))
        }
        b'-' | b'0'..=b'9' => Number::from_f64(serde_json::from_str(source).ok()?).map(Value::Number),
        _ => serde_json::from_str(source).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn canonical(text: &str) -> Option<String> {
        canonical_json(text.as_bytes()).ok().map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn rfc_8785_is_met() {
        // Section 3.2.2 and 3.2.3, and numbers of appendix B.
        let input = r#"{
            "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
            "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
            "literals": [null, true, false]
        }"#;
        let expected = "{\"literals\":[null,true,false],\
            \"numbers\":[333333333.3333333,1e+30,4.5,0.002,1e-27],\
            \"string\":\"€$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}";
        assert_eq!(canonical(input).as_deref(), Some(expected));
        let sorting = r#"{"\u20ac":1,"\r":2,"\ufb33":3,"1":4,"\ud83d\ude00":5,"\u0080":6,"\u00f6":7}"#;
        let sorted = "{\"\\r\":2,\"1\":4,\"\u{80}\":6,\"ö\":7,\"€\":1,\"😀\":5,\"\u{fb33}\":3}";
        assert_eq!(canonical(sorting).as_deref(), Some(sorted));
        let numbers = "{\"n\":[-0.0,5e-324,-5e-324,1.7976931348623157e308,9007199254740991,295147905179352830000.0,\
            9.999999999999997e22,1e23,1.0000000000000001e23,1e21,999999999999999900000.0,9.999999999999997e-7,0.000001,\
            333333333.3333332,333333333.33333325,333333333.3333333,0.1e-6]}";
        let written = "{\"n\":[0,5e-324,-5e-324,1.7976931348623157e+308,9007199254740991,295147905179352830000,\
            9.999999999999997e+22,1e+23,1.0000000000000001e+23,1e+21,999999999999999900000,9.999999999999997e-7,0.000001,\
            333333333.3333332,333333333.33333325,333333333.3333333,1e-7]}";
        assert_eq!(canonical(numbers).as_deref(), Some(written));
    }

    #[test]
    fn what_two_readers_could_read_differently_is_refused() {
        let many = |n: usize| format!("{{{}}}", (0..n).map(|i| format!("\"m{i}\":1")).collect::<Vec<_>>().join(","));
        let deep = |n: usize| format!("{}1{}", "{\"a\":".repeat(n), "}".repeat(n));
        for text in [
            "",
            "[]",
            "1",
            "{} {}",
            "{\"a\":1,\"a\":1}",
            "{\"a\":{\"b\":1,\"\\u0062\":2}}",
            "{\"a\":9007199254740992}",
            "{\"a\":-9007199254740992}",
            "{\"a\":18446744073709551616}",
            "{\"a\":[123456789012345678901234567890]}",
            "{\"a\":1e400}",
            "{\"a\":\"\\ud800\"}",
            "{\"a\":NaN}",
            "{\"a\":01}",
            "{\"a\":1,}",
            &many(65),
            &deep(9),
        ] {
            assert_eq!(canonical(text), None, "{text}");
        }
        assert!(canonical(&many(64)).is_some() && canonical(&deep(8)).is_some());
    }

    proptest! {
        #[test]
        fn canonicalising_twice_changes_nothing(text in "\\{(\"[a-z€\\\\u0061]{0,5}\":(-?[0-9]{1,17}(\\.[0-9]{1,9})?([eE]-?[0-9]{1,2})?|\"[ -~]{0,8}\"|true|null)(,\"[a-z]{0,5}\":1)?)?\\}") {
            if let Some(once) = canonical(&text) {
                // A large number without exponent looks like an integer and is not read again.
                let again = canonical(&once);
                prop_assert!(again.is_none() || again == Some(once));
            }
        }
    }
}
