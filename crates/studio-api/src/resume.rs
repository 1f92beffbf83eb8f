//! A session out of a repository: `POST /api/sessions/resume`.

use serde_json::Value;
use studio_ids::BranchName;

use crate::{
    Body, BodyError, PrivateText,
    body::decode_with,
    decode::{Fields, Units},
    limits::{KEY_UNITS_MAX, SHORT_UNITS_MAX},
    sessions::private,
};

/// `POST /api/sessions/resume`. Whether the address is one of the studio's GitHub is for the flow
/// to say; here it is a text that no shell and no program could misread (`D30-73`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResumeSession {
    /// `https://github.com/owner/name`, as people copy it.
    pub repo_url: String,
    /// The branch; the repository's own choice when absent.
    pub branch: Option<BranchName>,
    /// The model provider's key.
    pub api_key: Option<PrivateText>,
    /// The agent's login.
    pub oauth_token: Option<PrivateText>,
    /// For the repository.
    pub gh_token: Option<PrivateText>,
}

impl Body for ResumeSession {
    fn decode(value: &Value) -> Result<Self, BodyError> {
        decode_with(value, |fields| {
            let repo_url = repo_url(fields);
            let branch = branch(fields);
            let api_key = private(fields, "apiKey");
            let oauth_token = private(fields, "oauthToken");
            let gh_token = private(fields, "ghToken");
            Some(Self { repo_url: repo_url?, branch, api_key, oauth_token, gh_token })
        })
    }
}

fn repo_url(fields: &mut Fields<'_>) -> Option<String> {
    let text = fields.plain("repoUrl", Units::some_up_to(KEY_UNITS_MAX))?;
    let begins = ["https://", "http://", "git@"].iter().any(|begin| text.starts_with(begin));
    let bad = |c: char| c.is_whitespace() || "\"'`\\;|&$()<>".contains(c);
    if !begins || text.contains(bad) {
        fields.fail("repoUrl", "Invalid repo URL");
        return None;
    }
    Some(text)
}

fn branch(fields: &mut Fields<'_>) -> Option<BranchName> {
    // Browsers send an empty field for "none".
    let text = fields.plain_if_given("branch", Units::up_to(SHORT_UNITS_MAX))?;
    let named = Some(text).filter(|text| !text.is_empty())?.parse();
    if named.is_err() {
        fields.fail("branch", "Invalid branch name");
    }
    named.ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn d30_73_an_address_and_a_branch_are_words_that_nothing_misreads() {
        let read = |url: &str, branch: &str| {
            let read = ResumeSession::decode(&json!({ "repoUrl": url, "branch": branch }));
            read.map_err(|error| error.details().join(", "))
        };
        let good = "https://github.com/acme/kites";
        assert_eq!(read(good, "").unwrap().branch, None);
        assert_eq!(
            read("git@github.com:acme/kites.git", "a/b").unwrap().branch.unwrap().as_str(),
            "a/b"
        );
        for bad in [
            "",
            "acme/kites",
            "ssh://github.com/acme/kites",
            "ext::sh -c id",
            "--upload-pack=id",
            "https://github.com/acme/kites;id",
            "https://github.com/acme/$(id)",
            "https://github.com/acme/`id`",
            "https://github.com/acme/kites\n",
            "https://github.com/acme/ki tes",
        ] {
            assert!(read(bad, "main").unwrap_err().starts_with("repoUrl: "), "{bad}");
        }
        for bad in ["--upload-pack=id", "a b", "a..b", "a;b\n", "$(id)\\", "-b"] {
            assert!(read(good, bad).unwrap_err().starts_with("branch: "), "{bad}");
        }
    }
}
