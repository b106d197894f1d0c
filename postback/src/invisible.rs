//! Characters that nobody sees: spaces of every kind, and those that Unicode calls ignorable. Copying from a page or a spreadsheet leaves
//! them at the ends of ids, where they make another id of it.

/// A text without invisible characters at its ends, and whether any but ordinary spaces were there.
pub fn trimmed(text: &str) -> (&str, bool) {
    let without_spaces = text.trim_matches(' ');
    // Nearly every text is visible ASCII.
    let is_visible = |byte: Option<u8>| byte.is_none_or(|byte| byte.is_ascii_graphic());
    if is_visible(without_spaces.bytes().next()) && is_visible(without_spaces.bytes().next_back()) {
        return (without_spaces, false);
    }
    let visible = without_spaces.trim_matches(is_invisible);
    (visible, visible.len() < without_spaces.len())
}

/// White space (the Unicode property) and what is ignorable by default (Unicode Standard, "Default_Ignorable_Code_Point"), as far as it
/// comes up in text, and letters that have no shape.
fn is_invisible(character: char) -> bool {
    character.is_whitespace()
        || matches!(character,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fff8}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::trimmed;

    #[test]
    fn what_nobody_sees_is_taken_off_the_ends_alone() {
        for around in ["\u{a0}", "\u{200b}", "\u{3000}", "\u{feff}", "\u{2060}\u{200e}", "\u{2007} \u{ad}", "\u{e0001}"]
        {
            for text in [format!("{around}c14"), format!("c14{around}"), format!(" {around} c14 {around} ")] {
                assert_eq!(trimmed(&text), ("c14", true), "{text:?}");
            }
        }
        assert_eq!(trimmed("  c 14  "), ("c 14", false), "ordinary spaces are usual");
        assert_eq!(trimmed("c\u{200b}14"), ("c\u{200b}14", false), "inside it may be meant");
        assert_eq!((trimmed(""), trimmed("   "), trimmed("\u{a0}")), (("", false), ("", false), ("", true)));
        assert_eq!(trimmed("\u{e9}t\u{e9}"), ("\u{e9}t\u{e9}", false));
    }
}
