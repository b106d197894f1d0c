//! One click on its way to an offer: what is kept of it, and under which id. Nothing that a click's URL says can make it
//! fail: a visitor is waiting, so what cannot be used is left out.

use crate::html;
use crate::id::{ContentDigest, EventId};
use crate::invisible::trimmed;
use crate::limits::{CLICK_UTM_MAX, CLICK_VALUE_BYTES_MAX, PARAM_NAME_BYTES_MAX, PARAMS_MAX};
use crate::macros::unfilled;
use crate::params::{Pair, is_proof, unencoded_equals};
use crate::percent::{damage, decode};
use crate::time::Timestamp;
use crate::zone::Zone;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

/// Parameters with which ad platforms name a click: Google (`gclid`, and on iOS `gbraid` and `wbraid`), Meta, TikTok, Microsoft.
pub const AD_CLICK_IDS: [&str; 6] = ["gclid", "gbraid", "wbraid", "fbclid", "ttclid", "msclkid"];

/// Characters of an id that hold the time.
const TIME_CHARS: u32 = 10;
/// Characters of an id that hold the random bits.
const RANDOM_CHARS: u32 = 26;
/// The instants that the time's characters have room for, in Unix milliseconds: until the year 37648.
const TIME_MS_MAX: i64 = (1 << 50) - 1;

/// A click's name: 36 characters of 0-9 and a-v, first the time and then 128 random bits. Later ones sort behind earlier
/// ones, and nobody can guess another's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClickId(String);

impl ClickId {
    /// From the clock and the platform's random bytes.
    pub fn new(now: Timestamp, random: [u8; 16]) -> ClickId {
        let unix_ms = u128::try_from(now.unix_ms().clamp(0, TIME_MS_MAX)).unwrap_or(0);
        let random = u128::from_be_bytes(random);
        ClickId(digits(unix_ms, TIME_CHARS).chain(digits(random, RANDOM_CHARS)).collect())
    }

    /// Reads an id. None for a text that [`ClickId::new`] cannot have made.
    pub fn parse(text: &str) -> Option<ClickId> {
        let (time, random) = text.split_at_checked(10)?;
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'v').contains(&byte);
        // 26 characters have room for two bits more than there are.
        let fits = time.bytes().all(is_digit)
            && random.len() == 26
            && random.bytes().all(is_digit)
            && random.bytes().next().is_some_and(|first| first <= b'7');
        fits.then(|| ClickId(text.to_owned()))
    }

    /// The 36 characters.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ClickId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for ClickId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for ClickId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        ClickId::parse(&text).ok_or_else(|| de::Error::custom("no click's id"))
    }
}

/// The last `count` digits of a number to base 32.
fn digits(number: u128, count: u32) -> impl Iterator<Item = char> {
    let digit = move |place: u32| number.checked_shr(place.saturating_mul(5)).unwrap_or(0) & 31;
    (0..count).rev().filter_map(move |place| char::from_digit(u32::try_from(digit(place)).ok()?, 32))
}

/// The query of a click's URL, as far as it can be used: names and values that decode, without control characters and
/// within their limits, none of them empty, left over from a template, or a credential. The first of a name counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClickQuery<'q> {
    pairs: Vec<Pair<'q>>,
}

