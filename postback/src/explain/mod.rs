//! Explaining: what would happen to a request, and why. Nothing is stored and nothing is guessed: the rules are those of
//! [`crate::reading`], asked to go on to the end.
//!
//! An explanation repeats what was sent, so it is for people who have the request, and never for a reply.

mod advice;

use crate::duplicate::DuplicateKey;
use crate::field::Field;
use crate::limits::{BODY_BYTES_MAX, TARGET_BYTES_MAX};
use crate::params::{Params, SIGNATURE_PARAMS, params_named, redact_target, shown};
use crate::partner::{AuthMode, Partner, Registry};
use crate::postback::Postback;
use crate::reading::{Dropped, Examination, Warning, WarningCode};
use crate::rejection::{Code, Rejection};
use crate::time::Timestamp;
use advice::{advice, how_read, names_of};
use serde::Serialize;

/// A request, as it came or as it would be sent.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// In capitals.
    pub method: &'a str,
    /// Path and query, or a whole URL.
    pub target: &'a str,
    /// `Content-Type`.
    pub content_type: Option<&'a str>,
    /// The body's bytes.
    pub body: &'a [u8],
}

/// What would happen to a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// Whether it would be stored.
    pub accepted: bool,
    /// Whose endpoint it is.
    pub partner: Option<AboutPartner>,
    /// Path and query, secrets replaced.
    pub target: String,
    /// What identifies the event.
    pub event_id: Option<AboutId>,
    /// What it says, field by field, in canonical order.
    pub fields: Vec<AboutField>,
    /// All that is wrong; the first is what the sender is told.
    pub problems: Vec<Problem>,
    /// What is odd without stopping it.
    pub warnings: Vec<Oddity>,
    /// Parameters that mean nothing to this partner: kept with the request, without effect.
    pub ignored: Vec<String>,
    /// What the edge would forward: path and canonical query.
    pub canonical: Option<String>,
    /// What else is worth knowing.
    pub notes: Vec<String>,
}

/// A partner, as far as a sender needs it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AboutPartner {
    /// Its code.
    pub code: String,
    /// The name people use.
    pub name: String,
    /// The IANA zone of times without an offset.
    pub time_zone: String,
    /// How its requests prove themselves; all must hold.
    pub auth: Vec<&'static str>,
}

/// An event's id, and where it is from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AboutId {
    /// The id.
    pub id: String,
    /// Whether it follows from the content, so that equal content is the same event.
    pub derived: bool,
}

/// One field of the postback.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AboutField {
    /// Its canonical name.
    pub field: &'static str,
    /// Its canonical text; none where it could not be read.
    pub value: Option<String>,
    /// The name it was sent under; none for what the partner's file fills in.
    pub sent_as: Option<String>,
    /// The text that was sent.
    pub sent: Option<String>,
    /// How the text was understood, where that is not plain.
    pub note: Option<String>,
}

/// Something wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The stable code.
    pub code: String,
    /// The sender's name of the field at fault.
    pub field: Option<String>,
    /// What a sender is told.
    pub hint: String,
    /// What to do about this very request.
    pub advice: Option<String>,
}

/// Something odd.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Oddity {
    /// The stable code.
    pub code: &'static str,
    /// The canonical field.
    pub field: Option<&'static str>,
    /// The text that was sent, where it is not among the fields.
    pub sent: Option<String>,
    /// What it means and what to do.
    pub hint: String,
}

/// Explains what would happen to a request that arrives at `received_at`.
pub fn explain(registry: &Registry, request: &Request<'_>, received_at: Timestamp) -> Explanation {
    let (target, fragment) = match request.target.split_once('#') {
        Some((target, fragment)) => (target, Some(fragment)),
        None => (request.target, None),
    };
    let target = path_and_query(target);
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut explanation = Explanation {
        accepted: false,
        partner: None,
        target: redact_target(target),
        event_id: None,
        fields: Vec::new(),
        problems: Vec::new(),
        warnings: Vec::new(),
        ignored: Vec::new(),
        canonical: None,
        notes: Vec::new(),
    };
    if let Some(fragment) = fragment {
        explanation.notes.push(format!(
            "a client never sends what stands behind #: {} characters are lost here. A macro such as #s1# that was not \
             expanded does that; write # as %23",
            fragment.chars().count()
        ));
    }
    match registry.by_path(path).or_else(|| explanation.behind_a_path_key(registry, path)) {
        Some(partner) => explanation.of_partner(partner, request, target, query, received_at),
        None => explanation.without_partner(registry, path),
    }
    explanation.accepted = explanation.problems.is_empty();
    explanation
}

