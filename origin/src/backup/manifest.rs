//! The manifest of a backup.

use super::sums::Sums;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

/// The file in a backup's folder.
const FILE: &str = "manifest.json";
/// What it is, and in which version.
const FORMAT: &str = "bytec-backup-1";
/// Bytes of a manifest at most.
const BYTES_MAX: u64 = 16 << 20;

/// Bytes of a file that are read at once.
const BUFFER_BYTES: usize = 1 << 17;

/// What is in a backup. It is written last: a folder without one is no backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    format: String,
    /// When the backup was begun.
    pub made_at: String,
    /// The version of the program that made it.
    pub program: String,
    /// The databases.
    pub databases: Vec<Backed>,
    /// SHA-256 of all of this, the digest itself empty.
    digest: String,
}

/// A database in a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backed {
    /// Its name.
    pub name: String,
    /// The code of the partner whose it is; none of the one that all share.
    pub partner: Option<String>,
    /// `sqlite` or `postgres`.
    pub kind: String,
    /// The file's name.
    pub file: String,
    /// The file's length.
    pub bytes: u64,
    /// The file's digest.
    pub sha256: String,
    /// What the database came to.
    pub sums: Sums,
}

impl Manifest {
    /// The manifest of these databases.
    pub fn new(made_at: String, databases: Vec<Backed>) -> Manifest {
        let program = env!("CARGO_PKG_VERSION").to_owned();
        let manifest = Manifest { format: FORMAT.to_owned(), made_at, program, databases, digest: String::new() };
        Manifest { digest: manifest.own_digest(), ..manifest }
    }

    /// Writes it into a backup's folder.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, folder: &Path) -> Result<(), String> {
        let path = folder.join(FILE);
        let text = serde_json::to_string_pretty(self).map_err(|error| error.to_string())?;
        let written = File::create_new(&path).and_then(|mut file| {
            writeln!(file, "{text}")?;
            file.sync_all()
        });
        let synced = written.and_then(|()| File::open(folder)?.sync_all());
        synced.map_err(|error| format!("{}: {error}", path.display()))
    }

    /// Reads the manifest of a backup.
    ///
    /// # Errors
    /// There is none, or it is not as it was written.
    pub fn read(folder: &Path) -> Result<Manifest, String> {
        let path = folder.join(FILE);
        let mut text = String::new();
        let read = File::open(&path).and_then(|file| file.take(BYTES_MAX).read_to_string(&mut text));
        read.map_err(|error| format!("{}: {error}; a folder without a manifest is no backup", path.display()))?;
        let manifest: Manifest =
            serde_json::from_str(&text).map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
        if manifest.format != FORMAT {
            return Err(format!(
                "{} is of the format {:?}, which this program does not know",
                path.display(),
                manifest.format
            ));
        }
        // A file's name from there is opened: it must lead nowhere else.
        let is_plain =
            |backed: &Backed| backed.file.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._".contains(&byte));
        let is_whole = manifest.own_digest() == manifest.digest && manifest.databases.iter().all(is_plain);
        if is_whole { Ok(manifest) } else { Err(format!("{} is not as it was written", path.display())) }
    }

    fn own_digest(&self) -> String {
        let bare = Manifest { digest: String::new(), ..self.clone() };
        hex::encode(Sha256::digest(serde_json::to_string(&bare).unwrap_or_default()))
    }
}

/// A file's length and digest.
pub(super) fn measured(path: &Path) -> Result<(u64, String), String> {
    let measure = || {
        let (mut file, mut digest, mut bytes) = (File::open(path)?, Sha256::new(), 0_u64);
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok((bytes, hex::encode(digest.finalize()))),
                count => {
                    digest.update(buffer.get(..count).unwrap_or_default());
                    bytes = bytes.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
                }
            }
        }
    };
    measure().map_err(|error: std::io::Error| format!("{}: {error}", path.display()))
}
