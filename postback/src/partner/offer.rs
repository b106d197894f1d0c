//! An offer of a partner: where its clicks lead, as a URL with places to fill in. Who writes the partner's file decides
//! the host; nothing that a click says can change it.

use crate::click::{Click, ClickQuery};
use crate::percent::encode;
use serde::{Deserialize, Serialize};

/// Where an offer's clicks lead. Built by [`super::file`]; every value in it has been checked there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// The landing page's URL, with `{name}` where a value goes.
    pub landing: String,
    /// The names that may be filled in beside `click_id`.
    pub allow: Vec<String>,
}

impl Offer {
    /// The landing page of one click. What is not there is filled in as nothing.
    pub fn landing_url(&self, click: &Click, query: &ClickQuery<'_>) -> String {
        let mut url = String::with_capacity(self.landing.len().saturating_mul(2));
        for piece in pieces(&self.landing).unwrap_or_default() {
            match piece {
                Piece::Literal(text) => url.push_str(text),
                Piece::Placeholder(name) => {
                    let value = value(click, query, name).filter(|text| !is_folder(text)).unwrap_or("");
                    url.push_str(&encode(value, |byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)));
                }
            }
        }
        url
    }
}

/// The value of a name: what is kept of the click where it keeps it, so that both say the same.
fn value<'a>(click: &'a Click, query: &'a ClickQuery<'_>, name: &str) -> Option<&'a str> {
    match name {
        "click_id" => Some(click.click_id.as_str()),
        "sub_id" => click.sub_id.as_deref(),
        "media_id" => click.media_id.as_deref(),
        "geo" => click.geo.as_deref(),
        "device" => click.device.as_deref(),
        "referrer" => click.referrer.as_deref(),
        "consent_version" => click.consent_version.as_deref(),
        _ => query.get(name),
    }
}

/// Dots alone: in a path they would name another folder, however they are encoded.
fn is_folder(text: &str) -> bool {
    text.bytes().all(|byte| byte == b'.')
}

/// A part of a landing page's template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece<'t> {
    /// Text that stays as it is.
    Literal(&'t str),
    /// The name of a value.
    Placeholder(&'t str),
}

/// The parts of a template. None where a brace has no partner.
pub(super) fn pieces(template: &str) -> Option<Vec<Piece<'_>>> {
    let mut pieces = Vec::new();
    let mut rest = template;
    while let Some((literal, behind)) = rest.split_once('{') {
        let (name, behind) = behind.split_once('}')?;
        pieces.extend([Piece::Literal(literal), Piece::Placeholder(name)]);
        rest = behind;
    }
    pieces.push(Piece::Literal(rest));
    let is_whole = pieces.iter().all(|piece| match piece {
        Piece::Literal(text) => !text.contains('}'),
        Piece::Placeholder(name) => !name.contains('{'),
    });
    is_whole.then_some(pieces)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::click::{ClickId, Visitor};
    use crate::time::Timestamp;
    use proptest::prelude::*;

    const LANDING: &str = "https://shop.example/{sub_id}/x?c={click_id}&s={utm_source}&g={geo}&r={referrer}#{aff_sub}";

    fn landing(template: &str, query: &str) -> String {
        let offer = Offer { landing: template.to_owned(), allow: Vec::new() };
        let query = ClickQuery::read(query);
        let now = Timestamp::EPOCH;
        let click = Click::read(
            ClickId::new(now, [0; 16]),
            now,
            "summer",
            &query,
            &Visitor { country: Some("MY"), ..Visitor::default() },
        );
        offer.landing_url(&click, &query)
    }

    #[test]
    fn a_landing_page_is_filled_in_with_what_the_click_says() {
        let id = "0".repeat(36);
        assert_eq!(
            landing(
                LANDING,
                "sub_id=a/b%20c&utm_source=x%26y=z&geo=US&referrer=https://a.example/p?mail=1&aff_sub=%C3%A9"
            ),
            format!("https://shop.example/a%2Fb%20c/x?c={id}&s=x%26y%3Dz&g=MY&r=https%3A%2F%2Fa.example%2Fp#%C3%A9")
        );
        assert_eq!(landing(LANDING, ""), format!("https://shop.example//x?c={id}&s=&g=MY&r=#"));
    }

    #[test]
    fn dots_alone_name_no_folder() {
        for dots in [".", "..", "%2e%2e", "..."] {
            assert_eq!(
                landing("https://shop.example/a/{sub_id}/x", &format!("sub_id={dots}")),
                "https://shop.example/a//x"
            );
        }
        assert_eq!(landing("https://shop.example/{sub_id}", "sub_id=..a"), "https://shop.example/..a");
    }

    #[test]
    fn braces_go_in_pairs() {
        use Piece::{Literal, Placeholder};
        assert_eq!(pieces("a{b}c").unwrap(), [Literal("a"), Placeholder("b"), Literal("c")]);
        for template in ["{", "}", "a{b", "a}b", "{a{b}}", "{a}}", "}{"] {
            assert_eq!(pieces(template), None, "{template}");
        }
    }

    proptest! {
        #[test]
        fn no_value_changes_the_host_or_the_places_of_others(
            a in "(%[0-9a-f]{2}|[/\\\\@:?#&=.%a]|.){0,20}", b in "(%[0-9a-f]{2}|[/\\\\@:?#&=.%a]|.){0,20}", geo in ".{0,3}",
        ) {
            let url = landing(LANDING, &format!("sub_id={a}&utm_source={b}&geo={geo}&aff_sub={b}&referrer={a}"));
            let rest = url.strip_prefix("https://shop.example/").unwrap();
            prop_assert!(rest.bytes().all(|byte| byte.is_ascii_graphic()), "{}", url);
            let (path, rest) = rest.split_once('?').unwrap();
            let (query, fragment) = rest.split_once('#').unwrap();
            let folders: Vec<_> = path.split('/').collect();
            prop_assert!(folders.len() == 2 && folders[1] == "x" && ![".", ".."].contains(&folders[0]), "{}", url);
            prop_assert_eq!(query.split('&').count(), 4);
            prop_assert!(!fragment.contains('#') && !query.contains('#'));
        }
    }
}
