//! What a message holds: a postback, a click, or a report about a rejected request or counts. Only this file knows how they are told apart.

use crate::delivery::inline;
use crate::delivery::parcel::Parcel;
use postback::click::Click;
use postback::edge_report::{OutcomeBatch, RejectedRequest};
use postback::time::Timestamp;
use serde::{Deserialize, Serialize};

/// The queue of clicks, by its binding.
pub const CLICKS: &str = "CLICKS";
/// The queue of rejected requests and counts, by its binding.
pub const REJECTIONS: &str = "REJECTIONS";

/// The form of click messages.
const FORM: u32 = 1;
/// The form of reports.
const REPORT_FORM: u32 = 1;
/// The first characters of a report, which no other message has.
const REPORT_START: &str = "{\"report\":";

/// One thing that is to be delivered.
#[derive(Clone, Debug)]
pub enum Item {
    /// A postback.
    Postback(Parcel),
    /// A click.
    Click(Clicked),
    /// What the edge reports of itself.
    Report(Reported),
}

/// A rejected request or counts, and whose they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reported {
    /// Its form. The first member: it tells a report from other messages.
    report: u32,
    /// The partner's code.
    pub partner: String,
    /// When it happened: RFC 3339, UTC.
    pub at: String,
    /// How often it was sent again after it had been parked.
    pub replays: u32,
    /// A rejected request. In a message its body stands behind the line of JSON, which could double it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejection: Option<RejectedRequest>,
    /// Counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcomes: Option<OutcomeBatch>,
}

impl Reported {
    /// A rejected request.
    pub fn rejection(partner: &str, request: RejectedRequest) -> Reported {
        Reported {
            report: REPORT_FORM,
            partner: partner.to_owned(),
            at: request.received_at.clone(),
            replays: 0,
            rejection: Some(request),
            outcomes: None,
        }
    }

    /// Counts.
    pub fn outcomes(partner: &str, at: Timestamp, batch: OutcomeBatch) -> Reported {
        Reported {
            report: REPORT_FORM,
            partner: partner.to_owned(),
            at: at.to_string(),
            replays: 0,
            rejection: None,
            outcomes: Some(batch),
        }
    }

    /// A message for the queue.
    ///
    /// # Errors
    /// For our log: it cannot be written.
    pub fn to_message(mut self) -> Result<String, String> {
        let body = self.rejection.as_mut().and_then(|request| request.body.take());
        let mut message = serde_json::to_string(&self).map_err(|error| error.to_string())?;
        if let Some(body) = body {
            message.push('\n');
            message.push_str(&body);
        }
        Ok(message)
    }

    fn from_message(message: &str) -> Result<Reported, String> {
        let (line, body) = match message.split_once('\n') {
            Some((line, body)) => (line, Some(body.to_owned())),
            None => (message, None),
        };
        let mut reported: Reported = serde_json::from_str(line).map_err(|_| "a report that is none of ours")?;
        if reported.report != REPORT_FORM {
            return Err(format!("form {} of reports", reported.report));
        }
        if let Some(request) = &mut reported.rejection {
            request.body = body;
        }
        Ok(reported)
    }

    fn name(&self) -> &str {
        let of_request = self.rejection.as_ref().map(|request| request.request_id.as_str());
        of_request.or(self.outcomes.as_ref().map(|batch| batch.batch_id.as_str())).unwrap_or("-")
    }
}

/// A click, and whose offer it is on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clicked {
    form: u32,
    /// The code of the partner whose offer it is.
    pub partner: String,
    /// The click.
    pub click: Click,
    /// How often it was sent again after it had been parked.
    pub replays: u32,
}

impl Clicked {
    /// A click that has just happened.
    pub fn new(partner: &str, click: Click) -> Clicked {
        Clicked { form: FORM, partner: partner.to_owned(), click, replays: 0 }
    }

    /// A message for the queue: one line of JSON, which no postback's message is.
    ///
    /// # Errors
    /// For our log: it cannot be written.
    pub fn to_message(&self) -> Result<String, String> {
        serde_json::to_string(self).map_err(|error| error.to_string())
    }
}

impl Item {
    /// Reads a message.
    ///
    /// # Errors
    /// Why it is none of ours.
    pub fn from_message(message: &str) -> Result<Item, String> {
        if message.starts_with(REPORT_START) {
            return Reported::from_message(message).map(Item::Report);
        }
        if message.contains('\n') {
            return Parcel::from_message(message).map(Item::Postback);
        }
        let clicked: Clicked = serde_json::from_str(message).map_err(|_| "neither a postback nor a click")?;
        if clicked.form == FORM { Ok(Item::Click(clicked)) } else { Err(format!("form {} of clicks", clicked.form)) }
    }

