//! Queries, forms and JSON bodies: a query on the first line, a body behind it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use postback::limits::{JSON_STRING_BYTES_MAX, PARAM_NAME_BYTES_MAX, PARAMS_MAX};
use postback::params::{ParamValue, Params, redact_body, redact_target, token_param};

fuzz_target!(|data: &[u8]| {
    let (query, body) = postback_fuzz::line(data);
    for content_type in [None, Some("application/json"), Some("application/x-www-form-urlencoded"), Some("text/xml")] {
        let Ok(params) = Params::from_request(query, content_type, body) else { continue };
        assert!(params.iter().count() <= PARAMS_MAX);
        for (name, value) in params.iter() {
            assert!(name.len() <= PARAM_NAME_BYTES_MAX && !name.chars().any(char::is_control));
            if let ParamValue::Text(text) = value {
                assert!(text.len() <= JSON_STRING_BYTES_MAX && !text.chars().any(char::is_control));
            }
        }
    }
    let _ = token_param(query);
    assert!(redact_target(query).bytes().all(|b| b.is_ascii_graphic()));
    let _ = redact_body(&String::from_utf8_lossy(body));
});
