//! The folders of SQLite files: writable, on a disk of this machine with room, and not for everybody.

use super::code::Code;
use super::files::{self, is_readable_by_all, may_write, nearest};
use super::finding::{Checked, Finding};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Below so many bytes a disk counts as full.
const FULL_BYTES: u64 = 64 << 20;
/// What Linux calls file systems of other machines: NFS, SMB, CIFS, SMB 2.
#[cfg(target_os = "linux")]
const NETWORK_FILE_SYSTEMS: [rustix::fs::FsWord; 4] = [0x6969, 0x517b, 0xff53_4d42, 0xfe53_4d42];

/// A folder of SQLite files.
#[derive(Clone, Debug, Default)]
pub struct Folder {
    /// Why no file can be made in it.
    pub not_writable: Option<String>,
    /// Files in it that cannot be written, and why.
    pub files_not_writable: Vec<(PathBuf, String)>,
    /// Files in it that everybody can read.
    pub files_open: Vec<PathBuf>,
    /// Whether it is on another machine.
    pub is_elsewhere: bool,
    /// Bytes that are free; None where that cannot be told.
    pub free_bytes: Option<u64>,
}

/// Looks at each folder of these files.
pub fn look<'p>(paths: impl Iterator<Item = &'p Path>) -> BTreeMap<PathBuf, Folder> {
    let mut folders: BTreeMap<PathBuf, Folder> = BTreeMap::new();
    for path in paths {
        let name = path.parent().unwrap_or(Path::new(".")).to_owned();
        let folder = folders.entry(name.clone()).or_insert_with(|| look_at(&name));
        for ending in ["", "-wal", "-shm"] {
            let mut file = path.as_os_str().to_owned();
            file.push(ending);
            let file = PathBuf::from(file);
            if !file.exists() {
                continue;
            }
            if let Err(error) = may_write(&file, false) {
                folder.files_not_writable.push((file.clone(), error.to_string()));
            }
            if is_readable_by_all(&file) == Some(true) {
                folder.files_open.push(file);
            }
        }
    }
    folders
}

fn look_at(path: &Path) -> Folder {
    // One that is not there yet is made in what is.
    let found = nearest(path);
    let not_writable = match found.metadata() {
        Ok(metadata) if !metadata.is_dir() => Some(format!("{} is no folder", found.display())),
        Ok(_) => may_write(&found, true).err().map(|error| error.to_string()),
        Err(error) => Some(error.to_string()),
    };
    let room = rustix::fs::statvfs(&found).ok().map(|room| room.f_bavail.saturating_mul(room.f_frsize));
    #[cfg(target_os = "linux")]
    let is_elsewhere = rustix::fs::statfs(&found).is_ok_and(|kind| NETWORK_FILE_SYSTEMS.contains(&kind.f_type));
    #[cfg(not(target_os = "linux"))]
    let is_elsewhere = false;
    Folder { not_writable, is_elsewhere, free_bytes: room, ..Folder::default() }
}

/// What is wrong with a folder. `free_bytes_min`: below that the disk is nearly full.
pub fn check(path: &Path, folder: &Folder, is_production: bool, free_bytes_min: u64) -> Checked {
    let free = folder.free_bytes.map_or_else(String::new, |bytes| format!("{} MB free", bytes >> 20));
    Checked::new("files", &path.display().to_string(), free, judge(path, folder, is_production, free_bytes_min))
}

fn judge(path: &Path, folder: &Folder, is_production: bool, free_bytes_min: u64) -> Vec<Finding> {
    let shown = path.display();
    let user = files::user();
    let mut findings = Vec::new();
    if let Some(why) = &folder.not_writable {
        findings.push(Finding::new(
            Code::FolderNotWritable,
            format!("{user} can make no files in {shown}: {why}"),
            format!("make it, owned by whom the origin runs as: sudo install -d -o bytec -m 0700 {shown}; or set DATA_DIR to another folder"),
        ));
    }
    for (file, why) in &folder.files_not_writable {
        let file = file.display();
        findings.push(Finding::new(
            Code::FileNotWritable,
            format!("{user} cannot write {file}: {why}"),
            format!("sudo chown bytec {file} && sudo chmod 600 {file}, with the user that the origin runs as"),
        ));
    }
    if is_production && !folder.files_open.is_empty() {
        let names: Vec<_> = folder.files_open.iter().map(|file| file.display().to_string()).collect();
        findings.push(Finding::new(
            Code::FileReadable,
            format!("every user of this machine can read what partners sent: {}", names.join(", ")),
            format!("sudo chmod 700 {shown}; with systemd: StateDirectoryMode=0700 and UMask=0077"),
        ));
    }
    if folder.is_elsewhere {
        findings.push(Finding::new(
            Code::NetworkFileSystem,
            format!("{shown} is on another machine, where SQLite's locks do not hold"),
            "set DATA_DIR to a folder on a disk of this machine, or DATABASE_URL to a PostgreSQL",
        ));
    }
    let room = |bytes: u64| format!("{} MB are left for {shown}", bytes >> 20);
    match folder.free_bytes {
        Some(bytes) if bytes < FULL_BYTES => findings.push(Finding::new(
            Code::DiskFull,
            room(bytes),
            format!(
                "make room at once (df -h {shown}; journalctl --vacuum-size=200M), or move DATA_DIR to a larger disk"
            ),
        )),
        Some(bytes) if bytes < free_bytes_min => findings.push(Finding::new(
            Code::DiskNearlyFull,
            room(bytes),
            format!(
                "make room, or move DATA_DIR to a larger disk: df -h {shown}; --free-mb-min says how much is enough"
            ),
        )),
        Some(_) | None => {}
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(folder: &Folder, is_production: bool) -> Vec<&'static str> {
        let checked = check(Path::new("data"), folder, is_production, 1 << 30);
        checked.findings.iter().map(|finding| finding.code.name()).collect()
    }

    #[test]
    fn a_folder_has_room_and_is_ours() {
        let good = Folder { free_bytes: Some(2 << 30), ..Folder::default() };
        assert_eq!(codes(&good, true), [""; 0]);
        let bad = Folder {
            not_writable: Some("no".to_owned()),
            files_not_writable: vec![("a".into(), "no".to_owned())],
            files_open: vec!["b".into()],
            is_elsewhere: true,
            free_bytes: Some(1 << 20),
        };
        let all = ["folder_not_writable", "file_not_writable", "network_file_system", "disk_full", "file_readable"];
        assert_eq!(codes(&bad, true), all);
        assert!(!codes(&bad, false).contains(&"file_readable"));
        assert_eq!(codes(&Folder { free_bytes: Some(1 << 29), ..good }, true), ["disk_nearly_full"]);
    }

    #[test]
    fn folders_are_looked_at_where_they_are_and_where_they_would_be() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("file");
        std::fs::write(&file, "").unwrap();
        let paths = [root.path().join("a.sqlite"), root.path().join("none/such/b.sqlite"), file.join("c.sqlite")];
        let folders = look(paths.iter().map(PathBuf::as_path));
        let writable = |path: &Path| folders[path].not_writable.is_none() && folders[path].free_bytes.is_some();
        assert!(writable(root.path()) && writable(&root.path().join("none/such")));
        assert!(folders[&file].not_writable.as_ref().unwrap().ends_with("is no folder"));
    }
}
