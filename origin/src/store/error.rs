//! Why nothing was recorded.

use std::fmt;

/// Why nothing was recorded.
#[derive(Clone, Debug)]
pub enum StoreError {
    /// The database cannot be reached or is too busy: later it may work.
    Unavailable(String),
    /// The database refused what we asked: our mistake.
    Bug(String),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::Unavailable(reason) => write!(f, "the database is not available: {reason}"),
            StoreError::Bug(reason) => write!(f, "the database refused: {reason}"),
        }
    }
}

impl std::error::Error for StoreError {}

#[cfg(not(target_family = "wasm"))]
impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let our_mistake = match error.as_database_error() {
            Some(refusal) => !may_pass(refusal),
            None => matches!(
                error,
                sqlx::Error::ColumnDecode { .. }
                    | sqlx::Error::ColumnNotFound(_)
                    | sqlx::Error::TypeNotFound { .. }
                    | sqlx::Error::Encode(_)
                    | sqlx::Error::Decode(_)
            ),
        };
        if our_mistake { StoreError::Bug(error.to_string()) } else { StoreError::Unavailable(error.to_string()) }
    }
}

#[cfg(not(target_family = "wasm"))]
impl From<sqlx::migrate::MigrateError> for StoreError {
    fn from(error: sqlx::migrate::MigrateError) -> Self {
        use sqlx::migrate::MigrateError::{Execute, ExecuteMigration};
        if let Execute(error) | ExecuteMigration(error, _) = error {
            error.into()
        } else {
            StoreError::Bug(error.to_string())
        }
    }
}

/// Whether a refusal by the database is one that time can mend: locks, shutdown, resources; not constraints or syntax.
#[cfg(not(target_family = "wasm"))]
fn may_pass(refusal: &dyn sqlx::error::DatabaseError) -> bool {
    let code = refusal.code().unwrap_or_default();
    if refusal.try_downcast_ref::<sqlx::postgres::PgDatabaseError>().is_some() {
        // A right that is missing can be granted, a standby promoted. Classes of SQLSTATE: connection, no such database
        // yet, transaction rollback (deadlock), resources, lock not available, operator intervention (shutdown,
        // statement timeout), system error.
        return ["42501", "25006", "08", "28", "3D", "40", "53", "55", "57", "58"]
            .iter()
            .any(|class| code.starts_with(class));
    }
    // SQLite: busy, locked, no memory, read-only, input/output, full, cannot open, by the primary code.
    let primary = code.parse::<u32>().map(|code| code & 0xff);
    matches!(primary, Ok(5 | 6 | 7 | 8 | 10 | 13 | 14))
}
