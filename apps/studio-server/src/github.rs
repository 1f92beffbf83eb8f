use studio_assets::git::GitOrigin;
use studio_github::{AppId, AppKey, AppOptions, GitHubOptions, RestGitHub, SetupError};
use studio_ids::OwnerName;
use studio_sandbox::Secret;

use crate::{ConfigError, env::Env};

/// The organisation of those who set none: the reference's, where its App makes repositories.
const ORGANISATION: &str = "electric-apps";
const APP: &str = "GITHUB_APP_ID";
const INSTALLATION: &str = "GITHUB_INSTALLATION_ID";
const KEY: &str = "GITHUB_PRIVATE_KEY";
const ORG: &str = "GITHUB_ORG";
const API: &str = "GITHUB_API_URL";

/// Which GitHub, and the App that makes repositories and gives tokens for them.
#[derive(Clone, Debug)]
pub struct GitHubChoice {
    /// Where the API is.
    pub api: String,
    /// Where git finds its repositories.
    pub origin: GitOrigin,
    /// The App, if there is one.
    pub app: Option<AppChoice>,
}

/// A GitHub App and its installation.
#[derive(Clone, Debug)]
pub struct AppChoice {
    /// Its number or client id.
    pub id: AppId,
    /// The number of its installation.
    pub installation: u64,
    /// What it signs with, PEM; looked at when it was read.
    pub key: Secret,
    /// Where it makes repositories.
    pub organisation: OwnerName,
}

impl GitHubChoice {
    /// Reads `GITHUB_API_URL` and the App's settings, which stand together or not at all: half an
    /// App would push nothing and say so late (`D30-92`).
    pub(crate) fn read(env: &Env<'_>) -> Result<Self, ConfigError> {
        let api = env.text(API).unwrap_or_else(|| GitHubOptions::default().api);
        let wanted = "must be like https://api.github.com or https://HOST/api/v3";
        let origin = origin(&api).ok_or_else(|| env.bad(API, &api, wanted))?;
        let (id, installation, key) = (env.text(APP), env.text(INSTALLATION), env.text(KEY));
        let app = match (id, installation, key) {
            (None, None, None) => None,
            (Some(id), Some(installation), Some(key)) => {
                Some(AppChoice::of(env, &id, &installation, key)?)
            }
            _ => {
                return Err(ConfigError::Together(format!(
                    "a GitHub App needs all of {APP}, {INSTALLATION} and {KEY}, or none"
                )));
            }
        };
        let choice = Self { api, origin, app };
        // What the API's address lacks is told now.
        choice.client().map_err(|error| env.bad(API, &choice.api, error.to_string()))?;
        Ok(choice)
    }

    /// GitHub itself; connects to nothing yet.
    pub(crate) fn client(&self) -> Result<RestGitHub, SetupError> {
        let app = self.app.as_ref().map(|app| {
            let key = AppKey::from_pem(&app.key)?;
            let organisation = app.organisation.clone();
            Ok(AppOptions::new(app.id.clone(), app.installation, key, organisation))
        });
        let options =
            GitHubOptions { api: self.api.clone(), app: app.transpose()?, ..Default::default() };
        RestGitHub::new(options)
    }
}

impl AppChoice {
    fn of(env: &Env<'_>, id: &str, installation: &str, key: String) -> Result<Self, ConfigError> {
        let number = "must be a whole number";
        let organisation = env.text(ORG).unwrap_or_else(|| ORGANISATION.to_owned());
        let key = Secret::new(key);
        // The key's value is not for messages.
        AppKey::from_pem(&key).map_err(|error| env.bad(KEY, "…", error.to_string()))?;
        Ok(Self {
            id: AppId::new(id).map_err(|error| env.bad(APP, id, error.to_string()))?,
            installation: installation
                .parse()
                .map_err(|_malformed| env.bad(INSTALLATION, installation, number))?,
            key,
            organisation: organisation
                .parse()
                .map_err(|error| env.bad(ORG, &organisation, format!("{error}")))?,
        })
    }
}

/// Where git finds the repositories of the GitHub whose API this is.
fn origin(api: &str) -> Option<GitOrigin> {
    let (scheme, rest) = api.split_once("://")?;
    let host = rest.split('/').next()?;
    match scheme {
        "https" if host == "api.github.com" => GitOrigin::https("github.com"),
        "https" => GitOrigin::https(host),
        // For tests: the client takes such an address on this machine alone.
        "http" => Some(GitOrigin::http_here(host.strip_prefix("127.0.0.1:")?.parse().ok()?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(all: &[(&str, &str)]) -> Result<GitHubChoice, String> {
        let find = |name: &str| {
            all.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        };
        GitHubChoice::read(&Env::new(find)).map_err(|error| error.to_string())
    }

    #[test]
    fn without_settings_it_is_github_without_an_app() {
        let choice = read(&[]).unwrap();
        assert_eq!(choice.api, "https://api.github.com");
        assert_eq!(choice.origin.url(), "https://github.com");
        assert!(choice.app.is_none());
    }

    #[test]
    fn git_finds_repositories_where_the_api_is() {
        let at = |api: &str| read(&[(API, api)]).map(|choice| choice.origin.url());
        assert_eq!(at("https://ghe.example/api/v3").unwrap(), "https://ghe.example");
        assert_eq!(at("https://ghe.example:8443/api/v3").unwrap(), "https://ghe.example:8443");
        assert_eq!(at("http://127.0.0.1:7").unwrap(), "http://127.0.0.1:7");
        for bad in ["ghe.example", "http://ghe.example", "ftp://a", "https://u:p@a", "https://"] {
            assert!(at(bad).unwrap_err().starts_with(API), "{bad}");
        }
    }

    #[test]
    fn d30_92_half_an_app_is_refused_and_no_key_is_shown() {
        let key = studio_testkit::RsaKey::generate();
        let all = [(APP, "4242"), (INSTALLATION, "77"), (KEY, key.pem())];
        let app = read(&all).unwrap().app.unwrap();
        assert_eq!(app.organisation.as_str(), "electric-apps");
        assert!(!format!("{app:?}").contains("PRIVATE"));
        for some in [&all[..1], &all[..2], &all[1..], &all[2..]] {
            assert!(read(some).unwrap_err().contains("or none"));
        }
        let told = read(&[all[0], all[1], (KEY, "hunter2")]).unwrap_err();
        assert!(told.starts_with(KEY) && !told.contains("hunter2"), "{told}");
        for (at, bad) in [(0, "a b"), (1, "-1"), (1, "many")] {
            let mut some = all;
            some[at].1 = bad;
            assert!(read(&some).unwrap_err().starts_with(all[at].0), "{bad}");
        }
        let told = read(&[all[0], all[1], all[2], (ORG, "../x")]).unwrap_err();
        assert!(told.starts_with(ORG), "{told}");
    }
}
