//! The embedded engine: the real ClickHouse, inside a process of ours, behind ClickHouse's own HTTP
//! protocol on loopback.
//!
//! ```text
//! clickhouse crate, curl, any ClickHouse tool
//!         │ HTTP
//!      http.rs ── request.rs, body.rs, statement.rs: what is asked
//!         │ job
//!      pool.rs ── session.rs: lanes of connections; each one thread, one query at a time
//!         │
//!       ffi.rs ── libchdb.so
//! ```
//!
//! [`run`] serves one data directory until told to stop. [`Supervisor`] keeps a child process that
//! calls `run` alive. [`fetch()`] gets the library once, [`locate`] finds it again offline.
//! Why it is built so, and what was measured: `docs/adr/0003-embedded-engine.md`.

mod body;
mod config;
mod digest;
mod encoding;
mod error;
mod exception;
mod execute;
mod fetch;
mod ffi;
mod frame;
mod guard;
mod http;
mod library;
mod lock;
mod multipart;
mod outcome;
mod pool;
mod progress;
mod reply;
mod request;
mod server;
mod session;
mod settings;
mod statement;
mod stream;
mod supervisor;
mod unpack;

pub use config::{EngineCluster, EngineConfig};
pub use error::{EngineError, PERMANENT_EXIT_CODE};
pub use fetch::{FetchError, FetchSource, fetch};
pub use library::{LIBRARY_VERSION, LocateError, default_directory, locate};
pub(crate) use request::{LANE_HEADER, WRITES};
pub use server::{parent_gone, run};
pub use supervisor::{Health, Supervisor, SupervisorConfig};
