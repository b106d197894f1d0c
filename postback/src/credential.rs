//! Secrets that belong to somebody: a tenant's tokens, a partner's keys, as they stand in one variable for all of them.
//! Edge and origin read them alike. Problems name the variable and the owner, never the secret.

use crate::key::{KeyProblem, KeySet, Validity};
use crate::time::Timestamp;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt;
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

/// The token of the development set-up. Public, so believed nowhere else (R40).
pub const DEVELOPMENT_TOKEN: &str = "default-ts-token";
/// A token shorter than this, in bytes, can be guessed.
pub const TOKEN_BYTES_MIN: usize = 24;

/// Reads `owner=secret` entries, separated by commas or white space; an owner may have several. Beside them, what is wrong:
/// entries without `=`, and owners that are none by `is_owner`; `kind` says what an owner is.
fn owned<'t>(
    variable: &str,
    text: &'t str,
    kind: &str,
    is_owner: impl Fn(&str) -> bool,
) -> (Vec<(&'t str, &'t str)>, Vec<String>) {
    let mut entries = Vec::new();
    let mut problems = Vec::new();
    for entry in text.split([',', ' ', '\n', '\t', '\r']).filter(|entry| !entry.is_empty()) {
        match entry.split_once('=') {
            Some((owner, secret)) if is_owner(owner) => entries.push((owner, secret)),
            Some((owner, _)) => {
                problems.push(format!("{variable} names {owner:?}, which is no {kind} of any partner file"))
            }
            None => problems.push(format!("{variable} holds an entry without =; write {kind}=secret")),
        }
    }
    (entries, problems)
}

/// Reads `owner=key` entries into one set of keys for each partner, by the reader of such sets. Beside them, what is wrong and was
/// left out: entries without `=`, owners that are no partners, a partner's set that the reader refuses.
pub fn owned_sets<S>(
    variable: &str,
    text: &str,
    is_partner: impl Fn(&str) -> bool,
    read: impl Fn(&str) -> Result<S, KeyProblem>,
) -> (BTreeMap<String, S>, Vec<String>) {
    let (entries, mut problems) = owned(variable, text, "partner", is_partner);
    let mut texts: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (owner, key) in entries {
        texts.entry(owner).or_default().push(key);
    }
    let mut sets = BTreeMap::new();
    for (owner, keys) in texts {
        match read(&keys.join(",")) {
            Ok(set) => {
                sets.insert(owner.to_owned(), set);
            }
            Err(problem) => problems.push(format!("{variable}: the entry of {owner} {problem}")),
        }
    }
    (sets, problems)
}

/// Each partner's own keys (`bytec-v1`), by partner code, as [`owned_sets`] reads them.
pub fn partner_keys(
    variable: &str,
    text: &str,
    is_partner: impl Fn(&str) -> bool,
) -> (BTreeMap<String, KeySet>, Vec<String>) {
    owned_sets(variable, text, is_partner, KeySet::parse)
}

/// How an entry begins that holds a token's digest in place of the token.
const DIGEST_MARK: &str = "sha256:";

/// SHA-256 of a token. A token is random and long, so nothing slower is needed to keep it from being guessed.
pub fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}

/// The entry of a variable such as `TENANT_TOKENS` that lets a token in without showing it, until an instant (Unix seconds)
/// where there is one: `owner=sha256:hex@/until`.
pub fn digest_entry(owner: &str, digest: &[u8; 32], until: Option<Timestamp>) -> String {
    let until = until.map_or_else(String::new, |until| format!("@/{until}"));
    format!("{owner}={DIGEST_MARK}{}{until}", hex::encode(digest))
}

/// Tokens and whose they are, kept as digests.
#[derive(Clone, Default)]
pub struct Tokens {
    known: Vec<Known>,
}

#[derive(Clone)]
struct Known {
    owner: String,
    digest: [u8; 32],
    validity: Validity,
}

impl Tokens {
    /// Reads `owner=token` entries; tokens have at least `bytes_min` bytes. In place of a token its digest may stand, and when it is
    /// in force: `owner=sha256:hex@from/until` ([`digest_entry`]). Beside them, what is wrong and was left out: entries without `=`,
    /// owners that are none by `is_owner` (`kind` says what an owner is), tokens that are too short.
    pub fn parse(
        variable: &str,
        text: &str,
        kind: &str,
        is_owner: impl Fn(&str) -> bool,
        bytes_min: usize,
    ) -> (Tokens, Vec<String>) {
        let (entries, mut problems) = owned(variable, text, kind, is_owner);
        let mut tokens = Tokens::default();
        for (owner, token) in entries {
            match token.strip_prefix(DIGEST_MARK) {
                Some(entry) => match digest_and_validity(entry) {
                    Some((digest, validity)) => {
                        tokens.known.push(Known { owner: owner.to_owned(), digest, validity });
                    }
                    None => problems.push(format!(
                        "{variable}: the entry of {owner} is not sha256: and 64 hexadecimal digits, with @from/until behind them \
                         or nothing"
                    )),
                },
                None if token.len() < bytes_min => {
                    problems.push(format!("{variable}: the token of {owner} is too short (openssl rand -hex 32)"));
                }
                None => tokens.add(owner, token),
            }
        }
        (tokens, problems)
    }

