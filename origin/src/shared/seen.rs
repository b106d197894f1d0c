//! What the shared database holds, looked at without being opened: for `doctor`, and for what `partners sync` would change.

use super::credential::Kept;
use super::statements::{Statements, file};
use super::{Credential, kept_of};
use crate::store::StoreError;
use crate::store::look::Look;
use chrono::NaiveDate;
use postback::partner::Partner;
use postback::time::Timestamp;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// What the shared database holds.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Every credential, those that are no longer in force too.
    pub credentials: Vec<Credential>,
    /// What each partner's file said that was taken over last.
    pub files: BTreeMap<String, Value>,
    /// The last day of which there are rates, days in the future aside.
    pub last_rate_day: Option<NaiveDate>,
}

/// How a partner's file differs from what was taken over of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "difference")]
pub enum Difference {
    /// Nothing was taken over yet.
    New,
    /// Some keys have other values.
    Changed {
        /// Which.
        keys: Vec<Key>,
    },
    /// This program has no such file; another has, or an earlier one had. Nothing is done about it.
    Unknown,
}

/// A key of a partner's file that has another value than before. None where there is no such key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Key {
    /// Its name.
    pub key: String,
    /// The value that was taken over last.
    pub before: Option<Value>,
    /// The value of the file.
    pub after: Option<Value>,
}

impl Seen {
    /// Looks.
    ///
    /// # Errors
    /// The database cannot say.
    pub async fn of(look: &mut Look, now: Timestamp) -> Result<Seen, StoreError> {
        let statements = Statements::new(look.dialect());
        let mut credentials = Vec::new();
        for (id, json) in look.ask(statements.all_credentials()).await? {
            let Kept { credential, .. } = kept_of(id, &json)?;
            credentials.push(credential);
        }
        let mut files = BTreeMap::new();
        for (partner, json) in look.ask(statements.partner_files()).await? {
            files.insert(partner, crate::store::statement::read_json("a partner's file", &json)?);
        }
        let today = now.to_chrono().date_naive();
        // Of all days the last stands alone; rates have their currency behind the day.
        let rates = look.ask(statements.rates(today, today, today)).await?;
        let last_rate_day = rates.iter().find_map(|(id, _)| id.parse().ok());
        Ok(Seen { credentials, files, last_rate_day })
    }

    /// How the files of partners differ from what was taken over, by partner code.
    pub fn differences(&self, partners: &[Partner]) -> BTreeMap<String, Difference> {
        let mut differences = BTreeMap::new();
        for partner in partners {
            match self.files.get(&partner.code) {
                None => drop(differences.insert(partner.code.clone(), Difference::New)),
                Some(before) => {
                    let keys = changed(before, &file(partner));
                    if !keys.is_empty() {
                        differences.insert(partner.code.clone(), Difference::Changed { keys });
                    }
                }
            }
        }
        for code in self.files.keys().filter(|code| partners.iter().all(|partner| partner.code != **code)) {
            differences.insert(code.clone(), Difference::Unknown);
        }
        differences
    }
}

/// The keys of two objects that have not the same value.
fn changed(before: &Value, after: &Value) -> Vec<Key> {
    let names = |value: &Value| value.as_object().into_iter().flat_map(|object| object.keys().cloned()).collect();
    let names: Vec<Vec<String>> = vec![names(before), names(after)];
    let names: std::collections::BTreeSet<String> = names.into_iter().flatten().collect();
    let differs = |name: &String| before.get(name) != after.get(name);
    let key = |name: String| {
        let (before, after) = (before.get(&name).cloned(), after.get(&name).cloned());
        Key { key: name, before, after }
    };
    names.into_iter().filter(differs).map(key).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_told_by_key() {
        let registry = crate::config::registry().unwrap();
        let partners = registry.all();
        let mut seen = Seen::default();
        for partner in partners {
            seen.files.insert(partner.code.clone(), file(partner));
        }
        assert_eq!(seen.differences(partners), BTreeMap::new());
        seen.files.get_mut("rector").unwrap()["max_daily_requests"] = 7.into();
        seen.files.remove("s2s");
        seen.files.insert("former".to_owned(), Value::Null);
        let differences = seen.differences(partners);
        assert_eq!(differences.keys().collect::<Vec<_>>(), ["former", "rector", "s2s"]);
        assert_eq!((&differences["former"], &differences["s2s"]), (&Difference::Unknown, &Difference::New));
        let Difference::Changed { keys } = &differences["rector"] else { panic!("{differences:?}") };
        assert_eq!((keys.len(), keys[0].key.as_str(), &keys[0].before), (1, "max_daily_requests", &Some(7.into())));
    }
}
