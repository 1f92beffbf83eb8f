//! GitHub is at the other end of TLS. Which authorities are trusted is a thing of the process, so
//! these tests run themselves again in one of their own.

use std::{fs, process::Stdio};

use studio_github::{GitHub, GitHubOptions, RestGitHub, UserToken};
use studio_testkit::{GitHubServer, NodeTool};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

use crate::support::told;

const ADDRESS: &str = "STUDIO_GITHUB_TLS_API";
const TOKEN: &str = "STUDIO_GITHUB_TLS_TOKEN";
const REQUEST: &str = "\
[req]\ndistinguished_name = name\nx509_extensions = v3\nprompt = no\n\
[name]\nCN = a test\n\
[v3]\nbasicConstraints = critical,CA:FALSE\nsubjectAltName = IP:127.0.0.1\n";

/// A server that ends TLS, in front of the other one.
struct Tls {
    dir: TempDir,
    port: String,
    _tool: NodeTool,
    _node: Child,
}

impl Tls {
    async fn start(server: &GitHubServer) -> Self {
        let dir = TempDir::new().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("request.cnf"), REQUEST).unwrap();
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"])
            .args(["-config", "request.cnf", "-keyout", "key.pem", "-out", "cert.pem"])
            .current_dir(dir.path())
            .output()
            .await
            .expect("openssl: run `cargo xtask setup`");
        assert!(made.status.success(), "{made:?}");
        let tool = NodeTool::github_fake();
        let mut node = Command::from(tool.node("tls.mjs"));
        node.env("GITHUB_API", server.url()).stdout(Stdio::piped()).kill_on_drop(true);
        node.env("TLS_KEY", at("key.pem")).env("TLS_CERT", at("cert.pem"));
        let mut node = node.spawn().expect("node: run `cargo xtask setup`");
        let mut lines = BufReader::new(node.stdout.take().unwrap()).lines();
        let port = lines.next_line().await.unwrap().expect("the port of tls.mjs");
        Self { dir, port, _tool: tool, _node: node }
    }

    /// Runs `test` of this file in a process that trusts the certificate, or the usual ones.
    async fn run(&self, test: &str, token: &str, trusted: bool) -> (bool, String) {
        let mut again = Command::new(std::env::current_exe().unwrap());
        again.args(["--exact", test, "--nocapture"]);
        again.env(ADDRESS, format!("https://127.0.0.1:{}", self.port)).env(TOKEN, token);
        again.env_remove("SSL_CERT_DIR").env_remove("SSL_CERT_FILE");
        if trusted {
            again.env("SSL_CERT_FILE", self.dir.path().join("cert.pem"));
        }
        let output = again.output().await.unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&text).into_owned())
    }
}

#[tokio::test]
async fn github_is_talked_to_over_tls_and_only_with_a_trusted_certificate() {
    if let (Ok(api), Ok(token)) = (std::env::var(ADDRESS), std::env::var(TOKEN)) {
        // The process inside.
        let options = GitHubOptions {
            api,
            deadline: std::time::Duration::from_secs(10),
            ..Default::default()
        };
        let github = RestGitHub::new(options).unwrap();
        let found = github.accounts(&UserToken::new(&token).unwrap()).await;
        let found = found.unwrap_or_else(|error| panic!("accounts: {}", told(&error)));
        assert_eq!(found.accounts[0].login.as_str(), "ada");
        return;
    }
    let server = GitHubServer::start().await;
    let token = server.add_user("ada", &["acme"], &["repo", "read:org"]);
    let tls = Tls::start(&server).await;
    let this = "tls::github_is_talked_to_over_tls_and_only_with_a_trusted_certificate";
    let (good, told) = tls.run(this, &token, true).await;
    assert!(good && told.contains("1 passed"), "{told}");
    let before = server.requests().len();
    assert!(0 < before);
    let (good, told) = tls.run(this, &token, false).await;
    assert!(!good && told.contains("certificate"), "{told}");
    assert_eq!(server.requests().len(), before, "the token went to a stranger");
    assert!(!told.contains(&token), "{told}");
}
