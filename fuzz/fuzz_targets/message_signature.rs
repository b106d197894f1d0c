//! Signatures of the edge and acknowledgements of the origin: header values, a line each, and a body.
#![no_main]

use libfuzzer_sys::fuzz_target;
use postback::acknowledgement;
use postback::id::{EventId, Nonce};
use postback::message_signature::{Covered, Signed, sign, verify};
use postback_fuzz::{KEYS, NOW_S, line};

fuzz_target!(|data: &[u8]| {
    let (signature_input, rest) = line(data);
    let (signature, rest) = line(rest);
    let (content_digest, rest) = line(rest);
    let (query, body) = line(rest);
    let covered = Covered {
        method: "GET",
        path: "/postback/involve/event",
        query,
        event_id: "evt_1",
        received_at: "2025-11-21T00:00:00Z",
        auth: "open",
        client_ip: "192.0.2.1",
        original_target: "/involve/event",
    };
    let forged = Signed {
        content_digest: content_digest.to_owned(),
        signature_input: signature_input.to_owned(),
        signature: signature.to_owned(),
    };
    let nonce = Nonce::from_bytes([7; 16]);
    assert!(verify(&KEYS, &covered, &forged, NOW_S).is_err());
    let signed = sign(&KEYS, &covered, body, NOW_S, &nonce).expect("a key in force");
    let head = verify(&KEYS, &covered, &signed, NOW_S).expect("signed a line above");
    assert!(head.with_body(body).is_ok());
    let event_id = EventId::parse("evt_1").expect("an id");
    assert_eq!(acknowledgement::read(&KEYS, signature_input, &event_id, &nonce, NOW_S), None);
});
