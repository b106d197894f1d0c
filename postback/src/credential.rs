//! Secrets that belong to somebody: a tenant's tokens, a partner's keys, as they stand in one variable for all of them.
//! Edge and origin read them alike. Problems name the variable and the owner, never the secret.

use crate::key::{KeyProblem, KeySet};
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

/// Tokens and whose they are, kept as digests.
#[derive(Clone, Default)]
pub struct Tokens {
    digests: Vec<(String, [u8; 32])>,
}

impl Tokens {
    /// Reads `owner=token` entries; tokens have at least `bytes_min` bytes. Beside them, what is wrong and was left out: entries
    /// without `=`, owners that are none by `is_owner` (`kind` says what an owner is), tokens that are too short.
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
            if token.len() < bytes_min {
                problems.push(format!("{variable}: the token of {owner} is too short (openssl rand -hex 32)"));
            } else {
                tokens.add(owner, token);
            }
        }
        (tokens, problems)
    }

    /// Adds an owner's token.
    pub fn add(&mut self, owner: &str, token: &str) {
        self.digests.push((owner.to_owned(), Sha256::digest(token).into()));
    }

    /// Whether an owner has any token at all.
    pub fn has(&self, owner: &str) -> bool {
        self.digests.iter().any(|(known, _)| known == owner)
    }

    /// Whether a token is one of the owner's, in a time that does not tell how much of it was right.
    pub fn belong_to(&self, owner: &str, token: &str) -> bool {
        let digest: [u8; 32] = Sha256::digest(token).into();
        let is_one = self.digests.iter().filter(|(known, _)| known == owner);
        is_one.fold(Choice::from(0), |found, (_, known)| found | known.ct_eq(&digest)).into()
    }

    /// Whose a token is, in a time that does not tell how much of it was right.
    pub fn owner_of(&self, token: &str) -> Option<&str> {
        let digest: [u8; 32] = Sha256::digest(token).into();
        let mut found = u64::MAX;
        for (place, (_, known)) in (0_u64..).zip(&self.digests) {
            found = u64::conditional_select(&found, &place, known.ct_eq(&digest));
        }
        self.digests.get(usize::try_from(found).ok()?).map(|(owner, _)| owner.as_str())
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tokens({}, redacted)", self.digests.len())
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
        assert!(tokens.belong_to("bytec", "abc") && tokens.belong_to("bytec", "ghi"));
        assert!(
            !tokens.belong_to("bytec", "def") && !tokens.belong_to("nobody", "abc") && !tokens.belong_to("bytec", "")
        );
        assert_eq!([tokens.owner_of("def"), tokens.owner_of("abd")], [Some("other"), None]);
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
    fn an_owners_keys_are_one_set() {
        let (a, b) = ("ab".repeat(32), "cd".repeat(32));
        let keys = partner_keys("K", &format!("bytec=k1:{a},other=k1:{b},bytec=k2:{b}"), is_owner).0;
        assert_eq!(keys["bytec"].iter().map(|key| key.id()).collect::<Vec<_>>(), ["k1", "k2"]);
        let problems = partner_keys("K", "bytec=k1:geheim", is_owner).1;
        assert!(problems[0].starts_with("K: the entry of bytec holds a secret") && !problems[0].contains("geheim"));
    }
}