    /// The message again, as one that was replayed.
    ///
    /// # Errors
    /// For our log: it cannot be written.
    pub fn replayed(self, replays: u32) -> Result<String, String> {
        match self {
            Item::Postback(parcel) => Parcel { replays, ..parcel }.to_message(),
            Item::Click(clicked) => Clicked { replays, ..clicked }.to_message(),
            Item::Report(reported) => Reported { replays, ..reported }.to_message(),
        }
    }

    /// The binding of the queue that it belongs into.
    pub fn queue(&self) -> &'static str {
        match self {
            Item::Postback(_) => inline::QUEUE,
            Item::Click(_) => CLICKS,
            Item::Report(_) => REJECTIONS,
        }
    }

    /// What it goes by in logs and in the table of what is parked: the edge's name of the request, or the click's id.
    pub fn name(&self) -> &str {
        match self {
            Item::Postback(parcel) => parcel.request_id.as_str(),
            Item::Click(clicked) => clicked.click.click_id.as_str(),
            Item::Report(reported) => reported.name(),
        }
    }

    /// The partner's code.
    pub fn partner(&self) -> &str {
        match self {
            Item::Postback(parcel) => &parcel.partner,
            Item::Click(clicked) => &clicked.partner,
            Item::Report(reported) => &reported.partner,
        }
    }

    /// The event, where it is one.
    pub fn event_id(&self) -> Option<&str> {
        match self {
            Item::Postback(parcel) => Some(parcel.event_id.as_str()),
            Item::Click(_) | Item::Report(_) => None,
        }
    }

    /// When it happened at the edge: RFC 3339, UTC.
    pub fn received_at(&self) -> String {
        match self {
            Item::Postback(parcel) => parcel.received_at.to_string(),
            Item::Click(clicked) => clicked.click.clicked_at.to_string(),
            Item::Report(reported) => reported.at.clone(),
        }
    }

    /// How often it was replayed.
    pub fn replays(&self) -> u32 {
        match self {
            Item::Postback(parcel) => parcel.replays,
            Item::Click(clicked) => clicked.replays,
            Item::Report(reported) => reported.replays,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::parcel::tests::parcel;
    use postback::click::{ClickId, ClickQuery, Visitor};

    fn rejected(body: Option<&str>) -> Reported {
        let request = RejectedRequest {
            request_id: "AAAAAAAAAAAAAAAAAAAAAA".to_owned(),
            received_at: "2025-11-21T00:00:00.000Z".to_owned(),
            body: body.map(str::to_owned),
            ..RejectedRequest::default()
        };
        Reported::rejection("s2s", request)
    }

    #[test]
    fn a_report_is_read_as_it_was_written_whatever_its_body() {
        for body in [None, Some(""), Some("a\nb"), Some("{\"report\":2}"), Some("\u{1}\"\\")] {
            let read = Item::from_message(&rejected(body).to_message().unwrap()).unwrap();
            assert!(matches!(&read, Item::Report(read) if *read == rejected(body)), "{body:?}");
            assert_eq!((read.name(), read.queue(), read.event_id()), ("AAAAAAAAAAAAAAAAAAAAAA", REJECTIONS, None));
            let again = Item::from_message(&read.replayed(3).unwrap()).unwrap();
            assert_eq!(again.replays(), 3);
        }
        let later = rejected(None).to_message().unwrap().replace("{\"report\":1", "{\"report\":2");
        assert!(Item::from_message(&later).is_err());
    }

    #[test]
    fn a_report_of_the_largest_body_fits_into_a_message() {
        let message = rejected(Some(&"\u{1}".repeat(postback::limits::BODY_BYTES_MAX))).to_message().unwrap();
        assert!(message.len() < 100_000, "{}", message.len());
    }

    fn clicked() -> Clicked {
        let query = ClickQuery::read("sub_id=s&utm_source=a%20b");
        let now = Timestamp::from_unix_ms(1_763_683_200_123).unwrap();
        let id = ClickId::new(now, [9; 16]);
        Clicked::new("s2s", Click::read(id, now, "example", &query, &Visitor::default()))
    }

    #[test]
    fn a_message_is_a_postback_or_a_click() {
        let read = |message: &str| Item::from_message(message).unwrap();
        assert!(matches!(read(&parcel().to_message().unwrap()), Item::Postback(read) if read == parcel()));
        assert!(matches!(read(&clicked().to_message().unwrap()), Item::Click(read) if read == clicked()));
        for wrong in ["", "{}", "{}\n", "null", &clicked().to_message().unwrap().replace("\"form\":1", "\"form\":2")] {
            assert!(Item::from_message(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_replayed_says_how_often() {
        for message in [parcel().to_message().unwrap(), clicked().to_message().unwrap()] {
            let again = Item::from_message(&message).unwrap().replayed(4).unwrap();
            assert_eq!(Item::from_message(&again).unwrap().replays(), 4);
        }
    }
}
