//! A request's parameters: names and values out of a query, a form body or a JSON body (R4), decoded strictly. What a
//! lenient decoder would guess at (a stray `%`, broken UTF-8, one name with two values) cannot be read, and has a code.

#![deny(clippy::disallowed_methods)]

mod query;
mod json;
mod secrets;

pub(crate) use json::{depth as json_depth, members as json_members};
pub use query::{Pair, decode_pairs};
pub use secrets::{
    REDACTED, SIGNATURE_PARAMS, TOKEN_PARAM, redact_body, redact_rejected_body, redact_rejected_target, redact_target,
    redact_unread_body, token_param,
};

use crate::invisible::trimmed;
use crate::limits::PARAMS_MAX;
use crate::rejection::{Code, Rejection};
use json::params_from_json;
pub(crate) use query::unencoded_equals;
use query::{has_unencoded_equals, read_pairs, too_many};
pub(crate) use secrets::params_named;
pub(crate) use secrets::{glued_credential, is_proof, shown};
use std::borrow::Cow;
use std::collections::BTreeSet;

/// One parameter's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParamValue<'r> {
    /// A single value, as text; a JSON number is its source text, digit for digit.
    Text(Cow<'r, str>),
    /// A value that cannot be read, such as an object or array. It costs no more than its parameter, whatever that is for.
    Unreadable(Box<Unreadable<'r>>),
}

/// Why a parameter's value cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable<'r> {
    /// The refusal, should its field be one that must be read.
    pub refusal: Rejection,
    /// The value as it came; several where the name is there with several.
    pub sources: BTreeSet<Cow<'r, str>>,
}

impl ParamValue<'_> {
    /// Nothing that anybody sees: counts as absent.
    fn is_empty(&self) -> bool {
        match self {
            ParamValue::Text(text) => trimmed(text).0.is_empty(),
            ParamValue::Unreadable(_) => false,
        }
    }
}

impl<'r> ParamValue<'r> {
    fn unreadable(refusal: Rejection, sources: impl IntoIterator<Item = Cow<'r, str>>) -> ParamValue<'r> {
        ParamValue::Unreadable(Box::new(Unreadable { refusal, sources: sources.into_iter().collect() }))
    }

    /// The value as it came, as far as it is known.
    fn sources(self) -> BTreeSet<Cow<'r, str>> {
        match self {
            ParamValue::Text(text) => BTreeSet::from([text]),
            ParamValue::Unreadable(unreadable) => unreadable.sources,
        }
    }

    fn into_owned(self) -> ParamValue<'static> {
        match self {
            ParamValue::Text(text) => ParamValue::Text(Cow::Owned(text.into_owned())),
            ParamValue::Unreadable(unreadable) => {
                let owned = |source: Cow<'r, str>| Cow::Owned(source.into_owned());
                ParamValue::unreadable(unreadable.refusal, unreadable.sources.into_iter().map(owned))
            }
        }
    }
}

/// Parameters with unique names, in the order they came; borrowed from the request where decoding changed nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Params<'r> {
    pairs: Vec<(Cow<'r, str>, ParamValue<'r>)>,
    /// Places in values, by name, see [`Params::unencoded_equals`]. Nearly always empty.
    equals: Vec<(Cow<'r, str>, Vec<usize>)>,
}

