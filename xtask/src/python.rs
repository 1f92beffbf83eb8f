//! The Python packages of `tools/schemathesis`: what tries every operation of the OpenAPI document
//! on a real server. Installed once for each content of the list, which pins all of them.

use std::process::Command;

use crate::machine::{cache_dir, root};
use crate::node::hash;
use crate::step::{Done, run_quietly};

/// Installs what is missing. The studio-testkit crate looks in the same place.
pub(crate) fn packages() -> Done {
    let list = root().join("tools/schemathesis/requirements.txt");
    let text = std::fs::read(&list).map_err(|error| format!("{}: {error}", list.display()))?;
    let all = cache_dir()?.join("python");
    let whole = all.join(format!("{:016x}", hash(&text)));
    if whole.is_dir() {
        return Ok(());
    }
    println!("    installing the packages of tools/schemathesis");
    let fail = |error: std::io::Error| format!("{}: {error}", all.display());
    let part = all.join(format!("part-{}", std::process::id()));
    std::fs::create_dir_all(&part).map_err(fail)?;
    let options = ["-m", "pip", "install", "--quiet", "--no-deps", "--only-binary", ":all:"];
    let mut pip = Command::new("python3");
    pip.args(options).arg("--disable-pip-version-check").arg("--target").arg(&part);
    let installed = run_quietly(pip.arg("--requirement").arg(list));
    // Renamed when whole: an interrupted installation is never taken for one.
    match installed.and_then(|_| std::fs::rename(&part, &whole).map_err(fail)) {
        Ok(()) => Ok(()),
        // Another run was faster.
        Err(_) if whole.is_dir() => std::fs::remove_dir_all(&part).map_err(fail),
        Err(error) => {
            std::fs::remove_dir_all(&part).map_err(fail)?;
            Err(error)
        }
    }
}
