//! Which stream a path means.

use axum::http::Uri;
use percent_encoding::percent_decode_str;
use studio_streams::StreamPath;

use crate::Problem;

/// What a request is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Stream(StreamPath),
    /// Kept for subscriptions, which are not offered.
    Reserved,
}

/// The first part of paths that are kept for subscriptions.
const RESERVED: &str = "__ds";

/// What `uri` means below `mount`. Escapes are undone once, and only what a stream can be called
/// passes, so there is no second way to write another name.
pub(crate) fn of(uri: &Uri, mount: &str) -> Result<Target, Problem> {
    below(uri.path(), mount)
        .ok_or_else(|| Problem::no_stream("no stream stands there"))?
        .parse_as_target()
}

/// What the header of a fork says is its source: a path as clients see it.
pub(crate) fn of_source(text: &str, mount: &str) -> Result<StreamPath, Problem> {
    let missing = || Problem::no_stream(format!("a source is a path like {mount}/name"));
    match below(text, mount).ok_or_else(missing)?.parse_as_target()? {
        Target::Stream(path) => Ok(path),
        Target::Reserved => Err(Problem::bad_request("the prefix __ds is no stream")),
    }
}

fn below<'a>(path: &'a str, mount: &str) -> Option<Name<'a>> {
    path.strip_prefix(mount)?.strip_prefix('/').map(Name)
}

struct Name<'a>(&'a str);

impl Name<'_> {
    fn parse_as_target(&self) -> Result<Target, Problem> {
        let name = percent_decode_str(self.0).decode_utf8();
        let name = name.map_err(|_garbled| Problem::bad_request("a name is text in ASCII"))?;
        if name.split('/').next() == Some(RESERVED) {
            return Ok(Target::Reserved);
        }
        let path = name.parse().map_err(|bad| Problem::bad_request(format!("{bad}")));
        path.map(Target::Stream)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(uri: &str) -> Option<Target> {
        of(&uri.parse().unwrap(), "/v1/stream").ok()
    }

    #[test]
    fn a_name_is_what_stands_below_the_mount() {
        let stream = |name: &str| Some(Target::Stream(name.parse().unwrap()));
        assert_eq!(target("/v1/stream/a"), stream("a"));
        assert_eq!(target("/v1/stream/a/b-c?offset=-1"), stream("a/b-c"));
        assert_eq!(target("http://localhost/v1/stream/a%2Db"), stream("a-b"));
        assert_eq!(target("/v1/stream/v1/stream/a"), stream("v1/stream/a"));
        assert_eq!(of_source("/v1/stream/a/b", "/v1/stream").unwrap().as_str(), "a/b");
        assert_eq!(of(&"/a".parse().unwrap(), "").unwrap(), stream("a").unwrap());
    }

    #[test]
    fn no_name_leads_out() {
        for bad in [
            "/",
            "/v1",
            "/v1/stream",
            "/v1/stream/",
            "/v1/streams/a",
            "/v1/stream//a",
            "/v1/stream/../x",
            "/v1/stream/a/..",
            "/v1/stream/%2e%2e/x",
            "/v1/stream/a/%2E",
            "/v1/stream/%252e",
            "/v1/stream/a%00",
            "/v1/stream/a%0a",
            "/v1/stream/%ff",
            "/v1/stream/'; rm".replace(' ', "%20").as_str(),
            "/v1/stream/a/",
            "/v1/stream/%",
        ] {
            assert_eq!(target(bad), None, "{bad}");
        }
        assert!(of_source("a", "/v1/stream").is_err());
        assert!(of_source("/v1/stream/../a", "/v1/stream").is_err());
        assert!(of_source("/v1/stream/__ds/a", "/v1/stream").is_err());
    }

    #[test]
    fn the_reserved_prefix_is_no_stream_however_it_is_written() {
        for reserved in ["/v1/stream/__ds", "/v1/stream/__ds/jwks.json", "/v1/stream/%5f%5fds/x"] {
            assert_eq!(target(reserved), Some(Target::Reserved), "{reserved}");
        }
        assert!(matches!(target("/v1/stream/a/__ds"), Some(Target::Stream(_))));
    }
}
