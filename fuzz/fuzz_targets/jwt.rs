//! JSON Web Tokens: a token, and key sets.
#![no_main]

use libfuzzer_sys::fuzz_target;
use postback::jwt::JwtKeys;
use postback::key::KeySet;
use postback::partner::JwtExpected;
use postback_fuzz::{NOW_S, line};
use std::sync::LazyLock;

static KEYS: LazyLock<JwtKeys> = LazyLock::new(|| {
    let public = "ea4a6c63e29c520abef5507b132ec5f9954776aebebe7b92421eea691446d22c";
    JwtKeys::parse(&format!("h:HS256:{},e:EdDSA:{public}", "0b".repeat(32))).expect("keys")
});

fuzz_target!(|data: &[u8]| {
    let (token, rest) = line(data);
    let expected = JwtExpected { issuer: "them".to_owned(), audience: "bytec".to_owned() };
    // Nobody guesses a signature.
    assert!(KEYS.verify(token, &expected, NOW_S).is_err());
    if let Ok(text) = std::str::from_utf8(rest) {
        let _ = (JwtKeys::parse(text), KeySet::parse(text));
    }
});
