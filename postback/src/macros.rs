//! What networks leave where a value should be (R10): macros that nobody expanded, in every dialect that is in use, and
//! words that stand for nothing. Such a text is no value. Taking `{click_id}` for an id would make one conversion out of
//! all that a broken template sends.

use crate::percent;

/// Why a text is no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfilled {
    /// A macro that was not expanded.
    Macro,
    /// A word for "nothing here".
    Placeholder,
}

/// Opening and closing marks of macros that are a whole value. Those with braces are seen anywhere, see below.
const MARKS: [(&str, &str); 17] = [
    ("[[[", "]]]"),
    ("[[", "]]"),
    ("[", "]"),
    ("((", "))"),
    ("(", ")"),
    ("<%=", "%>"),
    ("<%", "%>"),
    ("<?=", "?>"),
    ("%(", ")s"),
    ("%%", "%%"),
    ("*|", "|*"),
    ("<", ">"),
    ("$", "$"),
    ("@", "@"),
    ("#", "#"),
    ("%", "%"),
    ("!!!", "!!!"),
];

/// Marks that no id or text has for any other reason, so that a macro is seen in the middle of a value, too. Braces
/// stand for all dialects that have them.
const MARKS_ANYWHERE: [(&str, &str); 3] = [("{", "}"), ("[[[", "]]]"), ("!!!", "!!!")];

/// Words for nothing, in any case.
const NOTHING: [&str; 10] =
    ["null", "undefined", "none", "nil", "empty", "n/a", "(not set)", "\"null\"", "\"\"", "[object Object]"];

/// A parameter's name in another case is a placeholder from this length on.
const OWN_NAME_BYTES_MIN: usize = 4;

/// Words that templates ask people to replace, as they are written there.
const TO_REPLACE: [&str; 2] = ["REPLACE", "OPTIONAL"];

/// Whether a decoded text, which the sender calls `name`, is left over from a template; `placeholders` are the words of
/// the partner's own.
pub fn unfilled(name: &str, text: &str, placeholders: &[String]) -> Option<Unfilled> {
    if is_placeholder(name, text) || placeholders.iter().any(|word| word == text) {
        return Some(Unfilled::Placeholder);
    }
    // Most values hold none of the marks' characters, and are done here.
    let is_mark = |b| matches!(b, b'{' | b'[' | b'(' | b'<' | b'#' | b'%' | b'!' | b'$' | b'@' | b'*');
    if !text.starts_with(':') && !text.starts_with("__") && !text.bytes().any(is_mark) {
        return None;
    }
    let found = is_macro(text) || text.contains('%') && percent::decode(text).is_ok_and(|decoded| is_macro(&decoded));
    found.then_some(Unfilled::Macro)
}

/// Whether a raw piece of a query is a `%MACRO%`: not valid percent-encoding, and no mistake in it either.
pub fn is_percent_macro(raw: &str) -> bool {
    raw.strip_prefix('%').and_then(|rest| rest.strip_suffix('%')).is_some_and(is_macro_name)
}

fn is_placeholder(name: &str, text: &str) -> bool {
    NOTHING.iter().any(|word| word.eq_ignore_ascii_case(text))
        || TO_REPLACE.contains(&text)
        // `click_id=CLICK_ID`: the example of a manual, sent as it is printed; or `{click_id}` whose braces a shell has eaten.
        // Shorter ones in another case may be values: `geo=GEO` is Georgia.
        || text.len() > 1 && text == name
        || text.len() >= OWN_NAME_BYTES_MIN && text.eq_ignore_ascii_case(name)
}

fn is_macro(text: &str) -> bool {
    let whole = |(open, close): &(&str, &str)| {
        let inner = text.strip_prefix(open).and_then(|rest| rest.strip_suffix(close));
        inner.is_some_and(|inner| is_macro_name(inner.trim_start_matches('$')))
    };
    // `$click_id` and `:click_id`: variables of programs and statements.
    let prefixed = text.strip_prefix(['$', ':']);
    let underscored = text.strip_prefix("__").and_then(|rest| rest.strip_suffix("__"));
    MARKS.iter().any(whole)
        || MARKS_ANYWHERE.iter().any(|marks| contains_macro(text, *marks))
        || prefixed.is_some_and(is_macro_name)
        || underscored.is_some_and(|inner| !inner.bytes().any(|b| b.is_ascii_lowercase()) && is_macro_name(inner))
}

