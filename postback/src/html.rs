//! Parameters that went through an HTML decoder on their way (R10). `&currency=EUR` in a page is read there as the
//! character reference `&curren` and `cy=EUR`, so `payout=10&currency=EUR` arrives as one value, `10¤cy=EUR`; and
//! `&amp;x=1` that nobody decoded arrives under the name `amp;x`. Both can be undone without guessing: only a name that means
//! something to the partner is turned back, and only where its `=` was not encoded.

use crate::limits::PARAM_NAME_BYTES_MAX;

/// The references that HTML reads without a semicolon and that a parameter's name can begin with (HTML Standard,
/// "Named character references"); accented letters begin no name that a network uses.
const REFERENCES: [(char, &str); 33] = [
    ('¤', "curren"),
    ('©', "copy"),
    ('®', "reg"),
    ('¶', "para"),
    ('§', "sect"),
    ('¬', "not"),
    ('×', "times"),
    ('°', "deg"),
    ('µ', "micro"),
    ('¥', "yen"),
    ('£', "pound"),
    ('¢', "cent"),
    ('÷', "divide"),
    ('±', "plusmn"),
    ('·', "middot"),
    ('¿', "iquest"),
    ('¡', "iexcl"),
    ('ª', "ordf"),
    ('º', "ordm"),
    ('«', "laquo"),
    ('»', "raquo"),
    ('¦', "brvbar"),
    ('¨', "uml"),
    ('¯', "macr"),
    ('´', "acute"),
    ('¸', "cedil"),
    ('¹', "sup1"),
    ('²', "sup2"),
    ('³', "sup3"),
    ('¼', "frac14"),
    ('½', "frac12"),
    ('¾', "frac34"),
    ('\u{ad}', "shy"),
];

/// What stands between two parameters that a wrong template, or a client, glued together.
pub const SEPARATORS: [char; 3] = ['?', ';', '&'];

/// What `&amp;` leaves at the beginning of a name.
const AMP: &str = "amp;";

/// The name that a damaged one was. None when it shows no damage.
pub fn repaired_name(name: &str) -> Option<String> {
    let decoded = name.trim_start_matches(AMP);
    if decoded.len() < name.len() {
        return Some(decoded.to_owned());
    }
    let mut characters = name.chars();
    let reference = reference(characters.next()?)?;
    Some(format!("{reference}{}", characters.as_str()))
}

/// A parameter that was glued to the end of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glued<'v> {
    /// The value without it.
    pub before: &'v str,
    /// Its name, repaired.
    pub name: String,
    /// Its value, which may hold another.
    pub value: &'v str,
    /// Where its `=` stands.
    pub place: usize,
    /// Whether an HTML decoder did it.
    pub is_html: bool,
}

/// The first parameter glued into a value whose name `is_known`, by an HTML decoder or with one of the `separators`. Its `=` is among
/// `equals`, the places where `=` stood unencoded: what a publisher wrote into a value comes encoded, and must never become a parameter.
pub fn glued<'v>(
    value: &'v str,
    equals: &[usize],
    separators: &[char],
    is_known: impl Fn(&str) -> bool,
) -> Option<Glued<'v>> {
    equals.iter().find_map(|&place| {
        let (left, right) = value.split_at_checked(place)?;
        // No farther back than a name reaches.
        let near = left.char_indices().rev().take(PARAM_NAME_BYTES_MAX);
        let is_separator = |character: char| separators.contains(&character);
        let (start, found) = near.into_iter().find(|(_, c)| is_separator(*c) || reference(*c).is_some())?;
        let (before, behind) = left.split_at_checked(start)?;
        let is_html = !is_separator(found);
        let name = if is_html {
            repaired_name(behind)
        } else {
            behind.get(found.len_utf8()..).map(|name| name.trim_matches(' ').to_owned())
        };
        // `&amp;` is a separator that was written as HTML writes it.
        let before = if found == ';' { before.strip_suffix("&amp").unwrap_or(before) } else { before };
        Some(Glued {
            before,
            name: name.filter(|name| is_known(name))?,
            value: right.strip_prefix('=')?,
            place,
            is_html,
        })
    })
}

fn reference(character: char) -> Option<&'static str> {
    REFERENCES.iter().find(|(known, _)| *known == character).map(|(_, reference)| *reference)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_name_is_turned_back() {
        for (name, repaired) in [
            ("amp;snuid", "snuid"),
            ("¤cy", "currency"),
            ("×tamp", "timestamp"),
            ("®ion", "region"),
            ("§ion", "section"),
        ] {
            assert_eq!(repaired_name(name).as_deref(), Some(repaired), "{name}");
        }
        for name in ["", "currency", "éacute", "a¤cy"] {
            assert_eq!(repaired_name(name), None, "{name}");
        }
    }

    #[test]
    fn a_glued_parameter_is_found_where_its_name_is_known() {
        let known = |name: &str| ["currency", "timestamp"].contains(&name);
        let value = "10¤cy=EUR×tamp=5";
        let places: Vec<_> = value.match_indices('=').map(|(place, _)| place).collect();
        let found = glued(value, &places, &[], known).unwrap();
        assert_eq!((found.before, found.name.as_str(), found.value), ("10", "currency", "EUR×tamp=5"));
        for text in ["10=", "10¤=EUR", "©right=x", "a=b¤", "=", "¤ cy=EUR"] {
            let places: Vec<_> = text.match_indices('=').map(|(place, _)| place).collect();
            assert_eq!(glued(text, &places, &[], known), None, "{text}");
        }
        assert_eq!(glued(value, &[], &[], known), None, "what was encoded belongs to the value");
        assert_eq!(glued(value, &[9_999, 1], &[], known), None);
    }

    #[test]
    fn a_parameter_behind_another_separator_is_found_where_its_name_is_known() {
        let known = |name: &str| ["usd_earning", "status"].contains(&name);
        for value in
            ["c12?usd_earning=9.99", "c12;usd_earning=9.99", "c12&usd_earning=9.99", "c12&amp;usd_earning=9.99"]
        {
            let places: Vec<_> = value.match_indices('=').map(|(place, _)| place).collect();
            let found = glued(value, &places, &['?', ';', '&'], known).unwrap();
            assert_eq!(
                (found.before, found.name.as_str(), found.value, found.is_html),
                ("c12", "usd_earning", "9.99", false)
            );
            assert_eq!(glued(value, &[], &['?', ';', '&'], known), None, "what was encoded belongs to the value");
            assert_eq!(glued(value, &places, &[], known), None);
        }
        let other = "c12?other=9.99";
        assert_eq!(glued(other, &[9], &['?'], known), None);
    }
}