impl<'q> ClickQuery<'q> {
    /// Reads a query (without `?`).
    pub fn read(raw: &'q str) -> ClickQuery<'q> {
        let mut query = ClickQuery::default();
        for piece in raw.split('&').take(PARAMS_MAX) {
            let Some((name, raw_value)) = piece.split_once('=') else { continue };
            let (Ok(name), Ok(value)) = (decode(name), decode(raw_value)) else { continue };
            // As postbacks are read: `&amp;` that nobody decoded, and parameters that were glued together.
            let name = match html::repaired_name(&name).filter(|name| is_kept(name)) {
                Some(repaired) => Cow::Owned(repaired),
                None => name,
            };
            query.add_parts(name, value, unencoded_equals(piece).flatten().collect());
        }
        query
    }

    /// Adds a parameter, and those that were glued to the end of its value. Texts and addresses of pages may hold any.
    fn add_parts(&mut self, mut name: Cow<'q, str>, mut value: Cow<'q, str>, equals: Vec<usize>) {
        let is_id =
            AD_CLICK_IDS.contains(&&*name) || matches!(&*name, "sub_id" | "media_id" | "consent_version" | "geo");
        let separators = if is_id { &html::SEPARATORS[..] } else { &[] };
        let mut equals = equals;
        while let Some(glued) = html::glued(&value, &equals, separators, is_kept) {
            let begin = glued.place.saturating_add(1);
            let (next, rest) = (glued.name, glued.value.to_owned());
            self.add(name, Cow::Owned(glued.before.to_owned()));
            (name, value) = (Cow::Owned(next), Cow::Owned(rest));
            equals = equals.into_iter().filter_map(|place| place.checked_sub(begin)).collect();
        }
        self.add(name, value);
    }

    fn add(&mut self, name: Cow<'q, str>, value: Cow<'q, str>) {
        let value = visible(value);
        let is_new = !self.pairs.iter().any(|(known, _)| *known == name);
        let is_name = (1..=PARAM_NAME_BYTES_MAX).contains(&name.len()) && !is_proof(&name);
        if is_new && is_name && is_value(&value) && unfilled(&name, &value, &[]).is_none() {
            self.pairs.push((name, value));
        }
    }

    /// The value of a name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(known, _)| known == name).map(|(_, value)| &**value)
    }

    fn owned(&self, name: &str) -> Option<String> {
        self.get(name).map(str::to_owned)
    }
}

/// One click. Reading it from JSON is as lenient as reading a URL: another version's members are ignored, and a value
/// that is none is left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Click {
    /// Its name, which the advertiser sends back with a conversion.
    pub click_id: ClickId,
    /// When it happened: RFC 3339, UTC.
    #[serde(serialize_with = "write_time", deserialize_with = "read_time")]
    pub clicked_at: Timestamp,
    /// The code of the offer that it leads to.
    #[serde(deserialize_with = "read_offer")]
    pub offer: String,
    /// The publisher's own mark.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "read_value")]
    pub sub_id: Option<String>,
    /// The publisher's medium.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "read_value")]
    pub media_id: Option<String>,
    /// The visitor's country: ISO 3166, two capitals.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "read_country")]
    pub geo: Option<String>,
    /// The visitor's kind of device.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "read_value")]
    pub device: Option<String>,
    /// The page that the click was made on, without query and fragment.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "read_value")]
    pub referrer: Option<String>,
    /// The version of the consent that the visitor gave (R64).
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "read_value")]
    pub consent_version: Option<String>,
    /// The parameters `utm_*`, by their whole names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "read_utm")]
    pub utm: BTreeMap<String, String>,
    /// The ids that ad platforms gave the click, by their parameters' names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "read_ad_click_ids")]
    pub ad_click_ids: BTreeMap<String, String>,
    /// Whether the browser fetched the page in advance: nobody may have clicked. A visitor that comes after all has the same id.
    #[serde(default, skip_serializing_if = "is_false")]
    pub is_prefetch: bool,
}

/// What headers and the platform say of a visitor.
#[derive(Clone, Copy, Debug, Default)]
pub struct Visitor<'a> {
    /// `Referer`.
    pub referrer: Option<&'a str>,
    /// `User-Agent`.
    pub user_agent: Option<&'a str>,
    /// The country of the visitor's address.
    pub country: Option<&'a str>,
    /// `Sec-Purpose`, or one of the headers that browsers had before it.
    pub purpose: Option<&'a str>,
}

