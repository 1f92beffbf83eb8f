//! Reading a long stream from its start.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    net::TcpListener,
    path::Path,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    board::Board,
    client::{Connection, request},
    contestant::{Contestant, start},
    reader::{MESSAGE_BYTES, create, message, path},
    readers::time,
    table::{median, ms},
    world::directory,
};

const BYTES: usize = 100_000_000;
/// Messages of one request.
const BATCH: usize = 200;
const ROUNDS: usize = 5;
const BUFFER: usize = 256 * 1024;
const STREAM: &str = "long";

pub(crate) async fn run(board: &mut Board, contestants: &[Contestant]) {
    let name = "catch-up: 100 MB";
    if !board.wants(&[name]) {
        return;
    }
    let mut servers = start(contestants).await;
    let batch = format!("[{}]", vec![message(); BATCH].join(","));
    let batch = request("POST", &path(STREAM), None, &batch);
    for server in &servers {
        let mut connection = Connection::open(server.port).await;
        connection.ask_ok(&create(STREAM)).await;
        for _ in 0..BYTES.div_ceil(MESSAGE_BYTES * BATCH) {
            connection.ask_ok(&batch).await;
        }
    }
    let dir = directory();
    let file = dir.path().join("file");
    std::fs::write(&file, vec![b'x'; BYTES]).unwrap();
    let (mut reads, mut sends) = (Vec::new(), Vec::new());
    let mut times: Vec<Vec<Duration>> = servers.iter().map(|_| Vec::new()).collect();
    for _ in 0..ROUNDS {
        reads.push(read(&file));
        sends.push(sent(&file).await);
        for (server, times) in servers.iter().zip(&mut times) {
            times.push(catch_up(server.port).await);
        }
    }
    for server in &mut servers {
        server.stop().await;
    }
    let limit = format!(
        "the file read {}, sent over a socket {}",
        ms(median(&mut reads)),
        ms(median(&mut sends))
    );
    let cells = times.iter_mut().map(|times| time(median(times))).collect();
    board.add(name, "2 x the file, below Rust", &limit, cells);
}

/// Reads a file that the system has in memory.
fn read(file: &Path) -> Duration {
    let began = Instant::now();
    let (mut file, mut buffer) = (File::open(file).unwrap(), vec![0; BUFFER]);
    while 0 < file.read(&mut buffer).unwrap() {}
    began.elapsed()
}

/// The same, written to a socket by another thread and read from it here.
async fn sent(file: &Path) -> Duration {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let file = file.to_owned();
    let sending = std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let (mut file, mut buffer) = (File::open(file).unwrap(), vec![0; BUFFER]);
        loop {
            let got = file.read(&mut buffer).unwrap();
            if got == 0 {
                break;
            }
            socket.write_all(&buffer[..got]).unwrap();
        }
    });
    let began = Instant::now();
    let mut socket = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let mut buffer = vec![0; BUFFER];
    while 0 < socket.read(&mut buffer).await.unwrap() {}
    sending.join().unwrap();
    began.elapsed()
}

/// Reads page by page over one connection until the server says that this is the tail.
async fn catch_up(port: u16) -> Duration {
    let began = Instant::now();
    let mut socket = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let (mut buffer, mut offset, mut bytes) = (vec![0; BUFFER], "-1".to_owned(), 0);
    loop {
        let ask = request("GET", &format!("{}?offset={offset}", path(STREAM)), None, "");
        socket.write_all(&ask).await.unwrap();
        let mut got = 0;
        let end = loop {
            let more = socket.read(&mut buffer[got..]).await.unwrap();
            assert!(0 < more, "the server hung up");
            got += more;
            if let Some(at) = buffer[..got].windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
        };
        let head = std::str::from_utf8(&buffer[..end]).unwrap().to_ascii_lowercase();
        assert!(head.starts_with("http/1.1 200"), "{head}");
        let field = |name: &str| {
            let line = head.lines().find_map(|line| line.strip_prefix(name));
            line.map(|value| value.trim().to_owned())
        };
        bytes += match field("content-length:") {
            Some(length) => {
                let length: usize = length.parse().unwrap();
                let mut left = length - (got - end);
                while 0 < left {
                    let more = socket.read(&mut buffer).await.unwrap();
                    assert!(0 < more, "the server hung up");
                    left -= more;
                }
                length
            }
            None => chunks(&mut socket, &mut buffer, end..got).await,
        };
        if field("stream-up-to-date:").is_some() {
            break;
        }
        offset = field("stream-next-offset:").unwrap();
    }
    assert!(BYTES <= bytes, "{bytes} bytes of {BYTES}");
    began.elapsed()
}

/// Reads a body that comes in chunks, of which the buffer has a part; its length.
async fn chunks(
    socket: &mut TcpStream,
    buffer: &mut [u8],
    mut have: std::ops::Range<usize>,
) -> usize {
    // What is left of the present chunk with its line end, and the line that says the next one's.
    let (mut bytes, mut left, mut line) = (0, 0, Vec::new());
    loop {
        if have.is_empty() {
            let got = socket.read(buffer).await.unwrap();
            assert!(0 < got, "the server hung up");
            have = 0..got;
        }
        if 0 < left {
            let skip = have.len().min(left);
            (left, have.start) = (left - skip, have.start + skip);
            continue;
        }
        line.push(buffer[have.start]);
        have.start += 1;
        if line.ends_with(b"\r\n") {
            let size = std::str::from_utf8(&line[..line.len() - 2]).unwrap();
            let size = usize::from_str_radix(size, 16).unwrap();
            (bytes, left) = (bytes + size, size + 2);
            if size == 0 {
                // No fields follow; the last line end is on its way with it.
                while have.len() < left {
                    let got = socket.read(buffer).await.unwrap();
                    assert!(0 < got, "the server hung up");
                    (left, have) = (left - have.len(), 0..got);
                }
                return bytes;
            }
            line.clear();
        }
    }
}
