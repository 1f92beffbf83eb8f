//! Repositories over HTTP, served by git's own `http-backend` to who has a token for them.

use std::{
    path::Path,
    process::{Command as BlockingCommand, Stdio},
    sync::Arc,
};

use axum::{
    body::{Body, Bytes},
    http::{HeaderName, HeaderValue, Response, StatusCode, header, request::Parts},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use tokio::{io::AsyncWriteExt, process::Command};

use super::{
    routes::allows,
    world::{Holder, Shared},
};

impl Shared {
    /// Makes the bare repository that is pushed to.
    pub(super) fn init(&self, owner: &str, name: &str) {
        let dir = self.git_dir(owner, name);
        let made = BlockingCommand::new("git")
            .args(["init", "--quiet", "--bare", "--initial-branch=main"])
            .arg(&dir)
            .stdin(Stdio::null())
            .output()
            .unwrap_or_else(|error| panic!("git is needed ({error}): run `cargo xtask setup`"));
        assert!(made.status.success(), "git init: {made:?}");
    }
}

/// The password of `Authorization: Basic`.
fn password(parts: &Parts) -> Option<String> {
    let value = parts.headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let text = STANDARD.decode(value.strip_prefix("Basic ")?).ok()?;
    let text = String::from_utf8(text).ok()?;
    Some(text.split_once(':')?.1.to_owned())
}

fn plain(status: u16, text: &str) -> Response<Body> {
    let mut response = Response::new(Body::from(text.to_owned()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or_default();
    if status == 401 {
        let ask = HeaderValue::from_static("Basic realm=\"GitHub\"");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, ask);
    }
    response
}

/// Whether who asks may; the answer if not.
fn refusal(shared: &Shared, parts: &Parts) -> Option<Response<Body>> {
    let world = shared.world();
    let Some(holder) = password(parts).and_then(|token| world.holder(&token)) else {
        return Some(plain(401, "Invalid username or token."));
    };
    let path = parts.uri.path().trim_start_matches('/');
    let (name, rest) = path.split_once(".git/").unwrap_or((path, ""));
    let found = name.split_once('/').and_then(|(owner, name)| world.find(owner, name));
    let repo = found.and_then(|id| world.repo(id)).filter(|repo| world.sees(&holder, repo));
    let Some(repo) = repo else { return Some(plain(404, "Repository not found.")) };
    let query = parts.uri.query().unwrap_or("");
    let writes = rest == "git-receive-pack" || query.contains("git-receive-pack");
    let may = match &holder {
        Holder::User { login, .. } => !writes || *login == repo.owner,
        Holder::Installation { .. } => {
            allows(&holder, "contents", if writes { "write" } else { "read" })
        }
    };
    (!may).then(|| plain(403, "Write access to repository not granted."))
}

pub(super) async fn answer(shared: &Arc<Shared>, parts: &Parts, body: Bytes) -> Response<Body> {
    if let Some(refusal) = refusal(shared, parts) {
        return refusal;
    }
    let text = |name: HeaderName| {
        let value = parts.headers.get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or("").to_owned()
    };
    let mut backend = Command::new("git");
    backend
        .arg("http-backend")
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("GIT_PROJECT_ROOT", shared.git_root())
        .env("GIT_HTTP_EXPORT_ALL", "1")
        // Repositories of a test belong to whoever runs it.
        .env("GIT_CONFIG_COUNT", "1")
        .env("GIT_CONFIG_KEY_0", "safe.directory")
        .env("GIT_CONFIG_VALUE_0", "*")
        .env("REQUEST_METHOD", parts.method.as_str())
        .env("PATH_INFO", parts.uri.path())
        .env("QUERY_STRING", parts.uri.query().unwrap_or(""))
        .env("CONTENT_TYPE", text(header::CONTENT_TYPE))
        .env("CONTENT_LENGTH", body.len().to_string())
        .env("HTTP_CONTENT_ENCODING", text(header::CONTENT_ENCODING))
        .env("GIT_PROTOCOL", text(HeaderName::from_static("git-protocol")))
        .env("REMOTE_USER", "x-access-token")
        .env("REMOTE_ADDR", "127.0.0.1")
        .kill_on_drop(true)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut child = match backend.spawn() {
        Ok(child) => child,
        Err(error) => return plain(500, &format!("git http-backend: {error}")),
    };
    let stdin = child.stdin.take();
    let feed = async {
        if let Some(mut stdin) = stdin {
            // A backend that has read enough closes its end.
            let _broken_pipe = stdin.write_all(&body).await;
        }
    };
    let (output, ()) = tokio::join!(child.wait_with_output(), feed);
    let output = match output {
        Ok(output) => output.stdout,
        Err(error) => return plain(500, &format!("git http-backend: {error}")),
    };
    if parts.uri.path().ends_with("/git-receive-pack") {
        list_branches(shared, parts.uri.path());
    }
    from_cgi(&output)
}

/// Lets the API list what was pushed.
fn list_branches(shared: &Shared, path: &str) {
    let Some((owner, rest)) = path.trim_start_matches('/').split_once('/') else { return };
    let Some((name, _)) = rest.split_once(".git/") else { return };
    let branches = branches(&shared.git_dir(owner, name));
    let mut world = shared.world();
    if let Some(id) = world.find(owner, name) {
        world.set_branches(id, branches);
    }
}

fn branches(dir: &Path) -> Vec<String> {
    let output = BlockingCommand::new("git")
        .args(["-c", "safe.directory=*", "for-each-ref", "--format=%(refname:short)", "refs/heads"])
        .env("GIT_DIR", dir)
        .stdin(Stdio::null())
        .output();
    let text = output.map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&text).lines().map(str::to_owned).collect()
}

/// Headers, an empty line, a body.
fn from_cgi(output: &[u8]) -> Response<Body> {
    let end = output.windows(4).position(|four| four == b"\r\n\r\n");
    let Some(end) = end else { return plain(500, "git http-backend said nothing") };
    let mut response = Response::new(Body::from(output[end + 4..].to_vec()));
    for line in String::from_utf8_lossy(&output[..end]).lines() {
        let Some((name, value)) = line.split_once(':') else { continue };
        let value = value.trim();
        if name.eq_ignore_ascii_case("status") {
            let code = value.split(' ').next().and_then(|code| code.parse().ok());
            *response.status_mut() = code.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        } else if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value))
        {
            response.headers_mut().insert(name, value);
        }
    }
    response
}
