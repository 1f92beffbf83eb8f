use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::needs::workspace_root;

/// The scripted model server (`tools/model-server`), running until this value is dropped.
///
/// Real agents run against it with `ANTHROPIC_BASE_URL` = [`ModelServer::url`] and any key.
#[derive(Debug)]
pub struct ModelServer {
    child: Child,
    base: String,
    client: reqwest::Client,
}

impl ModelServer {
    /// Starts it on a free port of 127.0.0.1 with the scripts of `tools/model-server/scripts`.
    ///
    /// # Panics
    /// When Node is missing or the server does not start.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(&workspace_root().join("tools/model-server/scripts"))
    }

    /// Starts it with the `*.json` scripts of one folder.
    ///
    /// # Panics
    /// When Node is missing or the server does not start.
    #[must_use]
    pub fn start_with(scripts: &Path) -> Self {
        let program = workspace_root().join("tools/model-server/model-server.mjs");
        let mut child = Command::new("node")
            .arg(program)
            .arg("--scripts")
            .arg(scripts)
            .args(["--quiet", "--exit-with-stdin"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("this test needs Node 18 or newer ({error}): run `cargo xtask setup`")
            });
        let mut line = String::new();
        if let Some(stdout) = child.stdout.as_mut() {
            // An unreadable line is an empty one, and that fails below.
            let _ = BufReader::new(stdout).read_line(&mut line);
        }
        let hello: Value = serde_json::from_str(&line).unwrap_or_default();
        let base = hello["listening"].as_str().map(str::to_owned);
        let base = base.unwrap_or_else(|| panic!("the model server said {line:?}"));
        Self { child, base, client: reqwest::Client::new() }
    }

    /// The address without a script, for example `http://127.0.0.1:43211`.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The address at which `script` answers: a value for `ANTHROPIC_BASE_URL`.
    #[must_use]
    pub fn url(&self, script: &str) -> String {
        format!("{}/s/{script}", self.base)
    }

    /// What agents asked so far, newest last: script, scene, step, prompt, last tool result,
    /// status (see `tools/model-server/README.md`).
    ///
    /// # Panics
    /// When the server is gone.
    pub async fn requests(&self) -> Vec<Value> {
        let url = format!("{}/_/requests", self.base);
        match self.client.get(&url).send().await {
            Ok(answer) => match answer.json().await {
                Ok(Value::Array(list)) => list,
                other => panic!("GET {url} is no list: {other:?}"),
            },
            Err(error) => panic!("GET {url}: {error}"),
        }
    }

    /// Loads or replaces a script while the server runs.
    ///
    /// # Panics
    /// When the server refuses the script.
    pub async fn put_script(&self, name: &str, script: &Value) {
        let url = format!("{}/_/script?name={name}", self.base);
        match self.client.put(&url).json(script).send().await {
            Ok(answer) if answer.status().is_success() => {}
            other => panic!("PUT {url}: {other:?}"),
        }
    }
}

impl Drop for ModelServer {
    fn drop(&mut self) {
        // Both fail only for a process that has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
