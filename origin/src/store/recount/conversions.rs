//! What receipts fold to, beside the conversions and revisions that are stored.

use super::super::StoreError;
use super::super::rebuild::{CONVERSION, ConversionRow, REVISION, Receipts, RevisionRow, folded_rows, receipts_and};
use super::super::statement::{Column, Dialect, Done, Step, read_json};
use super::totals::Compared;
use postback::conversion::fold;
use postback::duplicate::DuplicatePolicy;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// Columns that are no statement of a sender's: the key, and what says when rows were written and by which request.
const NOT_COMPARED: [&str; 10] = [
    "conversion_key",
    "generation",
    "generation_max",
    "occurrence",
    "created_at",
    "updated_at",
    "last_received_ms",
    "last_request_id",
    "last_event_id",
    "number",
];
const STORED_CONVERSION: &str = "conversion";
const STORED_REVISION: &str = "revision";

/// A conversion, or a revision of one, that is not what its receipts fold to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConversionDifference {
    /// The key of the conversion.
    pub conversion_key: String,
    /// Which one of its key.
    pub occurrence: Option<i64>,
    /// Which of its revisions; none: the conversion itself.
    pub revision: Option<i64>,
    /// What was found.
    #[serde(flatten)]
    pub found: Found,
}

/// What is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "found", rename_all = "snake_case")]
pub enum Found {
    /// It is not stored.
    Missing,
    /// It is stored, and nothing folds to it.
    Surplus,
    /// It is stored with other values.
    Differs {
        /// In these columns.
        columns: Vec<&'static str>,
    },
    /// It is evaluated otherwise than it should be, or not at all.
    Evaluated {
        /// The last event that made it what it is.
        #[serde(skip)]
        event_id: String,
        /// What is stored and what it comes to, by column.
        columns: BTreeMap<&'static str, Compared>,
    },
    /// A receipt of the key cannot be read, so nothing can be compared, or rebuilt.
    Unreadable {
        /// What is wrong.
        reason: String,
    },
}

/// Where a stored row belongs: the conversion of a number, or one of its revisions.
type Place = (i64, Option<i64>);

/// What was read of a key.
#[derive(Default)]
struct OfKey {
    receipts: Receipts,
    stored: BTreeMap<Place, Vec<Value>>,
}

/// All receipts of keys, and the conversions and revisions that are stored under them.
pub(super) fn select(dialect: Dialect) -> Step<String> {
    let rows = |what: &str, table: &str, place: &[&str], columns: Vec<String>| {
        let place = place.iter().map(|column| format!("{table}.{column}"));
        let columns: Vec<_> = place.chain(columns).collect();
        let join = dialect.join_by_key(table, table, &format!("{table}.conversion_key = input.conversion_key"));
        format!(
            "select '{what} ' || input.conversion_key as id, {} as answer from input {join}",
            dialect.json_lists(&columns)
        )
    };
    let conversions = compared(CONVERSION).map(|column| column.stored(dialect, "conversions")).collect();
    let revisions = compared(REVISION).map(|column| column.stored(dialect, "revisions")).collect();
    let further = [
        rows(STORED_CONVERSION, "conversions", &["occurrence"], conversions),
        rows(STORED_REVISION, "revisions", &["occurrence", "revision"], revisions),
    ];
    receipts_and(dialect, &further.join(" union all "))
}

