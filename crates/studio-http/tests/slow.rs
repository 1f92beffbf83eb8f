//! Who sends byte by byte, to hold a connection for ever: each byte is in time, the whole is not.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod support;

use std::time::{Duration, Instant};

use serde_json::json;
use studio_auth::Scope;
use studio_flows::Mode;
use studio_http::{ServeOptions, serve};
use support::{Ask, World};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

const PATIENCE: Duration = Duration::from_millis(300);
/// Any patience that is longer was not set here.
const LONG: Duration = Duration::from_secs(15);

/// Sends `begun` at once and then a byte now and then; gives what was answered until the end.
async fn drip(address: std::net::SocketAddr, begun: &str) -> String {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut reading, mut writing) = stream.into_split();
    let begun = begun.to_owned();
    let dripping = tokio::spawn(async move {
        writing.write_all(begun.as_bytes()).await.unwrap();
        while writing.write_all(b"x").await.is_ok() {
            tokio::time::sleep(PATIENCE / 20).await; // This is what slow means.
        }
    });
    let mut told = Vec::new();
    // A connection that is reset may lose the answer on its way; it has ended all the same.
    let read = reading.read_to_end(&mut told);
    let _ = tokio::time::timeout(LONG, read).await.unwrap();
    dripping.abort();
    String::from_utf8_lossy(&told).into_owned()
}

#[tokio::test]
async fn who_sends_byte_by_byte_is_let_go_at_the_head_and_at_the_body() {
    let world = World::with(Mode::Dev, |http| http.body_patience = PATIENCE).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let options = ServeOptions { head_patience: PATIENCE, ..ServeOptions::default() };
    let serving = tokio::spawn(serve(listener, world.app.clone(), options, world.stop.clone()));
    let head = "POST /api/sessions/local HTTP/1.1\r\nhost: localhost\r\n";
    let json = "content-type: application/json\r\n";
    for (begun, answer) in [
        (head.to_owned(), ""),
        (format!("{head}x-slow: "), ""),
        (format!("{head}{json}content-length: 60000\r\n\r\n{{"), "HTTP/1.1 408"),
    ] {
        let began = Instant::now();
        let told = drip(address, &begun).await;
        assert!(told.is_empty() || told.starts_with(answer), "{begun} -> {told}");
        assert!(PATIENCE <= began.elapsed(), "{begun}: let go before its time");
    }
    let list = Ask::get("/api/sessions").token(&world.token(Scope::Operator));
    let told = world.send(list).await.json;
    assert_eq!(told["sessions"], json!([]), "nothing came of it");
    world.stop.cancel();
    serving.await.unwrap();
}
