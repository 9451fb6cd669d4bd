//! What the library was when it was fetched, noted beside it: so that one that was damaged since is told from a whole one.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

/// The note of `library`.
pub(super) fn note_of(library: &Path) -> PathBuf {
    library.with_added_extension("sha256")
}

/// SHA-256 of a file.
pub(super) fn of(file: &Path) -> io::Result<String> {
    let mut file = File::open(file)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let length = file.read(&mut buffer)?;
        if length == 0 {
            return Ok(hex::encode(hash.finalize()));
        }
        hash.update(&buffer[..length]);
    }
}

/// Whether `library` is as it was fetched. One that nothing is noted of was put there by hand: it is taken as it is, and
/// noted. When it is loaded it tells its version.
pub(super) fn is_whole(library: &Path) -> io::Result<bool> {
    let (note, found) = (note_of(library), of(library)?);
    match std::fs::read_to_string(&note) {
        Ok(noted) => Ok(noted.trim() == found),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // A folder that cannot be written to is no reason to fetch what is there.
            if let Err(error) = std::fs::write(&note, found) {
                tracing::warn!(path = %note.display(), %error, "cannot note what the library is");
            }
            Ok(true)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_is_whole_until_a_byte_of_it_changes() {
        let directory = tempfile::tempdir().unwrap();
        let library = directory.path().join("libchdb.so");
        std::fs::write(&library, b"abc").unwrap();
        // SHA-256 of "abc" (FIPS 180-4, appendix).
        let noted = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\n";
        let note = directory.path().join("libchdb.so.sha256");
        std::fs::write(&note, noted).unwrap();
        assert!(is_whole(&library).unwrap());
        std::fs::write(&library, b"abd").unwrap();
        assert!(!is_whole(&library).unwrap());

        // Nothing is noted: from now on something is.
        std::fs::remove_file(&note).unwrap();
        assert!(is_whole(&library).unwrap());
        std::fs::write(&library, b"abc").unwrap();
        assert!(!is_whole(&library).unwrap());
        std::fs::write(&note, noted).unwrap();
        assert!(is_whole(&library).unwrap());
    }
}
