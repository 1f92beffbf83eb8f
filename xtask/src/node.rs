//! npm packages: those of `tools` (official clients, servers and conformance suites), and those of
//! the app that projects begin with; installed once for each content of a lock file.

use std::path::PathBuf;
use std::process::Command;

use crate::machine::{cache_dir, root};
use crate::step::{Done, run_quietly};

/// The folders with packages: for the Durable Streams protocol, for GitHub's API, and for the app
/// that projects begin with.
const FOLDERS: [&str; 3] =
    ["tools/durable-streams", "tools/github-fake", "crates/studio-assets/template"];
/// What decides which packages are installed.
const FILES: [&str; 2] = ["package.json", "package-lock.json"];

/// Installs what is missing.
pub(crate) fn packages() -> Done {
    FOLDERS.iter().try_for_each(|folder| install(folder).map(|_place| ()))
}

/// Where the packages of one folder are, once they are there.
fn install(folder: &str) -> Done<PathBuf> {
    let tool = root().join(folder);
    let mut texts = Vec::new();
    for name in FILES {
        let path = tool.join(name);
        let text = std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        texts.push(text);
    }
    let all = cache_dir()?.join("node");
    let whole = all.join(format!("{:016x}", hash(&texts.concat())));
    if whole.is_dir() {
        return Ok(whole);
    }
    println!("    installing the packages of {folder}");
    let fail = |error: std::io::Error| format!("{}: {error}", all.display());
    let part = all.join(format!("part-{}", std::process::id()));
    std::fs::create_dir_all(&part).map_err(fail)?;
    for (name, text) in FILES.iter().zip(&texts) {
        std::fs::write(part.join(name), text).map_err(fail)?;
    }
    // Nothing of the packages is run while they are installed.
    let options = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
    let installed = run_quietly(Command::new("npm").args(options).current_dir(&part));
    // Renamed when whole: an interrupted installation is never taken for one.
    match installed.and_then(|_| std::fs::rename(&part, &whole).map_err(fail)) {
        Ok(()) => Ok(whole),
        // Another run was faster.
        Err(_) if whole.is_dir() => std::fs::remove_dir_all(&part).map(|()| whole).map_err(fail),
        Err(error) => {
            std::fs::remove_dir_all(&part).map_err(fail)?;
            Err(error)
        }
    }
}

/// FNV-1a: tells one content from another, for a name. studio-testkit has the same.
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, b| (hash ^ u64::from(*b)).wrapping_mul(0x100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_published_one() {
        assert_eq!(hash(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(hash(b"foobar"), 0x8594_4171_f739_67e8);
    }
}
