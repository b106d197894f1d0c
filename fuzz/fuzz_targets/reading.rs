//! Reading by every partner's file: a query on the first line, a body behind it. The first byte picks the partner.
#![no_main]

use libfuzzer_sys::fuzz_target;
use postback::canonical::CanonicalForm;
use postback::limits::ID_BYTES_MAX;
use postback::params::Params;
use postback_fuzz::{REGISTRY, now};

fuzz_target!(|data: &[u8]| {
    let Some((first, rest)) = data.split_first() else { return };
    let partners = REGISTRY.all();
    let partner = &partners[usize::from(*first) % partners.len()];
    let (query, body) = postback_fuzz::line(rest);
    let Ok(mut params) = Params::from_request(query, None, body) else { return };
    params.drop_credentials();
    let examination = partner.examine(&params, now());
    // Something is wrong, or there is a postback.
    assert_eq!(examination.problems.is_empty(), examination.outcome.is_ok());
    let Ok(reading) = partner.read(&params, now()) else { return };
    assert!(reading.postback.event_id().as_str().len() <= ID_BYTES_MAX);
    // No value lands in two fields: what was sent for them are different places of the request.
    let places: Vec<_> = examination.sent.values().map(|sent| sent.text.as_bytes().as_ptr_range()).collect();
    for (index, place) in places.iter().enumerate() {
        assert!(places[..index].iter().all(|other| place.end <= other.start || other.end <= place.start));
    }
    // R11: what the edge forwards, read again, is the same postback.
    let form = CanonicalForm::from(reading.postback.clone());
    let again = CanonicalForm::from_query(&form.to_query()).into_postback(reading.postback.event_id().clone());
    let again = again.expect("canonical");
    assert_eq!(again, reading.postback);
    assert_eq!(partner.duplicates.conversion_key(&again), partner.duplicates.conversion_key(&reading.postback));
});
