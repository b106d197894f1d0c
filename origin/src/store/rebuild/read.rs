//! Reading all receipts of a key, in one statement: of one moment.

use super::super::StoreError;
use super::super::statement::{Column, Dialect, Done, Step};
use super::Stored;
use postback::conversion::{Notice, Receipt};
use postback::time::Timestamp;
use postback::zone::Zone;
use std::collections::{BTreeMap, HashMap};

/// What the receipts of a key are.
#[derive(Debug, Default)]
pub(super) struct Receipts {
    /// The generation of the request; none where nothing is requested.
    pub generation: Option<i64>,
    /// Every receipt, repeats included.
    pub receipts: Vec<Receipt>,
    /// What each event says.
    pub notices: HashMap<String, Notice>,
    /// Accounts whose deposits the conversions count as: which of an account's is the first may change when they do.
    pub deposit_accounts: Vec<String>,
}

const GENERATION: &str = "generation";
const ACCOUNT: &str = "account";
const EVENT: &str = "event";
const REPEAT: &str = "repeat";

pub(super) fn receipts(dialect: Dialect) -> Step<String> {
    const COLUMNS: &[Column<String>] = &[Column::text("conversion_key", |key| Some(key.clone()))];
    let event = dialect.json_object(&[
        ("event_id", "events.event_id".to_owned()),
        ("request_id", "events.request_id".to_owned()),
        ("received_at", dialect.time_text("events.received_at")),
        ("conversion_id", "events.conversion_id".to_owned()),
        ("event", "events.event".to_owned()),
        ("names_event", "events.names_event".to_owned()),
        ("content", "cast(events.content as text)".to_owned()),
    ]);
    let repeat = dialect.json_object(&[
        ("event_id", "repeats.event_id".to_owned()),
        ("request_id", "repeats.request_id".to_owned()),
        ("received_at", dialect.time_text("repeats.received_at")),
    ]);
    Step::new(
        dialect,
        COLUMNS,
        &format!(
            "select '{GENERATION}' as id, cast(rebuilds.generation as text) as answer
             from input join rebuilds on rebuilds.conversion_key = input.conversion_key
             union all
             select '{ACCOUNT}' as id, known.deposit_account as answer
             from input join conversions as known on known.conversion_key = input.conversion_key
             where known.deposit in ('first', 'repeat') and known.deposit_account is not null
             union all
             select '{EVENT}' as id, {event} as answer
             from input join events on events.conversion_key = input.conversion_key
             union all
             select '{REPEAT}' as id, {repeat} as answer
             from input join events on events.conversion_key = input.conversion_key
                join repeats on repeats.event_id = events.event_id"
        ),
    )
    .answering()
}

/// What that statement answers.
///
/// # Errors
/// A receipt is not as it was stored: nothing of it may become a default.
pub(super) fn read(done: Vec<Done>) -> Result<Receipts, StoreError> {
    let mut receipts = Receipts::default();
    for (what, answer) in done.into_iter().flat_map(|done| done.answers) {
        match what.as_str() {
            GENERATION => {
                let generation = answer.parse();
                receipts.generation =
                    Some(generation.map_err(|_| StoreError::Bug("a generation that is none".to_owned()))?);
            }
            ACCOUNT => receipts.deposit_accounts.push(answer),
            _ => receipts.add(Stored::of(&answer)?)?,
        }
    }
    Ok(receipts)
}

impl Receipts {
    fn add(&mut self, stored: Stored) -> Result<(), StoreError> {
        let Stored { event_id, request_id, received_at, conversion_id, event, names_event, content } = stored;
        let unreadable = |what: &str| StoreError::Bug(format!("event {event_id}: its {what} cannot be read"));
        let received_at = Timestamp::parse(&received_at, &Zone::utc()).ok_or_else(|| unreadable("time of receipt"))?;
        if let (Some(conversion_id), Some(event), Some(content)) = (conversion_id, event, content) {
            let content: BTreeMap<String, String> =
                serde_json::from_str(&content).map_err(|_| unreadable("content"))?;
            let names_event = names_event.ok_or_else(|| unreadable("name"))?;
            let notice = Notice::from_stored(conversion_id, event, names_event, &content);
            let notice = notice.map_err(|field| unreadable(field.name()))?;
            self.notices.insert(event_id.clone(), notice);
        }
        self.receipts.push(Receipt { received_at, request_id, event_id });
        Ok(())
    }
}
