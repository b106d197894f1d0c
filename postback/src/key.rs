//! HMAC-SHA256 keys by id, each valid for a time. Several are valid at once, so that a key can be changed without a moment
//! of refusal (R13). A key never shows itself.

use crate::time::Timestamp;
use crate::zone::Zone;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::fmt;

/// Bytes of a key.
const KEY_BYTES: usize = 32;
/// Bytes of a key's id at most.
const KEY_ID_BYTES_MAX: usize = 64;

/// One key and its id, ready to be used.
#[derive(Clone)]
pub struct Key {
    id: String,
    /// The hash with the key already in it: a clone of it costs less than to begin anew.
    mac: Hmac<Sha256>,
    validity: Validity,
}

/// When a key may be used, in Unix seconds; without an end, for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Validity {
    /// The first second.
    pub from_s: Option<i64>,
    /// The first second after.
    pub until_s: Option<i64>,
}

impl Validity {
    /// Reads an interval as ISO 8601 writes it, `from/until`: dates (midnight in UTC) or times; either may be left out.
    pub(crate) fn parse(text: &str) -> Option<Validity> {
        let (from, until) = text.split_once('/')?;
        let instant = |text: &str| match text {
            "" => Some(None),
            text => Timestamp::parse(text, &Zone::utc()).map(|instant| Some(instant.unix_s())),
        };
        let validity = Validity { from_s: instant(from)?, until_s: instant(until)? };
        let is_empty =
            matches!(validity, Validity { from_s: Some(from_s), until_s: Some(until_s) } if from_s >= until_s);
        (!is_empty).then_some(validity)
    }

    /// Whether an instant (Unix seconds) lies in it.
    pub fn contains(self, now_s: i64) -> bool {
        self.from_s.is_none_or(|from_s| from_s <= now_s) && self.until_s.is_none_or(|until_s| now_s < until_s)
    }
}

impl Key {
    /// A key of 64 hexadecimal digits, which are decoded before use.
    ///
    /// # Errors
    /// What is wrong with it, without showing it.
    pub fn parse(id: &str, hex_digits: &str) -> Result<Key, KeyProblem> {
        let plain = id.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
        if id.is_empty() || id.len() > KEY_ID_BYTES_MAX || !plain {
            return Err(KeyProblem::Id);
        }
        let mut bytes = [0_u8; KEY_BYTES];
        hex::decode_to_slice(hex_digits, &mut bytes).map_err(|_| KeyProblem::Secret)?;
        let mac = Hmac::new_from_slice(&bytes).map_err(|_| KeyProblem::Secret)?;
        Ok(Key { id: id.to_owned(), mac, validity: Validity::default() })
    }

    /// When the key may be used.
    pub fn validity(&self) -> Validity {
        self.validity
    }

    /// The key's id: not a secret.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The code of a message.
    pub fn sign(&self, message: &[u8]) -> [u8; 32] {
        let mut mac = self.mac.clone();
        mac.update(message);
        mac.finalize().into_bytes().into()
    }

    /// Whether another key, under whatever id, is the same secret.
    pub fn is_same_secret(&self, other: &Key) -> bool {
        self.verify(b"", &other.sign(b""))
    }

    /// Whether `code` is the code of the message, in a time that does not tell where they differ.
    pub fn verify(&self, message: &[u8], code: &[u8]) -> bool {
        let mut mac = self.mac.clone();
        mac.update(message);
        mac.verify_slice(code).is_ok()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({}, redacted)", self.id)
    }
}

/// Keys, the newest first. Of those in force, signers use the first and verifiers accept all. So a key is changed without
/// coordination to the second: it is added in front at the verifier, then at the signer, and the old one runs out.
#[derive(Clone, Debug)]
pub struct KeySet {
    keys: Vec<Key>,
}

/// Why a set has no key for a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoKey {
    /// No key has this id.
    Unknown,
    /// The key is not yet, or no longer, in force.
    NotInForce,
}

impl KeySet {
    /// Reads `id:hex,id:hex,...`, the newest first. Behind a key may stand when it is in force: `id:hex@from/until`.
    ///
    /// # Errors
    /// What is wrong with it, without showing it.
    pub fn parse(text: &str) -> Result<KeySet, KeyProblem> {
        let mut keys: Vec<Key> = Vec::new();
        for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            let (id, secret, validity) = split_entry(entry)?;
            let key = Key { validity, ..Key::parse(id, secret)? };
            if keys.iter().any(|known| known.id == key.id) {
                return Err(KeyProblem::Repeated);
            }
            keys.push(key);
        }
        if keys.is_empty() { Err(KeyProblem::None) } else { Ok(KeySet { keys }) }
    }

    /// The key to sign with at `now_s` (Unix seconds). None when none is in force.
    pub fn newest(&self, now_s: i64) -> Option<&Key> {
        self.keys.iter().find(|key| key.validity.contains(now_s))
    }

    /// Whether one of the keys is the public one of the development set-up, under whatever id.
    pub fn holds_development_key(&self) -> bool {
        let public = KeySet::parse(DEVELOPMENT_KEYS);
        self.keys.iter().any(|key| public.iter().flat_map(KeySet::iter).any(|public| public.is_same_secret(key)))
    }

    /// The key of an id, to verify with at `now_s` (Unix seconds).
    ///
    /// # Errors
    /// For our log; a sender is not told which.
    pub fn get(&self, id: &str, now_s: i64) -> Result<&Key, NoKey> {
        let key = self.keys.iter().find(|key| key.id == id).ok_or(NoKey::Unknown)?;
        if key.validity.contains(now_s) { Ok(key) } else { Err(NoKey::NotInForce) }
    }

    /// Every key, the newest first.
    pub fn iter(&self) -> impl Iterator<Item = &Key> {
        self.keys.iter()
    }
}

