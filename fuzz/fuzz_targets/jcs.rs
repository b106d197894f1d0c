//! The strict JSON of the JCS profile.
#![no_main]

use libfuzzer_sys::fuzz_target;
use postback::signature::canonical_json;

fuzz_target!(|data: &[u8]| {
    if let Ok(once) = canonical_json(data) {
        assert!(std::str::from_utf8(&once).is_ok());
        // A large number without exponent looks like an integer and is not read again.
        if let Ok(again) = canonical_json(&once) {
            assert_eq!(again, once);
        }
    }
});
