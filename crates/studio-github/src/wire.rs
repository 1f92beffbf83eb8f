//! GitHub's JSON, as far as it is read.

use std::collections::BTreeMap;

use serde::Deserialize;
use studio_ids::Secret;

/// Longest message of GitHub's that is passed on, in characters.
const MESSAGE_CHARS_MAX: usize = 300;

/// Wire shape: `{"message":"…","errors":[{"message":"…"}]}`, an entry may be a bare text.
#[derive(Clone, Debug, Default)]
pub(crate) struct Complaint {
    pub message: String,
    pub errors: Vec<String>,
}

#[derive(Deserialize)]
struct RawComplaint {
    #[serde(default)]
    message: String,
    #[serde(default)]
    errors: Vec<serde_json::Value>,
}

impl Complaint {
    /// What GitHub says, made fit to be shown.
    pub(crate) fn read(body: &[u8], secret: &Secret) -> Self {
        let Ok(raw) = serde_json::from_slice::<RawComplaint>(body) else { return Self::default() };
        let errors = raw.errors.iter().filter_map(|error| {
            let text = error.as_str().or_else(|| error.get("message")?.as_str());
            text.or_else(|| error.get("code")?.as_str())
        });
        Self {
            message: shown(&raw.message, secret),
            errors: errors.take(5).map(|text| shown(text, secret)).collect(),
        }
    }

    /// In one line.
    pub(crate) fn whole(&self) -> String {
        let first = if self.message.is_empty() { "no reason given" } else { &self.message };
        let rest = self.errors.iter().map(String::as_str);
        [first].into_iter().chain(rest).collect::<Vec<_>>().join("; ")
    }
}

fn shown(text: &str, secret: &Secret) -> String {
    let text = if secret.expose().is_empty() {
        text.to_owned()
    } else {
        text.replace(secret.expose(), "(the credential)")
    };
    let text = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    text.take(MESSAGE_CHARS_MAX).collect()
}

#[derive(Deserialize)]
pub(crate) struct Login {
    pub login: String,
}

#[derive(Deserialize)]
pub(crate) struct ListedRepo {
    pub full_name: String,
    pub html_url: String,
    pub updated_at: Option<String>,
    #[serde(default)]
    pub private: bool,
}

#[derive(Deserialize)]
pub(crate) struct DefaultBranch {
    pub default_branch: String,
}

#[derive(Deserialize)]
pub(crate) struct ListedBranch {
    pub name: String,
}

#[derive(Deserialize)]
pub(crate) struct MadeRepo {
    pub full_name: String,
    pub html_url: String,
    pub clone_url: String,
    pub private: bool,
    pub description: Option<String>,
}

#[derive(Deserialize)]
pub(crate) struct Token {
    pub token: String,
    pub expires_at: String,
    #[serde(default)]
    pub permissions: BTreeMap<String, String>,
    pub repositories: Option<Vec<FullName>>,
}

#[derive(Deserialize)]
pub(crate) struct FullName {
    pub full_name: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complaint_is_fit_to_be_shown() {
        let body = br#"{"message":"a\nb ghs_x","errors":[{"message":"c"},"d",{"code":"e"},7]}"#;
        let complaint = Complaint::read(body, &Secret::new("ghs_x"));
        assert_eq!(complaint.whole(), "a b (the credential); c; d; e");
        assert_eq!(Complaint::read(b"<html>", &Secret::new("x")).whole(), "no reason given");
    }
}
