use std::sync::atomic::{AtomicU32, Ordering};

/// A port that is free and stays so while a server is down between a kill and its restart: the
/// system gives none of these to connections. 0 = there is none, any will do.
#[must_use]
pub fn lasting_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Test processes that run beside each other begin at different places.
    let begin = std::process::id().wrapping_mul(97);
    let port = |n: u32| u16::try_from(20_000 + begin.wrapping_add(n) % 12_000).unwrap_or(0);
    let mut ports = (0..500).map(|_| port(NEXT.fetch_add(1, Ordering::Relaxed)));
    let is_free = |port: &u16| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok();
    ports.find(is_free).unwrap_or(0)
}
