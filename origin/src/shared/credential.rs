//! Tokens and keys: what a caller of the origin shows to be believed. Both are random, shown once and kept as a digest.

use postback::credential::digest;
use postback::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What a credential is good for. Each for one thing: what travels in partners' URLs must not open anything else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Sending postbacks for the tenant's partners.
    Ingest,
    /// Reading what was stored.
    Read,
    /// Reading, and operating: replaying, settling.
    Operate,
}

impl Scope {
    /// The name, as it is stored.
    pub const fn name(self) -> &'static str {
        match self {
            Scope::Ingest => "ingest",
            Scope::Read => "read",
            Scope::Operate => "operate",
        }
    }

    /// What people call a credential of this scope.
    pub const fn kind(self) -> Kind {
        match self {
            Scope::Ingest => Kind::Token,
            Scope::Read | Scope::Operate => Kind::Key,
        }
    }
}

/// The two kinds of credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A tenant's token: goes with postbacks, in their URLs even.
    Token,
    /// An API key: goes with requests for data, never in a URL.
    Key,
}

impl Kind {
    /// What people call it.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Token => "token",
            Kind::Key => "key",
        }
    }

    /// How a secret of the kind begins, so that people and scanners of repositories know one when they see it.
    const fn prefix(self) -> &'static str {
        match self {
            Kind::Token => "bct_",
            Kind::Key => "bck_",
        }
    }
}

/// A secret just made. It never shows itself but where it is asked to.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// A secret of a kind, from 32 random bytes.
    pub fn new(kind: Kind, random: [[u8; 16]; 2]) -> Secret {
        Secret(format!("{}{}", kind.prefix(), hex::encode(random.concat())))
    }

    /// The secret itself, to be shown once.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(redacted)")
    }
}

/// What is new about a credential to be made.
#[derive(Clone, Debug)]
pub struct Issue {
    /// Its name.
    pub id: String,
    /// The secret.
    pub secret: Secret,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// A credential to be made.
#[derive(Clone, Debug)]
pub struct Made {
    /// Name, secret, end.
    pub issue: Issue,
    /// Whose it is.
    pub tenant: String,
    /// The one partner that it is for; none: all of the tenant's.
    pub partner: Option<String>,
    /// What it is good for.
    pub scope: Scope,
    /// What people call it.
    pub label: String,
}

impl Issue {
    /// The digest that is kept, as hexadecimal digits.
    pub(super) fn digest(&self) -> String {
        hex::encode(digest(self.secret.reveal()))
    }
}

/// A credential, without its secret and the secret's digest. Instants in Unix seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credential {
    /// Its name.
    #[serde(default)]
    pub id: String,
    /// Whose it is.
    pub tenant: String,
    /// The one partner that it is for; none: all of the tenant's.
    pub partner: Option<String>,
    /// What it is good for.
    pub scope: Scope,
    /// What people call it.
    pub label: String,
    /// When it was made.
    pub created_s: i64,
    /// When it ends.
    pub expires_s: i64,
    /// When it was ended before that.
    pub revoked_s: Option<i64>,
    /// When it was last shown to an origin, to a minute or so.
    pub last_used_s: Option<i64>,
    /// The one that was made in its place.
    pub replaced_by: Option<String>,
}

impl Credential {
    /// Whether it holds at an instant (Unix seconds).
    pub fn is_in_force(&self, now_s: i64) -> bool {
        now_s < self.expires_s && self.revoked_s.is_none_or(|revoked_s| now_s < revoked_s)
    }

    /// Whether it is good for this, with the data of this partner of this tenant.
    pub fn allows(&self, scope: Scope, tenant: &str, partner: &str) -> bool {
        let is_enough = match scope {
            Scope::Ingest => self.scope == Scope::Ingest,
            Scope::Read => matches!(self.scope, Scope::Read | Scope::Operate),
            Scope::Operate => self.scope == Scope::Operate,
        };
        is_enough && self.tenant == tenant && self.partner.as_deref().is_none_or(|only| only == partner)
    }
}

/// A credential as the database has it.
#[derive(Deserialize)]
pub(super) struct Kept {
    digest: String,
    #[serde(flatten)]
    pub(super) credential: Credential,
}

impl Kept {
    /// Reads one.
    ///
    /// # Errors
    /// It is not as our statements make it.
    pub(super) fn read(id: String, json: &str) -> Result<Kept, serde_json::Error> {
        let kept: Kept = serde_json::from_str(json)?;
        Ok(Kept { credential: Credential { id, ..kept.credential }, ..kept })
    }

    /// The digest's bytes. None where somebody put other text there: nothing has that digest.
    pub(super) fn digest(&self) -> Option<[u8; 32]> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(&self.digest, &mut bytes).ok()?;
        Some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credential(scope: Scope, partner: Option<&str>) -> Credential {
        Credential {
            id: "c".to_owned(),
            tenant: "bytec".to_owned(),
            partner: partner.map(str::to_owned),
            scope,
            label: String::new(),
            created_s: 0,
            expires_s: 100,
            revoked_s: None,
            last_used_s: None,
            replaced_by: None,
        }
    }

    #[test]
    fn a_credential_is_good_for_its_scope_and_its_data_alone() {
        let allowed = |has: Scope| {
            let scopes = [Scope::Ingest, Scope::Read, Scope::Operate];
            scopes.map(|asked| credential(has, None).allows(asked, "bytec", "rector"))
        };
        assert_eq!(allowed(Scope::Ingest), [true, false, false]);
        assert_eq!(allowed(Scope::Read), [false, true, false]);
        assert_eq!(allowed(Scope::Operate), [false, true, true]);
        let of_rector = credential(Scope::Read, Some("rector"));
        assert!(of_rector.allows(Scope::Read, "bytec", "rector"));
        assert!(!of_rector.allows(Scope::Read, "bytec", "involve_asia"));
        assert!(!of_rector.allows(Scope::Read, "other", "rector"));
    }

    #[test]
    fn a_credential_ends_when_it_expires_or_is_revoked() {
        let ends = credential(Scope::Ingest, None);
        assert!(ends.is_in_force(99) && !ends.is_in_force(100));
        let revoked = Credential { revoked_s: Some(50), ..ends };
        assert!(revoked.is_in_force(49) && !revoked.is_in_force(50));
    }

    #[test]
    fn a_secret_has_its_kinds_mark_and_shows_nothing() {
        let secret = Secret::new(Kind::Token, [[0xab; 16], [1; 16]]);
        assert_eq!(secret.reveal(), format!("bct_{}{}", "ab".repeat(16), "01".repeat(16)));
        assert_eq!(format!("{secret:?}"), "Secret(redacted)");
    }
}
