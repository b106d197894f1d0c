//! Amounts and currencies.
#![no_main]

use libfuzzer_sys::fuzz_target;
use postback::money::{Amount, Currency};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Some(amount) = Amount::parse(text) {
        assert_eq!(Amount::parse(&amount.to_string()), Some(amount));
        assert_eq!(Amount::from_micros(amount.micros()), Some(amount));
        assert!(text.bytes().all(|b| b.is_ascii_digit() || b == b'.' || b == b'-'));
        // Digit for digit the same number, but for zeros that say nothing.
        let digits = |text: &str| {
            let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
            let whole = whole.trim_start_matches(['-', '0']).to_owned();
            (whole, fraction.trim_end_matches('0').to_owned())
        };
        assert_eq!(digits(text), digits(&amount.to_string()));
    }
    if let Some(currency) = Currency::parse(text) {
        assert!(currency.code().eq_ignore_ascii_case(text));
    }
});
