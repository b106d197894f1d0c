//! A postback on its way: read once, and delivered now or in three days without being read again. Event id, target and body
//! stay the same over all attempts; only the signature is made anew.

use postback::canonical::CanonicalForm;
use postback::id::{EventId, Nonce};
use postback::limits::TARGET_BYTES_MAX;
use postback::params::{redact_body, redact_target};
use postback::partner::{Partner, Registry};
use postback::postback::Postback;
use postback::reply::Format;
use postback::time::Timestamp;
use postback::zone::Zone;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::net::IpAddr;

/// The form of messages, so that a later edge knows what an earlier one left in the queue.
const FORM: u32 = 2;
/// The form before: the canonical form as a query, whose percent-encoding tripled it.
const FORM_OF_QUERIES: u32 = 1;

/// All that is needed to deliver a postback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parcel {
    /// The partner's code.
    pub partner: String,
    /// The event.
    pub event_id: EventId,
    /// The canonical form.
    pub canonical: CanonicalForm,
    /// The edge's name of the request that brought it.
    pub request_id: Nonce,
    /// When that request arrived.
    pub received_at: Timestamp,
    /// `GET` or `POST`.
    pub method: String,
    /// Path and query as they came, secrets replaced.
    pub target: String,
    /// The body's type, where there was a body.
    pub content_type: Option<String>,
    /// The body as it came, secrets replaced.
    pub body: String,
    /// The sender's address, as the platform saw it.
    pub client_ip: Option<String>,
    /// Why the sender was believed: modes, joined by `+`.
    pub auth: String,
    /// What the sender can read, while it waits.
    pub reply: Format,
    /// How often it was sent again after it had been parked.
    pub replays: u32,
}

/// A request that was believed, as it came.
#[derive(Clone, Copy, Debug)]
pub struct Received<'a> {
    /// The edge's name of it.
    pub request_id: &'a Nonce,
    /// When it arrived.
    pub at: Timestamp,
    /// `GET` or `POST`.
    pub method: &'a str,
    /// Path and query.
    pub target: &'a str,
    /// The segment of the path that is a secret.
    pub path_key: Option<&'a str>,
    /// The body's type.
    pub content_type: Option<&'a str>,
    /// The body.
    pub body: &'a [u8],
    /// The sender's address.
    pub client_ip: Option<&'a str>,
    /// What the sender can read.
    pub reply: Format,
}

/// Bytes that are kept of a body's type. Those that are read are shorter.
const CONTENT_TYPE_BYTES_MAX: usize = 256;
/// Bytes that are kept of path and query: those of a request that is accepted are shorter, also with secrets replaced.
const TARGET_KEPT_BYTES_MAX: usize = 2 * TARGET_BYTES_MAX;

/// What stands in the place of a secret segment.
const REDACTED: &str = "***";

/// A parcel but for its body, as a message's first line.
#[derive(Serialize, Deserialize)]
struct Head {
    form: u32,
    partner: String,
    event_id: String,
    /// In the form before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    canonical: Option<String>,
    /// The canonical fields' names, and how many bytes each text has behind this line.
    #[serde(default)]
    fields: Option<Vec<(String, usize)>>,
    request_id: String,
    received_at: String,
    method: String,
    target: String,
    content_type: Option<String>,
    client_ip: Option<String>,
    auth: String,
    replays: u32,
}

impl Parcel {
    /// A postback with all that is kept of its request; secrets are not.
    pub fn of(partner: &Partner, postback: Postback, received: &Received<'_>) -> Parcel {
        Parcel {
            partner: partner.code.clone(),
            event_id: postback.event_id().clone(),
            canonical: CanonicalForm::from(postback),
            request_id: received.request_id.clone(),
            received_at: received.at,
            method: received.method.to_owned(),
            target: redacted_target(received.target, received.path_key),
            content_type: received.content_type.map(kept_content_type),
            body: redact_body(&text_of(received.body)),
            client_ip: received.client_ip.and_then(client_ip),
            auth: partner.auth_names(),
            reply: received.reply,
            replays: 0,
        }
    }

