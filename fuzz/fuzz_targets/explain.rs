//! Explaining any URL: the URL on the first line, a body behind it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use postback::explain::{Request, explain};
use postback_fuzz::{REGISTRY, now};

fuzz_target!(|data: &[u8]| {
    let (target, body) = postback_fuzz::line(data);
    for (method, content_type) in [("GET", None), ("POST", None), ("POST", Some("application/json"))] {
        let request = Request { method, target, content_type, body };
        let explanation = explain(&REGISTRY, &request, now());
        assert_eq!(explanation.accepted, explanation.event_id.is_some());
        assert_eq!(explanation.accepted, explanation.canonical.is_some());
    }
});
