//! Identity and permissions of files. A checkpoint is identified by device and inode, so that its
//! deletion or replacement under a running host node is noticed.

use std::fs::{File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The mode of the file. It is private, as it holds dead letters and URLs with passwords.
const PRIVATE: u32 = 0o600;

/// The identity of a file, independent of its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileIdentity {
    device: u64,
    inode: u64,
}

impl FileIdentity {
    /// Identifies the file at `path`; `None` if there is none.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(path).ok()?;
        Some(Self { device: metadata.dev(), inode: metadata.ino() })
    }

    /// Creates the file if it is missing, and removes the access of group and others.
    pub(crate) fn make_private(path: &Path) -> io::Result<()> {
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false).mode(PRIVATE);
        let file: File = options.open(path)?;
        if file.metadata()?.mode() & 0o077 != 0 {
            // A file of another user that is writable here keeps its mode.
            let _ = file.set_permissions(Permissions::from_mode(PRIVATE));
        }
        Ok(())
    }
}

/// A path next to the file, with a suffix for this kind.
pub(crate) fn beside(path: &Path, kind: &str, now: u64) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{kind}-{now}"));
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_that_others_could_read_is_made_private_and_keeps_its_content() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, "content").unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        FileIdentity::make_private(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, PRIVATE);
        assert_eq!(std::fs::read(&path).unwrap(), b"content");
    }

    #[test]
    fn file_that_is_missing_is_made_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        FileIdentity::make_private(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, PRIVATE);
    }

    #[test]
    fn file_replaced_at_its_path_has_another_identity() {
        let dir = tempfile::tempdir().unwrap();
        let (path, other) = (dir.path().join("file"), dir.path().join("other"));
        std::fs::write(&path, "one").unwrap();
        std::fs::write(&other, "two").unwrap();
        let before = FileIdentity::of(&path);
        std::fs::rename(&other, &path).unwrap();
        assert_ne!(FileIdentity::of(&path), before);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(FileIdentity::of(&path), None);
    }
}