    /// A message for the queue: a line of JSON, and behind it the canonical texts and the body as they are, one behind the other. JSON
    /// could double their size, and percent-encoding triple it; as they are, what fits into a request fits into a message.
    ///
    /// # Errors
    /// For our log: it cannot be written.
    pub fn to_message(&self) -> Result<String, String> {
        let head = Head {
            form: FORM,
            partner: self.partner.clone(),
            event_id: self.event_id.as_str().to_owned(),
            canonical: None,
            fields: Some(self.canonical.iter().map(|(name, text)| (name.to_owned(), text.len())).collect()),
            request_id: self.request_id.as_str().to_owned(),
            received_at: self.received_at.to_string(),
            method: self.method.clone(),
            target: self.target.clone(),
            content_type: self.content_type.clone(),
            client_ip: self.client_ip.clone(),
            auth: self.auth.clone(),
            replays: self.replays,
        };
        let mut message = serde_json::to_string(&head).map_err(|error| error.to_string())?;
        message.push('\n');
        self.canonical.iter().for_each(|(_, text)| message.push_str(text));
        message.push_str(&self.body);
        Ok(message)
    }

    /// Reads a message.
    ///
    /// # Errors
    /// Why it is none of ours: for our log and for the table of what is parked.
    pub fn from_message(message: &str) -> Result<Parcel, String> {
        let (head, rest) = message.split_once('\n').ok_or("no line of JSON")?;
        // What serde_json says of it quotes it.
        let head: Head = serde_json::from_str(head).map_err(|_| "a first line that is none of ours")?;
        let (canonical, body) = match (head.form, head.fields, head.canonical) {
            (FORM, Some(fields), _) => {
                texts(fields, rest).ok_or("texts that are not as long as its first line says")?
            }
            (FORM_OF_QUERIES, _, Some(query)) => (CanonicalForm::from_query(&query), rest),
            (form, ..) => return Err(format!("form {form} of messages, where this edge knows {FORM}")),
        };
        if !matches!(head.method.as_str(), "GET" | "POST") {
            return Err("a method that no postback has".to_owned());
        }
        Ok(Parcel {
            partner: head.partner,
            event_id: EventId::parse(&head.event_id).ok_or("an event id that is none")?,
            canonical,
            request_id: Nonce::parse(&head.request_id).ok_or("a request id that is none")?,
            received_at: Timestamp::parse(&head.received_at, &Zone::utc()).ok_or("a time that is none")?,
            method: head.method,
            target: head.target,
            content_type: head.content_type,
            body: body.to_owned(),
            client_ip: head.client_ip,
            auth: head.auth,
            // Nobody waits for a reply any more.
            reply: Format::Json,
            replays: head.replays,
        })
    }

    /// Its partner, where this edge knows it and it is not switched off: no origin would take anything for it.
    pub fn partner<'r>(&self, registry: &'r Registry) -> Option<&'r Partner> {
        registry.by_code(&self.partner).filter(|partner| partner.is_active)
    }
}

/// Path and query, secrets redacted and at most as long as a request's may be. `path_key` is the segment of the path that is a secret.
pub fn redacted_target(target: &str, path_key: Option<&str>) -> String {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let path = match path_key.and_then(|key| path.strip_suffix(key)) {
        Some(before) => Cow::Owned(format!("{before}{REDACTED}")),
        None => Cow::Borrowed(path),
    };
    let target = if query.is_empty() { redact_target(&path) } else { redact_target(&format!("{path}?{query}")) };
    match target.len() > TARGET_KEPT_BYTES_MAX {
        true => shortened(&target, TARGET_KEPT_BYTES_MAX).to_owned(),
        false => target,
    }
}

/// A body's type, as much as is kept of it.
pub fn kept_content_type(content_type: &str) -> String {
    shortened(content_type, CONTENT_TYPE_BYTES_MAX).to_owned()
}

