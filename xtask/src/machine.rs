//! What this machine is and has.

use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::step::Done;

/// The root of the workspace.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().map_or_else(|| here.to_owned(), Path::to_owned)
}

/// Where downloads stay between runs and clones. The studio-testkit crate looks in the same place.
pub(crate) fn cache_dir() -> Done<PathBuf> {
    let base = std::env::var_os("XDG_CACHE_HOME").filter(|dir| !dir.is_empty()).map(PathBuf::from);
    base.or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")))
        .map(|base| base.join("agent-studio"))
        .ok_or_else(|| "neither XDG_CACHE_HOME nor HOME is set".to_owned())
}

/// The value of `key` in `sandbox-image/agents.env`.
pub(crate) fn pinned(key: &str) -> Done<String> {
    let path = root().join("sandbox-image/agents.env");
    let text =
        std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    text.lines()
        .filter_map(|line| line.split_once('='))
        .find_map(|(name, value)| (name == key).then(|| value.to_owned()))
        .ok_or_else(|| format!("{} has no line {key}=…", path.display()))
}

/// Whether a program of this name can be started. Also looks where Debian keeps programs for root.
pub(crate) fn has_program(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    places.map(|place| place.join(name)).any(|file| {
        file.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    })
}

/// Whether this process runs as root.
pub(crate) fn is_root() -> bool {
    // The owner of a process's folder in /proc is its effective user.
    Path::new("/proc/self").metadata().is_ok_and(|meta| meta.uid() == 0)
}

/// Whether packages are installed with apt here.
pub(crate) fn is_debian() -> bool {
    has_program("apt-get") && has_program("dpkg-query")
}

/// The socket of the Docker engine: `DOCKER_HOST` where it names a unix socket, else the usual.
pub(crate) fn engine_socket() -> PathBuf {
    std::env::var("DOCKER_HOST")
        .ok()
        .and_then(|host| host.strip_prefix("unix://").map(PathBuf::from))
        .unwrap_or_else(|| PathBuf::from("/var/run/docker.sock"))
}

/// Asks the Docker engine for a sign of life.
pub(crate) fn ping_engine() -> std::io::Result<()> {
    let mut stream = UnixStream::connect(engine_socket())?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(b"GET /_ping HTTP/1.0\r\nHost: engine\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    if answer.starts_with(b"HTTP/1.0 200") || answer.starts_with(b"HTTP/1.1 200") {
        return Ok(());
    }
    Err(std::io::Error::other(String::from_utf8_lossy(&answer).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_by_name_and_only_if_they_can_be_started() {
        assert!(has_program("sh"));
        assert!(!has_program("passwd-without-a-program"));
        assert!(!has_program("../etc/passwd"), "a file that nobody may start");
    }

    #[test]
    fn every_pin_that_is_used_is_there() {
        for key in ["CLAUDE_VERSION", "NODE_VERSION", "DEBIAN_SUITE"] {
            assert!(!pinned(key).unwrap().is_empty());
        }
        let missing = pinned("NO_SUCH_PIN").unwrap_err();
        assert!(missing.ends_with("agents.env has no line NO_SUCH_PIN=…"), "{missing}");
    }
}
