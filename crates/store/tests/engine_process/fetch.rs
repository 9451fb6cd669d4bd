//! Getting the library: from a file, offline, and the ways it can go wrong. The download itself is what
//! `make test` does first; no test repeats it.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use store::engine::{FetchError, FetchSource, fetch};

use super::harness::{BINARY, library};

/// Runs a fetch where no npm can be found.
fn fetch_without_npm(directory: &Path) -> Output {
    Command::new(BINARY).arg("fetch").arg(directory).env("PATH", "/nonexistent").output().unwrap()
}

fn is_clean(directory: &Path) -> bool {
    std::fs::read_dir(directory).unwrap().next().is_none()
}

#[test]
fn a_library_at_hand_is_taken_in_and_found_again_offline() {
    let directory = tempfile::tempdir().unwrap();
    let path = fetch(directory.path(), &FetchSource::File(library())).unwrap();
    assert_eq!(path, directory.path().join("libchdb.so"));
    assert_eq!(std::fs::metadata(&path).unwrap().len(), std::fs::metadata(library()).unwrap().len());
    let left = || std::fs::read_dir(directory.path()).unwrap().count();
    assert_eq!(left(), 2, "the library, and what it is");
    let output = fetch_without_npm(directory.path());
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), path.to_str().unwrap());

    // Put there by hand, without a note: it is kept, and noted.
    std::fs::remove_file(path.with_added_extension("sha256")).unwrap();
    assert!(fetch_without_npm(directory.path()).status.success());
    assert_eq!(left(), 2);

    // Cut short since: it is not taken for the library any more.
    std::fs::File::options().write(true).open(&path).unwrap().set_len(1_000).unwrap();
    let error = String::from_utf8(fetch_without_npm(directory.path()).stderr).unwrap();
    assert!(error.contains("npm is not installed"), "{error}");
    fetch(directory.path(), &FetchSource::File(library())).unwrap();
    assert!(fetch_without_npm(directory.path()).status.success());
    assert_eq!(left(), 2);
}

#[test]
fn what_a_killed_fetch_left_behind_is_removed_and_what_runs_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let (old, new) = (directory.path().join(".fetch-old"), directory.path().join(".fetch-new"));
    for scratch in [&old, &new] {
        std::fs::create_dir(scratch).unwrap();
        std::fs::write(scratch.join("libchdb.so"), "half").unwrap();
    }
    let an_hour_ago = std::fs::metadata(&old).unwrap().modified().unwrap() - Duration::from_secs(3_700);
    std::fs::File::open(&old).unwrap().set_modified(an_hour_ago).unwrap();
    assert!(!fetch_without_npm(directory.path()).status.success());
    assert!(!old.exists() && new.exists());
}

#[test]
fn without_npm_the_error_says_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let output = fetch_without_npm(directory.path());
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("npm is not installed") && error.contains("--from FILE"), "{error}");
    assert!(is_clean(directory.path()));
}

#[test]
fn a_tarball_that_is_not_the_pinned_one_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let given = tempfile::tempdir().unwrap();
    let tarball = given.path().join("package.tgz");
    let mut archive = tar::Builder::new(flate2::write::GzEncoder::new(
        std::fs::File::create(&tarball).unwrap(),
        flate2::Compression::fast(),
    ));
    let mut header = tar::Header::new_gnu();
    header.set_size(4);
    header.set_cksum();
    archive.append_data(&mut header, "package/libchdb.so", b"\x7fELF".as_slice()).unwrap();
    archive.into_inner().unwrap().finish().unwrap();
    let whole = std::fs::read(&tarball).unwrap();
    for content in [whole.as_slice(), &whole[..whole.len() / 2]] {
        std::fs::write(&tarball, content).unwrap();
        let error = fetch(directory.path(), &FetchSource::File(tarball.clone())).unwrap_err();
        assert!(matches!(error, FetchError::Integrity { .. }), "{error}");
        assert!(is_clean(directory.path()));
    }
}

#[test]
fn a_file_of_another_kind_is_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let given = tempfile::tempdir().unwrap();
    for content in [b"<html>".as_slice(), b"", b"xy"] {
        let file = given.path().join("library");
        std::fs::write(&file, content).unwrap();
        let error = fetch(directory.path(), &FetchSource::File(file.clone())).unwrap_err();
        assert!(matches!(error, FetchError::NoLibrary { .. }), "{error}");
        assert!(error.to_string().contains(file.to_str().unwrap()), "{error}");
        assert!(is_clean(directory.path()));
    }
}