/// The sender's address, where it is one.
pub fn client_ip(address: &str) -> Option<String> {
    address.parse::<IpAddr>().is_ok().then(|| address.to_owned())
}

/// A body as a text. What is not UTF-8 becomes U+001A (substitute), a byte for each piece, so that it takes no more room than it did; so does
/// NUL, at which a queue can cut a text.
pub fn text_of(body: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(body) {
        Ok(text) if text.contains('\0') => return Cow::Owned(text.replace('\0', "\u{1a}")),
        Ok(text) => return Cow::Borrowed(text),
        Err(_) => {}
    }
    let mut text = String::with_capacity(body.len());
    for chunk in body.utf8_chunks() {
        text.push_str(&chunk.valid().replace('\0', "\u{1a}"));
        if !chunk.invalid().is_empty() {
            text.push('\u{1a}');
        }
    }
    Cow::Owned(text)
}

/// The beginning of a text, of at most so many bytes.
fn shortened(text: &str, bytes_max: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes_max)).unwrap_or(text)
}

/// The canonical form out of names with their texts' lengths, and what stands behind the texts.
fn texts(fields: Vec<(String, usize)>, mut rest: &str) -> Option<(CanonicalForm, &str)> {
    let mut pairs = Vec::with_capacity(fields.len());
    for (name, bytes) in fields {
        let (text, behind) = rest.split_at_checked(bytes)?;
        pairs.push((name, text.to_owned()));
        rest = behind;
    }
    Some((CanonicalForm::new(pairs), rest))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::delivery::outgoing::{Purpose, forwarded};
    use postback::field::{Field, Kind};
    use postback::limits::{BODY_BYTES_MAX, FORWARDED_BODY_BYTES_MAX, ID_BYTES_MAX, JSON_STRING_BYTES_MAX};
    use postback::params::Params;

    /// Bytes that a message of Cloudflare Queues may have, without the hundred that the platform adds.
    const MESSAGE_BYTES_MAX: usize = 127_900;

    pub(crate) fn parcel() -> Parcel {
        Parcel {
            partner: "rector".to_owned(),
            event_id: EventId::parse("evt_1").unwrap(),
            canonical: CanonicalForm::from_query("event_id=evt_1&conversion_id=c1"),
            request_id: Nonce::from_bytes([7; 16]),
            received_at: Timestamp::from_unix_ms(1_763_683_200_123).unwrap(),
            method: "POST".to_owned(),
            target: "/rector/event?x=\"1\"".to_owned(),
            content_type: Some("application/json".to_owned()),
            body: "{\"conversion_id\":\"c1\"}\n\n\u{e9}".to_owned(),
            client_ip: None,
            auth: "ip+signature".to_owned(),
            reply: Format::Json,
            replays: 2,
        }
    }

    #[test]
    fn a_message_brings_back_what_was_put_into_it() {
        assert_eq!(Parcel::from_message(&parcel().to_message().unwrap()).unwrap(), parcel());
    }

    #[test]
    fn what_is_no_message_of_ours_is_refused() {
        let good = parcel().to_message().unwrap();
        for message in [
            "",
            "{}",
            "{}\n",
            "not json\nbody",
            &good.replace("\"form\":2", "\"form\":3"),
            &good.replace("\"form\":2", "\"form\":1"),
            &good.replace("\"fields\"", "\"feilds\""),
            &good.replace("[\"conversion_id\",2]", "[\"conversion_id\",200]"),
            &good.replace("\"evt_1\"", "\"\""),
            &good.replace("POST", "PUT"),
            &good.replace("2025-11-21T", "yesterday "),
        ] {
            assert!(Parcel::from_message(message).is_err(), "{message}");
        }
    }

    #[test]
    fn no_secret_of_a_request_travels_with_its_postback() {
        let registry = crate::config::registry().unwrap();
        let partner = registry.by_code("rector").unwrap();
        let target = "/rector/event/s3cret-of-the-path?conversion_id=c1&ts_token=s3cret&_sig=s3cret";
        let body = r#"{"media_id":"m","ts_token":"s3cret"}"#;
        let mut params = Params::from_request("conversion_id=c1", None, body.as_bytes()).unwrap();
        params.drop_credentials();
        let received = Received {
            request_id: &Nonce::from_bytes([7; 16]),
            at: Timestamp::EPOCH,
            method: "POST",
            target,
            path_key: Some("s3cret-of-the-path"),
            content_type: Some("application/json"),
            body: body.as_bytes(),
            client_ip: Some("no address"),
            reply: Format::Json,
        };
        let reading = partner.read(&params, Timestamp::EPOCH).unwrap();
        let parcel = Parcel::of(partner, reading.postback, &received);
        assert!(!format!("{parcel:?}{}", parcel.to_message().unwrap()).contains("s3cret"), "{parcel:?}");
        assert_eq!(parcel.target, "/rector/event/***?conversion_id=c1&ts_token=***&_sig=***");
        assert_eq!(parcel.client_ip, None);
    }

    #[test]
    fn a_message_of_the_form_before_is_read() {
        let message = r#"{"form":1,"partner":"rector","event_id":"evt_1","canonical":"event_id=evt_1&conversion_id=c1","request_id":"BwcHBwcHBwcHBwcHBwcHBw","received_at":"2025-11-21T00:00:00.123Z","method":"POST","target":"/rector/event?x=\"1\"","content_type":"application/json","client_ip":null,"auth":"ip+signature","replays":2}"#;
        let message = format!("{message}\n{}", parcel().body);
        assert_eq!(Parcel::from_message(&message).unwrap(), parcel());
    }

    /// The largest canonical form, body and target, of the contents that take most bytes on their way.
    #[test]
    fn what_fits_into_a_request_fits_into_a_message() {
        let texts = |of: &str| {
            let text = |field: &Field| {
                let bytes_max = match field.kind() {
                    Kind::Id => ID_BYTES_MAX,
                    Kind::Text => JSON_STRING_BYTES_MAX,
                    Kind::Event | Kind::Status | Kind::Time | Kind::Amount | Kind::Currency | Kind::Flag => 64,
                };
                (field.name().to_owned(), of.repeat(bytes_max / of.len()))
            };
            CanonicalForm::new(Field::ALL.iter().map(text))
        };
        for of in ["a", "\"", "\\", "\u{4e2d}", "\u{10ffff}", "\u{7f}", "\u{1}"] {
            let large = Parcel {
                event_id: EventId::parse(&"e".repeat(ID_BYTES_MAX)).unwrap(),
                body: of.repeat(BODY_BYTES_MAX / of.len()),
                target: format!("/{}", "a".repeat(TARGET_BYTES_MAX)),
                content_type: Some("a".repeat(CONTENT_TYPE_BYTES_MAX)),
                client_ip: Some("a".repeat(45)),
                // No value holds a control character, but the body around values may.
                canonical: texts(if of == "\u{1}" { "\"" } else { of }),
                ..parcel()
            };
            let bytes = large.to_message().unwrap().len();
            assert!(bytes < MESSAGE_BYTES_MAX, "{of:?}: {bytes}");
            let registry = crate::config::registry().unwrap();
            let draft = forwarded(registry.by_code("rector").unwrap(), &large, Purpose::Store).unwrap();
            let bytes = draft.body.unwrap().len();
            assert!(bytes <= FORWARDED_BODY_BYTES_MAX, "{of:?}: {bytes}");
        }
    }

    #[test]
    fn a_body_that_is_no_text_takes_no_more_room_than_it_did() {
        assert_eq!(text_of(b"a=\xff\xfe&b=\xc3\xa9&c=\xe2\x82"), "a=\u{1a}\u{1a}&b=\u{e9}&c=\u{1a}");
        assert_eq!(text_of(&[0xff; BODY_BYTES_MAX]).len(), BODY_BYTES_MAX);
    }
}
