//! A partner as a sender: our words in its own, as its file has them.

use super::stories::Happened;
use fastrand::Rng;
use jiff::tz::TimeZone;
use postback::field::Field;
use postback::partner::Partner;
use postback::status::Status;
use serde_json::json;
use std::collections::BTreeMap;

/// What a postback says, before it is put into a partner's words.
#[derive(Clone, Debug, Default)]
pub struct Content(BTreeMap<Field, Said>);

/// One value of it.
#[derive(Clone, Debug)]
pub enum Said {
    /// Words and ids.
    Text(String),
    /// An amount in hundredths.
    Cents(i64),
    /// Yes or no.
    Flag(bool),
    /// An instant.
    At(Happened),
}

impl Content {
    /// The same with a text; with an empty one, as it is.
    #[must_use]
    pub fn with(self, field: Field, text: String) -> Content {
        if text.is_empty() { self } else { self.with_said(field, Said::Text(text)) }
    }

    /// The same with a value.
    #[must_use]
    pub fn with_said(mut self, field: Field, said: Said) -> Content {
        self.0.insert(field, said);
        self
    }

    /// The same, of something that happened then.
    #[must_use]
    pub fn at(self, happened: Happened) -> Content {
        self.with_said(Field::TsEvent, Said::At(happened)).with_said(Field::ConversionDatetime, Said::At(happened))
    }

    /// The conversion that it is about; empty where it names none.
    pub fn conversion_id(&self) -> String {
        match self.0.get(&Field::ConversionId) {
            Some(Said::Text(id)) => id.clone(),
            Some(Said::Cents(_) | Said::Flag(_) | Said::At(_)) | None => String::new(),
        }
    }
}

/// A request, without what proves who sends it.
#[derive(Clone, Debug)]
pub struct Request {
    /// The path.
    pub path: String,
    /// The query without `?`.
    pub query: String,
    /// The JSON body of a POST; a GET has none.
    pub body: Option<String>,
}

/// How a partner says things.
#[derive(Clone, Debug)]
pub struct Sender {
    code: String,
    path: String,
    offers: Vec<String>,
    wants_event_id: bool,
    /// Whether a notice has to name the event again.
    wants_event: bool,
    /// The names that it has for our fields.
    names: BTreeMap<Field, Vec<String>>,
    /// The words that it has for where a conversion stands.
    statuses: BTreeMap<&'static str, Vec<String>>,
    /// The words that it has for what happened.
    events: BTreeMap<String, String>,
    zone: TimeZone,
}

impl Sender {
    /// A partner's sender.
    ///
    /// # Errors
    /// Its time zone is none that is known.
    pub fn of(partner: &Partner) -> Result<Sender, String> {
        let mut names: BTreeMap<Field, Vec<String>> = BTreeMap::new();
        for (name, field) in &partner.aliases {
            names.entry(*field).or_default().push(name.clone());
        }
        let mut statuses: BTreeMap<&'static str, Vec<String>> = BTreeMap::new();
        for (word, status) in &partner.statuses {
            statuses.entry(status.name()).or_default().push(word.clone());
        }
        let zone = TimeZone::get(partner.zone.name()).map_err(|error| format!("{}: {error}", partner.code))?;
        Ok(Sender {
            code: partner.code.clone(),
            path: match partner.endpoint.as_str() {
                "" => "/postback".to_owned(),
                endpoint => format!("/postback/{endpoint}"),
            },
            offers: partner.offers.keys().cloned().collect(),
            wants_event_id: partner.required.contains(&Field::EventId),
            wants_event: partner.required.contains(&Field::Event),
            names,
            statuses,
            events: partner.events.iter().map(|(word, event)| (event.clone(), word.clone())).collect(),
            zone,
        })
    }

    /// The partner's code.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// Offers that have a link.
    pub fn offers(&self) -> &[String] {
        &self.offers
    }

    /// Whether each of its events has an id of its own. Such partners send JSON, the others links.
    pub fn wants_event_id(&self) -> bool {
        self.wants_event_id
    }

    /// What it sends to say this.
    pub fn request(&self, content: &Content, random: &mut Rng) -> Request {
        let mut content = content.clone();
        if self.wants_event && !content.0.contains_key(&Field::Event) {
            content = content.with(Field::Event, "purchase".to_owned());
        }
        if self.wants_event_id {
            let members = content
                .0
                .iter()
                .map(|(field, said)| format!("{}:{}", json!(self.name(*field, random)), self.in_json(*field, said)));
            let body = format!("{{{}}}", members.collect::<Vec<_>>().join(","));
            return Request { path: self.path.clone(), query: String::new(), body: Some(body) };
        }
        let pairs: Vec<_> = content
            .0
            .iter()
            .map(|(field, said)| (self.name(*field, random), self.in_query(*field, said, random)))
            .collect();
        let query = serde_urlencoded::to_string(pairs).unwrap_or_default();
        // Both ways of writing a space are seen.
        let query = if random.bool() { query.replace('+', "%20") } else { query };
        Request { path: self.path.clone(), query, body: None }
    }

    /// One of the names that it has for a field; ours where it has none.
    fn name(&self, field: Field, random: &mut Rng) -> String {
        let names = self.names.get(&field).map_or(&[][..], Vec::as_slice);
        random.choice(names).cloned().unwrap_or_else(|| field.name().to_owned())
    }

    fn in_json(&self, field: Field, said: &Said) -> String {
        match said {
            Said::Text(text) => json!(self.word(field, text, None)).to_string(),
            // As it is written: a number that a float has been in may be another.
            Said::Cents(cents) => decimal(*cents),
            Said::Flag(flag) => flag.to_string(),
            Said::At(happened) => json!(happened.instant().to_string()).to_string(),
        }
    }

    fn in_query(&self, field: Field, said: &Said, random: &mut Rng) -> String {
        match said {
            Said::Text(text) => self.word(field, text, Some(random)),
            Said::Cents(cents) => decimal(*cents),
            Said::Flag(flag) => if *flag { "1" } else { "0" }.to_owned(),
            Said::At(happened) => {
                let instant = jiff::Timestamp::from_second(happened.0).unwrap_or_default();
                instant.to_zoned(self.zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string()
            }
        }
    }

    /// A text in the partner's words.
    fn word(&self, field: Field, text: &str, random: Option<&mut Rng>) -> String {
        let words = match (field, Status::parse(text)) {
            (Field::Event, _) => return self.events.get(text).cloned().unwrap_or_else(|| text.to_owned()),
            (Field::Status, Some(status)) => self.statuses.get(status.name()).map_or(&[][..], Vec::as_slice),
            _ => &[],
        };
        let chosen = match random {
            Some(random) => random.choice(words),
            None => words.first(),
        };
        chosen.cloned().unwrap_or_else(|| text.to_owned())
    }
}

/// Hundredths as a decimal.
fn decimal(cents: i64) -> String {
    let sign = if cents < 0 { "-" } else { "" };
    let cents = cents.unsigned_abs();
    format!("{sign}{}.{:02}", cents.div_euclid(100), cents.rem_euclid(100))
}
