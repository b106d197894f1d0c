//! A click's URL: whatever it holds, there is a landing page on the offer's own host, and a click that can be kept and read
//! again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use postback::click::{Click, ClickId, ClickQuery, Visitor};
use postback::limits::CLICK_VALUE_BYTES_MAX;
use postback::partner::Offer;
use postback::time::Timestamp;
use std::sync::LazyLock;

static OFFER: LazyLock<Offer> = LazyLock::new(|| Offer {
    landing: "https://shop.example/a/{sub_id}?c={click_id}&u={utm_source}&r={referrer}".to_owned(),
    allow: ["sub_id", "utm_source", "referrer"].map(str::to_owned).to_vec(),
});

fuzz_target!(|data: &[u8]| {
    let (query, header) = postback_fuzz::line(data);
    let header = String::from_utf8_lossy(header);
    let query = ClickQuery::read(query);
    let now = Timestamp::from_unix_ms(1_763_683_200_123).expect("a time");
    let id = ClickId::new(now, [7; 16]);
    let header = Some(&*header);
    let visitor = Visitor { referrer: header, user_agent: header, country: header, purpose: header };
    let click = Click::read(id, now, "offer", &query, &visitor);
    let location = OFFER.landing_url(&click, &query);
    let rest = location.strip_prefix("https://shop.example/a/").expect("the offer's own host");
    assert!(rest.bytes().all(|b| b.is_ascii_graphic()), "a header's value");
    // A segment of dots alone, also of encoded ones, is a way out of the folder; `...` and `..x` are names.
    let segment = rest.split(['/', '?', '#']).next().unwrap_or_default().to_ascii_lowercase().replace("%2e", ".");
    assert!(segment != "." && segment != "..", "the offer's own folder");
    for text in [&click.sub_id, &click.media_id, &click.device, &click.referrer].into_iter().flatten() {
        assert!(text.len() <= CLICK_VALUE_BYTES_MAX && !text.chars().any(char::is_control));
    }
    let written = serde_json::to_string(&click).expect("strings alone");
    assert_eq!(serde_json::from_str::<Click>(&written).expect("what we wrote"), click);
});