/// Takes `id:secret` or `id:secret@from/until` apart.
pub(crate) fn split_entry(entry: &str) -> Result<(&str, &str, Validity), KeyProblem> {
    let (id, rest) = entry.split_once(':').ok_or(KeyProblem::Entry)?;
    match rest.split_once('@') {
        Some((secret, interval)) => Ok((id, secret, Validity::parse(interval).ok_or(KeyProblem::Validity)?)),
        None => Ok((id, rest, Validity::default())),
    }
}

/// Why a text is no key set. Holds nothing of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyProblem {
    /// Nothing there.
    None,
    /// An entry without a colon.
    Entry,
    /// An id of other than 1 to 64 letters, digits, `.`, `_`, `-`.
    Id,
    /// A secret of other than 64 hexadecimal digits.
    Secret,
    /// A validity that is no interval.
    Validity,
    /// An algorithm of tokens that is none of ours.
    Algorithm,
    /// One id twice.
    Repeated,
}

impl fmt::Display for KeyProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            KeyProblem::None => "holds no key; write id:hex, several separated by commas, the newest first",
            KeyProblem::Entry => "holds an entry without a colon; write id:hex",
            KeyProblem::Id => "holds a key id that is not 1 to 64 of A-Za-z0-9._-",
            KeyProblem::Secret => "holds a secret that is not 64 hexadecimal digits (openssl rand -hex 32)",
            KeyProblem::Validity => {
                "holds a validity that is not from/until, such as @2026-01-01/2026-07-01 or @/2026-07-01"
            }
            KeyProblem::Algorithm => "holds an algorithm that is neither HS256 nor EdDSA",
            KeyProblem::Repeated => "holds one key id twice",
        })
    }
}

/// The key that edge and origin share in the development set-up, so that `wrangler dev` works on a fresh clone. It is
/// public and therefore worthless: neither side uses it unless its configuration says `development`.
pub const DEVELOPMENT_KEYS: &str = "development:6465762d6f6e6c792d6e6f742d612d7365637265742d6465762d6f6e6c792121";

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

    #[test]
    fn rfc_4231_case_1_is_met() {
        // Its key of 20 bytes is not one of ours, so the vector goes to the hash that Key wraps.
        let mut mac = Hmac::<Sha256>::new_from_slice(&[0x0b; 20]).unwrap();
        mac.update(b"Hi There");
        let code = hex::encode(mac.finalize().into_bytes());
        assert_eq!(code, "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    }

    #[test]
    fn a_key_set_is_read_newest_first() {
        let set = KeySet::parse(&format!("new:{HEX}, old:{}", HEX.replace("00", "ff"))).unwrap();
        assert_eq!(set.newest(0).unwrap().id(), "new");
        assert!(set.get("old", 0).is_ok());
        assert_eq!(set.get("other", 0).unwrap_err(), NoKey::Unknown);
        assert!(!set.holds_development_key());
        let renamed = format!("other:{}", DEVELOPMENT_KEYS.trim_start_matches("development:").to_uppercase());
        assert!(KeySet::parse(&renamed).unwrap().holds_development_key());
    }

    #[test]
    fn a_key_is_changed_without_a_moment_of_refusal() {
        let other = HEX.replace("00", "ff");
        let text = format!("b:{other}@2026-06-01/, a:{HEX}@/2026-06-01T00:10:00Z");
        let set = KeySet::parse(&text).unwrap();
        let change_s = 1_780_272_000;
        for (now_s, signs, verify) in [
            (change_s - 1, "a", vec!["a"]),
            (change_s, "b", vec!["a", "b"]),
            (change_s + 599, "b", vec!["a", "b"]),
            (change_s + 600, "b", vec!["b"]),
        ] {
            assert_eq!(set.newest(now_s).unwrap().id(), signs, "{now_s}");
            let in_force: Vec<_> = ["a", "b"].into_iter().filter(|id| set.get(id, now_s).is_ok()).collect();
            assert_eq!(in_force, verify, "{now_s}");
        }
        assert_eq!(set.get("a", change_s + 600).unwrap_err(), NoKey::NotInForce);
        assert!(KeySet::parse(&format!("a:{HEX}@/2020-01-01")).unwrap().newest(change_s).is_none());
    }

    #[test]
    fn a_wrong_key_set_says_what_is_wrong_and_shows_nothing() {
        let short = HEX.replace("1f", "");
        for (text, problem) in [
            (String::new(), KeyProblem::None),
            (HEX.to_owned(), KeyProblem::Entry),
            (format!("a b:{HEX}"), KeyProblem::Id),
            (format!("a:{short}"), KeyProblem::Secret),
            (format!("a:{HEX}zz"), KeyProblem::Secret),
            (format!("a:{HEX},a:{HEX}"), KeyProblem::Repeated),
            (format!("a:{HEX}@"), KeyProblem::Validity),
            (format!("a:{HEX}@2026-01-01"), KeyProblem::Validity),
            (format!("a:{HEX}@2026-13-01/"), KeyProblem::Validity),
            (format!("a:{HEX}@2026-01-02/2026-01-01"), KeyProblem::Validity),
        ] {
            let found = KeySet::parse(&text).unwrap_err();
            assert_eq!(found, problem);
            assert!(!found.to_string().contains("0001"));
        }
        let shown = format!("{:?}", KeySet::parse(&format!("a:{HEX}")));
        assert!(!shown.contains("0001") && shown.contains("redacted"), "{shown}");
    }
}
