//! Texts as HTML.

/// Lines that begin with `- ` as a list.
pub fn lines(text: &str) -> String {
    if !text.starts_with("- ") {
        return marked(text);
    }
    let items: String =
        text.lines().map(|line| format!("<li>{}</li>", marked(line.trim_start_matches("- ")))).collect();
    format!("<ul>{items}</ul>")
}

/// What stands between backticks as code.
pub fn marked(text: &str) -> String {
    let parts = text.split('`').zip([false, true].into_iter().cycle());
    parts
        .map(|(part, is_code)| if is_code { format!("<code>{}</code>", escaped(part)) } else { escaped(part) })
        .collect()
}

/// A text as text: none of it is markup, inside an attribute or out.
pub fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}
