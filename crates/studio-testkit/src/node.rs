use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::needs::{cache_dir, workspace_root};

/// The scripts of a folder in `tools` beside the packages they need: a folder of its own, so that
/// runs do not meet.
#[derive(Debug)]
pub struct NodeTool {
    dir: TempDir,
}

impl NodeTool {
    /// The published conformance suite, the official client and the official server of the
    /// Durable Streams protocol, and what the tests do with them.
    ///
    /// # Panics
    /// When the packages are not installed, or the folder cannot be made.
    #[must_use]
    pub fn durable_streams() -> Self {
        Self::of("durable-streams")
    }

    /// GitHub's official client, and what the tests do with it.
    ///
    /// # Panics
    /// When the packages are not installed, or the folder cannot be made.
    #[must_use]
    pub fn github_fake() -> Self {
        Self::of("github-fake")
    }

    fn of(name: &str) -> Self {
        let tool = workspace_root().join("tools").join(name);
        let modules = installed(&tool);
        let dir = copy(&tool, &modules);
        Self { dir: dir.unwrap_or_else(|error| panic!("{}: {error}", tool.display())) }
    }

    /// The folder; everything in it goes with this value.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// `node SCRIPT`, in the folder.
    #[must_use]
    pub fn node(&self, script: &str) -> Command {
        let mut node = Command::new("node");
        node.arg(script).current_dir(self.dir()).stdin(std::process::Stdio::null());
        node
    }
}

/// The packages of the app that projects begin with (`crates/studio-assets/template`): its
/// `node_modules`, as `npm ci` makes it. To be copied: what runs with it writes into it.
///
/// # Panics
/// When the packages are not installed.
#[must_use]
pub fn template_packages() -> PathBuf {
    installed(&workspace_root().join("crates/studio-assets/template"))
}

/// The tool's own files and a link to the packages, in a folder of their own.
fn copy(tool: &Path, modules: &Path) -> std::io::Result<TempDir> {
    let dir = TempDir::with_prefix("node-tool-")?;
    for entry in std::fs::read_dir(tool)? {
        let file = entry?;
        if file.file_type()?.is_file() {
            std::fs::copy(file.path(), dir.path().join(file.file_name()))?;
        }
    }
    std::os::unix::fs::symlink(modules, dir.path().join("node_modules"))?;
    Ok(dir)
}

/// The `node_modules` of exactly these files.
fn installed(tool: &Path) -> PathBuf {
    let read = |name: &str| {
        let path = tool.join(name);
        std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    let content = [read("package.json"), read("package-lock.json")].concat();
    let modules = cache_dir().join(format!("node/{:016x}/node_modules", hash(&content)));
    assert!(
        modules.is_dir(),
        "this test needs the packages of {} at {}: run `cargo xtask setup`",
        tool.display(),
        modules.display()
    );
    modules
}

/// FNV-1a, as in xtask's `node.rs`.
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, b| (hash ^ u64::from(*b)).wrapping_mul(0x100_0000_01b3))
}
