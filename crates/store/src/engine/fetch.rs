//! Gets the engine's library, once: from the npm registry by the ordinary npm client, or from a file at
//! hand. Checked against the integrity pinned in this program, and moved into place in one step.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::digest;
use super::library::{FILE_NAME, LIBRARY_VARIABLE, LIBRARY_VERSION, Package, package};
use super::progress::Progress;
use super::unpack::{self, FileKind};

/// How often the download is looked at.
const LOOK: Duration = Duration::from_millis(200);
/// npm is given up after this long without a new byte.
const SILENCE_MAX: Duration = Duration::from_mins(3);

const SCRATCH_PREFIX: &str = ".fetch-";
/// Nobody works any more in a scratch directory that nothing was put into for so long.
const SCRATCH_AGE_MAX: Duration = Duration::from_hours(1);

/// Where the library comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FetchSource {
    /// The npm registry npm is configured for.
    Npm,
    /// A package tarball or a library already at hand.
    File(PathBuf),
}

/// Why the library could not be fetched. Nothing is left behind in the directory.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// There is no engine for this machine.
    #[error(
        "there is no embedded engine for {} on {}: use a ClickHouse server (`[store] kind = \"clickhouse\"`), or \
         set {LIBRARY_VARIABLE} to a library built for it",
        std::env::consts::OS,
        std::env::consts::ARCH
    )]
    Platform,
    /// npm is not installed.
    #[error("npm is not installed: install Node.js with npm, or give the package at hand with `--from FILE`")]
    NpmMissing,
    /// npm could not reach its registry.
    #[error(
        "npm cannot reach its registry: connect, set npm's proxy or registry, or use `--from FILE`: {output}"
    )]
    Network {
        /// The end of npm's own output.
        output: String,
    },
    /// npm failed otherwise.
    #[error("`npm pack {package}` failed: {output}")]
    Npm {
        /// Package and version asked for.
        package: String,
        /// The end of npm's own output.
        output: String,
    },
    /// Nothing arrived for a long time.
    #[error("nothing arrived from the npm registry for {} s: try again, or use `--from FILE`", SILENCE_MAX.as_secs())]
    Silent,
    /// Damaged, cut short, or not what it claims to be.
    #[error(
        "{} is not the expected package: its checksum is {found}, expected {expected}; fetch it again",
        path.display()
    )]
    Integrity {
        /// The checked file.
        path: PathBuf,
        /// What it has.
        found: String,
        /// What is pinned.
        expected: String,
    },
    /// No library in it, or not a package at all.
    #[error("{} holds no {FILE_NAME}: give the package's tarball or the library itself", path.display())]
    NoLibrary {
        /// The given file.
        path: PathBuf,
    },
    /// The disk is full.
    #[error("there is no space left for the engine in {}: it needs 800 MB while fetching, 570 MB after", path.display())]
    NoSpace {
        /// The directory.
        path: PathBuf,
    },
    /// Another file error.
    #[error("cannot store the engine in {}", path.display())]
    File {
        /// The file or directory.
        path: PathBuf,
        /// What the operating system says.
        #[source]
        source: io::Error,
    },
}

/// Puts the library into `directory` and returns its path. One that is already there is kept, if it is whole.
/// Shows progress on a terminal, and logs otherwise. Blocks until done.
pub fn fetch(directory: &Path, source: &FetchSource) -> Result<PathBuf, FetchError> {
    let target = directory.join(FILE_NAME);
    remove_stale_scratch(directory);
    if target.is_file() && *source == FetchSource::Npm {
        if digest::is_whole(&target).map_err(|e| file_error(&target, e))? {
            return Ok(target);
        }
        tracing::warn!(path = %target.display(), "the library is not as it was fetched: fetching it again");
    }
    let package = package().ok_or(FetchError::Platform)?;
    let file_error = |source| file_error(directory, source);
    std::fs::create_dir_all(directory).map_err(file_error)?;
    // Beside the target, so that the last step is a rename on one file system. Removed when dropped.
    let scratch =
        tempfile::Builder::new().prefix(SCRATCH_PREFIX).tempdir_in(directory).map_err(file_error)?;
    let fresh = scratch.path().join(FILE_NAME);
    match source {
        FetchSource::Npm => {
            let tarball = download(package, scratch.path())?;
            check_and_extract(package, &tarball, &fresh)?;
        }
        FetchSource::File(path) => match unpack::kind(path).map_err(|e| self::file_error(path, e))? {
            FileKind::Tarball => check_and_extract(package, path, &fresh)?,
            FileKind::Library => {
                let mut library = File::open(path).map_err(|e| self::file_error(path, e))?;
                let mut fresh = File::create(&fresh).map_err(file_error)?;
                unpack::copy_limited(&mut library, &mut fresh).map_err(file_error)?;
            }
            FileKind::Unknown => return Err(FetchError::NoLibrary { path: path.clone() }),
        },
    }
    File::open(&fresh).and_then(|file| file.sync_all()).map_err(file_error)?;
    let note = digest::note_of(&fresh);
    std::fs::write(&note, digest::of(&fresh).map_err(file_error)?).map_err(file_error)?;
    // The note goes first: an end between the two leaves one that fits no library, and a library that is fetched again.
    std::fs::rename(&note, digest::note_of(&target)).map_err(file_error)?;
    std::fs::rename(&fresh, &target).map_err(file_error)?;
    tracing::info!(path = %target.display(), "the embedded engine's library is in place");
    Ok(target)
}

