//! Which library the engine needs, per platform, and where it is found.

use std::path::{Path, PathBuf};

/// The version this engine is built and tested against.
pub const LIBRARY_VERSION: &str = "26.7.3-stable.1";

/// The library's file name, in the package and on disk, on every platform.
pub(super) const FILE_NAME: &str = "libchdb.so";

/// Overrides every other place.
pub(super) const LIBRARY_VARIABLE: &str = "TILLWATCH_ENGINE_LIBRARY";

/// One platform's package.
#[derive(Debug, Clone, Copy)]
pub(super) struct Package {
    pub(super) name: &'static str,
    /// `sha512-…` of the tarball, where we could look it up. Without it the package manager's own check
    /// against the registry has to do.
    pub(super) integrity: Option<&'static str>,
    /// Size of the tarball, for the progress bar.
    pub(super) bytes: Option<u64>,
}

/// The package for the platform this program was built for.
pub(super) fn package() -> Option<Package> {
    package_for(std::env::consts::OS, std::env::consts::ARCH)
}

fn package_for(os: &str, arch: &str) -> Option<Package> {
    let unpinned = |name| Some(Package { name, integrity: None, bytes: None });
    match (os, arch) {
        ("linux", "x86_64") => Some(Package {
            name: "@chdb/lib-linux-x64-gnu",
            integrity: Some(
                "sha512-XP97mMqnc5tZpKQywR8N7cLTsHNiTmHr30pC5mzo3jWmukjKn2IBa60c2B/gWUNcuFjOMjWoorQICCqBVj5wpw==",
            ),
            bytes: Some(177_817_999),
        }),
        ("linux", "aarch64") => unpinned("@chdb/lib-linux-arm64-gnu"),
        ("macos", "aarch64") => unpinned("@chdb/lib-darwin-arm64"),
        ("macos", "x86_64") => unpinned("@chdb/lib-darwin-x64"),
        _ => None,
    }
}

/// Why there is no library.
#[derive(Debug, thiserror::Error)]
pub enum LocateError {
    /// The variable points to nothing.
    #[error("{LIBRARY_VARIABLE} names {}, which does not exist: correct it, or unset it", path.display())]
    Variable {
        /// The variable's value.
        path: PathBuf,
    },
    /// Not fetched yet.
    #[error(
        "the embedded engine's library is not at {}: fetch it once with `tillwatch engine fetch`, or give one \
         at hand with `tillwatch engine fetch --from FILE`",
        path.display()
    )]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// Neither `XDG_CACHE_HOME` nor `HOME` is set.
    #[error("there is no cache directory: set HOME, XDG_CACHE_HOME or {LIBRARY_VARIABLE}")]
    NoDirectory,
}

/// Where the library is kept when no directory is configured:
/// `$XDG_CACHE_HOME/tillwatch/engine/VERSION`, or the same under `~/.cache`.
pub fn default_directory() -> Result<PathBuf, LocateError> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")));
    let cache = cache.ok_or(LocateError::NoDirectory)?;
    Ok(cache.join("tillwatch").join("engine").join(LIBRARY_VERSION))
}

/// Finds the library, without the network: the variable `TILLWATCH_ENGINE_LIBRARY`, else `directory`,
/// else [`default_directory`].
pub fn locate(directory: Option<&Path>) -> Result<PathBuf, LocateError> {
    if let Some(path) = std::env::var_os(LIBRARY_VARIABLE).map(PathBuf::from) {
        return if path.is_file() { Ok(path) } else { Err(LocateError::Variable { path }) };
    }
    let directory = match directory {
        Some(directory) => directory.to_owned(),
        None => default_directory()?,
    };
    let path = directory.join(FILE_NAME);
    if path.is_file() { Ok(path) } else { Err(LocateError::Missing { path }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_supported_platform_has_its_package() {
        for (os, arch) in
            [("linux", "x86_64"), ("linux", "aarch64"), ("macos", "aarch64"), ("macos", "x86_64")]
        {
            let package = package_for(os, arch).unwrap();
            assert!(package.name.starts_with("@chdb/lib-"), "{os} {arch}");
        }
        assert!(package_for("windows", "x86_64").is_none());
    }

    #[test]
    fn a_missing_library_says_where_it_should_be_and_how_to_get_it() {
        let directory = tempfile::tempdir().unwrap();
        let message = locate(Some(directory.path())).unwrap_err().to_string();
        assert!(message.contains("tillwatch engine fetch"), "{message}");
        assert!(message.contains(directory.path().to_str().unwrap()), "{message}");
    }
}
