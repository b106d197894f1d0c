//! An account, and the texts by which a request tells of it.

use super::Asked;
use std::collections::BTreeSet;
use std::fmt;

/// From how many characters on an account is looked for within any text of a request. A shorter one, or one of digits alone, would
/// be found in others' amounts and times, so it is looked for where a parameter says that it is an account.
const PART_CHARS_MIN: usize = 8;

/// Whose data is meant.
#[derive(Clone)]
pub struct Account {
    id: String,
    needles: BTreeSet<String>,
}

impl Account {
    /// An account by its id, and the names of parameters that mean an account.
    pub fn new(id: &str, names: &[String]) -> Account {
        let words = |text: &str| spellings(text).iter().map(|text| words(text)).collect::<BTreeSet<_>>();
        let ids: BTreeSet<_> = words(id).into_iter().filter(|id| !id.is_empty()).collect();
        let names = names.iter().flat_map(|name| words(name));
        let named = names.flat_map(|name| ids.iter().map(move |id| format!("&{name}&{id}&")).collect::<Vec<_>>());
        let anywhere = ids.iter().filter(|_| is_part(id)).map(|id| format!("&{id}&"));
        Account { id: id.to_owned(), needles: named.chain(anywhere).collect() }
    }

    pub(super) fn asked(&self) -> Asked {
        let part = is_part(&self.id).then(|| self.id.clone());
        Asked { account_id: self.id.clone(), part, ..Asked::default() }
    }

    /// A row for each needle.
    pub(super) fn with_needles(&self) -> impl Iterator<Item = Asked> {
        self.needles.iter().map(|needle| Asked { needle: Some(needle.clone()), ..self.asked() })
    }

    pub(super) fn after(&self, key: &str) -> Vec<Asked> {
        self.with_needles().map(|asked| Asked { after: Some(key.to_owned()), ..asked }).collect()
    }

    /// A row for each id, and one without.
    pub(super) fn with_ids(&self, ids: Vec<String>) -> Vec<Asked> {
        let ids = ids.into_iter().map(|id| Asked { id: Some(id), ..self.asked() });
        std::iter::once(self.asked()).chain(ids).collect()
    }
}

/// Without the account: it is a person's.
impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account").finish_non_exhaustive()
    }
}

fn is_part(id: &str) -> bool {
    id.chars().count() >= PART_CHARS_MIN && !id.bytes().all(|byte| byte.is_ascii_digit())
}

/// Characters that part a request into words.
pub(super) const BETWEEN_WORDS: &str = "&=?\":,;{}[]()<>|#'/\\+ \t\r\n";
/// The same, percent-encoded, as far as they stand around values.
pub(super) const BETWEEN_WORDS_ENCODED: [&str; 13] =
    ["%20", "%22", "%26", "%27", "%2b", "%2c", "%2f", "%3a", "%3b", "%3d", "%5b", "%5d", "%7d"];

/// A text as the statements spell what they look in: small letters of ASCII, words with `&` between them.
fn words(text: &str) -> String {
    let small = text.to_ascii_lowercase();
    let decoded = BETWEEN_WORDS_ENCODED.iter().fold(small, |text, encoded| text.replace(encoded, "&"));
    let words = decoded.split(|char| BETWEEN_WORDS.contains(char)).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("&")
}

/// A text as it can stand in a request: as it is, percent-encoded as forms do and once more on top of that, and in JSON with or
/// without escapes. Where these differ between words only, they are one.
fn spellings(text: &str) -> [String; 5] {
    let form = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let quoted = serde_json::Value::from(text).to_string();
    let inner = quoted.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    let escaped = |char: char| match char.is_ascii() {
        true => char.to_string(),
        false => char.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect(),
    };
    [
        text.to_owned(),
        form(text),
        form(&form(text).replace('+', "%20")),
        inner.to_owned(),
        inner.chars().map(escaped).collect(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needles(id: &str) -> Vec<String> {
        Account::new(id, &["account_id".to_owned(), "User Id".to_owned()]).needles.into_iter().collect()
    }

    #[test]
    fn a_short_account_is_looked_for_only_where_it_is_called_one() {
        // A name with a space may be percent-encoded twice.
        assert_eq!(needles("5"), ["&account_id&5&", "&user%2520id&5&", "&user&id&5&"]);
        let date = needles("20251121");
        assert_eq!(date, ["&account_id&20251121&", "&user%2520id&20251121&", "&user&id&20251121&"]);
        assert!(needles("&").iter().all(|needle| needle.contains("%2526")), "what only parts words is none");
    }

    #[test]
    fn a_long_account_is_looked_for_everywhere_in_every_spelling() {
        let found = needles("Jo M\u{fc}ller/7");
        for spelling in ["jo&m\u{fc}ller&7", "jo&m%c3%bcller&7", "jo%2520m%25c3%25bcller%252f7", "jo&m&u00fcller&7"] {
            for needle in [format!("&{spelling}&"), format!("&account_id&{spelling}&")] {
                assert!(found.contains(&needle), "{needle}: {found:?}");
            }
        }
    }

    #[test]
    fn an_account_is_not_shown() {
        assert_eq!(format!("{:?}", Account::new("canary-account", &[])), "Account { .. }");
    }
}
