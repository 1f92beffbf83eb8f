//! The answer to the infrastructure gate: strictly checked, because it becomes configuration
//! (`D30-2`, `D30-48`). Source: spec 02 section 6, "Required validation".

use studio_ids::{OwnerName, RepositoryName};
use url::Url;

use crate::{
    PrivateText,
    decode::{Fields, Units},
    limits::{KEY_UNITS_MAX, SHORT_UNITS_MAX},
};

const KEY: Units = Units::some_up_to(KEY_UNITS_MAX);
const SHORT: Units = Units::some_up_to(SHORT_UNITS_MAX);

/// Where the project's data shall live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InfraChoice {
    /// `mode: "local"`: a database beside the sandbox.
    Local,
    /// `mode: "cloud"` and `mode: "claim"`: a hosted database.
    Cloud {
        /// `postgres://` or `postgresql://`; holds a password.
        database_url: PrivateText,
        /// `http://` or `https://`.
        electric_url: String,
        /// The sync service's name of the source.
        source_id: String,
        /// The source's secret.
        secret: PrivateText,
        /// Set for `claim`, and optional for `cloud`.
        claim_id: Option<String>,
    },
}

/// The repository that the project shall get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepoConfig {
    /// Owner.
    pub account: String,
    /// Name.
    pub name: String,
    /// `private` unless `public` was asked for.
    pub public: bool,
}

/// A checked answer to `infra_config`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InfraConfig {
    /// Where data lives.
    pub infra: InfraChoice,
    /// Which repository; absent when account or name was left blank.
    pub repo: Option<RepoConfig>,
}

#[derive(Clone, Copy)]
enum Mode {
    Local,
    Cloud,
    Claim,
}

impl InfraConfig {
    pub(crate) fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let mode = match fields.get("mode").and_then(|mode| mode.as_str()) {
            Some("local") => Some(Mode::Local),
            Some("cloud") => Some(Mode::Cloud),
            Some("claim") => Some(Mode::Claim),
            _ => {
                let reason = "Invalid discriminator value. Expected 'local' | 'cloud' | 'claim'";
                fields.fail("mode", reason);
                None
            }
        };
        let infra = mode.and_then(|mode| match mode {
            Mode::Local => Some(InfraChoice::Local),
            Mode::Cloud => cloud(fields, false),
            Mode::Claim => cloud(fields, true),
        });
        let repo = repo(fields);
        Some(Self { infra: infra?, repo })
    }
}

fn cloud(fields: &mut Fields<'_>, claimed: bool) -> Option<InfraChoice> {
    let database_url = url(fields, "databaseUrl", &["postgres", "postgresql"]);
    let electric_url = url(fields, "electricUrl", &["http", "https"]);
    let source_id = fields.plain("sourceId", SHORT);
    let secret = fields.plain("secret", KEY);
    let claim_id = if claimed {
        fields.plain("claimId", SHORT)
    } else {
        // The reference's browser sends it empty for a database of the user's own.
        let given = fields.plain_if_given("claimId", Units::up_to(SHORT_UNITS_MAX));
        given.filter(|id| !id.is_empty())
    };
    Some(InfraChoice::Cloud {
        database_url: PrivateText::new(database_url?),
        electric_url: electric_url?,
        source_id: source_id?,
        secret: PrivateText::new(secret?),
        claim_id,
    })
}

fn url(fields: &mut Fields<'_>, name: &str, schemes: &[&str]) -> Option<String> {
    let text = fields.plain(name, KEY)?;
    let good = Url::parse(&text).is_ok_and(|url| {
        schemes.contains(&url.scheme()) && url.host_str().is_some_and(|host| !host.is_empty())
    });
    // A parser that forgives blanks and backslashes must not hide them from whoever gets the text.
    let clean =
        !text.contains(|c: char| c.is_whitespace() || matches!(c, '\\' | '"' | '\'' | '<' | '>'));
    if !(good && clean) {
        fields.fail(name, "Invalid url");
        return None;
    }
    Some(text)
}

fn repo(fields: &mut Fields<'_>) -> Option<RepoConfig> {
    let blank_is_none = |text: String| Some(text).filter(|text| !text.trim().is_empty());
    let short = Units::up_to(SHORT_UNITS_MAX);
    let account = fields.plain_if_given("repoAccount", short).and_then(blank_is_none);
    let name = fields.plain_if_given("repoName", short).and_then(blank_is_none);
    let public = fields
        .word_if_given("repoVisibility", &[("private", false), ("public", true)])
        .unwrap_or(false);
    if account.as_deref().is_some_and(|account| account.parse::<OwnerName>().is_err()) {
        fields.fail("repoAccount", "Invalid");
    }
    if name.as_deref().is_some_and(|name| name.parse::<RepositoryName>().is_err()) {
        fields.fail("repoName", "Invalid");
    }
    Some(RepoConfig { account: account?, name: name?, public })
}
