//! How git in a sandbox gets a token: by a helper that asks the studio through its relay, so that
//! none lies in a file or in the environment.

use studio_ids::Repository;

use crate::quote::shell_word;

/// What the helper is called in `<home>/.studio/bin`, beside the relay. Mode 0755.
pub const CREDENTIAL_HELPER: &str = "git-credential-studio";
/// The verb under which the helper asks the relay.
pub const CREDENTIAL_VERB: &str = "git-credential";
/// Longest host that a helper is made for, in bytes.
const HOST_BYTES_MAX: usize = 255;

/// The one place that a helper has tokens for: `https://github.com`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GitOrigin {
    protocol: &'static str,
    host: String,
}

impl GitOrigin {
    /// A host, with a port if it has an own one: letters, digits, `.`, `-`, and `:` before the
    /// port. `None` for anything else.
    pub fn https(host: &str) -> Option<Self> {
        Self::new("https", host)
    }

    /// A server of a test, on this machine: everybody on the way can read a token here.
    pub fn http_here(port: u16) -> Self {
        Self { protocol: "http", host: format!("127.0.0.1:{port}") }
    }

    fn new(protocol: &'static str, host: &str) -> Option<Self> {
        let (name, port) = host.split_once(':').map_or((host, "1"), |(name, port)| (name, port));
        let good = (1..=HOST_BYTES_MAX).contains(&host.len())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-'))
            && name.starts_with(|c: char| c.is_ascii_alphanumeric())
            && !port.is_empty()
            && port.bytes().all(|b| b.is_ascii_digit());
        good.then(|| Self { protocol, host: host.to_owned() })
    }

    /// As git writes it.
    pub fn url(&self) -> String {
        format!("{}://{}", self.protocol, self.host)
    }
}

/// The helper's text for one place: POSIX sh.
pub fn credential_helper(origin: &GitOrigin) -> String {
    include_str!("texts/git-credential.sh")
        .replace("@PROTOCOL@", origin.protocol)
        .replace("@HOST@", &origin.host)
}

/// Commands that let git ask the helper at `path` for this place, and no other helper: one that
/// is configured for everything might keep the token.
pub fn credential_config(origin: &GitOrigin, path: &str) -> Vec<Vec<String>> {
    let section = format!("credential.{}", origin.url());
    let git = |args: &[&str]| {
        let words = ["git", "config", "--global"].iter().chain(args);
        words.map(|word| (*word).to_owned()).collect()
    };
    let helper = format!("{section}.helper");
    let program = format!("!{}", shell_word(path));
    vec![
        git(&["--replace-all", &helper, ""]),
        git(&["--add", &helper, &program]),
        // So that the studio learns which repository is meant.
        git(&["--replace-all", &format!("{section}.useHttpPath"), "true"]),
    ]
}

/// For which repository a helper asks, if `body` is its request for this place.
pub fn credential_request(origin: &GitOrigin, body: &[u8]) -> Option<Repository> {
    let text = std::str::from_utf8(body).ok()?;
    let value = |key: &str| {
        text.lines().find_map(|line| line.strip_prefix(key).and_then(|rest| rest.strip_prefix('=')))
    };
    if value("protocol") != Some(origin.protocol) || value("host") != Some(&origin.host) {
        return None;
    }
    let path = value("path")?;
    path.strip_suffix(".git").unwrap_or(path).parse().ok()
}

/// The answer that hands a token over; `expires_at` in seconds since 1970.
pub fn credential_answer(token: &str, expires_at: i64) -> String {
    let token: String = token.chars().filter(char::is_ascii_graphic).collect();
    format!("username=x-access-token\npassword={token}\npassword_expiry_utc={expires_at}\n")
}

/// The answer without one: a sentence for who reads git's output.
pub fn credential_refusal(reason: &str) -> String {
    let reason: String = reason.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    format!("error={}\n", if reason.trim().is_empty() { "no token" } else { &reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_host_and_nothing_more() {
        for good in ["github.com", "ghe.example:8443", "127.0.0.1"] {
            assert!(GitOrigin::https(good).is_some(), "{good}");
        }
        for bad in ["", "a/b", "a b", "a'b", "a\nb", "-a", ":1", "a:", "a:b", "u@a", "a:1:2", "ä"]
        {
            assert!(GitOrigin::https(bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn a_request_names_a_repository_of_this_place() {
        let origin = GitOrigin::https("github.com").unwrap();
        let ask = |body: &str| credential_request(&origin, body.as_bytes());
        let good = "protocol=https\nhost=github.com\npath=acme/app.git\n";
        assert_eq!(ask(good).unwrap().to_string(), "acme/app");
        for bad in [
            "",
            "protocol=https\nhost=github.com\n",
            "protocol=http\nhost=github.com\npath=acme/app.git",
            "protocol=https\nhost=evil.example\npath=acme/app.git",
            "protocol=https\nhost=github.com\npath=acme/../app.git",
            "protocol=https\nhost=github.com\npath=acme",
        ] {
            assert_eq!(ask(bad), None, "{bad}");
        }
        assert_eq!(credential_request(&origin, b"\xff"), None);
    }

    #[test]
    fn an_answer_stays_in_its_lines() {
        let answer = credential_answer("ghs_a\nquit=1", 7);
        assert_eq!(
            answer,
            "username=x-access-token\npassword=ghs_aquit=1\npassword_expiry_utc=7\n"
        );
        assert_eq!(credential_refusal("a\nb"), "error=a b\n");
        assert_eq!(credential_refusal("\n"), "error=no token\n");
    }
}