impl Click {
    /// What is kept of a click on an offer's link at `now`. A parameter `geo` can be anybody's invention, so it counts only where the
    /// platform says nothing.
    pub fn read(
        click_id: ClickId,
        now: Timestamp,
        offer: &str,
        query: &ClickQuery<'_>,
        visitor: &Visitor<'_>,
    ) -> Click {
        let Visitor { referrer, user_agent, country, purpose } = *visitor;
        let owned = |(name, value): &Pair<'_>| (name.to_string(), value.to_string());
        let utm = query.pairs.iter().filter(|(name, _)| is_utm(name)).take(CLICK_UTM_MAX);
        let ad_click_ids = query.pairs.iter().filter(|(name, _)| AD_CLICK_IDS.contains(&&**name));
        Click {
            click_id,
            clicked_at: now,
            offer: offer.to_owned(),
            sub_id: query.owned("sub_id"),
            media_id: query.owned("media_id"),
            geo: country.and_then(iso_country).or_else(|| iso_country(query.get("geo")?)),
            device: query.owned("device").or_else(|| device_class(user_agent?).map(str::to_owned)),
            referrer: referrer.and_then(page).or_else(|| without_query(query.get("referrer")?)),
            consent_version: query.owned("consent_version"),
            utm: utm.map(owned).collect(),
            ad_click_ids: ad_click_ids.map(owned).collect(),
            is_prefetch: purpose.is_some_and(is_prefetch),
        }
    }
}

/// The name of a batch of clicks, by its body: the same batch sent again has the same.
pub fn batch_id(body: &str) -> Option<EventId> {
    let mut digest = ContentDigest::of("bytec-clicks-v1");
    digest.add(body);
    EventId::parse(&digest.into_id("clicks_"))
}

/// Whether a text can be kept: it says something, within the limit, in characters that every database takes.
fn is_value(text: &str) -> bool {
    (1..=CLICK_VALUE_BYTES_MAX).contains(&text.len()) && damage(text).is_none()
}

/// A text without what nobody sees at its ends.
fn visible(text: Cow<'_, str>) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(trimmed(text).0),
        Cow::Owned(text) => Cow::Owned(trimmed(&text).0.to_owned()),
    }
}

/// Whether a parameter is kept with the click.
fn is_kept(name: &str) -> bool {
    matches!(name, "sub_id" | "media_id" | "device" | "geo" | "referrer" | "consent_version")
        || AD_CLICK_IDS.contains(&name)
        || is_utm(name)
}

/// Whether a browser fetches a page before its user asks for it. The words are those of `Sec-Purpose` and of the headers before it.
fn is_prefetch(purpose: &str) -> bool {
    let purpose = purpose.to_ascii_lowercase();
    ["prefetch", "prerender", "preview"].iter().any(|word| purpose.contains(word))
}

fn is_utm(name: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    name.len() <= PARAM_NAME_BYTES_MAX
        && name.strip_prefix("utm_").is_some_and(|rest| !rest.is_empty() && rest.bytes().all(is_letter))
}

/// A country's two letters in capitals. `XX` is how platforms write that they do not know.
fn iso_country(text: &str) -> Option<String> {
    let is_code = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_alphabetic());
    is_code.then(|| text.to_ascii_uppercase()).filter(|code| code != "XX")
}

/// The kind of device that a browser calls itself: `bot`, `tablet`, `mobile`, `desktop`, or none where it does not say.
/// A guess for reports: an iPad may call itself a Macintosh, and a bot may call itself anything.
pub fn device_class(user_agent: &str) -> Option<&'static str> {
    // A maker of phones whose name looks like a bot's.
    let user_agent = user_agent.to_ascii_lowercase().replace("cubot", "");
    let has = |words: &[&str]| words.iter().any(|word| user_agent.contains(word));
    if has(&["bot", "crawler", "spider", "headless", "facebookexternalhit", "curl/", "wget/", "python-", "okhttp"]) {
        Some("bot")
    } else if has(&["smart-tv", "smarttv", "android tv", "googletv", "hbbtv", "crkey", "playstation", "xbox"]) {
        None
    } else if has(&["ipad", "tablet", "kindle"]) || has(&["android"]) && !has(&["mobile"]) {
        Some("tablet")
    } else if has(&["iphone", "ipod", "mobile", "windows phone"]) {
        Some("mobile")
    } else if has(&["windows nt", "macintosh", "x11;", "cros "]) {
        Some("desktop")
    } else {
        None
    }
}