impl Explanation {
    /// The partner whose requests carry a key behind the endpoint. What stands there is not shown, whatever it is.
    fn behind_a_path_key<'r>(&mut self, registry: &'r Registry, path: &str) -> Option<&'r Partner> {
        let ends = path.match_indices('/').skip(1).map(|(end, _)| end);
        let endpoint_of = |end: usize| {
            let endpoint = path.get(..end)?;
            Some((endpoint, registry.by_path(endpoint).filter(|partner| partner.auth.contains(&AuthMode::PathKey))?))
        };
        let (endpoint, partner) = ends.filter_map(endpoint_of).last()?;
        let key = path.strip_prefix(endpoint)?.strip_prefix('/')?;
        let query = self.target.split_once('?').map(|(_, query)| format!("?{query}")).unwrap_or_default();
        self.target = format!("{endpoint}/***{query}");
        let is_one_segment = !key.is_empty() && !key.contains('/');
        is_one_segment.then(|| {
            let length = key.chars().count();
            self.notes.push(format!("the last segment of the path ({length} characters) is taken for the key"));
            partner
        })
    }

    fn without_partner(&mut self, registry: &Registry, path: &str) {
        let active = || registry.all().iter().filter(|partner| partner.is_active);
        let near = active().find(|partner| {
            path.trim_matches('/').to_ascii_lowercase().ends_with(&partner.endpoint.to_ascii_lowercase())
                && !partner.endpoint.is_empty()
        });
        let known: Vec<_> = active().map(endpoint_path).collect();
        let advice = match near {
            Some(partner) => format!("did you mean {}? Case and slashes count", endpoint_path(partner)),
            None => format!("the endpoints are {}", known.join(", ")),
        };
        self.refuse("partner_not_found", "no partner has this endpoint; check the path", Some(advice));
    }

    fn of_partner(
        &mut self,
        partner: &Partner,
        request: &Request<'_>,
        target: &str,
        query: &str,
        received_at: Timestamp,
    ) {
        self.partner = Some(AboutPartner {
            code: partner.code.clone(),
            name: partner.name.clone(),
            time_zone: partner.zone.name().to_owned(),
            auth: partner.auth.iter().map(|mode| mode.name()).collect(),
        });
        if partner.auth != [AuthMode::Open] {
            let modes: Vec<_> = partner.auth.iter().map(|mode| mode.name()).collect();
            self.notes.push(format!("who sends must prove it ({}), which is not checked here", modes.join(" and ")));
        }
        if !params_named(query, SIGNATURE_PARAMS[3]).is_empty() {
            self.notes.push("it is signed in the query; `sign` shows what the signature should be".to_owned());
        }
        match request.method {
            "GET" if !request.body.is_empty() => self.notes.push("the body of a GET is not read".to_owned()),
            "GET" | "POST" => {}
            "HEAD" => self.notes.push("HEAD records nothing; this is what a GET would come to".to_owned()),
            _ => self.refuse("method_not_allowed", "use GET or POST", None),
        }
        if target.len() > TARGET_BYTES_MAX {
            self.refuse("url_too_long", "path and query have at most 8192 bytes; use POST", None);
        }
        let body = if request.method == "POST" { request.body } else { b"" };
        if body.len() > BODY_BYTES_MAX {
            self.refuse("body_too_large", "a body has at most 65536 bytes", None);
            return;
        }
        match Params::from_request(query, request.content_type, body) {
            Ok(mut params) => {
                params.drop_credentials();
                self.of_params(partner, &params, received_at);
            }
            Err(rejection) => self.problems.push(Problem::of(&rejection, None)),
        }
    }

    fn of_params(&mut self, partner: &Partner, params: &Params<'_>, received_at: Timestamp) {
        let examination = partner.examine(params, received_at);
        for rejection in &examination.problems {
            let advice = examination
                .field_of(partner, rejection)
                .and_then(|(field, text)| advice(partner, rejection.code(), field, text));
            self.problems.push(Problem::of(rejection, advice));
        }
        self.fields = fields(partner, &examination);
        self.warnings = examination.warnings.iter().map(|warning| oddity(&examination, *warning)).collect();
        if let Ok(postback) = &examination.outcome {
            self.of_postback(partner, postback);
        }
        self.ignored = examination.ignored;
    }

    fn of_postback(&mut self, partner: &Partner, postback: &Postback) {
        let id = postback.event_id().to_string();
        self.event_id = Some(AboutId { id, derived: postback.id(Field::EventId).is_none() });
        self.canonical = Some(format!("{}?{}", endpoint_path(partner), postback.to_query()));
        if partner.duplicates.key != DuplicateKey::EventId && postback.id(Field::ConversionId).is_none() {
            self.notes.push(format!(
                "it names no conversion, so the event stands for itself; a conversion is named by {}",
                names_of(partner, Field::ConversionId)
            ));
        }
    }

    fn refuse(&mut self, code: &str, hint: &str, advice: Option<String>) {
        self.problems.push(Problem { code: code.to_owned(), field: None, hint: hint.to_owned(), advice });
    }
}