/// A fetch that was killed leaves up to 800 MB behind. What cannot be removed is in nobody's way.
fn remove_stale_scratch(directory: &Path) {
    for entry in std::fs::read_dir(directory).into_iter().flatten().filter_map(Result::ok) {
        let age = entry.metadata().and_then(|metadata| metadata.modified()).map(|changed| changed.elapsed());
        let is_old = age.is_ok_and(|age| age.is_ok_and(|age| age > SCRATCH_AGE_MAX));
        if is_old && entry.file_name().to_string_lossy().starts_with(SCRATCH_PREFIX) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

fn check_and_extract(package: Package, tarball: &Path, fresh: &Path) -> Result<(), FetchError> {
    let bytes = std::fs::metadata(tarball).map_err(|e| file_error(tarball, e))?.len();
    let progress = Progress::new("checking", Some(bytes));
    let found = unpack::integrity(tarball, progress.on_bytes()).map_err(|e| file_error(tarball, e))?;
    match package.integrity {
        Some(expected) if found != expected => {
            return Err(FetchError::Integrity {
                path: tarball.to_owned(),
                found,
                expected: expected.to_owned(),
            });
        }
        Some(_) => {}
        None => tracing::warn!(
            integrity = found,
            package = package.name,
            "no checksum is pinned for this platform: relying on npm's own check against its registry"
        ),
    }
    let progress = Progress::new("unpacking", Some(bytes));
    let mut target = File::create(fresh).map_err(|e| file_error(fresh, e))?;
    let has_library =
        unpack::extract(tarball, &mut target, progress.on_bytes()).map_err(|e| file_error(fresh, e))?;
    if has_library { Ok(()) } else { Err(FetchError::NoLibrary { path: tarball.to_owned() }) }
}

/// Lets npm download the package into `scratch` and returns the tarball.
fn download(package: Package, scratch: &Path) -> Result<PathBuf, FetchError> {
    let spec = format!("{}@{LIBRARY_VERSION}", package.name);
    let cache = scratch.join("cache");
    let errors = scratch.join("npm-errors");
    let stderr = File::create(&errors).map_err(|e| file_error(scratch, e))?;
    tracing::info!(package = spec, "fetching the embedded engine with npm, once");
    let child = Command::new("npm")
        .args(["pack", &spec, "--loglevel=error", "--no-update-notifier", "--fetch-retries=2"])
        // npm would wait more than a minute before it admits that there is no network.
        .args(["--fetch-retry-mintimeout=1000", "--fetch-retry-maxtimeout=5000"])
        .arg("--pack-destination")
        .arg(scratch)
        .arg("--cache")
        .arg(&cache)
        .current_dir(scratch)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(stderr)
        .spawn();
    let child = match child {
        Ok(child) => child,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(FetchError::NpmMissing),
        Err(error) => return Err(file_error(Path::new("npm"), error)),
    };
    if !wait(child, &cache, package.bytes)? {
        return Err(npm_failed(&spec, &errors, scratch));
    }
    let tarball = std::fs::read_dir(scratch)
        .map_err(|e| file_error(scratch, e))?
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "tgz"));
    tarball.ok_or_else(|| npm_failed(&spec, &errors, scratch))
}

/// Waits for npm, showing how much has arrived in its cache. Whether it succeeded.
fn wait(mut child: Child, cache: &Path, bytes: Option<u64>) -> Result<bool, FetchError> {
    let progress = Progress::new("fetching", bytes);
    let (mut last, mut silent) = (0, Duration::ZERO);
    loop {
        if let Some(status) = child.try_wait().map_err(|e| file_error(Path::new("npm"), e))? {
            return Ok(status.success());
        }
        let arrived = size_of_tree(cache);
        progress.on_bytes()(arrived);
        silent = if arrived > last { Duration::ZERO } else { silent + LOOK };
        last = arrived;
        if silent >= SILENCE_MAX {
            // Already gone is as good.
            let _ = child.kill();
            let _ = child.wait();
            return Err(FetchError::Silent);
        }
        std::thread::sleep(LOOK);
    }
}

/// A directory npm is writing to: what vanishes while we look counts as nothing.
fn size_of_tree(directory: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(directory) else { return 0 };
    entries
        .filter_map(Result::ok)
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => size_of_tree(&entry.path()),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        })
        .sum()
}

/// Sorts npm's failure by the codes in its output.
fn npm_failed(spec: &str, errors: &Path, scratch: &Path) -> FetchError {
    const NETWORK: [&str; 8] = [
        "ENOTFOUND",
        "EAI_AGAIN",
        "ECONNREFUSED",
        "ECONNRESET",
        "ETIMEDOUT",
        "ENETUNREACH",
        "EHOSTUNREACH",
        "CERT_",
    ];
    let mut output = String::new();
    if let Ok(mut file) = File::open(errors) {
        // What can be read is shown.
        let _ = file.read_to_string(&mut output);
    }
    // Without the stack trace of npm's own code.
    let told = output.lines().filter(|line| !line.trim().is_empty() && !line.contains("    at "));
    let tail: Vec<&str> = told.take(4).collect();
    let tail = tail.join("; ");
    if output.contains("ENOSPC") {
        FetchError::NoSpace { path: scratch.to_owned() }
    } else if NETWORK.iter().any(|code| output.contains(code)) {
        FetchError::Network { output: tail }
    } else {
        FetchError::Npm { package: spec.to_owned(), output: tail }
    }
}

fn file_error(path: &Path, source: io::Error) -> FetchError {
    if source.kind() == io::ErrorKind::StorageFull {
        FetchError::NoSpace { path: path.to_owned() }
    } else {
        FetchError::File { path: path.to_owned(), source }
    }
}