    /// Adds an owner's token, which is always in force.
    pub fn add(&mut self, owner: &str, token: &str) {
        self.known.push(Known { owner: owner.to_owned(), digest: digest(token), validity: Validity::default() });
    }

    /// Whether an owner has any token at all.
    pub fn has(&self, owner: &str) -> bool {
        self.known.iter().any(|known| known.owner == owner)
    }

    /// Whether a token is one of the owner's that is in force at `now_s` (Unix seconds), in a time that does not tell how much of it
    /// was right.
    pub fn belong_to(&self, owner: &str, token: &str, now_s: i64) -> bool {
        let digest = digest(token);
        let of_owner = self.known.iter().filter(|known| known.owner == owner && known.validity.contains(now_s));
        of_owner.fold(Choice::from(0), |found, known| found | known.digest.ct_eq(&digest)).into()
    }

    /// Whose a token is that is in force at `now_s` (Unix seconds), in a time that does not tell how much of it was right.
    pub fn owner_of(&self, token: &str, now_s: i64) -> Option<&str> {
        let digest = digest(token);
        let mut found = u64::MAX;
        for (place, known) in (0_u64..).zip(&self.known) {
            let is_it = known.digest.ct_eq(&digest) & Choice::from(u8::from(known.validity.contains(now_s)));
            found = u64::conditional_select(&found, &place, is_it);
        }
        self.known.get(usize::try_from(found).ok()?).map(|known| known.owner.as_str())
    }
}

fn digest_and_validity(entry: &str) -> Option<([u8; 32], Validity)> {
    let (digits, validity) = match entry.split_once('@') {
        Some((digits, interval)) => (digits, Validity::parse(interval)?),
        None => (entry, Validity::default()),
    };
    let mut digest = [0; 32];
    hex::decode_to_slice(digits, &mut digest).ok()?;
    Some((digest, validity))
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tokens({}, redacted)", self.known.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_owner(name: &str) -> bool {
        ["bytec", "other"].contains(&name)
    }

    #[test]
    fn a_token_is_its_owners_alone() {
        let tokens = Tokens::parse("T", "bytec=abc,\nother=def bytec=ghi", "tenant", is_owner, 3).0;
        assert!(tokens.belong_to("bytec", "abc", 0) && tokens.belong_to("bytec", "ghi", 0));
        assert!(
            !tokens.belong_to("bytec", "def", 0)
                && !tokens.belong_to("nobody", "abc", 0)
                && !tokens.belong_to("bytec", "", 0)
        );
        assert_eq!([tokens.owner_of("def", 0), tokens.owner_of("abd", 0)], [Some("other"), None]);
        assert!(tokens.has("other") && !tokens.has("nobody"));
    }

    #[test]
    fn every_problem_names_the_owner_and_no_secret() {
        let problems = |text: &str| Tokens::parse("T", text, "tenant", is_owner, 8).1;
        assert_eq!(problems("bytec=geheim"), ["T: the token of bytec is too short (openssl rand -hex 32)"]);
        let both = problems("nobody=geheim123 geheim123");
        assert_eq!(
            both,
            [
                "T names \"nobody\", which is no tenant of any partner file",
                "T holds an entry without =; write tenant=secret"
            ]
        );
        let tokens = Tokens::parse("T", "bytec=geheim123 bytec=kurz", "tenant", is_owner, 8).0;
        assert_eq!(format!("{tokens:?}"), "Tokens(1, redacted)");
    }

    #[test]
    fn a_digest_stands_for_its_token_while_it_is_in_force() {
        let until = Timestamp::from_unix_ms(1_780_272_000_000).unwrap();
        let entry = digest_entry("bytec", &digest("geheim123"), Some(until));
        assert!(entry.ends_with("@/2026-06-01T00:00:00Z") && !entry.contains("geheim"), "{entry}");
        let (tokens, problems) = Tokens::parse("T", &entry, "tenant", is_owner, 24);
        assert!(problems.is_empty(), "{problems:?}");
        for (now_s, is_in_force) in [(1_780_271_999, true), (1_780_272_000, false)] {
            assert_eq!(tokens.belong_to("bytec", "geheim123", now_s), is_in_force);
            assert_eq!(tokens.owner_of("geheim123", now_s).is_some(), is_in_force);
        }
        // The digest itself is no token.
        assert!(!tokens.belong_to("bytec", entry.split_once('=').unwrap().1, 0));
        let open = Tokens::parse("T", &digest_entry("bytec", &digest("a"), None), "tenant", is_owner, 24).0;
        assert!(open.belong_to("bytec", "a", i64::MAX));
        for wrong in ["bytec=sha256:abcd", "bytec=sha256:", &format!("{entry}/2026")] {
            assert_eq!(Tokens::parse("T", wrong, "tenant", is_owner, 0).1.len(), 1, "{wrong}");
        }
    }

    #[test]
    fn an_owners_keys_are_one_set() {
        let (a, b) = ("ab".repeat(32), "cd".repeat(32));
        let keys = partner_keys("K", &format!("bytec=k1:{a},other=k1:{b},bytec=k2:{b}"), is_owner).0;
        assert_eq!(keys["bytec"].iter().map(|key| key.id()).collect::<Vec<_>>(), ["k1", "k2"]);
        let problems = partner_keys("K", "bytec=k1:geheim", is_owner).1;
        assert!(problems[0].starts_with("K: the entry of bytec holds a secret") && !problems[0].contains("geheim"));
    }
}
