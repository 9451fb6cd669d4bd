//! One file per command.

pub(crate) mod alert;
pub(crate) mod board;
pub(crate) mod check;
pub(crate) mod dead_letters;
pub(crate) mod engine;
pub(crate) mod events;
pub(crate) mod ingest;
pub(crate) mod load;
pub(crate) mod migrate;
pub(crate) mod process;
pub(crate) mod replay;
pub(crate) mod serve;
pub(crate) mod simulate;
