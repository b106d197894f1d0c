//! Origin to edge: the proof that an answer is our origin's, about this event and this attempt, given after COMMIT. The
//! edge believes an answer by this header alone; an HTML page, a rotated tunnel or a recorded answer cannot make it.

use crate::id::{EventId, Nonce};
use crate::key::{Key, KeySet};
use crate::verdict::Verdict;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The header's value for one answer, made with the key that signed the request.
pub fn acknowledge(key: &Key, event_id: &str, verdict: Verdict, nonce: &Nonce) -> String {
    let mac = URL_SAFE_NO_PAD.encode(key.sign(&message(event_id, verdict, nonce)));
    format!("v1;verdict={verdict};kid={};mac={mac}", key.id())
}

/// The verdict that an answer's header proves for this event and nonce at `now_s` (Unix seconds). None when it proves
/// nothing.
pub fn read(keys: &KeySet, header: &str, event_id: &EventId, nonce: &Nonce, now_s: i64) -> Option<Verdict> {
    let rest = header.strip_prefix("v1;verdict=")?;
    let (verdict, rest) = rest.split_once(";kid=")?;
    let (key_id, mac) = rest.split_once(";mac=")?;
    let verdict = Verdict::parse(verdict)?;
    let mac = URL_SAFE_NO_PAD.decode(mac).ok()?;
    keys.get(key_id, now_s).ok()?.verify(&message(event_id.as_str(), verdict, nonce), &mac).then_some(verdict)
}

fn message(event_id: &str, verdict: Verdict, nonce: &Nonce) -> Vec<u8> {
    format!("bytec-ack-v1\n{event_id}\n{verdict}\n{nonce}").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_acknowledgement_holds_for_its_event_verdict_and_nonce_only() {
        let keys = KeySet::parse(&format!("k1:{}", "0b".repeat(32))).unwrap();
        let (event, nonce) = (EventId::parse("evt_1").unwrap(), Nonce::from_bytes([1; 16]));
        let header = acknowledge(keys.newest(0).unwrap(), "evt_1", Verdict::Created, &nonce);
        assert_eq!(read(&keys, &header, &event, &nonce, 0), Some(Verdict::Created));

        let other_event = EventId::parse("evt_2").unwrap();
        assert_eq!(read(&keys, &header, &other_event, &nonce, 0), None);
        assert_eq!(read(&keys, &header, &event, &Nonce::from_bytes([2; 16]), 0), None);
        assert_eq!(read(&keys, &header.replace("created", "revised"), &event, &nonce, 0), None);
        let other_keys = KeySet::parse(&format!("k1:{}", "0c".repeat(32))).unwrap();
        assert_eq!(read(&other_keys, &header, &event, &nonce, 0), None);
        for header in
            ["", "v1", "v1;verdict=created", "v1;verdict=created;kid=k1;mac=", "v2;verdict=created;kid=k1;mac=AA"]
        {
            assert_eq!(read(&keys, header, &event, &nonce, 0), None, "{header}");
        }
    }
}
