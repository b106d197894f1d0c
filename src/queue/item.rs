//! What a message holds: a postback, or a click. Only this file knows how the two are told apart.

use crate::delivery::inline;
use crate::delivery::parcel::Parcel;
use postback::click::Click;
use serde::{Deserialize, Serialize};

/// The queue of clicks, by its binding.
pub const CLICKS: &str = "CLICKS";

/// The form of click messages.
const FORM: u32 = 1;

/// One thing that is to be delivered.
#[derive(Clone, Debug)]
pub enum Item {
    /// A postback.
    Postback(Parcel),
    /// A click.
    Click(Clicked),
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
        }
    }

    /// The binding of the queue that it belongs into.
    pub fn queue(&self) -> &'static str {
        match self {
            Item::Postback(_) => inline::QUEUE,
            Item::Click(_) => CLICKS,
        }
    }

    /// What it goes by in logs and in the table of what is parked: the edge's name of the request, or the click's id.
    pub fn name(&self) -> &str {
        match self {
            Item::Postback(parcel) => parcel.request_id.as_str(),
            Item::Click(clicked) => clicked.click.click_id.as_str(),
        }
    }

    /// The partner's code.
    pub fn partner(&self) -> &str {
        match self {
            Item::Postback(parcel) => &parcel.partner,
            Item::Click(clicked) => &clicked.partner,
        }
    }

    /// The event, where it is one.
    pub fn event_id(&self) -> Option<&str> {
        match self {
            Item::Postback(parcel) => Some(parcel.event_id.as_str()),
            Item::Click(_) => None,
        }
    }

    /// When it happened at the edge: RFC 3339, UTC.
    pub fn received_at(&self) -> String {
        match self {
            Item::Postback(parcel) => parcel.received_at.to_string(),
            Item::Click(clicked) => clicked.click.clicked_at.to_string(),
        }
    }

    /// How often it was replayed.
    pub fn replays(&self) -> u32 {
        match self {
            Item::Postback(parcel) => parcel.replays,
            Item::Click(clicked) => clicked.replays,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::parcel::tests::parcel;
    use postback::click::{ClickId, ClickQuery, Visitor};
    use postback::time::Timestamp;

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
