//! Why an engine does not run, and whether it is worth trying again.

use std::io;
use std::path::PathBuf;

use super::library::{LIBRARY_VARIABLE, LIBRARY_VERSION};

/// Why the engine does not run.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Files of the data directory.
    #[error("cannot prepare the engine's data directory {}", path.display())]
    DataDir {
        /// The directory.
        path: PathBuf,
        /// What the operating system says.
        #[source]
        source: io::Error,
    },
    /// Another engine has it.
    #[error("another engine is using {}: stop it, or give this one a data directory of its own", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// The shared library is missing, damaged or of another version.
    #[error("cannot load the engine library {}: remove it and get it with `tillwatch engine fetch`", path.display())]
    Library {
        /// The library.
        path: PathBuf,
        /// What the dynamic linker says.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The shared library is another than this program was built for.
    #[error(
        "the engine library {} is of version {found}, this program needs {LIBRARY_VERSION}: remove it and get \
         the other with `tillwatch engine fetch`, or give its place in {LIBRARY_VARIABLE}",
        path.display()
    )]
    Version {
        /// The library.
        path: PathBuf,
        /// Its version.
        found: String,
    },
    /// The engine refused to open; its reason is on standard error.
    #[error(
        "the engine cannot open the database in {}: see its message above; the usual causes are a damaged \
         file, a full disk, and a database of a newer version",
        path.display()
    )]
    Open {
        /// The database's directory.
        path: PathBuf,
    },
    /// The address to serve on.
    #[error("cannot listen on {address}: stop what listens there, or configure another address")]
    Listen {
        /// The configured address.
        address: std::net::SocketAddr,
        /// What the operating system says.
        #[source]
        source: io::Error,
    },
}

/// Exit code of an engine process that would end the same way if it were started again.
pub const PERMANENT_EXIT_CODE: u8 = 78;

impl EngineError {
    /// The code to exit with.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Library { .. } | Self::Version { .. } | Self::Listen { .. } => PERMANENT_EXIT_CODE,
            // Another engine may be on its way out, a disk may be emptied.
            Self::DataDir { .. } | Self::InUse { .. } | Self::Open { .. } => 1,
        }
    }
}
