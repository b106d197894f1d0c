//! `backup` and `restore` (R59).

use super::{DatabasesArgs, change, ended, print, progress::Progress};
use crate::app::Platform;
use crate::backup::{self, Backed, Manifest, Place};
use crate::config::Locations;
use crate::shared::Shared;
use clap::Args;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What is backed up, and where to.
#[derive(Args)]
pub struct Backup {
    /// A folder that is not there yet, or empty.
    folder: PathBuf,
    /// As JSON, a line for each database.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    databases: DatabasesArgs,
}

/// What is restored.
#[derive(Args)]
pub struct Restore {
    /// The folder of a backup.
    folder: PathBuf,
    /// Only look whether the backup is whole and as it was made. Needs no database.
    #[arg(long)]
    check: bool,
    /// As JSON, a line for each database.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    databases: DatabasesArgs,
}

/// Runs `backup`. 0: done; 1: failed, and the folder is no backup; 2: wrong configuration.
pub async fn backup(command: Backup) -> ExitCode {
    let Backup { folder, json, databases } = command;
    let locations = match databases.locations() {
        Ok(locations) => locations,
        Err(code) => return code,
    };
    ended(back_up(&folder, &locations, json).await)
}

async fn back_up(folder: &Path, locations: &Locations, json: bool) -> Result<(), String> {
    backup::make_folder(folder)?;
    let made_at = (Platform::SYSTEM.now)().to_string();
    let mut databases = Vec::new();
    for place in backup::places(locations) {
        let mut progress = Progress::new(format!("{}: bytes", place.name));
        let backed = backup::back_up(&place, folder, |bytes| progress.at(bytes)).await;
        let backed = backed.map_err(|problem| format!("{}: {problem}", place.name))?;
        drop(progress);
        tell(&backed, "backed up", json);
        databases.push(backed);
    }
    Manifest::new(made_at, databases).write(folder)
}

/// Runs `restore`. 0: done; 1: the backup is not whole, a database was in the way, or one was not restored; 2: wrong configuration.
pub async fn restore(command: Restore) -> ExitCode {
    let Restore { folder, check, json, databases } = command;
    let manifest = match checked(&folder, if check { json } else { false }, check).await {
        Ok(manifest) => manifest,
        Err(problem) => return ended(Err(problem)),
    };
    if check {
        return ExitCode::SUCCESS;
    }
    let named = !databases.partners.is_empty();
    let locations = match databases.locations() {
        Ok(locations) => locations,
        Err(code) => return code,
    };
    ended(restore_all(&folder, &manifest, &locations, named, json).await)
}

/// The manifest of a backup whose files are all as they were made.
async fn checked(folder: &Path, json: bool, is_told: bool) -> Result<Manifest, String> {
    let manifest = Manifest::read(folder)?;
    for backed in &manifest.databases {
        backup::check(backed, folder).await.map_err(|problem| format!("{}: {problem}", backed.name))?;
        if is_told {
            tell(backed, "as it was made", json);
        }
    }
    Ok(manifest)
}

/// Restores the databases of these locations. Where partners are named, what all share is restored only where it is missing.
async fn restore_all(
    folder: &Path,
    manifest: &Manifest,
    locations: &Locations,
    named: bool,
    json: bool,
) -> Result<(), String> {
    let mut to_restore: Vec<(&Backed, Place<'_>)> = Vec::new();
    for place in backup::places(locations) {
        let taken = backup::is_taken(&place).await.map_err(|problem| format!("{}: {problem}", place.name))?;
        let backed = manifest.databases.iter().find(|backed| backed.name == place.name);
        match (backed, taken) {
            (None, _) if place.partner.is_none() => {}
            (None, _) => return Err(format!("{} is not in the backup", place.name)),
            (Some(_), true) if place.partner.is_none() && named => {
                eprintln!("{}: is there already, and is left as it is", place.name);
            }
            (Some(_), true) => {
                return Err(format!("{}: there is a database already; nothing was restored", place.name));
            }
            (Some(backed), false) => to_restore.push((backed, place)),
        }
    }
    let known: Vec<_> = backup::places(locations).iter().map(|place| place.name.clone()).collect();
    let left_out = manifest.databases.iter().filter(|backed| !known.contains(&backed.name));
    let left_out: Vec<_> = left_out.map(|backed| backed.name.as_str()).collect();
    if !left_out.is_empty() && !named {
        let left_out = left_out.join(", ");
        return Err(format!(
            "{left_out}: in the backup, and no partner's of this program; nothing was restored (--partner restores some)"
        ));
    }
    for (backed, place) in &to_restore {
        backup::restore(backed, folder, place).await.map_err(|problem| format!("{}: {problem}", place.name))?;
        tell(backed, "restored", json);
    }
    // Into the log that was restored, or is there.
    let details = json!({"made_at": manifest.made_at, "databases": to_restore.len()});
    let shared = Shared::at(locations.shared.clone());
    let noted = shared.note("restore", "backup", &details, &change()?).await;
    shared.close().await;
    noted.map_err(|error| format!("all was restored, and the audit log does not say so: {error}"))
}

fn tell(backed: &Backed, what: &str, json: bool) {
    if json {
        print(&json!({"database": backed.name, "done": what, "file": backed.file, "bytes": backed.bytes, "sums": backed.sums}).to_string());
        return;
    }
    let sum = |name: &str| backed.sums.get(name).map_or("0", String::as_str);
    let rows = match backed.partner {
        Some(_) => format!("{} events, {} conversions", sum("rows.events"), sum("rows.conversions")),
        None => format!("{} credentials, {} entries of the audit log", sum("rows.credentials"), sum("rows.audit_log")),
    };
    print(&format!("{}: {what}: {rows}, {} bytes", backed.name, backed.bytes));
}
