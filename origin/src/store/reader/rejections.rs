//! Rejected requests of authenticated senders, as they were stored.

use super::super::StoreError;
use super::super::record::Receipt;
use super::super::statement::{Column, Dialect, Done, Step, read_json};
use super::receipt::{self, StoredReceipt};
use postback::time::Timestamp;
use serde::Deserialize;

/// So many are read at once.
const PAGE: u32 = 500;

/// Where a page of them begins.
#[derive(Clone, Copy, Debug)]
pub struct After {
    /// They were received at this instant or later.
    pub since: Timestamp,
    /// Behind which number; 0: from the first on.
    pub rejection_id: i64,
}

/// A request of a believed sender that was refused.
#[derive(Clone, Debug)]
pub struct Rejection {
    /// Its number.
    pub rejection_id: i64,
    /// How it came.
    pub receipt: Receipt,
    /// What was wrong with it then.
    pub code: String,
    /// The field that was at fault, in the sender's words.
    pub field: Option<String>,
    /// Its conversion, as far as it could be read.
    pub conversion_id: Option<String>,
}

#[derive(Deserialize)]
struct Row {
    rejection_id: i64,
    #[serde(flatten)]
    receipt: StoredReceipt,
    code: String,
    field: Option<String>,
    conversion_id: Option<String>,
}

/// The next of them, in the order of their numbers.
pub(super) fn page(dialect: Dialect) -> Step<After> {
    const COLUMNS: &[Column<After>] =
        &[Column::time("since", |after| Some(after.since)), Column::number("after", |after| after.rejection_id)];
    let column = |name: &'static str| (name, format!("rejections.{name}"));
    let mut members = vec![column("rejection_id"), column("code"), column("field"), column("conversion_id")];
    members.extend(receipt::members(dialect, "rejections"));
    Step::new(
        dialect,
        COLUMNS,
        &format!(
            "select cast(rejections.rejection_id as text) as id, {} as answer from rejections
             where rejections.rejection_id > (select after from input) and rejections.received_at >= (select since from input)
               and rejections.is_authenticated
             order by rejections.rejection_id limit {PAGE}",
            dialect.json_object(&members),
        ),
    )
    .answering()
}

pub(super) fn read(done: Vec<Done>) -> Result<Vec<Rejection>, StoreError> {
    let rejection = |(_, answer): (String, String)| {
        let Row { rejection_id, receipt, code, field, conversion_id } = read_json("a rejection", &answer)?;
        Ok(Rejection { rejection_id, receipt: receipt.into_receipt()?, code, field, conversion_id })
    };
    done.into_iter().flat_map(|done| done.answers).map(rejection).collect()
}
