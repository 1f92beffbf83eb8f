//! Which names and which pages may talk to this server (`D30-4`): a page of somebody else must
//! not drive it, and a name that was bent to this address (DNS rebinding) must not read it.

use std::future::Future;

use axum::{
    extract::Request,
    http::{
        HeaderValue, Method, StatusCode,
        header::{
            ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
            ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, HOST, ORIGIN, REFERRER_POLICY, VARY,
            X_CONTENT_TYPE_OPTIONS,
        },
        request::Parts,
    },
    response::{IntoResponse, Response},
};
use studio_api::ErrorCode;

use crate::{HttpSettings, Problem, streams};

/// What a page of an allowed origin may send.
const ALLOWED_HEADERS: &str = "authorization, content-type, last-event-id, x-participant-id, x-participant-name, \
    x-session-token";

/// Refuses foreign hosts and foreign pages, and says the same few things with every answer.
pub(crate) async fn guard<F: Future<Output = Response>>(
    settings: &HttpSettings,
    request: Request,
    next: impl FnOnce(Request) -> F,
) -> Response {
    let (parts, body) = request.into_parts();
    let is_api = is_api(parts.uri.path());
    let mut granted = None;
    let mut response = match check(&parts, is_api, settings) {
        Err(problem) => problem.into_response(),
        Ok(origin) => {
            granted = origin;
            // The streams answer one themselves: their headers are others.
            if granted.is_some() && is_preflight(&parts) && !streams::is_below(parts.uri.path()) {
                preflight()
            } else {
                next(Request::from_parts(parts, body)).await
            }
        }
    };
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(REFERRER_POLICY).or_insert(HeaderValue::from_static("no-referrer"));
    if is_api {
        headers.append(VARY, HeaderValue::from_static("Origin"));
        headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    }
    if let Some(origin) = granted {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    }
    response
}

/// Whether something can be done below this path, so that only our own pages may ask.
pub(crate) fn is_api(path: &str) -> bool {
    path == "/api" || path.starts_with("/api/") || streams::is_below(path)
}

/// `Ok(Some(origin))` = a page of another origin that the settings allow.
fn check(
    parts: &Parts,
    is_api: bool,
    settings: &HttpSettings,
) -> Result<Option<HeaderValue>, Problem> {
    let authority = own_authority(parts, settings)?;
    if !is_api {
        return Ok(None);
    }
    let foreign = || Problem::of(ErrorCode::ForeignOrigin);
    if let Some(origin) = parts.headers.get(ORIGIN) {
        let text = origin.to_str().map_err(|_garbled| foreign())?;
        let own = text.split_once("://").is_some_and(|(scheme, rest)| {
            matches!(scheme, "http" | "https") && rest.eq_ignore_ascii_case(&authority)
        });
        if own {
            return Ok(None);
        }
        let allowed = settings.allowed_origins.iter().any(|a| a.eq_ignore_ascii_case(text));
        return if allowed { Ok(Some(origin.clone())) } else { Err(foreign()) };
    }
    // A browser that sends no `Origin` still says where the request was made. What an agent
    // built runs on another port of the same site, so the same site is not enough.
    match parts.headers.get("sec-fetch-site").map(HeaderValue::as_bytes) {
        None | Some(b"same-origin" | b"none") => Ok(None),
        Some(_) => Err(foreign()),
    }
}

/// The host (and port) that the client asked for, if it is one of ours.
pub(crate) fn own_authority(parts: &Parts, settings: &HttpSettings) -> Result<String, Problem> {
    let foreign = || Problem::of(ErrorCode::ForeignHost);
    let in_target = parts.uri.authority().map(|authority| authority.as_str().to_owned());
    let mut in_headers = parts.headers.get_all(HOST).iter();
    let in_header = match (in_headers.next(), in_headers.next()) {
        (None, _) => None,
        (Some(host), None) => Some(host.to_str().map_err(|_garbled| foreign())?.to_owned()),
        (Some(_), Some(_)) => return Err(foreign()),
    };
    let named: Vec<String> = in_target.into_iter().chain(in_header).collect();
    let ours = |authority: &String| {
        host_of(authority).is_some_and(|host| {
            settings.allowed_hosts.iter().any(|allowed| allowed.eq_ignore_ascii_case(host))
        })
    };
    if !named.iter().all(ours) {
        return Err(foreign());
    }
    named.into_iter().next().ok_or_else(foreign)
}

/// `localhost` of `localhost:4400`, `[::1]` of `[::1]:4400`.
pub(crate) fn host_of(authority: &str) -> Option<&str> {
    let end = if authority.starts_with('[') {
        authority.find(']')? + 1
    } else {
        authority.find(':').unwrap_or(authority.len())
    };
    let (host, rest) = authority.split_at(end);
    let port_is_good = match rest.strip_prefix(':') {
        Some(port) => port.parse::<u16>().is_ok(),
        None => rest.is_empty(),
    };
    (port_is_good && !host.is_empty()).then(|| host.trim_end_matches('.'))
}

fn is_preflight(parts: &Parts) -> bool {
    parts.method == Method::OPTIONS && parts.headers.contains_key("access-control-request-method")
}

fn preflight() -> Response {
    let headers = [
        (ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, PATCH, DELETE"),
        (ACCESS_CONTROL_ALLOW_HEADERS, ALLOWED_HEADERS),
    ];
    (StatusCode::NO_CONTENT, headers).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_what_stands_before_the_port() {
        for (authority, host) in [
            ("localhost", Some("localhost")),
            ("localhost.:4400", Some("localhost")),
            ("127.0.0.1:4400", Some("127.0.0.1")),
            ("[::1]:4400", Some("[::1]")),
            ("[::1]", Some("[::1]")),
            ("[::1", None),
            ("", None),
            (":4400", None),
            ("localhost:x", None),
            ("localhost@evil.example", Some("localhost@evil.example")),
            ("::1", None),
        ] {
            assert_eq!(host_of(authority), host, "{authority}");
        }
    }
}
