//! What tests need of the machine. A missing need is a failure that says how to get it, never a
//! test that is skipped. `cargo xtask setup` installs every one of them.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::engine::{ask, socket_path};

/// The versions pinned for the sandbox images.
const PINS: &str = include_str!("../../../sandbox-image/agents.env");

/// The image of [`test_image`]: busybox, bash and git, ten megabytes.
const TEST_IMAGE: &str = "sandbox-test:latest";

/// The root of this workspace.
#[must_use]
pub fn workspace_root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).map_or_else(|| here.to_owned(), Path::to_owned)
}

/// The folder of recordings of real agents, `fixtures/`.
#[must_use]
pub fn fixtures() -> PathBuf {
    workspace_root().join("fixtures")
}

/// The value of `key` in `sandbox-image/agents.env`.
///
/// # Panics
/// When the file has no such line.
#[must_use]
pub fn pinned(key: &str) -> &'static str {
    PINS.lines()
        .filter_map(|line| line.split_once('='))
        .find_map(|(name, value)| (name == key).then_some(value))
        .unwrap_or_else(|| panic!("sandbox-image/agents.env has no line {key}=…"))
}

/// Where `cargo xtask setup` keeps what it downloads: `$XDG_CACHE_HOME/agent-studio`, else
/// `~/.cache/agent-studio`.
///
/// # Panics
/// When neither variable is set.
#[must_use]
pub fn cache_dir() -> PathBuf {
    let base = std::env::var_os("XDG_CACHE_HOME").filter(|dir| !dir.is_empty()).map(PathBuf::from);
    base.or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")))
        .unwrap_or_else(|| panic!("neither XDG_CACHE_HOME nor HOME is set"))
        .join("agent-studio")
}

/// The Claude Code program of the pinned version, for sandboxes on this machine itself.
///
/// # Panics
/// When it is not installed.
#[must_use]
pub fn claude_cli() -> PathBuf {
    let version = pinned("CLAUDE_VERSION");
    let program = cache_dir().join(format!("agents/claude-{version}/claude"));
    assert!(
        program.is_file(),
        "this test needs the Claude Code program {version} at {}: run `cargo xtask setup`",
        program.display()
    );
    program
}

/// The socket of a Docker engine that answers: `DOCKER_HOST` where it names a unix socket, else
/// `/var/run/docker.sock`.
///
/// # Panics
/// When no engine answers there.
#[must_use]
pub fn docker_socket() -> PathBuf {
    let socket = socket_path();
    match ask("GET", "/_ping") {
        Ok((200, _)) => socket,
        Ok((status, body)) => panic!(
            "this test needs a Docker engine, but {} answered {status} {body}",
            socket.display()
        ),
        Err(error) => panic!(
            "this test needs a Docker engine, and none answers at {} ({error}): run `cargo xtask setup`",
            socket.display()
        ),
    }
}

/// The agent image of this checkout's recipe: the real agent, no model.
///
/// # Panics
/// When no engine answers or the image is not there.
#[must_use]
pub fn agent_image() -> String {
    let tag = script_line("sandbox-image/tag.sh", &[]);
    image(format!("agent-studio-agent:{tag}"))
}

/// The agent image with the scripted model inside: in each of its containers the model server
/// listens at `http://127.0.0.1:8555`, so no sandbox needs a network. Script `S` of
/// `tools/model-server/scripts` is `ANTHROPIC_BASE_URL=http://127.0.0.1:8555/s/S`.
///
/// # Panics
/// When no engine answers or the image is not there.
#[must_use]
pub fn scripted_image() -> String {
    image(script_line("sandbox-image/build-scripted-image.sh", &["--print-tag"]))
}

/// A small image (busybox, bash, git) for tests of sandboxes without an agent.
///
/// # Panics
/// When no engine answers or the image is not there.
#[must_use]
pub fn test_image() -> String {
    image(TEST_IMAGE.to_owned())
}

fn image(name: String) -> String {
    let _answers = docker_socket();
    match ask("GET", &format!("/images/{name}/json")) {
        Ok((200, _)) => name,
        Ok(_) => panic!("this test needs the image {name}: run `cargo xtask setup`"),
        Err(error) => panic!("asking the Docker engine for the image {name}: {error}"),
    }
}

fn script_line(script: &str, args: &[&str]) -> String {
    let path = workspace_root().join(script);
    let output = Command::new("bash").arg(&path).args(args).output();
    match output {
        Ok(done) if done.status.success() => {
            String::from_utf8_lossy(&done.stdout).trim().to_owned()
        }
        Ok(done) => panic!("{script} failed: {}", String::from_utf8_lossy(&done.stderr)),
        Err(error) => panic!("{script} could not be started with bash: {error}"),
    }
}
