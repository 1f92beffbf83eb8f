//! House rules of this workspace as tests: arrows, file sizes, lints, docs.
//!
//! The rules are the tests of this crate, one file each: `tests/arrows.rs` (who may use whom),
//! `tests/crates.rs` (what every crate has), `tests/pure.rs` (what stays out of the lower layers),
//! `tests/files.rs` (sizes, paths, links). Here is only how they look at the workspace.

use std::path::{Path, PathBuf};
use std::process::Command;

use toml::{Table, Value};

/// One crate of this workspace.
#[derive(Debug)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// Its folder.
    pub dir: PathBuf,
    /// Its Cargo.toml.
    pub manifest: Table,
}

impl Member {
    /// The names in one table of dependencies, for example `dev-dependencies`; `build-` and
    /// target-specific tables are not used in this workspace, and a test holds that.
    #[must_use]
    pub fn uses(&self, table: &str) -> Vec<&str> {
        let table = self.manifest.get(table).and_then(Value::as_table);
        table.map(|table| table.keys().map(String::as_str).collect()).unwrap_or_default()
    }

    /// The Rust files below one of its folders, for example `src`.
    #[must_use]
    pub fn rust_files(&self, folder: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut folders = vec![self.dir.join(folder)];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|end| end == "rs") {
                    found.push(path);
                }
            }
        }
        found.sort();
        found
    }
}

/// The root of the workspace.
#[must_use]
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).map_or_else(|| here.to_owned(), Path::to_owned)
}

/// Every crate below `crates/` and `apps/`, and `xtask`.
///
/// # Panics
/// When a Cargo.toml cannot be read.
#[must_use]
pub fn members() -> Vec<Member> {
    let mut folders = vec![root().join("xtask")];
    for parent in ["crates", "apps"] {
        let entries = std::fs::read_dir(root().join(parent)).into_iter().flatten().flatten();
        folders.extend(entries.map(|entry| entry.path()));
    }
    folders.retain(|folder| folder.join("Cargo.toml").is_file());
    folders.sort();
    folders.into_iter().map(member).collect()
}

fn member(dir: PathBuf) -> Member {
    let path = dir.join("Cargo.toml");
    let manifest: Table = read(&path).parse().unwrap_or_else(|error| {
        panic!("{}: {error}", path.display());
    });
    let name = manifest.get("package").and_then(|package| package.get("name"));
    let name =
        name.and_then(Value::as_str).unwrap_or_else(|| panic!("{} has no name", path.display()));
    Member { name: name.to_owned(), dir, manifest }
}

/// Every file that is or will be committed, relative to the root: what git tracks and what it
/// would add.
///
/// # Panics
/// Without git, or outside of a checkout.
#[must_use]
pub fn files() -> Vec<PathBuf> {
    let mut git = Command::new("git");
    git.current_dir(root()).args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let output = git.output().unwrap_or_else(|error| panic!("git: {error}"));
    assert!(output.status.success(), "git: {}", String::from_utf8_lossy(&output.stderr));
    let names = output.stdout.split(|byte| *byte == 0).filter(|name| !name.is_empty());
    let names = names.map(|name| PathBuf::from(String::from_utf8_lossy(name).into_owned()));
    // A file that was deleted but not committed so is still listed.
    let mut files: Vec<_> = names.filter(|name| root().join(name).is_file()).collect();
    files.sort();
    files.dedup();
    files
}

/// The text of a file; what is not UTF-8 in it is replaced.
///
/// # Panics
/// When it cannot be read.
#[must_use]
pub fn read(path: &Path) -> String {
    match std::fs::read(path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) => panic!("{}: {error}", path.display()),
    }
}

/// A failed rule: every breach on a line of its own, so that one run shows them all.
///
/// # Panics
/// When there is a breach.
pub fn assert_none(rule: &str, breaches: &[String]) {
    assert!(breaches.is_empty(), "{rule}:\n  {}", breaches.join("\n  "));
}