impl Problem {
    fn of(rejection: &Rejection, advice: Option<String>) -> Problem {
        Problem {
            code: rejection.code().as_str().to_owned(),
            field: rejection.field().map(str::to_owned),
            hint: rejection.hint().to_owned(),
            advice,
        }
    }
}

impl Examination<'_> {
    /// The field that a rejection is about, and the text that was sent for it.
    fn field_of(&self, partner: &Partner, rejection: &Rejection) -> Option<(Field, &str)> {
        let name = rejection.field()?;
        let mut sent = self.sent.iter().chain(self.unfilled.iter().map(|(field, (_, text))| (field, text)));
        let found = sent.find(|(_, text)| text.name == name).map(|(field, text)| (*field, text.text));
        // These are about all names of the field, and not about one text.
        if matches!(rejection.code(), Code::ConflictingValues | Code::MissingField) {
            return Some((partner.field_of(name)?, ""));
        }
        found
    }
}

fn fields(partner: &Partner, examination: &Examination<'_>) -> Vec<AboutField> {
    let value = |field: Field| examination.text(field);
    let of_sent = |field: Field| {
        let sent = examination.sent.get(&field)?;
        let note = match examination.words.get(&field) {
            Some(word) if value(field).is_some() => Some(format!("the partner's word is {word:?}")),
            Some(_) | None => how_read(partner, field, sent.text),
        };
        Some(AboutField {
            field: field.name(),
            value: value(field),
            sent_as: Some(sent.name.to_string()),
            sent: Some(sent.text.to_owned()),
            note,
        })
    };
    let of_file = |field: Field| {
        let note = if partner.constants.contains_key(&field) {
            "a constant of the partner's file"
        } else {
            "the partner's default"
        };
        Some(AboutField {
            field: field.name(),
            value: Some(value(field)?),
            sent_as: None,
            sent: None,
            note: Some(note.to_owned()),
        })
    };
    Field::ALL.iter().filter_map(|field| of_sent(*field).or_else(|| of_file(*field))).collect()
}

fn oddity(examination: &Examination<'_>, warning: Warning) -> Oddity {
    let unfilled = warning.field.and_then(|field| examination.unfilled.get(&field));
    let dropped = warning.field.and_then(|field| examination.dropped.get(&field));
    let dropped = dropped.filter(|_| matches!(warning.code, WarningCode::ValueDropped | WarningCode::UnknownCurrency));
    let hint = warning.code.hint();
    Oddity {
        code: warning.code.as_str(),
        field: warning.field.map(Field::name),
        sent: match (unfilled, dropped) {
            (Some((_, text)), _) => Some(format!("{}={}", text.name, text.text)),
            (None, Some(dropped)) => {
                Some(dropped.sources.iter().map(|source| shown(source)).collect::<Vec<_>>().join(" "))
            }
            (None, None) => None,
        },
        hint: match dropped {
            Some(Dropped { refusal, .. }) => format!("{hint} ({}: {})", refusal.code().as_str(), refusal.hint()),
            None => hint.to_owned(),
        },
    }
}

/// The path under which a partner's postbacks reach the origin.
pub fn endpoint_path(partner: &Partner) -> String {
    match partner.endpoint.as_str() {
        "" => "/postback".to_owned(),
        endpoint => format!("/postback/{endpoint}"),
    }
}

/// Path and query of a URL, whatever host it names.
pub fn path_and_query(target: &str) -> &str {
    match target.split_once("://") {
        Some((scheme, rest)) if !scheme.contains(['/', '?']) => {
            let start = rest.find(['/', '?']).unwrap_or(rest.len());
            rest.get(start..).unwrap_or("/")
        }
        // `network.bytec.com/involve/event`: a host is no path.
        Some(_) | None if !target.starts_with('/') => {
            target.find('/').and_then(|start| target.get(start..)).unwrap_or(target)
        }
        Some(_) | None => target,
    }
}
