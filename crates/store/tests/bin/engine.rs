//! The embedded engine as a process, for the tests.
//!
//! `store-engine serve DATA_DIR LISTEN [name=value …]` prints the address it serves on, and ends when its
//! standard input does. `store-engine supervise DATA_DIR LISTEN` supervises such a process until it is killed.
//! `store-engine fetch [DIRECTORY [FILE]]` fetches the library.

use std::collections::HashMap;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use store::engine::{
    EngineCluster, EngineConfig, EngineError, FetchSource, Supervisor, SupervisorConfig, default_directory,
    fetch, locate, parent_gone, run,
};

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match arguments.split_first() {
        Some((command, rest)) if command == "serve" => serve(rest).await,
        Some((command, rest)) if command == "supervise" => supervise(rest).await,
        Some((command, rest)) if command == "fetch" => fetch_library(rest),
        _ => Err("usage: store-engine serve|fetch ...".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // A supervisor reads its child's standard output.
            let _ = writeln!(std::io::stdout(), "{error}");
            let _ = writeln!(std::io::stderr(), "error: {error}");
            ExitCode::from(error.downcast_ref::<EngineError>().map_or(1, EngineError::exit_code))
        }
    }
}

fn fetch_library(arguments: &[String]) -> Result<(), Box<dyn std::error::Error>> {
    let directory = arguments.first().map_or_else(default_directory, |directory| Ok(directory.into()))?;
    let source = arguments.get(1).map_or(FetchSource::Npm, |file| FetchSource::File(file.into()));
    let path = fetch(&directory, &source)?;
    writeln!(std::io::stdout(), "{}", path.display())?;
    Ok(())
}

async fn supervise(arguments: &[String]) -> Result<(), Box<dyn std::error::Error>> {
    let listen = arguments.get(1).ok_or("no address")?.parse()?;
    let child = std::iter::once("serve".into()).chain(arguments.iter().map(Into::into)).collect();
    let config = SupervisorConfig::new(std::env::current_exe()?, child, listen);
    Supervisor::new(config).run(std::future::pending()).await;
    Ok(())
}

async fn serve(arguments: &[String]) -> Result<(), Box<dyn std::error::Error>> {
    let [data_dir, listen, options @ ..] = arguments else {
        return Err("usage: store-engine serve DATA_DIR LISTEN [name=value ...]".into());
    };
    let options: HashMap<&str, &str> = options.iter().filter_map(|option| option.split_once('=')).collect();
    let number = |name: &str, default: u64| options.get(name).map_or(Ok(default), |value| value.parse());
    let mut config = EngineConfig::new(locate(None)?, data_dir);
    config.password = options.get("password").map(|password| (*password).to_owned());
    let other_shard = options.get("other_shard").map(|address| address.parse()).transpose()?;
    config.cluster =
        options.get("cluster").map(|name| EngineCluster { name: (*name).to_owned(), other_shard });
    config.memory_bytes_max = number("memory_bytes_max", 1 << 30)?;
    config.connections = usize::try_from(number("connections", 4)?)?;
    config.waiting_max = usize::try_from(number("waiting_max", 64)?)?;
    config.body_bytes_max = number("body_bytes_max", config.body_bytes_max)?;
    config.result_bytes_max = number("result_bytes_max", config.result_bytes_max)?;
    config.queue_wait_max = Duration::from_millis(number("queue_wait_ms_max", 10_000)?);
    config.client_idle_max = Duration::from_millis(number("client_idle_ms_max", 30_000)?);
    config.lock_wait_max = Duration::from_millis(number("lock_wait_ms_max", 5_000)?);
    let address = listen.parse()?;
    let listener = tokio::net::TcpListener::bind(address)
        .await
        .map_err(|source| EngineError::Listen { address, source })?;
    writeln!(std::io::stdout(), "{}", listener.local_addr()?)?;
    run(config, Some(listener), parent_gone()).await?;
    Ok(())
}