fn compared<T>(columns: &'static [Column<T>]) -> impl Iterator<Item = &'static Column<T>> {
    columns.iter().filter(|column| !NOT_COMPARED.contains(&column.name()))
}

/// What differs in what that statement answers.
pub(super) fn differences(policy: &DuplicatePolicy, done: Vec<Done>) -> Result<Vec<ConversionDifference>, StoreError> {
    let mut keys: BTreeMap<String, Result<OfKey, StoreError>> = BTreeMap::new();
    for (id, answer) in done.into_iter().flat_map(|done| done.answers) {
        let (what, key) = id.split_once(' ').ok_or_else(|| StoreError::Bug("an answer about no key".to_owned()))?;
        let of_key = keys.entry(key.to_owned()).or_insert_with(|| Ok(OfKey::default()));
        if let Ok(known) = of_key
            && let Err(error) = known.take(what, answer)
        {
            *of_key = Err(error);
        }
    }
    Ok(keys.into_iter().flat_map(|(key, of_key)| of_one(policy, &key, of_key)).collect())
}

fn of_one(policy: &DuplicatePolicy, key: &str, of_key: Result<OfKey, StoreError>) -> Vec<ConversionDifference> {
    let difference = |place: Option<Place>, found: Found| ConversionDifference {
        conversion_key: key.to_owned(),
        occurrence: place.map(|(occurrence, _)| occurrence),
        revision: place.and_then(|(_, revision)| revision),
        found,
    };
    let OfKey { receipts, mut stored } = match of_key {
        Ok(of_key) => of_key,
        Err(error) => return vec![difference(None, Found::Unreadable { reason: error.to_string() })],
    };
    let Receipts { generation, receipts, notices, deposit_accounts: _ } = receipts;
    // It is known to be out of date.
    if generation.is_some() {
        return Vec::new();
    }
    let mut differences = Vec::new();
    let mut compare = |place: Place, folded: Vec<(&'static str, Value)>, values: Option<Vec<Value>>| {
        let Some(values) = values else { return differences.push(difference(Some(place), Found::Missing)) };
        let columns = folded.into_iter().zip(values.into_iter().map(Some).chain(std::iter::repeat(None)));
        let columns: Vec<_> = columns
            .filter(|((_, folded), stored)| stored.as_ref() != Some(folded))
            .map(|((name, _), _)| name)
            .collect();
        if !columns.is_empty() {
            differences.push(difference(Some(place), Found::Differs { columns }));
        }
    };
    for (conversion, revisions) in folded_rows(key, fold(policy, receipts, &notices)) {
        let place = (conversion.occurrence, None);
        compare(place, values::<ConversionRow>(CONVERSION, &conversion), stored.remove(&place));
        for revision in revisions {
            let place = (conversion.occurrence, Some(revision.number));
            compare(place, values::<RevisionRow>(REVISION, &revision), stored.remove(&place));
        }
    }
    let surplus = stored.into_keys().map(|place| difference(Some(place), Found::Surplus));
    differences.into_iter().chain(surplus).collect()
}

fn values<T>(columns: &'static [Column<T>], row: &T) -> Vec<(&'static str, Value)> {
    compared(columns).map(|column| (column.name(), column.value(row))).collect()
}

impl OfKey {
    fn take(&mut self, what: &str, answer: String) -> Result<(), StoreError> {
        match what {
            STORED_CONVERSION => {
                let mut values = list(&answer)?;
                let occurrence = number(values.next())?;
                let values = compared(CONVERSION).zip(values).map(|(column, value)| column.read_stored(value));
                self.stored.insert((occurrence, None), values.collect());
                Ok(())
            }
            STORED_REVISION => {
                let mut values = list(&answer)?;
                let (occurrence, revision) = (number(values.next())?, number(values.next())?);
                let values = compared(REVISION).zip(values).map(|(column, value)| column.read_stored(value));
                self.stored.insert((occurrence, Some(revision)), values.collect());
                Ok(())
            }
            _ => self.receipts.take(what, answer),
        }
    }
}

fn list(answer: &str) -> Result<impl Iterator<Item = Value>, StoreError> {
    let lists: Vec<Vec<Value>> = read_json("a stored row", answer)?;
    Ok(lists.into_iter().flatten())
}

fn number(value: Option<Value>) -> Result<i64, StoreError> {
    let number = value.as_ref().and_then(Value::as_i64);
    number.ok_or_else(|| StoreError::Bug("a stored row without a number".to_owned()))
}
