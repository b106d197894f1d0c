//! Which postbacks one set of statements can record.

use super::Entry;
use std::collections::{HashMap, HashSet};

/// Entries of one conversion that a transaction applies one behind the other. Each takes a wave of its own, so of a storm of notices about
/// one conversion the others are deferred: they enter, and the conversion is rebuilt from all of them at once.
const APPLIED_MAX: usize = 2;

/// Parts entries into waves that one set of statements can record: in each, every nonce and event is there once, and every
/// conversion once that an entry is applied to. What is about the same keeps its order.
pub fn waves(mut entries: Vec<Entry>) -> Vec<Vec<Entry>> {
    let mut counts: HashMap<String, usize> = HashMap::new();
    for entry in &mut entries {
        let count = counts.entry(entry.conversion_key.clone()).or_default();
        *count = count.saturating_add(1);
        entry.is_deferred = *count > APPLIED_MAX;
    }
    let mut waves = Vec::new();
    let mut rest = entries;
    while !rest.is_empty() {
        let mut taken = HashSet::new();
        let (mut wave, mut later) = (Vec::new(), Vec::new());
        for entry in rest {
            let nonce = entry.record.receipt.nonce.as_ref().map(|nonce| ("nonce", nonce.to_string()));
            let event = ("event", entry.postback().event_id().to_string());
            let conversion = (!entry.is_deferred).then(|| ("conversion", entry.conversion_key.clone()));
            let keys: Vec<_> = [event].into_iter().chain(conversion).chain(nonce).collect();
            let is_free = !keys.iter().any(|key| taken.contains(key));
            // Also of one that has to wait: nothing about the same may overtake it.
            taken.extend(keys);
            if is_free { wave.push(entry) } else { later.push(entry) }
        }
        waves.push(wave);
        rest = later;
    }
    waves
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::record::{Receipt, Record};
    use postback::duplicate::DuplicatePolicy;
    use postback::id::Nonce;
    use postback::params::Params;
    use postback::time::Timestamp;
    use postback::zone::Zone;

    fn entry(number: u8, query: &str, nonce: u8) -> Entry {
        let registry = crate::config::registry().unwrap();
        let now = Timestamp::parse("2025-11-21T08:00:00Z", &Zone::utc()).unwrap();
        let params = Params::from_query(query).unwrap();
        let reading = registry.by_code("involve_asia").unwrap().read(&params, now).unwrap();
        let receipt = Receipt {
            request_id: number.to_string(),
            received_at: now,
            auth_mode: "open".to_owned(),
            key_id: None,
            client_ip: None,
            method: "GET".to_owned(),
            target: "/".to_owned(),
            headers: serde_json::json!({}),
            content_type: None,
            body: None,
            nonce: (nonce > 0).then(|| Nonce::from_bytes([nonce; 16])),
        };
        let record = Record { receipt_id: Nonce::from_bytes([number; 16]), reading, receipt, now };
        Entry::of(record, &DuplicatePolicy::default())
    }

    #[test]
    fn a_wave_has_each_nonce_event_and_conversion_once_and_keeps_their_order() {
        let waves = waves(vec![
            entry(1, "conversion_id=a&rewars=1", 1),
            entry(2, "conversion_id=b&rewars=1", 2),
            entry(3, "conversion_id=a&rewars=2", 3),
            entry(4, "conversion_id=c&rewars=1", 2),
            // The third of one conversion is deferred: it waits for none of the others.
            entry(5, "conversion_id=a&rewars=3", 0),
            entry(6, "conversion_id=d&rewars=1&event_id=same", 0),
            // Waits for the one before, whose event it is, and so may not be overtaken by what shares its conversion.
            entry(7, "conversion_id=e&rewars=1&event_id=same", 0),
            entry(8, "conversion_id=e&rewars=2", 0),
        ]);
        let numbers =
            |wave: &Vec<Entry>| wave.iter().map(|entry| entry.record.receipt.request_id.clone()).collect::<String>();
        let deferred = waves.iter().flatten().filter(|entry| entry.is_deferred);
        assert_eq!(deferred.map(|entry| entry.record.receipt.request_id.as_str()).collect::<String>(), "5");
        assert_eq!(waves.iter().map(numbers).collect::<Vec<_>>(), ["1256", "347", "8"]);
    }
}
