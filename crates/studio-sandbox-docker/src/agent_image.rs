use bytes::Bytes;

use crate::{ContextFile, Recipe};

/// The files whose content the tag names, in the order in which they are hashed; `tag.sh` beside
/// them does the same, so what a build script made beforehand is found.
const AGENTS_ENV: &[u8] = include_bytes!("../../../sandbox-image/agents.env");
const DOCKERFILE: &[u8] = include_bytes!("../../../sandbox-image/Dockerfile");
const BUILD_SCRIPT: &[u8] = include_bytes!("../../../sandbox-image/build-agent-image.sh");

impl Recipe {
    /// The image that the studio ships: the coding agents in their pinned versions, git, node,
    /// the usual tools.
    pub fn agent() -> Self {
        let mut hash = ring::digest::Context::new(&ring::digest::SHA256);
        for file in [AGENTS_ENV, DOCKERFILE, BUILD_SCRIPT] {
            hash.update(file);
        }
        let digest: String =
            hash.finish().as_ref().iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        Self {
            tag: format!("agent-studio-agent:{digest}"),
            files: vec![ContextFile {
                path: "Dockerfile".to_owned(),
                data: Bytes::from_static(DOCKERFILE),
            }],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tag_is_the_one_that_the_build_script_uses() {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../sandbox-image/tag.sh");
        let output = std::process::Command::new("bash").arg(script).output().unwrap();
        let expected = String::from_utf8(output.stdout).unwrap();
        assert_eq!(Recipe::agent().tag, format!("agent-studio-agent:{}", expected.trim()));
    }
}
