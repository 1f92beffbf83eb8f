use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

/// How long the engine may take for one answer; the removal of a container is the slowest.
const ANSWER_DEADLINE: Duration = Duration::from_secs(60);

/// The ids of the containers, running or not, that carry `label` (`name=value`, or only a name).
/// For tests that assert that nothing is left.
///
/// # Panics
/// When no engine answers.
#[must_use]
pub fn containers_labelled(label: &str) -> Vec<String> {
    let filters = serde_json::json!({ "label": [label] }).to_string();
    let path = format!("/containers/json?all=true&filters={}", percent_encoded(&filters));
    match ask("GET", &path) {
        Ok((200, body)) => {
            let list: Vec<Value> = serde_json::from_str(&body).unwrap_or_default();
            list.iter().filter_map(|one| one["Id"].as_str().map(str::to_owned)).collect()
        }
        other => panic!("asking the Docker engine for its containers: {other:?}"),
    }
}

/// Removes what [`containers_labelled`] finds, running or not: the broom of a test that crashes
/// servers. One that is being removed by somebody else is not an error.
///
/// # Panics
/// When no engine answers.
pub fn remove_containers_labelled(label: &str) {
    for id in containers_labelled(label) {
        match ask("DELETE", &format!("/containers/{id}?force=true&v=true")) {
            Ok((204 | 404 | 409, _)) => {}
            other => panic!("removing the container {id}: {other:?}"),
        }
    }
}

/// Where the engine listens: `DOCKER_HOST` where it names a unix socket, else the usual place.
pub(crate) fn socket_path() -> PathBuf {
    std::env::var("DOCKER_HOST")
        .ok()
        .and_then(|host| host.strip_prefix("unix://").map(PathBuf::from))
        .unwrap_or_else(|| PathBuf::from("/var/run/docker.sock"))
}

/// One request to the engine; status and body. HTTP/1.0, so that the answer ends with the
/// connection.
pub(crate) fn ask(method: &str, path: &str) -> std::io::Result<(u16, String)> {
    let mut stream = UnixStream::connect(socket_path())?;
    stream.set_read_timeout(Some(ANSWER_DEADLINE))?;
    write!(stream, "{method} {path} HTTP/1.0\r\nHost: engine\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let text = String::from_utf8_lossy(&answer);
    let status = text.split(' ').nth(1).and_then(|code| code.parse().ok());
    let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body).to_owned();
    status.map(|code| (code, body)).ok_or_else(|| std::io::Error::other("not an HTTP answer"))
}

fn percent_encoded(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' => {
            char::from(byte).to_string()
        }
        other => format!("%{other:02X}"),
    };
    text.bytes().map(encode).collect()
}
