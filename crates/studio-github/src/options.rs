use std::time::Duration;

use studio_ids::OwnerName;

use crate::{AppKey, Permissions, SetupError, Visibility};

/// Longest id of an App, in bytes.
const APP_ID_BYTES_MAX: usize = 100;

/// Which GitHub, with which App, and how patient to be.
#[derive(Debug)]
pub struct GitHubOptions {
    /// Where the API is: `https://api.github.com`, or `https://<host>/api/v3` of an own server.
    /// `http:` only to this machine: a token would be heard on the way.
    pub api: String,
    /// The App, if there is one. Listings with a user's token need none.
    pub app: Option<AppOptions>,
    /// Longest time that a call takes, with all its pages, attempts and waits for limits.
    pub deadline: Duration,
    /// Longest time that one request waits for its answer.
    pub attempt: Duration,
    /// What a token must still be good for to be handed out again.
    pub token_margin: Duration,
}

impl Default for GitHubOptions {
    fn default() -> Self {
        Self {
            api: "https://api.github.com".to_owned(),
            app: None,
            deadline: Duration::from_secs(20),
            attempt: Duration::from_secs(10),
            token_margin: Duration::from_secs(5 * 60),
        }
    }
}

/// A GitHub App and its one installation.
#[derive(Debug)]
pub struct AppOptions {
    /// Who signs.
    pub id: AppId,
    /// The number of its installation, in its address on GitHub.
    pub installation: u64,
    /// What it signs with.
    pub key: AppKey,
    /// Where it makes repositories.
    pub organisation: OwnerName,
    /// How they are seen when nobody says otherwise.
    pub visibility: Visibility,
    /// What the tokens are for that agents get.
    pub permissions: Permissions,
}

impl AppOptions {
    /// An App that makes private repositories and gives tokens to push and to propose.
    pub fn new(id: AppId, installation: u64, key: AppKey, organisation: OwnerName) -> Self {
        let (visibility, permissions) = (Visibility::Private, Permissions::to_push());
        Self { id, installation, key, organisation, visibility, permissions }
    }
}

/// An App's number, or its client id (`Iv23…`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppId(String);

impl AppId {
    /// Letters, digits and dots.
    pub fn new(text: &str) -> Result<Self, SetupError> {
        let good = (1..=APP_ID_BYTES_MAX).contains(&text.len());
        if good && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.') {
            Ok(Self(text.to_owned()))
        } else {
            Err(SetupError::BadAppId)
        }
    }

    /// The id as it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