/// A page's scheme, host and path. None for what is no such address.
fn page(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let is_scheme = scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+.-".contains(&byte));
    let has_host = !rest.split(['/', '?', '#']).next()?.is_empty();
    (!scheme.is_empty() && is_scheme && has_host).then(|| without_query(url)).flatten()
}

/// An address without what may say who somebody is: the query, the fragment, a user in front of the host.
fn without_query(url: &str) -> Option<String> {
    let url = url.split(['?', '#']).next()?.trim_matches(' ');
    let shown = match url.split_once("://") {
        Some((scheme, rest)) => {
            let host_ends = rest.find('/').unwrap_or(rest.len());
            let (authority, path) = rest.split_at_checked(host_ends)?;
            let host = authority.rsplit('@').next()?;
            format!("{scheme}://{host}{path}")
        }
        None => url.to_owned(),
    };
    is_value(&shown).then_some(shown)
}

fn write_time<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(time)
}

fn read_time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    let text = Cow::<str>::deserialize(deserializer)?;
    Timestamp::parse(&text, &Zone::utc()).ok_or_else(|| de::Error::custom("no time"))
}

fn read_offer<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    if is_value(&text) { Ok(text) } else { Err(de::Error::custom("no offer's code")) }
}

fn read_value<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.filter(|text| is_value(text)))
}

fn read_country<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<Cow<str>>::deserialize(deserializer)?.and_then(|text| iso_country(&text)))
}

fn read_utm<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    let utm = BTreeMap::<String, String>::deserialize(deserializer)?;
    Ok(utm.into_iter().filter(|(name, value)| is_utm(name) && is_value(value)).take(CLICK_UTM_MAX).collect())
}

fn read_ad_click_ids<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    let ids = BTreeMap::<String, String>::deserialize(deserializer)?;
    Ok(ids.into_iter().filter(|(name, value)| AD_CLICK_IDS.contains(&name.as_str()) && is_value(value)).collect())
}

