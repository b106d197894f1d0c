//! What the targets share: partners, clock, keys.

use postback::key::KeySet;
use postback::partner::Registry;
use postback::partner::file::read_folders;
use postback::time::Timestamp;
use std::path::Path;
use std::sync::LazyLock;

/// The shipped partners and the example networks.
pub static REGISTRY: LazyLock<Registry> = LazyLock::new(|| {
    let partners = Path::new(env!("CARGO_MANIFEST_DIR")).join("../partners");
    read_folders(&[&partners, &partners.join("examples")]).expect("the shipped files are good")
});

/// One key, whose id fuzzers find in the seeds.
pub static KEYS: LazyLock<KeySet> = LazyLock::new(|| KeySet::parse(&format!("k1:{}", "0b".repeat(32))).expect("a key"));

/// 2025-11-21, the clock of every target.
pub const NOW_S: i64 = 1_763_683_200;

/// The same as a time.
pub fn now() -> Timestamp {
    Timestamp::from_unix_ms(NOW_S * 1000).expect("a time")
}

/// A text out of any bytes, and the rest behind the first line feed.
pub fn line(bytes: &[u8]) -> (&str, &[u8]) {
    let (line, rest) = match bytes.iter().position(|b| *b == b'\n') {
        Some(index) => (&bytes[..index], &bytes[index + 1..]),
        None => (bytes, &b""[..]),
    };
    (std::str::from_utf8(line).unwrap_or(""), rest)
}
