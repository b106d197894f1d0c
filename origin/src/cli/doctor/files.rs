//! What files and folders let whom do.

use rustix::fs::{Access, AtFlags, CWD, accessat};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Whether every user of the machine can read a file: by its own mode and those of the folders that lead to it. None where it
/// cannot be told.
pub fn is_readable_by_all(path: &Path) -> Option<bool> {
    let path = path.canonicalize().ok()?;
    let has = |path: &Path, bits: u32| Some(path.metadata().ok()?.permissions().mode() & bits == bits);
    let mut is_open = has(&path, 0o004)?;
    for folder in path.ancestors().skip(1) {
        is_open = is_open && has(folder, 0o001)?;
    }
    Some(is_open)
}

/// Whether whoever runs this may write a file, or make files in a folder.
///
/// # Errors
/// Why not.
pub fn may_write(path: &Path, is_folder: bool) -> Result<(), std::io::Error> {
    let access = if is_folder { Access::WRITE_OK | Access::EXEC_OK } else { Access::WRITE_OK };
    // By who we are now, not by who started us.
    accessat(CWD, path, access, AtFlags::EACCESS)?;
    Ok(())
}

/// The nearest thing above a path that exists, itself included.
pub fn nearest(path: &Path) -> PathBuf {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    let found = path.ancestors().find(|path| path.symlink_metadata().is_ok());
    match found {
        Some(found) => found.to_owned(),
        None if path.is_absolute() => PathBuf::from("/"),
        None => PathBuf::from("."),
    }
}

/// Who runs this, for messages.
pub fn user() -> String {
    let id = rustix::process::geteuid().as_raw();
    format!("user {id}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{Permissions, create_dir, set_permissions, write};

    #[test]
    fn a_file_is_open_to_all_where_its_folders_are_too() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("folder");
        create_dir(&folder).unwrap();
        let file = folder.join("secret");
        write(&file, "x").unwrap();
        let readable = |file_mode, folder_mode| {
            for (path, mode) in [(&file, file_mode), (&folder, folder_mode), (&root.path().to_owned(), 0o755)] {
                set_permissions(path, Permissions::from_mode(mode)).unwrap();
            }
            is_readable_by_all(&file).unwrap()
        };
        assert!(readable(0o644, 0o755));
        assert!(!readable(0o640, 0o755) && !readable(0o644, 0o750));
        assert_eq!(is_readable_by_all(&folder.join("none")), None);
    }

    #[test]
    fn the_nearest_thing_that_exists_is_found() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(nearest(&root.path().join("a/b")), root.path());
        assert_eq!(nearest(Path::new("none/such")), Path::new("."));
        assert_eq!(nearest(Path::new("")), Path::new("."));
    }
}