/// In one pass, because a value of nothing but braces must not cost more than another.
fn contains_macro(text: &str, (open, close): (&str, &str)) -> bool {
    let Some((closed, _)) = text.rsplit_once(close) else { return false };
    if open == close {
        return closed.split(close).skip(1).any(is_macro_name);
    }
    let mut inner = closed.split(close).filter_map(|text| text.rsplit_once(open).map(|(_, inner)| inner));
    if open == "{" { inner.any(is_braced_macro_name) } else { inner.any(is_macro_name) }
}

/// What stands between the marks: a name, and not a GUID, which some systems write in braces.
fn is_macro_name(inner: &str) -> bool {
    let inner = inner.trim_matches(' ');
    let begins = inner.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    begins && inner.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.:|$-".contains(&b)) && !is_guid(inner)
}

/// The same between braces, which hold nothing but macros: names with spaces, defaults and arguments are seen, too.
fn is_braced_macro_name(inner: &str) -> bool {
    // `{"a":1}` is JSON.
    if inner.starts_with('"') {
        return false;
    }
    let plain: String = inner.chars().filter(|c| !" ,?='\"$%#@!*()[]".contains(*c)).collect();
    is_macro_name(&plain)
}

fn is_guid(text: &str) -> bool {
    if text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return true;
    }
    let mut groups = text.split('-');
    let shaped = [8, 4, 4, 4, 12].into_iter().all(|length| {
        groups.next().is_some_and(|group| group.len() == length && group.bytes().all(|b| b.is_ascii_hexdigit()))
    });
    shaped && groups.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Option<Unfilled> {
        unfilled("click_id", text, &["TEST_WORD".to_owned()])
    }

    #[test]
    fn macros_of_every_dialect_are_seen() {
        for text in [
            "{aff_sub}",
            "{{x}}",
            "{{{x}}}",
            "{{ user.id }}",
            "${x}",
            "[USER_ID]",
            "[[x]]",
            "[[[offer_id]]]",
            "(install-unix-ts)",
            "<x>",
            "#s1#",
            "%CLICK_ID%",
            "!!!x!!!",
            "__CLICKID__",
            "%7Baff_sub%7D",
            "%7b%7bx%7d%7d",
            "IA-{conversion_id}",
            "{a}{b}",
            "pre[[[x]]]post",
            "pre!!!x!!!post",
            "{a|b:c}",
            "{Click ID}",
            "{x?}",
            "((x))",
            "$x$",
            "@x@",
            "<%= id %>",
            "<% id %>",
            "<?=$id?>",
            "%(click_id)s",
            "%%CLICK_ID%%",
            "*|CLICK_ID|*",
            "{$click_id}",
            "{%click_id%}",
            "{sub[1]}",
            "$click_id",
            ":click_id",
        ] {
            assert_eq!(found(text), Some(Unfilled::Macro), "{text}");
        }
    }

    #[test]
    fn words_for_nothing_are_seen() {
        for text in [
            "null",
            "NULL",
            "undefined",
            "None",
            "Empty",
            "N/A",
            "(not set)",
            "REPLACE",
            "OPTIONAL",
            "CLICK_ID",
            "click_id",
            "Click_Id",
        ] {
            assert_eq!(found(text), Some(Unfilled::Placeholder), "{text}");
        }
        assert_eq!(found("TEST_WORD"), Some(Unfilled::Placeholder));
    }

    #[test]
    fn values_are_left_alone() {
        for text in [
            "c384EFV6JHQODRN70575OK6UG5",
            "8882.1234.1234567",
            "{a50e8400-e29b-41d4-a716-446655440000}",
            "a_b__c",
            "__init__",
            "100% off",
            "50%25",
            "(new) shop",
            "[2]",
            "#1",
            "!!!",
            "a{b",
            "a}b{c",
            "!!!x",
            "a!!!b c!!!d",
            "{}",
            "{1}",
            "replace",
            "nullable",
            "{\"a\":1}",
        ] {
            assert_eq!(found(text), None, "{text}");
        }
    }
}
