//! Identifiers that we make or answer for: event ids and the random names of requests.

use crate::limits::ID_BYTES_MAX;
use crate::time::Timestamp;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use std::fmt;

/// How ids begin that follow from an event's content; 32 hexadecimal digits come behind.
const DERIVED_PREFIX: &str = "evt_";

/// How ids of conversions begin that stand for one event alone; the event's id comes behind.
pub const OWN_CONVERSION_PREFIX: &str = "event:";

/// How keys of conversions begin that follow from several parts; 32 hexadecimal digits come behind.
pub(crate) const CONVERSION_KEY_PREFIX: &str = "cnv_";

/// Whether an id begins as our own names of conversions do. No sender's id may: it could take another conversion's place.
pub(crate) fn is_reserved(id: &str) -> bool {
    [CONVERSION_KEY_PREFIX, OWN_CONVERSION_PREFIX].iter().any(|prefix| id.starts_with(prefix))
}

/// The identity of one event within its partner: printable ASCII without spaces, 1 to 128 bytes, because it travels in
/// headers and in what is signed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EventId(String);

impl EventId {
    /// Reads an id. None when it is not printable ASCII of the right length.
    pub fn parse(text: &str) -> Option<EventId> {
        let fits = (1..=ID_BYTES_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        fits.then(|| EventId(text.to_owned()))
    }

    /// Reads an id that a sender gives its event. None also for one of the form that we derive, and for one that begins as
    /// our names of conversions do: a sender must not take the place of an event to come.
    pub fn given(text: &str) -> Option<EventId> {
        EventId::parse(text).filter(|id| !id.is_derived() && !is_reserved(text))
    }

    /// Whether it is of the form that we derive, which no sender may give.
    pub fn is_derived(&self) -> bool {
        let digits = self.0.strip_prefix(DERIVED_PREFIX);
        digits.is_some_and(|digits| digits.len() == 32 && digits.bytes().all(|b| b.is_ascii_hexdigit()))
    }

    /// The id of an event whose sender gives none: from the digest of its canonical content (R47).
    pub(crate) fn derived(content: ContentDigest) -> EventId {
        EventId(content.into_id(DERIVED_PREFIX))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// SHA-256 over a list of texts that no other list can imitate: the length of each stands before it.
pub(crate) struct ContentDigest(Sha256);

impl ContentDigest {
    /// Begins with what the digest is for, which keeps digests of different purposes apart.
    pub(crate) fn of(purpose: &str) -> ContentDigest {
        let mut digest = ContentDigest(Sha256::new());
        digest.add(purpose);
        digest
    }

    pub(crate) fn add(&mut self, text: &str) {
        let mut length = itoa::Buffer::new();
        self.0.update(length.format(text.len()).as_bytes());
        self.0.update(b":");
        self.0.update(text.as_bytes());
    }

    /// Lower-case hexadecimal digits of the whole digest.
    pub(crate) fn into_hex(self) -> String {
        hex::encode(self.0.finalize())
    }

    /// The first 128 bits as the name of a request.
    pub(crate) fn into_nonce(self) -> Nonce {
        let mut bytes = [0; 16];
        for (byte, of_digest) in bytes.iter_mut().zip(self.0.finalize()) {
            *byte = of_digest;
        }
        Nonce::from_bytes(bytes)
    }

    /// `prefix` and 32 hexadecimal digits: 128 bits are enough where nobody but us makes the content.
    pub(crate) fn into_id(self, prefix: &str) -> String {
        let digest = self.0.finalize();
        let mut id = String::with_capacity(prefix.len().saturating_add(32));
        id.push_str(prefix);
        for byte in digest.iter().take(16) {
            id.extend([byte >> 4, byte & 0xf].into_iter().filter_map(|nibble| char::from_digit(u32::from(nibble), 16)));
        }
        id
    }
}

/// 128 bits, random, of a time and random, or of a digest, as 22 characters of base64url: a request's name in logs and replies, or a signature's nonce.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Nonce(String);

impl Nonce {
    /// From the platform's random bytes.
    pub fn from_bytes(bytes: [u8; 16]) -> Nonce {
        Nonce(URL_SAFE_NO_PAD.encode(bytes))
    }

    /// A request's name: the first six bytes are the Unix milliseconds, most significant first, as in UUIDv7 (RFC 9562), and the other ten
    /// stay random. Names of one time stand together, so an index of them is entered at few pages. Nothing may depend on such a name
    /// being secret.
    pub fn time_ordered(now: Timestamp, mut bytes: [u8; 16]) -> Nonce {
        // 48 bits last until the year 10889; a clock before 1970 counts as 1970.
        let milliseconds = u64::try_from(now.unix_ms()).unwrap_or(0).to_be_bytes();
        for (byte, of_time) in bytes.iter_mut().zip(milliseconds.into_iter().skip(2)) {
            *byte = of_time;
        }
        Nonce::from_bytes(bytes)
    }

    /// Reads one that another made.
    pub fn parse(text: &str) -> Option<Nonce> {
        let fits = text.len() == 22 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
        fits.then(|| Nonce(text.to_owned()))
    }

    /// The 22 characters.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes_of(name: &Nonce) -> Vec<u8> {
        URL_SAFE_NO_PAD.decode(name.as_str()).unwrap()
    }

    #[test]
    fn a_request_name_begins_with_the_time_and_ends_at_random() {
        let now = Timestamp::from_unix_ms(0x0199_a1b2_c3d4).unwrap();
        let name = Nonce::time_ordered(now, [0xee; 16]);
        assert_eq!(Nonce::parse(name.as_str()), Some(name.clone()));
        assert_eq!(bytes_of(&name)[..6], [0x01, 0x99, 0xa1, 0xb2, 0xc3, 0xd4]);
        assert_eq!(bytes_of(&name)[6..], [0xee; 10]);
        let before_1970 = Timestamp::from_unix_ms(-1).unwrap();
        assert_eq!(bytes_of(&Nonce::time_ordered(before_1970, [0xff; 16]))[..6], [0; 6]);
    }

    #[test]
    fn names_of_a_few_seconds_begin_alike() {
        let names: Vec<_> = (0..4_000)
            .map(|ms| Nonce::time_ordered(Timestamp::from_unix_ms(0x0199_a1b2_c000 + ms).unwrap(), [0xaa; 16]))
            .collect();
        let beginnings: std::collections::BTreeSet<_> =
            names.iter().filter_map(|name| name.as_str().get(..6)).collect();
        assert_eq!(beginnings.len(), 1, "{beginnings:?}");
    }
}
