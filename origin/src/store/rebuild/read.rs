//! Reading all receipts of keys, in one statement: of one moment.

use super::super::StoreError;
use super::super::statement::{Column, Dialect, Done, Step};
use super::Stored;
use postback::conversion::{Notice, Receipt};
use postback::time::Timestamp;
use postback::zone::Zone;
use std::collections::{BTreeMap, HashMap};

/// What the receipts of a key are.
#[derive(Debug, Default)]
pub(in crate::store) struct Receipts {
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

const KEY: &[Column<String>] = &[Column::text("conversion_key", |key| Some(key.clone()))];

/// The statement about keys.
pub(super) fn receipts(dialect: Dialect) -> Step<String> {
    let accounts = format!(
        "select '{ACCOUNT} ' || input.conversion_key as id, conversions.deposit_account as answer
         from input {}
         where conversions.deposit in ('first', 'repeat') and conversions.deposit_account is not null",
        of_key(dialect, "conversions"),
    );
    receipts_and(dialect, &accounts)
}

/// The receipts of keys and the generations of their requests, and further answers with them: two at most, because D1 takes five in all. The
/// `id` of each is what it is, a space, and its key.
pub(in crate::store) fn receipts_and(dialect: Dialect, further: &str) -> Step<String> {
    Step::new(dialect, KEY, &format!("{} union all {further}", select(dialect))).answering()
}

fn select(dialect: Dialect) -> String {
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
    let [rebuilds, events] = ["rebuilds", "events"].map(|table| of_key(dialect, table));
    let repeats = dialect.join_by_key("repeats", "repeats", "repeats.event_id = events.event_id");
    format!(
        "select '{GENERATION} ' || input.conversion_key as id, cast(rebuilds.generation as text) as answer
         from input {rebuilds}
         union all
         select '{EVENT} ' || input.conversion_key as id, {event} as answer from input {events}
         union all
         select '{REPEAT} ' || input.conversion_key as id, {repeat} as answer from input {events} {repeats}"
    )
}

/// The rows that a table has of a key.
fn of_key(dialect: Dialect, table: &str) -> String {
    dialect.join_by_key(table, table, &format!("{table}.conversion_key = input.conversion_key"))
}

/// What that statement answers of one key.
///
/// # Errors
/// A receipt is not as it was stored: nothing of it may become a default.
pub(super) fn read(done: Vec<Done>) -> Result<Receipts, StoreError> {
    let mut receipts = Receipts::default();
    for (id, answer) in done.into_iter().flat_map(|done| done.answers) {
        let what = id.split_once(' ').map_or(id.as_str(), |(what, _)| what);
        receipts.take(what, answer)?;
    }
    Ok(receipts)
}

impl Receipts {
    /// Takes an answer, by what it is.
    ///
    /// # Errors
    /// A receipt is not as it was stored.
    pub(in crate::store) fn take(&mut self, what: &str, answer: String) -> Result<(), StoreError> {
        match what {
            GENERATION => {
                let generation = answer.parse();
                self.generation =
                    Some(generation.map_err(|_| StoreError::Bug("a generation that is none".to_owned()))?);
            }
            ACCOUNT => self.deposit_accounts.push(answer),
            _ => self.add(Stored::of(&answer)?)?,
        }
        Ok(())
    }

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