/// Left out where it is not so.
fn is_false(flag: &bool) -> bool {
    !flag
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(unix_ms: i64) -> Timestamp {
        Timestamp::from_unix_ms(unix_ms).unwrap()
    }

    const NOW_MS: i64 = 1_763_683_200_123;

    fn click_of(query: &str, referrer: Option<&str>, user_agent: Option<&str>, country: Option<&str>) -> Click {
        let id = ClickId::new(at(NOW_MS), [0xff; 16]);
        let visitor = Visitor { referrer, user_agent, country, purpose: None };
        Click::read(id, at(NOW_MS), "summer", &ClickQuery::read(query), &visitor)
    }

    fn click(query: &str) -> Click {
        click_of(query, None, None, None)
    }

    #[test]
    fn an_id_holds_time_and_random_bits() {
        assert_eq!(ClickId::new(at(0), [0; 16]).as_str(), "0".repeat(36));
        assert_eq!(ClickId::new(at(33), [0xff; 16]).as_str(), format!("00000000117{}", "v".repeat(25)));
        assert_eq!(ClickId::new(at(NOW_MS), [0; 16]).as_str(), format!("01jahrbr3r{}", "0".repeat(26)));
        assert_eq!(ClickId::new(at(-1), [0; 16]), ClickId::new(at(0), [0; 16]));
        assert_eq!(ClickId::new(at(1 << 51), [0; 16]).as_str(), format!("{}{}", "v".repeat(10), "0".repeat(26)));
    }

    #[test]
    fn only_what_could_have_been_made_is_an_id() {
        let good = format!("01jahrbr3r7{}", "v".repeat(25));
        assert_eq!(ClickId::parse(&good).unwrap().to_string(), good);
        let (long, upper, beyond, bits) =
            (format!("{good}0"), good.to_uppercase(), good.replace("vv", "ww"), good.replace("3r7", "3r8"));
        for text in
            ["", "0", good.trim_start_matches('0'), &long, &upper, &beyond, &bits, &"é".repeat(18), "01jahrbr3\u{e9}"]
        {
            assert_eq!(ClickId::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_click_keeps_what_its_url_says() {
        let click =
            click("sub_id=+s%201+&media_id=m&consent_version=2&utm_source=a%26b&utm_term=x&device=tv&geo=my&x=1");
        assert_eq!(
            serde_json::to_value(&click).unwrap(),
            serde_json::json!({
                "click_id": format!("01jahrbr3r7{}", "v".repeat(25)), "clicked_at": "2025-11-21T00:00:00.123Z",
                "offer": "summer", "sub_id": "s 1", "media_id": "m", "geo": "MY", "device": "tv",
                "consent_version": "2", "utm": {"utm_source": "a&b", "utm_term": "x"},
            })
        );
    }

    #[test]
    fn what_cannot_be_used_is_left_out_and_nothing_else() {
        let long = "v".repeat(513);
        for value in ["%zz", "%ff", "%0a", "", "+", "%EF%BF%BD", "%7Bsub_id%7D", "null", &long] {
            let click = click(&format!("sub_id={value}&media_id=m&utm_x={value}&%zz=1"));
            assert_eq!((click.sub_id, click.media_id.as_deref(), click.utm.len()), (None, Some("m"), 0), "{value}");
        }
        assert_eq!(click("sub_id=SUB_ID").sub_id, None, "as a manual prints it");
        assert_eq!(click(&format!("sub_id={}", "v".repeat(512))).sub_id.unwrap().len(), 512);
        assert_eq!(click("sub_id=&sub_id=1&sub_id=2").sub_id.as_deref(), Some("1"), "the first that says something");
        assert_eq!(ClickQuery::read("ts_token=1&_sig=2&TS_TOKEN=3").pairs, [], "secrets are no data");
        assert_eq!(click("utm_=1&utm_A=1&utm_%20=1&xutm_a=1").utm.len(), 0);
        let many: Vec<_> = (0..200).map(|i| format!("utm_{i}=1")).collect();
        assert_eq!(click(&many.join("&")).utm.len(), 16);
    }

    #[test]
    fn ids_of_ad_platforms_are_kept() {
        let long = "f".repeat(300);
        let query = format!("gclid=g&gbraid=b&wbraid=w&fbclid={long}&ttclid=t&msclkid=m&xclid=x&gclid=2");
        let click = click(&query);
        let ids: Vec<_> = click.ad_click_ids.iter().map(|(name, id)| format!("{name}={id}")).collect();
        let expected = ["fbclid", "gbraid=b", "gclid=g", "msclkid=m", "ttclid=t", "wbraid=w"];
        assert_eq!(ids, expected.map(|id| if id == "fbclid" { format!("fbclid={long}") } else { id.to_owned() }));
        let again: Click = serde_json::from_str(&serde_json::to_string(&click).unwrap()).unwrap();
        assert_eq!(again, click);
    }

    #[test]
    fn a_prefetch_is_told_apart_from_a_visit() {
        for (purpose, is_prefetch) in [
            (None, false),
            (Some("prefetch"), true),
            (Some("prefetch;prerender"), true),
            (Some("Prefetch;anonymous-client-ip"), true),
            (Some("preview"), true),
            (Some(""), false),
            (Some("navigate"), false),
        ] {
            let visitor = Visitor { purpose, ..Visitor::default() };
            let id = ClickId::new(at(NOW_MS), [1; 16]);
            let click = Click::read(id, at(NOW_MS), "o", &ClickQuery::default(), &visitor);
            assert_eq!(click.is_prefetch, is_prefetch, "{purpose:?}");
            let again: Click = serde_json::from_str(&serde_json::to_string(&click).unwrap()).unwrap();
            assert_eq!(again, click);
        }
    }

    #[test]
    fn a_link_is_read_as_a_postback_is() {
        for query in [
            "sub_id=s&amp;media_id=m",
            "sub_id=s;media_id=m",
            "sub_id=s?media_id=m",
            "sub_id=s%26amp;media_id=m",
            "sub_id=%C2%A0s%E2%80%8B&media_id=m",
            "sub_id=s&media_id=m&geo=geo&utm_source=utm_source",
        ] {
            let click = click(query);
            assert_eq!((click.sub_id.as_deref(), click.media_id.as_deref()), (Some("s"), Some("m")), "{query}");
            assert!(click.geo.is_none() && click.utm.is_empty(), "{query}");
        }
        let page = click("referrer=https://a.example/?media_id=9&sub_id=s");
        assert_eq!((page.media_id, page.referrer.as_deref()), (None, Some("https://a.example/")));
        let other = ClickQuery::read("url=https://shop.example/p?utm_source=y&utm_content=why?sub_id=a");
        assert_eq!(other.get("url"), Some("https://shop.example/p?utm_source=y"));
        assert_eq!((other.get("utm_content"), other.get("sub_id")), (Some("why?sub_id=a"), None));
        assert_eq!(click("sub_id=a%3Bmedia_id%3D9").media_id, None, "what was encoded belongs to the value");
        let deep = format!("sub_id=a{}", "?utm_a=".repeat(1_000));
        assert_eq!(click(&deep).sub_id.as_deref(), Some("a"));
    }

    #[test]
    fn the_platforms_country_wins() {
        for (query, country, expected) in [
            ("geo=US", Some("MY"), Some("MY")),
            ("geo=us", None, Some("US")),
            ("geo=us", Some("XX"), Some("US")),
            ("geo=us", Some("T1"), Some("US")),
            ("geo=Malaysia", None, None),
            ("", Some("de"), Some("DE")),
            ("", None, None),
        ] {
            assert_eq!(click_of(query, None, None, country).geo.as_deref(), expected, "{query} {country:?}");
        }
    }

    #[test]
    fn a_referrer_is_a_page_without_what_may_name_a_person() {
        for (header, parameter, expected) in [
            (Some("https://a.example/p/q?user=1#x"), "", Some("https://a.example/p/q")),
            (Some("https://a.example"), "", Some("https://a.example")),
            (Some("https://u:p@a.example:8443/p"), "", Some("https://a.example:8443/p")),
            (Some("android-app://com.example/"), "", Some("android-app://com.example/")),
            (Some("https://a.example/"), "https://b.example/", Some("https://a.example/")),
            (Some("about:blank"), "https://b.example/?q=1", Some("https://b.example/")),
            (Some("https://?x"), "newsletter", Some("newsletter")),
            (None, "b.example/p?mail=x", Some("b.example/p")),
            (None, "?mail=x", None),
            (Some("https://a.example/é\u{7}"), "", None),
        ] {
            let parameter = crate::percent::encode(parameter, |byte| byte.is_ascii_alphanumeric());
            let click = click_of(&format!("referrer={parameter}"), header, None, None);
            assert_eq!(click.referrer.as_deref(), expected, "{header:?} {parameter}");
        }
    }

    #[test]
    fn a_device_is_what_the_browser_calls_itself() {
        for (user_agent, expected) in [
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148",
                Some("mobile"),
            ),
            ("Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 Chrome/131.0 Mobile Safari", Some("mobile")),
            ("Mozilla/5.0 (Linux; Android 12; CUBOT X30) AppleWebKit/537.36 Mobile Safari/537.36", Some("mobile")),
            ("Mozilla/5.0 (Linux; Android 14; SM-X710) AppleWebKit/537.36 Safari/537.36", Some("tablet")),
            ("Mozilla/5.0 (iPad; CPU OS 12_2 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148", Some("tablet")),
            ("Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:133.0) Gecko/20100101 Firefox/133.0", Some("desktop")),
            ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 Safari/605.1.15", Some("desktop")),
            ("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/131.0 Safari/537.36", Some("desktop")),
            ("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 HeadlessChrome/131.0", Some("bot")),
            ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", Some("bot")),
            ("Mozilla/5.0 (Linux; Android 12; BRAVIA; Android TV) AppleWebKit/537.36", None),
            ("curl/8.5.0", Some("bot")),
            ("", None),
            ("Mozilla/5.0", None),
        ] {
            assert_eq!(device_class(user_agent), expected, "{user_agent}");
        }
        assert_eq!(click_of("device=tv", None, Some("curl/8"), None).device.as_deref(), Some("tv"));
        assert_eq!(click_of("", None, Some("curl/8"), None).device.as_deref(), Some("bot"));
    }

    #[test]
    fn a_click_of_another_version_is_read_as_far_as_it_can_be_used() {
        let id = "0".repeat(36);
        let text = format!(
            r#"{{"click_id":"{id}","clicked_at":"2025-11-21T00:00:00Z","offer":"o","new":[1],"sub_id":"a\u0000b",
                "media_id":"m","geo":"Malaysia","utm":{{"utm_a":"1","utm_b":"\n","x":"1"}}}}"#
        );
        let click: Click = serde_json::from_str(&text).unwrap();
        assert_eq!((click.sub_id, click.media_id.as_deref(), click.geo), (None, Some("m"), None));
        assert_eq!(click.utm.into_keys().collect::<Vec<_>>(), ["utm_a"]);
        for wrong in [text.replace(&id, "1"), text.replace("2025-11-21", "2025-13-21"), text.replace("\"o\"", "\"\"")] {
            assert!(serde_json::from_str::<Click>(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_documented_click_is_one() {
        let page = include_str!("../../docs/api.md");
        let batch = page.split("```json\n{\"clicks\":[").nth(1).and_then(|rest| rest.split("]}\n```").next()).unwrap();
        let click: Click = serde_json::from_str(batch).unwrap();
        assert_eq!(serde_json::to_string(&click).unwrap(), batch, "nothing of it is left out");
        let same_time = ClickId::new(click.clicked_at, [0; 16]);
        assert!(click.click_id.as_str().starts_with(same_time.as_str().trim_end_matches('0')));
    }

    proptest! {
        #[test]
        fn later_ids_sort_behind_earlier_ones(a in 0..TIME_MS_MAX / 8, b in 0..TIME_MS_MAX / 8, x: [u8; 16], y: [u8; 16]) {
            let (first, second) = (ClickId::new(at(a), x), ClickId::new(at(b), y));
            prop_assert_eq!(first.as_str().cmp(second.as_str()), (a, x).cmp(&(b, y)));
            prop_assert_eq!(ClickId::parse(first.as_str()), Some(first));
        }

        #[test]
        fn any_click_is_read_and_survives_json(
            query in "((sub_id|geo|utm_a|device|referrer|x)=(%[0-9a-f]{2}|.){0,20}&){0,5}",
            referrer in ".{0,60}",
            user_agent in ".{0,60}",
            country in ".{0,3}",
        ) {
            let click = click_of(&query, Some(&referrer), Some(&user_agent), Some(&country));
            let again: Click = serde_json::from_str(&serde_json::to_string(&click).unwrap()).unwrap();
            prop_assert_eq!(again, click);
        }
    }
}
