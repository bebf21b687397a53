//! Files that are replaced whole: a power failure leaves the old one or the new one, never an empty one.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

/// Puts a file with these octets in the place of another, by way of a draft in the same folder; gives the new one.
pub(crate) fn replace(path: &Path, draft: &Path, octets: &[u8]) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let mut file = options
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(draft)?;
    // A draft that a crash has left may have been another's.
    file.set_permissions(Permissions::from_mode(0o600))?;
    file.write_all(octets)?;
    // Or the name may be on the disk before what it names is.
    file.sync_data()?;
    std::fs::rename(draft, path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let synced = File::open(folder.unwrap_or(Path::new("."))).and_then(|folder| folder.sync_all());
    // The new file is there; only after a power failure would the old one be back.
    if let Err(error) = synced {
        tracing::warn!(path = %path.display(), %error, "the folder of this file cannot be synced to the disk");
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_nothing_is_left_beside_it() {
        let dir = tempfile::tempdir().expect("a scratch folder");
        let (path, draft) = (dir.path().join("a"), dir.path().join("a.new"));
        std::fs::write(&path, "before").expect("written");
        for text in ["the first", "2"] {
            let file = replace(&path, &draft, text.as_bytes()).expect("replaced");
            assert_eq!(std::fs::read_to_string(&path).expect("there"), text);
            assert_eq!(file.metadata().expect("open").permissions().mode() & 0o777, 0o600);
            assert!(!draft.exists());
            // What a crash has left must not shine through.
            std::fs::write(&draft, "a draft of long ago, which is longer").expect("written");
        }
        std::fs::remove_dir_all(dir.path()).expect("gone");
        assert!(replace(&path, &draft, b"x").is_err());
    }
}
