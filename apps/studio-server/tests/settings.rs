//! Configuration as a whole process sees it: options, variables, file; and TLS.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Output, Stdio},
    time::Duration,
};

use reqwest::{Certificate, Client, Version};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_studio-server");
/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(30);

fn command(dir: &Path) -> Command {
    let mut command = Command::new(PROGRAM);
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.arg("--data-dir").arg(dir).args(["--sandbox", "local"]).kill_on_drop(true);
    command
}

/// Starts a server; where it listens, in its own words.
async fn started(command: &mut Command) -> (Child, String) {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = tokio::time::timeout(LONG, lines.next_line()).await.unwrap().unwrap().unwrap();
    (child, line.strip_prefix("Agent Studio listens on ").unwrap().to_owned())
}

async fn refused(command: &mut Command) -> (i32, String) {
    let Output { status, stderr, .. } =
        tokio::time::timeout(LONG, command.output()).await.unwrap().unwrap();
    (status.code().unwrap(), String::from_utf8(stderr).unwrap())
}

fn write(dir: &Path, text: &str) {
    let file = dir.join("studio.toml");
    fs::write(&file, text).unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
}

#[tokio::test]
async fn the_file_in_the_data_directory_is_read_and_variables_win_over_it() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "port = 0\ndev_mode = true\nmax_session_cost_usd = 2.5\n");
    let (_child, address) = started(&mut command(dir.path())).await;
    let told = reqwest::get(format!("{address}/api/config")).await.unwrap().text().await.unwrap();
    assert_eq!(told, r#"{"devMode":true}"#);
    let other = tempfile::tempdir().unwrap();
    let file = dir.path().join("studio.toml");
    let mut command = command(other.path());
    command.arg("--config").arg(file).env("STUDIO_DEV_MODE", "0").env("MAX_SESSION_COST_USD", "");
    let (_child, address) = started(&mut command).await;
    let told = reqwest::get(format!("{address}/api/config")).await.unwrap().text().await.unwrap();
    assert_eq!(told, r#"{"devMode":false,"maxSessionCostUsd":2.5}"#);
}

#[tokio::test]
async fn what_is_not_understood_is_told_in_one_line_with_its_place() {
    let dir = tempfile::tempdir().unwrap();
    for (file, env, told) in [
        ("prot = 1", None, "studio.toml: \"prot\" is no setting, but port is"),
        ("port = 99999", None, "port=99999 ("),
        ("port = 'x y'", None, "must be a port from 0 to 65535"),
        ("data_dir = '/'", None, "is in the data directory: name it elsewhere"),
        ("port = ", None, "studio.toml: line 1"),
        // Also a value that does not win.
        ("tls = 'on'", Some(("STUDIO_TLS", "off")), "must be one of off, self-signed"),
        ("", Some(("PORT", "'; rm -rf /")), "PORT='; rm -rf / (environment): must be a port"),
        ("", Some(("STUDIO_TLS_CERT", "/x")), "--tls-cert needs --tls-key"),
    ] {
        write(dir.path(), file);
        let mut command = command(dir.path());
        command.envs(env);
        let (code, said) = refused(&mut command).await;
        assert_eq!(code, 1, "{file}: {said}");
        assert!(said.starts_with("error: ") && said.contains(told), "{file}: {said}");
        assert_eq!(said.trim_end().lines().count(), 1, "{said}");
    }
    write(dir.path(), "anthropic_api_key = 'hunter2'\nport = 0");
    let file = dir.path().join("studio.toml");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let (_, said) = refused(&mut command(dir.path())).await;
    assert!(said.contains("chmod 600") && !said.contains("hunter2"), "{said}");
    let (code, said) = refused(command(dir.path()).arg("--config").arg("/nowhere/x.toml")).await;
    assert!(code == 1 && said.contains("/nowhere/x.toml"), "{said}");
    let (code, said) = refused(command(dir.path()).args(["--tls", "on"])).await;
    assert!(code == 2 && said.contains("must be one of off, self-signed"), "{said}");
}

#[tokio::test]
async fn a_browser_talks_to_a_server_with_its_own_certificate_over_http_2() {
    let dir = tempfile::tempdir().unwrap();
    let (_child, address) =
        started(command(dir.path()).args(["--port", "0", "--tls", "self-signed"])).await;
    let port = address.strip_prefix("https://127.0.0.1:").unwrap();
    let pem = fs::read(dir.path().join("tls-cert.pem")).unwrap();
    let key = fs::metadata(dir.path().join("tls-key.pem")).unwrap();
    assert_eq!(key.permissions().mode() & 0o077, 0);
    let client = Client::builder().add_root_certificate(Certificate::from_pem(&pem).unwrap());
    let client = client.build().unwrap();
    for host in ["127.0.0.1", "localhost"] {
        let origin = format!("https://{host}:{port}");
        let asked = client.get(format!("{origin}/api/config")).header("origin", &origin);
        let answer = asked.send().await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.version()), (200, Version::HTTP_2));
    }
    // Who does not know the certificate does not talk to it, and nothing is said in the clear.
    let stranger = Client::builder().build().unwrap().get(format!("{address}/api/config"));
    assert!(stranger.send().await.is_err());
    assert!(reqwest::get(format!("http://127.0.0.1:{port}/api/config")).await.is_err());
}
