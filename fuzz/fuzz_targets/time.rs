//! Times: a text, read in every partner's zone.
#![no_main]

use libfuzzer_sys::fuzz_target;
use postback::time::Timestamp;
use postback::zone::Zone;
use postback_fuzz::REGISTRY;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    for partner in REGISTRY.all() {
        if let Some(instant) = Timestamp::parse(text, &partner.zone) {
            // What is written is read again, whatever the zone.
            assert_eq!(Timestamp::parse(&instant.to_string(), &partner.zone), Some(instant));
            assert_eq!(Timestamp::parse(&instant.to_sortable(), &Zone::utc()), Some(instant));
            assert!(instant > Timestamp::EPOCH && instant.unix_s() < 4_102_444_800);
        }
    }
});
