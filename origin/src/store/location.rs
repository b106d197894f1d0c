//! Where each partner's database is: one URL for all, or one of a partner's own (R45).

use super::d1::D1;
#[cfg(not(target_family = "wasm"))]
use sqlx::postgres::PgConnectOptions;
use std::fmt;
#[cfg(not(target_family = "wasm"))]
use std::path::{Path, PathBuf};
#[cfg(not(target_family = "wasm"))]
use std::str::FromStr;

/// The place of one partner's database.
#[derive(Clone)]
pub enum Location {
    /// A database of a PostgreSQL server.
    #[cfg(not(target_family = "wasm"))]
    Postgres(Box<PgConnectOptions>),
    /// A file.
    #[cfg(not(target_family = "wasm"))]
    Sqlite(PathBuf),
    /// A D1 database.
    D1 {
        /// Its name, as the partner's file has it.
        name: String,
        /// The way to it.
        way: D1,
    },
}

impl Location {
    /// The database `name` at a base URL: `postgres://user:password@host/any` (the database part is replaced by `name`)
    /// or `sqlite:folder` (the file is `folder/name.sqlite`).
    ///
    /// # Errors
    /// What is wrong with the URL, without showing it: it may hold a password.
    #[cfg(not(target_family = "wasm"))]
    pub fn within(base_url: &str, name: &str) -> Result<Location, &'static str> {
        if base_url.starts_with("postgres://") || base_url.starts_with("postgresql://") {
            let options = PgConnectOptions::from_str(base_url).map_err(|_| "is not a valid postgres:// URL")?;
            return Ok(Location::Postgres(Box::new(options.database(name))));
        }
        match base_url.strip_prefix("sqlite:") {
            Some(folder) => {
                let folder = folder.strip_prefix("//").unwrap_or(folder);
                if folder.is_empty() || folder.contains('?') {
                    return Err("must name a folder behind sqlite:, such as sqlite:data");
                }
                Ok(Location::Sqlite(Path::new(folder).join(format!("{name}.sqlite"))))
            }
            None => Err("must begin with postgres:// or sqlite:"),
        }
    }

    /// The kind of database, for people.
    pub fn kind(&self) -> &'static str {
        match self {
            #[cfg(not(target_family = "wasm"))]
            Location::Postgres(_) => "postgres",
            #[cfg(not(target_family = "wasm"))]
            Location::Sqlite(_) => "sqlite",
            Location::D1 { .. } => "d1",
        }
    }

    /// The database's name, as the partner's file has it.
    pub fn name(&self) -> &str {
        match self {
            #[cfg(not(target_family = "wasm"))]
            Location::Postgres(options) => options.get_database().unwrap_or_default(),
            #[cfg(not(target_family = "wasm"))]
            Location::Sqlite(path) => path.file_stem().and_then(|name| name.to_str()).unwrap_or_default(),
            Location::D1 { name, .. } => name,
        }
    }
}

/// Without the password.
impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            #[cfg(not(target_family = "wasm"))]
            Location::Postgres(options) => {
                write!(
                    f,
                    "postgres at {}:{}, {}",
                    options.get_host(),
                    options.get_port(),
                    options.get_database().unwrap_or("")
                )
            }
            #[cfg(not(target_family = "wasm"))]
            Location::Sqlite(path) => write!(f, "sqlite at {}", path.display()),
            Location::D1 { name, .. } => write!(f, "d1, {name}"),
        }
    }
}

#[cfg(all(test, not(target_family = "wasm")))]
mod tests {
    use super::*;

    #[test]
    fn every_partner_gets_its_own_database_under_one_url() {
        let shown = |url: &str| format!("{:?}", Location::within(url, "rector_db").unwrap());
        assert_eq!(shown("sqlite:data"), "sqlite at data/rector_db.sqlite");
        assert_eq!(shown("sqlite:///var/lib/bytec"), "sqlite at /var/lib/bytec/rector_db.sqlite");
        assert_eq!(shown("postgres://u:geheim@db.example:5433/postgres"), "postgres at db.example:5433, rector_db");
        for url in ["sqlite:data", "postgres://u:geheim@db.example/postgres"] {
            assert_eq!(Location::within(url, "rector_db").unwrap().name(), "rector_db");
        }
    }

    #[test]
    fn a_wrong_url_is_refused_without_being_shown() {
        for url in ["", "mysql://u:geheim@h/d", "sqlite:", "postgres://u:geheim@h:notaport/d"] {
            let problem = Location::within(url, "rector_db").unwrap_err();
            assert!(!problem.contains("geheim"), "{problem}");
        }
    }
}
