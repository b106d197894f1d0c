//! Files that commands read: by name, or - for standard input.

use std::fs::File;
use std::io::Read;
use std::path::Path;

/// The text of a file of at most so many bytes.
///
/// # Errors
/// It cannot be read, has more, or is not UTF-8; the file's name stands in front.
pub fn text_of(path: &Path, bytes_max: u64) -> Result<String, String> {
    let told = |problem: String| format!("{}: {problem}", path.display());
    let opened: Result<Box<dyn Read>, _> = if path.as_os_str() == "-" {
        Ok(Box::new(std::io::stdin()))
    } else {
        File::open(path).map(|file| Box::new(file) as Box<dyn Read>)
    };
    let mut bytes = Vec::new();
    opened
        .and_then(|file| file.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes))
        .map_err(|error| told(format!("cannot be read: {error}")))?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > bytes_max) {
        return Err(told(format!("has more than {} MB", bytes_max >> 20)));
    }
    String::from_utf8(bytes).map_err(|_| told("is not UTF-8: save it as CSV UTF-8".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_whole_or_not_at_all() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("a.csv");
        let read = |bytes: &[u8], max: u64| {
            std::fs::write(&path, bytes).unwrap();
            text_of(&path, max)
        };
        assert_eq!(read("ä".as_bytes(), 2), Ok("ä".to_owned()));
        assert!(read(&vec![b'a'; (1 << 20) + 1], 1 << 20).unwrap_err().ends_with("a.csv: has more than 1 MB"));
        assert!(read(b"\xff", 2).unwrap_err().contains("is not UTF-8"));
        assert!(text_of(&folder.path().join("b.csv"), 2).unwrap_err().contains("cannot be read"));
    }
}
