//! Backups of the databases (R59): a file for each, taken while postbacks go on coming, and a manifest with what each comes to. The
//! sums are those of the very snapshot that is in the file, so that whoever restores it sees whether all of it is there.
//!
//! SQLite writes its own copy (`vacuum into`); of PostgreSQL its own programs make and read the file (`pg_dump`, `pg_restore`),
//! because that format is read by every later version. D1 is Cloudflare's to back up: docs/operations.md.

mod manifest;
mod sums;
mod sqlite;
mod postgres;

pub use manifest::{Backed, Manifest};
pub use sums::{Sums, differences};

use crate::config::Locations;
use crate::shared;
use crate::store::location::Location;
use std::fs::{DirBuilder, File, Permissions};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

/// A database, and the partner whose it is; none for the one that all share.
pub struct Place<'a> {
    /// The partner's code.
    pub partner: Option<&'a str>,
    /// The database's name.
    pub name: String,
    /// Where it is.
    pub location: &'a Location,
}

/// The databases of these locations, the shared one first.
pub fn places(locations: &Locations) -> Vec<Place<'_>> {
    let shared = Place { partner: None, name: shared::NAME.to_owned(), location: &locations.shared };
    let partners = locations.partners.iter().map(|(code, location)| Place {
        partner: Some(code),
        name: location.name().to_owned(),
        location,
    });
    std::iter::once(shared).chain(partners).collect()
}

/// Makes the folder of a backup, for its owner alone: it holds personal data.
///
/// # Errors
/// It cannot be made, or there is something in it.
pub fn make_folder(folder: &Path) -> Result<(), String> {
    let told = |error: std::io::Error| format!("{}: {error}", folder.display());
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(told)?;
    // It may have been there before.
    std::fs::set_permissions(folder, Permissions::from_mode(0o700)).map_err(told)?;
    match folder.read_dir().map_err(told)?.next() {
        None => Ok(()),
        Some(_) => Err(format!("{} is not empty; a backup has a folder of its own", folder.display())),
    }
}

/// Backs one database up into a folder. `progress` hears how many bytes are written.
///
/// # Errors
/// It was not backed up.
pub async fn back_up(place: &Place<'_>, folder: &Path, progress: impl FnMut(u64)) -> Result<Backed, String> {
    let (kind, extension) = match place.location {
        Location::Sqlite(_) => ("sqlite", "sqlite"),
        Location::Postgres(_) => ("postgres", "dump"),
        Location::D1 { .. } => return Err("D1 is backed up by wrangler: docs/operations.md".to_owned()),
    };
    let file = format!("{}.{extension}", place.name);
    let path = folder.join(&file);
    let sums = match place.location {
        Location::Sqlite(from) => sqlite::back_up(from, &path, progress).await?,
        Location::Postgres(options) => postgres::back_up(options, &path, progress).await?,
        Location::D1 { .. } => Sums::new(),
    };
    let told = |error: std::io::Error| format!("{}: {error}", path.display());
    File::open(&path).and_then(|file| file.sync_all()).map_err(told)?;
    let (bytes, sha256) = manifest::measured(&path)?;
    let partner = place.partner.map(str::to_owned);
    Ok(Backed { name: place.name.clone(), partner, kind: kind.to_owned(), file, bytes, sha256, sums })
}

/// Looks whether a file of a backup is as it was made: its length and digest, whether it can be read as what it is, and for SQLite
/// whether it comes to what the manifest says.
///
/// # Errors
/// What is wrong with it.
pub async fn check(backed: &Backed, folder: &Path) -> Result<(), String> {
    let path = folder.join(&backed.file);
    let (bytes, sha256) = manifest::measured(&path)?;
    if bytes != backed.bytes {
        return Err(format!("{} has {bytes} bytes, and had {} when it was made", backed.file, backed.bytes));
    }
    if sha256 != backed.sha256 {
        return Err(format!("{} is not as it was made: its SHA-256 is another", backed.file));
    }
    match backed.kind.as_str() {
        "sqlite" => agree(&backed.sums, &sqlite::check(&path).await?),
        "postgres" => postgres::check(&path).await,
        kind => Err(format!("{kind} is no kind of database that this program restores")),
    }
}

/// Restores a database from a file that was checked. The database must be missing or without tables.
///
/// # Errors
/// It was not restored, or what was restored does not come to what was backed up: then SQLite has no file, and PostgreSQL's database
/// has to be dropped.
pub async fn restore(backed: &Backed, folder: &Path, place: &Place<'_>) -> Result<(), String> {
    let path = folder.join(&backed.file);
    match (place.location, backed.kind.as_str()) {
        (Location::Sqlite(to), "sqlite") => sqlite::restore(&path, to, &backed.sums).await,
        (Location::Postgres(options), "postgres") => agree(&backed.sums, &postgres::restore(&path, options).await?),
        (location, kind) => Err(format!("the backup is of {kind}, and the database is to be {}", location.kind())),
    }
}

/// Whether there is a database at a place that has anything in it.
///
/// # Errors
/// That cannot be said.
pub async fn is_taken(place: &Place<'_>) -> Result<bool, String> {
    match place.location {
        Location::Sqlite(path) => Ok(sqlite::is_taken(path)),
        Location::Postgres(options) => postgres::is_taken(options).await,
        Location::D1 { .. } => Err("D1 is restored by wrangler: docs/operations.md".to_owned()),
    }
}

fn agree(backed: &Sums, found: &Sums) -> Result<(), String> {
    let differences = differences(backed, found);
    if differences.is_empty() {
        Ok(())
    } else {
        Err(format!("it does not come to the same: {}", differences.join("; ")))
    }
}