impl<'r> Params<'r> {
    /// Reads a query (without `?`) or a form body.
    ///
    /// # Errors
    /// The code of the first thing wrong with the whole of it: a name's encoding, or a limit. A value that cannot be read is
    /// [`ParamValue::Unreadable`].
    pub fn from_query(raw: &'r str) -> Result<Params<'r>, Rejection> {
        let pairs = read_pairs(raw)?;
        let equals = if has_unencoded_equals(raw) {
            let found = unencoded_equals(raw).zip(&pairs).filter(|(places, _)| !places.is_empty());
            found.map(|(places, (name, _))| (name.clone(), places)).collect()
        } else {
            Vec::new()
        };
        Ok(Params { equals, ..Params::unique(pairs.into_iter())? })
    }

    /// Reads all that a request says: its query and its body, the query winning (R4). A body without a type is JSON
    /// when it begins like an object, and a form otherwise.
    ///
    /// # Errors
    /// The code of the first thing wrong; `unsupported_body` for a body of another type.
    pub fn from_request(query: &'r str, content_type: Option<&str>, body: &'r [u8]) -> Result<Params<'r>, Rejection> {
        let from_query = Params::from_query(query)?;
        if body.is_empty() {
            return Ok(from_query);
        }
        let media_type =
            content_type.and_then(|value| value.split(';').next()).unwrap_or("").trim().to_ascii_lowercase();
        let from_body = match media_type.as_str() {
            "application/json" => params_from_json(body)?,
            // The type is not part of what is signed: one body must not have two readings.
            "application/x-www-form-urlencoded" if looks_like_json(body) => {
                return Err(Rejection::of(Code::UnsupportedBody, "this body is JSON; send it as application/json"));
            }
            "application/x-www-form-urlencoded" => Params::from_form(body)?,
            "" if looks_like_json(body) => params_from_json(body)?,
            "" => Params::from_form(body)?,
            _ => {
                let hint = "send application/json or application/x-www-form-urlencoded";
                return Err(Rejection::of(Code::UnsupportedBody, hint));
            }
        };
        from_query.or_from(from_body)
    }

    /// Reads the bytes of a form body, by the same rules as a query.
    ///
    /// # Errors
    /// As [`Params::from_query`].
    pub fn from_form(raw: &'r [u8]) -> Result<Params<'r>, Rejection> {
        match std::str::from_utf8(raw) {
            Ok(text) => Params::from_query(text),
            // Each piece that is not UTF-8 shows it by a replacement character.
            Err(_) => Ok(Params::from_query(&String::from_utf8_lossy(raw))?.into_owned()),
        }
    }

    /// Names and texts that are decoded already.
    ///
    /// # Errors
    /// A limit's code.
    pub fn from_pairs(pairs: impl Iterator<Item = (String, String)>) -> Result<Params<'r>, Rejection> {
        Params::unique(pairs.map(|(name, text)| (Cow::Owned(name), ParamValue::Text(Cow::Owned(text)))))
    }

    /// Keeps one of each name; an identical repeat is harmless, of differing ones none can be read.
    pub(crate) fn unique(pairs: impl Iterator<Item = (Cow<'r, str>, ParamValue<'r>)>) -> Result<Params<'r>, Rejection> {
        let mut kept: Vec<(Cow<'r, str>, ParamValue<'r>)> = Vec::with_capacity(pairs.size_hint().0.min(PARAMS_MAX));
        for (name, value) in pairs {
            let is_full = kept.len() >= PARAMS_MAX;
            match kept.iter_mut().find(|(known, _)| *known == name) {
                Some((_, known)) if *known == value => {}
                Some((_, known)) => {
                    let hint = "this name is there twice with different values; send it once";
                    let refusal = Rejection::at(Code::DuplicateParam, &name, hint);
                    let sources = std::mem::replace(known, ParamValue::Text(Cow::Borrowed(""))).sources().into_iter();
                    *known = ParamValue::unreadable(refusal, sources.chain(value.sources()));
                }
                None if is_full => return Err(too_many()),
                None => kept.push((name, value)),
            }
        }
        Ok(Params { pairs: kept, equals: Vec::new() })
    }

    /// These parameters and, for names they do not have, those of `body`: the query wins (R4).
    ///
    /// # Errors
    /// `too_many_params`.
    pub fn or_from(mut self, body: Params<'r>) -> Result<Params<'r>, Rejection> {
        let Params { pairs, mut equals } = body;
        for (name, value) in pairs {
            let was_known = self.get(&name).is_some_and(|known| !known.is_empty());
            if was_known {
                equals.retain(|(glued, _)| *glued != name);
            }
            // An empty value says nothing, so it wins over nothing.
            match self.pairs.iter_mut().find(|(known, _)| *known == name) {
                Some((_, known)) if known.is_empty() => *known = value,
                Some(_) => {}
                None => self.pairs.push((name, value)),
            }
        }
        self.equals.extend(equals);
        if self.pairs.len() > PARAMS_MAX { Err(too_many()) } else { Ok(self) }
    }

    fn into_owned(self) -> Params<'static> {
        let owned = |name: Cow<'r, str>| Cow::Owned(name.into_owned());
        Params {
            pairs: self.pairs.into_iter().map(|(name, value)| (owned(name), value.into_owned())).collect(),
            equals: self.equals.into_iter().map(|(name, places)| (owned(name), places)).collect(),
        }
    }

    /// The places in a value, in bytes, where `=` stood unencoded. JSON has none.
    pub(crate) fn unencoded_equals(&self, name: &str) -> &[usize] {
        self.equals.iter().find(|(known, _)| known == name).map_or(&[], |(_, places)| places)
    }

    /// The value of a name.
    pub fn get(&self, name: &str) -> Option<&ParamValue<'r>> {
        self.pairs.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// Takes out what proves who sends, so that it is neither read as data nor listed as ignored.
    pub fn drop_credentials(&mut self) {
        self.pairs.retain(|(name, _)| !is_proof(name));
    }

    /// Names and values in the order they came.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &ParamValue<'r>)> {
        self.pairs.iter().map(|(name, value)| (&**name, value))
    }
}

