//! What a partner's engineer can do about a problem, with the very text that was sent at hand. Replies to strangers never
//! repeat what they sent; an explanation is for somebody who has the request in front of them.

use crate::field::{Field, Kind};
use crate::money::Amount;
use crate::partner::Partner;
use crate::rejection::Code;
use crate::time::{Timestamp, Written};

/// What to write instead of `text`, which was sent for `field` and refused. None where the hint says it all.
pub(super) fn advice(partner: &Partner, code: Code, field: Field, text: &str) -> Option<String> {
    match code {
        Code::InvalidAmount => amount(text),
        Code::InvalidTime => time(text),
        Code::TimeInFuture => Timestamp::parse(text, &partner.zone)
            .map(|instant| format!("{text:?} is {instant} when it is read on the clocks of {}", partner.zone.name())),
        Code::UnknownStatus => {
            let known: Vec<_> = partner.statuses.iter().map(|(word, status)| format!("{word:?} = {status}")).collect();
            Some(format!("{text:?} is none of the words in the partner's file: {}", known.join(", ")))
        }
        Code::MacroNotReplaced => Some(format!(
            "{text:?} arrived as it stands in the template: the network has no macro of this spelling, or nothing to put in"
        )),
        Code::ConflictingValues => Some(format!("these names mean {}: {}", field.name(), names_of(partner, field))),
        Code::MissingField => Some(format!("send it under one of these names: {}", names_of(partner, field))),
        Code::InvalidCurrency if Amount::parse(text).is_some() => {
            Some(format!("{text:?} is an amount; does this network's parameter mean an amount?"))
        }
        Code::NegativeAmount => Some(format!(
            "{text:?} would count against the partner; send event=refund or event=chargeback for money that goes back"
        )),
        Code::AmountTooLarge => Some(format!(
            "{text:?} is more than {}, which is amount_max in the partner's file: is it in cents, or in another currency? \
             If it is real, have amount_max raised",
            partner.amount_max
        )),
        Code::BadPercent
        | Code::BadUtf8
        | Code::ControlChar
        | Code::DuplicateParam
        | Code::TooManyParams
        | Code::NameTooLong
        | Code::ValueTooLong
        | Code::UnsupportedBody
        | Code::MalformedJson
        | Code::JsonTooDeep
        | Code::NotScalar
        | Code::BadPath
        | Code::TwoSignatures
        | Code::InvalidId
        | Code::InvalidCurrency
        | Code::InvalidEvent
        | Code::InvalidFlag => None,
    }
}

/// How a time was understood.
pub(super) fn how_read(partner: &Partner, field: Field, text: &str) -> Option<String> {
    if field.kind() != Kind::Time {
        return None;
    }
    let zone = partner.zone.name();
    Some(match Timestamp::read(text, &partner.zone)?.1 {
        Written::EpochSeconds => "10 digits: seconds since 1970".to_owned(),
        Written::EpochMilliseconds => "13 digits: milliseconds since 1970".to_owned(),
        Written::Date => format!("a date without a time: its midnight in {zone}"),
        Written::LocalClock => format!("a time without an offset: the clocks of {zone}"),
        Written::WithOffset => "a time with its own offset".to_owned(),
    })
}

/// Every name that a partner may send a field under.
pub(super) fn names_of(partner: &Partner, field: Field) -> String {
    let aliases = partner.aliases.iter().filter(|(_, known)| **known == field).map(|(name, _)| name.as_str());
    let own = (partner.field_of(field.name()) == Some(field)).then_some(field.name());
    own.into_iter().chain(aliases).collect::<Vec<_>>().join(", ")
}

/// The amount that a text most likely means, said as a question and never assumed.
fn amount(text: &str) -> Option<String> {
    let bare: String = text.chars().filter(|c| c.is_ascii_digit() || ".,-".contains(*c)).collect();
    let (commas, points) = (bare.matches(',').count(), bare.matches('.').count());
    let likely = match (commas, points) {
        // `10,50`: three digits behind a comma could be thousands as well.
        (1, 0) if bare.split(',').next_back().is_some_and(|tail| tail.len() == 3) => {
            let (point, none) = (bare.replace(',', "."), bare.replace(',', ""));
            return Some(format!(
                "{text:?} could be {point} or {none}; that is why it is refused. Write a point, and no thousands"
            ));
        }
        (1, 0) => bare.replace(',', "."),
        // The last mark is the decimal one.
        (1.., 1) if bare.rfind('.') > bare.rfind(',') => bare.replace(',', ""),
        (1, 1..) => bare.replace('.', "").replace(',', "."),
        (2.., 0) => bare.replace(',', ""),
        (_, _) => bare.clone(),
    };
    let is_exponent = text.contains(['e', 'E']) && text.bytes().next().is_some_and(|b| b.is_ascii_digit() || b == b'-');
    if is_exponent {
        return Some(format!("{text:?} is written with an exponent; write all its digits"));
    }
    let likely = Amount::parse(&likely).filter(|_| !text.chars().any(|c| c.is_alphabetic() && !c.is_ascii()))?;
    Some(format!("if {text:?} means {likely}, send {likely}"))
}

fn time(text: &str) -> Option<String> {
    let is_digits = text.bytes().all(|b| b.is_ascii_digit());
    let lower = text.to_ascii_lowercase();
    if is_digits {
        return Some(format!("{text:?} has {} digits; an epoch has 10 (seconds) or 13 (milliseconds)", text.len()));
    }
    if text.starts_with("0000") {
        return Some(format!("{text:?} is how a database writes that it has no time; leave the parameter empty"));
    }
    if lower.ends_with("am") || lower.ends_with("pm") {
        return Some(format!("{text:?}: write the hour from 0 to 23"));
    }
    let day_or_month_first =
        text.split(['/', '.']).next().is_some_and(|first| first.len() <= 2) && text.contains(['/', '.']);
    day_or_month_first.then(|| format!("{text:?} could mean day or month first; write the year first: 2025-01-31"))
}
