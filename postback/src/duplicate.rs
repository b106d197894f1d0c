//! Duplicate policy (R48): which postbacks are about one conversion, and what another one about it does. Pure rules; a
//! store keeps what they need to know and applies what they decide, in one transaction.
//!
//! That the same *event* is never counted twice is not policy and not here: its id is unique in the database (R47).

use crate::field::Field;
use crate::id::{CONVERSION_KEY_PREFIX, ContentDigest, OWN_CONVERSION_PREFIX};
use crate::postback::Postback;
use serde::{Deserialize, Serialize};

/// What two postbacks of one conversion have in common.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum DuplicateKey {
    /// The partner's id of the conversion. What goes back of it is a conversion beside it (R49).
    #[default]
    #[serde(rename = "conversion_id")]
    ConversionId,
    /// That and the event: a deposit and a refund under one id are two conversions.
    #[serde(rename = "conversion_id+event")]
    ConversionIdAndEvent,
    /// The event's own id: every event stands for itself.
    #[serde(rename = "event_id")]
    EventId,
    /// Click and event, for partners without ids of their own: one conversion for as long as the window lasts.
    #[serde(rename = "click_id+event")]
    ClickIdAndEvent,
}

/// What a further event of a known conversion does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnRepeat {
    /// It brings the conversion up to date; the history is kept.
    #[default]
    Revise,
    /// It changes nothing: the first stands.
    Ignore,
    /// It is a conversion of its own, marked as a possible duplicate.
    Flag,
}

/// What a further refund notice under one conversion does, where neither has an event id of the sender's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefundRepeat {
    /// It restates the first: both are about the same money.
    #[default]
    Restate,
    /// It is a refund of its own: the two add up.
    Add,
}

/// For how long a sender may retry where its partner file does not say, in seconds: 7 days.
pub const RETRY_WINDOW_S: u32 = 604_800;

/// A partner's policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DuplicatePolicy {
    /// What makes a repeat.
    pub key: DuplicateKey,
    /// How long after the last one a repeat is one, in seconds. None: for ever.
    pub window_s: Option<u32>,
    /// What a repeat does.
    pub repeat: OnRepeat,
    /// For how long after a postback its sender may send the very same again, in seconds. 0: it never retries.
    pub retry_window_s: u32,
    /// What a further refund notice does.
    pub refund_repeat: RefundRepeat,
}

impl Default for DuplicatePolicy {
    fn default() -> DuplicatePolicy {
        DuplicatePolicy {
            key: DuplicateKey::default(),
            window_s: None,
            repeat: OnRepeat::default(),
            retry_window_s: RETRY_WINDOW_S,
            refund_repeat: RefundRepeat::default(),
        }
    }
}

impl DuplicatePolicy {
    /// The name under which a store finds the conversion of a postback: of one partner, equal for what is about one
    /// conversion and different for everything else. A postback that lacks a part of the key stands for itself, and so
    /// does money that goes back under an event id of the sender's, or under any where further refunds add up.
    pub fn conversion_key(&self, postback: &Postback) -> String {
        let takes_back = postback.event().takes_money_back();
        let parts = match self.key {
            DuplicateKey::EventId => return postback.event_id().as_str().to_owned(),
            // A sender that names its refunds means each: two of one sale are two (R49).
            _ if takes_back && !postback.event_id().is_derived() => None,
            // So does one whose notices state a further refund each.
            _ if takes_back && self.refund_repeat == RefundRepeat::Add => None,
            // Money that goes back stands beside the conversion that it goes back of (R49): in its place it would count twice.
            DuplicateKey::ConversionId if takes_back => postback.id(Field::ConversionId),
            DuplicateKey::ConversionId => return postback.conversion_id().into_owned(),
            DuplicateKey::ConversionIdAndEvent => postback.id(Field::ConversionId),
            DuplicateKey::ClickIdAndEvent => postback.id(Field::ClickId),
        };
        match parts {
            Some(id) => {
                let mut digest = ContentDigest::of("bytec-conversion-v1");
                digest.add(self.key.label());
                digest.add(id);
                digest.add(postback.event().name());
                digest.into_id(CONVERSION_KEY_PREFIX)
            }
            None => format!("{OWN_CONVERSION_PREFIX}{}", postback.event_id()),
        }
    }
}

impl DuplicateKey {
    /// Keeps keys of different kinds apart.
    const fn label(self) -> &'static str {
        match self {
            DuplicateKey::ConversionId => "conversion_id",
            DuplicateKey::ConversionIdAndEvent => "conversion_id+event",
            DuplicateKey::EventId => "event_id",
            DuplicateKey::ClickIdAndEvent => "click_id+event",
        }
    }
}
