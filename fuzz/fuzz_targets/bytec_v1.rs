//! Signatures of partners: path, query, four header values and a body, a line each.
#![no_main]

use libfuzzer_sys::fuzz_target;
use postback::signature::{Presented, Profile, Request, canonical_query, sign, verify};
use postback_fuzz::{KEYS, NOW_S, line};

fuzz_target!(|data: &[u8]| {
    let (path, rest) = line(data);
    let (query, rest) = line(rest);
    let (timestamp, rest) = line(rest);
    let (nonce, rest) = line(rest);
    let (signature, body) = line(rest);
    if let Ok(canonical) = canonical_query(query) {
        assert_eq!(canonical_query(&canonical).as_deref(), Ok(canonical.as_str()));
    }
    let _ = Presented::find(|_| Ok(None), query);
    for profile in [Profile::Raw, Profile::Jcs] {
        let presented = |timestamp: &str, nonce: &str, signature: &str| Presented {
            key_id: "k1".to_owned(),
            timestamp: timestamp.to_owned(),
            nonce: nonce.to_owned(),
            signature: signature.to_owned(),
            profile,
        };
        let request = Request { method: "POST", path, query, body };
        // Nobody guesses a signature.
        assert!(verify(&KEYS, &presented(timestamp, nonce, signature), &request, NOW_S).is_err());
        let good = presented(&NOW_S.to_string(), "Zk3v0q9cTn6yYw1Jb2mXAw", "");
        if let Ok(signature) = sign(KEYS.newest(NOW_S).expect("a key"), &good, &request) {
            let good = Presented { signature, ..good };
            assert_eq!(verify(&KEYS, &good, &request, NOW_S), Ok(()));
        }
    }
});
