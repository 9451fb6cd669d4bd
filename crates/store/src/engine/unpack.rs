//! Checks a package's tarball and takes the library out of it.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use base64::Engine as _;
use sha2::{Digest as _, Sha512};

use super::library::FILE_NAME;

/// The library is 566 MB; more than this is not it.
const LIBRARY_BYTES_MAX: u64 = 4 << 30;

/// Called with how many bytes have been read.
pub(super) type OnBytes<'a> = &'a dyn Fn(u64);

/// `sha512-…` of a file, as npm writes it.
pub(super) fn integrity(path: &Path, on_bytes: OnBytes<'_>) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hash = Sha512::new();
    let mut buffer = vec![0; 1 << 20];
    let mut done = 0;
    loop {
        let length = file.read(&mut buffer)?;
        if length == 0 {
            let digest = base64::engine::general_purpose::STANDARD.encode(hash.finalize());
            return Ok(format!("sha512-{digest}"));
        }
        hash.update(&buffer[..length]);
        done += length as u64;
        on_bytes(done);
    }
}

/// What a file given by hand is, by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FileKind {
    Tarball,
    Library,
    Unknown,
}

/// Looks at the first bytes: gzip, or a shared library (ELF, Mach-O).
pub(super) fn kind(path: &Path) -> io::Result<FileKind> {
    let mut magic = [0; 4];
    let mut file = File::open(path)?;
    if let Err(error) = file.read_exact(&mut magic) {
        return if error.kind() == io::ErrorKind::UnexpectedEof { Ok(FileKind::Unknown) } else { Err(error) };
    }
    Ok(match magic {
        [0x1f, 0x8b, ..] => FileKind::Tarball,
        [0x7f, b'E', b'L', b'F'] | [0xcf, 0xfa, 0xed, 0xfe] | [0xca, 0xfe, 0xba, 0xbe] => FileKind::Library,
        _ => FileKind::Unknown,
    })
}

/// Writes the tarball's library to `target`. `Ok(false)`: there is none in it.
pub(super) fn extract(tarball: &Path, target: &mut File, on_bytes: OnBytes<'_>) -> io::Result<bool> {
    let counted = Counted { inner: File::open(tarball)?, done: 0, on_bytes };
    let mut archive =
        tar::Archive::new(flate2::read::GzDecoder::new(BufReader::with_capacity(1 << 20, counted)));
    for entry in archive.entries()? {
        let mut entry = entry?;
        let is_library = entry.header().entry_type().is_file()
            && entry.path()?.file_name().is_some_and(|name| name == FILE_NAME);
        if is_library {
            copy_limited(&mut entry, target)?;
            return Ok(true);
        }
    }
    Ok(false)
}

/// Copies the library, but not without end.
pub(super) fn copy_limited(source: &mut dyn Read, target: &mut File) -> io::Result<()> {
    let copied = io::copy(&mut source.take(LIBRARY_BYTES_MAX), target)?;
    if copied == LIBRARY_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "larger than any engine library"));
    }
    Ok(())
}

struct Counted<'a, R> {
    inner: R,
    done: u64,
    on_bytes: OnBytes<'a>,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        self.done += length as u64;
        (self.on_bytes)(self.done);
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tarball(name: &str, content: &[u8]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        let gzip = flate2::write::GzEncoder::new(file.reopen().unwrap(), flate2::Compression::fast());
        let mut archive = tar::Builder::new(gzip);
        for (name, content) in [("package/index.js", b"x".as_slice()), (name, content)] {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_cksum();
            archive.append_data(&mut header, name, content).unwrap();
        }
        archive.into_inner().unwrap().finish().unwrap();
        file
    }

    #[test]
    fn only_the_library_is_taken_out_of_a_package() {
        let package = tarball("package/libchdb.so", b"\x7fELF and more");
        let target = tempfile::NamedTempFile::new().unwrap();
        assert!(extract(package.path(), &mut target.reopen().unwrap(), &|_| ()).unwrap());
        assert_eq!(std::fs::read(target.path()).unwrap(), b"\x7fELF and more");
        assert_eq!(kind(package.path()).unwrap(), FileKind::Tarball);
        assert_eq!(kind(target.path()).unwrap(), FileKind::Library);
    }

    #[test]
    fn a_package_without_the_library_or_cut_short_is_told() {
        let target = tempfile::NamedTempFile::new().unwrap();
        let other = tarball("package/other.so", b"x");
        assert!(!extract(other.path(), &mut target.reopen().unwrap(), &|_| ()).unwrap());
        let whole = std::fs::read(tarball("package/libchdb.so", &vec![7; 100_000]).path()).unwrap();
        let cut = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(cut.path(), &whole[..whole.len() / 2]).unwrap();
        assert!(extract(cut.path(), &mut target.reopen().unwrap(), &|_| ()).is_err());
    }

    #[test]
    fn integrity_is_written_as_npm_writes_it() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"abc").unwrap();
        // SHA-512 of "abc" (FIPS 180-4, appendix), in base64.
        let expected =
            "sha512-3a81oZNherrMQXNJriBBMRLm+k6JqX6iCp7u5ktV05ohkpkqJ0/BqDa6PCOj/uu9RU1EI2Q86A4qmslPpUyknw==";
        assert_eq!(integrity(file.path(), &|_| ()).unwrap(), expected);
    }
}
