//! Ports that nobody listens on.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

/// A port that nobody listens on at the moment.
pub fn free_port() -> u16 {
    let [port] = free_ports();
    port
}

/// Several, which differ.
pub fn free_ports<const N: usize>() -> [u16; N] {
    // All are taken before one is let go.
    let taken = [(); N].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
    taken.map(|listener| listener.local_addr().unwrap().port())
}

/// Waits, blocking, until something listens on `port`; `log` is what the test shows if nothing does.
pub(crate) fn until_listening(port: u16, within: Duration, log: impl Fn() -> String) {
    let deadline = Instant::now() + within;
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
        assert!(Instant::now() < deadline, "nothing listens on port {port}: {}", log());
        std::thread::sleep(Duration::from_millis(50));
    }
}