fn looks_like_json(body: &[u8]) -> bool {
    body.trim_ascii_start().starts_with(b"{")
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The code of the first thing wrong, with the whole or with a value.
    pub(super) fn code_of(read: Result<Params<'_>, Rejection>) -> Option<&'static str> {
        let unreadable = |value: &ParamValue<'_>| match value {
            ParamValue::Unreadable(unreadable) => Some(unreadable.refusal.code().as_str()),
            ParamValue::Text(_) => None,
        };
        match read {
            Ok(params) => params.iter().find_map(|(_, value)| unreadable(value)),
            Err(rejection) => Some(rejection.code().as_str()),
        }
    }

    fn code(raw: &str) -> Option<&'static str> {
        code_of(Params::from_query(raw))
    }

    #[test]
    fn a_value_that_cannot_be_read_costs_its_parameter_alone() {
        let form = b"a=1&b=%zz&c=\xff&d=\xc3\xa9&b2=1&b2=2";
        let params = Params::from_form(form).unwrap();
        let found: Vec<_> = params
            .iter()
            .map(|(name, value)| match value {
                ParamValue::Text(text) => format!("{name}={text}"),
                ParamValue::Unreadable(why) => format!(
                    "{name} {} {}",
                    why.refusal.code().as_str(),
                    why.sources.iter().map(|source| &**source).collect::<Vec<_>>().join("&")
                ),
            })
            .collect();
        assert_eq!(found, ["a=1", "b bad_percent %zz", "c bad_utf8 \u{fffd}", "d=\u{e9}", "b2 duplicate_param 1&2"]);
        for name_is_wrong in [&b"a=1&\xff=1"[..], b"a=1&%zz=1", b"a=1&%07=1"] {
            assert!(Params::from_form(name_is_wrong).is_err(), "it could be any field's");
        }
    }

    fn text(value: &str) -> ParamValue<'_> {
        ParamValue::Text(value.into())
    }

    #[test]
    fn a_query_is_split_and_decoded() {
        let params = Params::from_query("a=1&&b=x+y%20z&c&d=e=f&%61%5f=%E2%82%AC").unwrap();
        let pairs: Vec<_> = params.iter().collect();
        let expected = [("a", text("1")), ("b", text("x y z")), ("c", text("")), ("d", text("e=f")), ("a_", text("€"))];
        assert_eq!(pairs, expected.iter().map(|(n, v)| (*n, v)).collect::<Vec<_>>());
    }

    #[test]
    fn what_a_lenient_decoder_guesses_at_is_refused() {
        for (raw, expected) in [
            ("a=%", "bad_percent"),
            ("a=%4", "bad_percent"),
            ("a=%zz", "bad_percent"),
            ("a=%+1", "bad_percent"),
            ("a=%ff", "bad_utf8"),
            ("a=%ed%a0%80", "bad_utf8"),
            ("a=x%EF%BF%BDy", "bad_utf8"),
            ("a=1%0A2", "control_char"),
            ("a=%00", "control_char"),
            ("%07=1", "control_char"),
            ("a=1&a=2", "duplicate_param"),
            ("a=1&%61=2", "duplicate_param"),
        ] {
            assert_eq!(code(raw), Some(expected), "{raw}");
        }
        assert_eq!(code("a=1&a=1"), None, "an identical repeat is harmless");
    }

    #[test]
    fn limits_hold_at_their_edges() {
        let many = |n: usize| (0..n).map(|i| format!("p{i}=1")).collect::<Vec<_>>().join("&");
        assert_eq!(code(&many(64)), None);
        assert_eq!(code(&many(65)), Some("too_many_params"));
        assert_eq!(code(&format!("{}=1", "n".repeat(64))), None);
        assert_eq!(code(&format!("{}=1", "n".repeat(65))), Some("name_too_long"));
        assert_eq!(code(&format!("n={}", "v".repeat(1024))), None);
        assert_eq!(code(&format!("n={}", "v".repeat(1025))), Some("value_too_long"));
    }

    #[test]
    fn the_query_wins_over_the_body() {
        let body = Params::from_query("a=2&b=3&c=4").unwrap();
        let merged = Params::from_query("a=1&c=+").unwrap().or_from(body).unwrap();
        assert_eq!(merged.get("c"), Some(&text("4")), "an empty value wins over nothing");
        assert_eq!(merged.get("a"), Some(&text("1")));
        assert_eq!(merged.get("b"), Some(&text("3")));
    }

    #[test]
    fn secrets_are_taken_out_of_what_is_kept() {
        assert_eq!(redact_target("/a/b?x=1&ts_token=geheim&y=2"), "/a/b?x=1&ts_token=***&y=2");
        assert_eq!(redact_target("/a/b?ts%5Ftoken=geheim"), "/a/b?ts%5Ftoken=***");
        assert_eq!(redact_target("/a/b"), "/a/b");
        assert_eq!(redact_target("/a/b?q=é x"), "/a/b?q=%C3%A9%20x");
        assert_eq!(redact_body("x=1&_sig=sha256%3Dff"), "x=1&_sig=***");
        assert_eq!(redact_body("ts_token=geheim&offer_name=why?"), "ts_token=***&offer_name=why?");
        assert_eq!(redact_body(r#"{"ts\u005ftoken": "geheim", "a": 1.0}"#), r#"{"ts_token":"***","a":1.0}"#);
        assert_eq!(redact_body(r#"{ "a": 1.0 }"#), r#"{ "a": 1.0 }"#);
        assert_eq!(redact_body(r#"{"_sig":"geheim"}"#), r#"{"_sig":"***"}"#);
        assert_eq!(redact_target("/a?amp;ts_token=geheim&TS_TOKEN=geheim"), "/a?amp;ts_token=***&TS_TOKEN=***");
        for separator in ["?", ";", "&amp;"] {
            let glued = format!("/a?id=c1{separator}TS_token=geheim?y=geheim&z=1");
            assert_eq!(redact_target(&glued), format!("/a?id=c1{separator}TS_token=***&z=1"));
        }
        assert_eq!(redact_body("id=c1;x=2;_sig=geheim"), "id=c1;x=2;_sig=***");
        for glued in [
            "id=c1%3Fts_token=geheim",
            "id=c1%26ts%5Ftoken%3Dgeheim",
            "x?ts_token=geheim",
            "x%3bTS_TOKEN%3dgeheim",
            "o=why?_sig=geheim",
        ] {
            assert!(!redact_target(&format!("/a?{glued}&z=1")).contains("geheim"), "{glued}");
            assert!(!redact_body(glued).contains("geheim"), "{glued}");
        }
        assert_eq!(redact_body(r#"{"id":"c1?ts_token=geheim","a":1.0}"#), r#"{"id":"c1?ts_token=***","a":1.0}"#);
        assert!(!redact_body(r#"{"id":{"x":"c1;_sig=geheim"}}"#).contains("geheim"));
        assert_eq!(redact_target("/a?id=c1?x=2;y=3"), "/a?id=c1?x=2;y=3");
    }

    #[test]
    fn a_secret_in_a_body_that_could_not_be_read_is_not_kept_whatever_its_form() {
        for body in [
            r#"{"ts_token":"geheim""#,
            r#"[{"TS_TOKEN": "geheim"}]"#,
            r#"{"a":{"_sig":"geheim"}}"#,
            "--b\r\nContent-Disposition: form-data; name=\"ts_token\"\r\n\r\ngeheim\r\n--b--",
            "<ts_token>geheim</ts_token>",
        ] {
            assert_eq!(redact_unread_body(body), "***", "{body}");
        }
        assert_eq!(redact_unread_body("a=%zz&ts_token=geheim&TS%5FTOKEN=geheim"), "a=%zz&ts_token=***&TS%5FTOKEN=***");
        for body in [r#"{"event":"user_sig","a":"#, "event=my_ts_tokens&a=%zz", "", "\0"] {
            assert_eq!(redact_unread_body(body), body);
        }
    }

    #[test]
    fn a_rejected_request_shows_no_secret_under_a_damaged_name() {
        for piece in [
            "%20ts_token=geheim",
            "+ts_token=geheim",
            "ts_token%3Dgeheim",
            "ts_token:geheim",
            "ts_token%20=geheim",
            "ts_token[]=geheim",
            "\"ts_token\"=geheim",
            "ts%255ftoken=geheim",
            "%zzts_token=geheim",
        ] {
            for is_authenticated in [false, true] {
                let target = redact_rejected_target(&format!("/a?b=1&{piece}&c=2"), is_authenticated);
                assert!(
                    !target.contains("geheim") && target.starts_with("/a?b=1&") && target.ends_with("&c=2"),
                    "{target}"
                );
                let body = redact_rejected_body(&format!("b=1&{piece}"), is_authenticated);
                assert!(!body.contains("geheim") || piece.starts_with("%zz") && is_authenticated, "{piece}");
            }
        }
        for body in [r#"{"ts\u005ftoken":"geheim","x":"#, r#"[{"ts\u005ftoken":"geheim"}]"#] {
            assert_eq!(redact_rejected_body(body, true), "***", "{body}");
        }
        assert_eq!(redact_rejected_target("/a?api_token=geheim&b=1", false), "/a?***&b=1");
        assert_eq!(redact_rejected_target("/a?api_token=t&b=%zz", true), "/a?api_token=t&b=%zz");
        let body = r#"{"conversion_id":"c1","access_token":"geheim","n":1.50}"#;
        assert_eq!(redact_rejected_body(body, false), r#"{"conversion_id":"c1","access_token":"***","n":1.50}"#);
        assert_eq!(redact_rejected_body("a=1&Secret=geheim", false), "a=1&***");
        for body in ["a=%zz&b=1", r#"{"a":1,}"#, ""] {
            assert_eq!(redact_rejected_body(body, false), body);
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused_without_a_panic(raw in ".{0,300}") {
            let _ = Params::from_query(&raw);
            let _ = (redact_target(&raw), redact_body(&raw));
        }

        #[test]
        fn what_is_encoded_is_read_back(value in "[^\\p{Cc}\u{FFFD}]{0,100}") {
            let raw = serde_urlencoded::to_string([("v", &value)]).unwrap();
            let params = Params::from_query(&raw).unwrap();
            prop_assert_eq!(params.get("v"), Some(&ParamValue::Text(value.into())));
        }
    }
}
