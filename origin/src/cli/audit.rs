//! `audit`: who changed what.

use super::print;
use crate::shared::Shared;
use postback::time::Timestamp;

/// Prints the last entries of the audit log, the oldest first.
///
/// # Errors
/// The database cannot say.
pub async fn audit(shared: &Shared, limit: u32, json: bool) -> Result<(), String> {
    let entries = shared.audit(limit).await.map_err(|error| error.to_string());
    shared.close().await;
    let entries = entries?;
    if json {
        print(&serde_json::to_string_pretty(&entries).map_err(|error| error.to_string())?);
        return Ok(());
    }
    for entry in entries {
        let at = Timestamp::from_unix_ms(entry.at_s.saturating_mul(1_000)).unwrap_or(Timestamp::EPOCH);
        // A partner's whole file would fill the screen; `--json` has it.
        let details = match entry.details.get("file") {
            Some(_) => "(--json shows the file)".to_owned(),
            None => entry.details.to_string(),
        };
        print(&format!("{at}  {:<18} {:<14} {:<16} {details}", entry.actor, entry.action, entry.subject));
    }
    Ok(())
}
