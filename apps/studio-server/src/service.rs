use studio_sandbox::Secret;

use crate::{
    ConfigError,
    env::{Env, bad},
};

/// A Durable Streams service, and what lets this studio in.
#[derive(Clone, Debug)]
pub struct ServiceAccess {
    /// Where it is, without a slash at the end: `https://streams.example.com`.
    pub url: String,
    /// Which part of it is the studio's.
    pub id: String,
    /// What lets the studio in.
    pub secret: Secret,
}

impl ServiceAccess {
    /// Reads `DS_URL`, `DS_SERVICE_ID` and `DS_SECRET`, each with `prefix` before it. `Ok(None)` =
    /// no service. The secret alone is none: it may be the key of tokens.
    pub(crate) fn read(env: &Env<'_>, prefix: &str) -> Result<Option<Self>, ConfigError> {
        let name = |name: &str| format!("{prefix}{name}");
        let [url, id, secret] =
            ["DS_URL", "DS_SERVICE_ID", "DS_SECRET"].map(|part| env.text(&name(part)));
        let given = [("DS_URL", url.is_some()), ("DS_SERVICE_ID", id.is_some())];
        match (url, id, secret) {
            (None, None, _) => Ok(None),
            (Some(url), Some(id), Some(secret)) => Self::of(&url, &id, &secret, prefix).map(Some),
            (_, _, secret) => {
                let all = given.into_iter().chain([("DS_SECRET", secret.is_some())]);
                let missing = all.filter(|(_, given)| !given);
                let missing: Vec<_> = missing.map(|(part, _)| name(part)).collect();
                let are = if missing.len() == 1 { "is" } else { "are" };
                Err(ConfigError::Together(format!(
                    "a stream service needs {}, {} and {}: {} {are} missing",
                    name("DS_URL"),
                    name("DS_SERVICE_ID"),
                    name("DS_SECRET"),
                    missing.join(" and "),
                )))
            }
        }
    }

    /// The service at `url`; its id and secret as in [`Self::read`], without the prefix where
    /// those are not set.
    pub(crate) fn at(url: &str, env: &Env<'_>, prefix: &str) -> Result<Self, ConfigError> {
        let find = |name: &str| env.text(&format!("{prefix}{name}")).or_else(|| env.text(name));
        let (Some(id), Some(secret)) = (find("DS_SERVICE_ID"), find("DS_SECRET")) else {
            return Err(ConfigError::Together(format!(
                "a stream service needs its id in {prefix}DS_SERVICE_ID and its secret in \
                 {prefix}DS_SECRET (or both without {prefix})"
            )));
        };
        Self::of(url, &id, &secret, prefix)
    }

    /// The service of these names, looked at.
    fn of(url: &str, id: &str, secret: &str, prefix: &str) -> Result<Self, ConfigError> {
        let name = |name: &str| format!("{prefix}{name}");
        let url = url.trim_end_matches('/');
        let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
        let good = |rest: &str| {
            !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_graphic() && !b"?#@\\".contains(&b))
        };
        if !rest.is_some_and(good) {
            // What stands in it may be a password.
            let reason = "must be like https://streams.example.com, without a name or password";
            return Err(bad(name("DS_URL"), "…", reason));
        }
        let part = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        if !id.bytes().all(part) || matches!(id, "." | "..") {
            let reason = "must be letters, digits, `.`, `_` and `-`";
            return Err(bad(name("DS_SERVICE_ID"), id, reason));
        }
        if !secret.bytes().all(|b| b.is_ascii_graphic()) {
            let reason = "must be visible ASCII without blanks";
            return Err(bad(name("DS_SECRET"), "…", reason));
        }
        Ok(Self { url: url.to_owned(), id: id.to_owned(), secret: Secret::new(secret) })
    }
}
