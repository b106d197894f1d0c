//! How a partner's own report of its conversions is written (R55): a file with a head, one line for each conversion.

use crate::field::Field;
use crate::zone::Zone;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The form of a partner's reports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportForm {
    /// Columns' names, folded by [`crate::partner::fold_word`], and the fields they mean. A column that is not listed means what a
    /// parameter of its name does.
    pub columns: BTreeMap<String, Field>,
    /// What stands between columns.
    pub delimiter: char,
    /// What stands before the fraction of an amount: `.` or `,`. The other one is what stands between thousands.
    pub decimal_mark: char,
    /// How times are written, as `strftime` has it; None: as in postbacks.
    pub time_format: Option<String>,
    /// The clocks of times without an offset; None: those of postbacks.
    pub zone: Option<Zone>,
}

impl Default for ReportForm {
    fn default() -> ReportForm {
        ReportForm { columns: BTreeMap::new(), delimiter: ',', decimal_mark: '.', time_format: None, zone: None }
    }
}
