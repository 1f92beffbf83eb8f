use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::needs::{cache_dir, workspace_root};
use crate::node::hash;

/// `python3 -m schemathesis.cli`, in the version that `tools/schemathesis` pins: tries every
/// operation of an OpenAPI document on a server. Knows the kinds of bodies of `hooks.py` beside it.
///
/// # Panics
/// When it is not installed.
#[must_use]
pub fn schemathesis() -> Command {
    let mut python = Command::new("python3");
    python.env("PYTHONPATH", installed()).env("PYTHONDONTWRITEBYTECODE", "1");
    let hooks = workspace_root().join("tools/schemathesis/hooks.py");
    python.env("SCHEMATHESIS_HOOKS", hooks).args(["-m", "schemathesis.cli"]).stdin(Stdio::null());
    python
}

fn installed() -> PathBuf {
    let list = workspace_root().join("tools/schemathesis/requirements.txt");
    let text = std::fs::read(&list).unwrap_or_else(|error| panic!("{}: {error}", list.display()));
    let place = cache_dir().join("python").join(format!("{:016x}", hash(&text)));
    assert!(
        place.is_dir(),
        "the packages of tools/schemathesis are not installed: cargo xtask setup"
    );
    place
}
