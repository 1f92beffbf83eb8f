//! A browser logs in: a link with a code in it, a page that exchanges the code, a cookie.
//!
//! The link is opened by `GET`, which changes nothing: what fetches links ahead of people does not
//! use the code up. The cookie holds a token of the browser's own purpose, so it can be listed and
//! revoked as others, and it is nothing without a page of the studio's own around it.

use std::time::{Duration, Instant};

use axum::{
    Json,
    extract::State,
    http::{
        HeaderValue, StatusCode,
        header::{
            CONTENT_SECURITY_POLICY, CONTENT_TYPE, COOKIE, ORIGIN, REFERRER_POLICY, SET_COOKIE,
        },
        request::Parts,
    },
    response::{IntoResponse, Response},
};
use studio_api::{
    ErrorCode,
    answers::{Done, LoginLink, Me},
};
use studio_auth::Scope;

use crate::{
    Encrypted, HttpState, Problem,
    address::ClientAddress,
    body::LoginForm,
    codes::CODE_LIFETIME,
    guard::own_authority,
    locks::Pass,
    permit::{Caller, Operator, query},
    tokens::{self, Wanted},
};

/// The cookie's name.
const NAME: &str = "studio_login";
/// How long a browser stays logged in.
const LIFETIME: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// The page; `{code}` stands for the code.
const PAGE: &str = include_str!("login.html");
/// The page afterwards.
const DONE: &str = include_str!("logged_in.html");

/// `POST /api/login-links`.
pub(crate) async fn link(
    State(state): State<HttpState>,
    _: Operator,
    parts: Parts,
) -> Result<(StatusCode, Json<LoginLink>), Problem> {
    let authority = own_authority(&parts, state.settings())?;
    let scheme = if is_encrypted(&parts) { "https" } else { "http" };
    let url = state.login_link(&format!("{scheme}://{authority}"));
    Ok((StatusCode::CREATED, Json(LoginLink { url, expires_in: CODE_LIFETIME.as_secs() })))
}

/// `GET /login`.
pub(crate) async fn page(parts: Parts) -> Response {
    let code = query(&parts, "code").filter(|code| is_code(code)).unwrap_or_default();
    html(PAGE.replace("{code}", &code))
}

/// `POST /api/login`: the page's form.
pub(crate) async fn login(
    State(state): State<HttpState>,
    client: ClientAddress,
    parts: Parts,
    LoginForm(code): LoginForm,
) -> Result<Response, Problem> {
    let refused = || Problem::told(ErrorCode::Unauthenticated, "The code is not good (any more)");
    if !is_from_our_page(&parts) {
        return Err(refused());
    }
    let tried = state.login_limit().take(client.0, Instant::now());
    let tried = tried.map_err(|wait| Problem::rate_limited(wait).saying("Too many tries"))?;
    state.login_codes().take(&code).ok_or_else(refused)?;
    if let Some(tried) = tried {
        state.login_limit().give_back(tried);
    }
    let label = Some("a browser".to_owned());
    let wanted = Wanted { scope: Scope::Login, label, seconds: Some(LIFETIME.as_secs()) };
    let (token, _) = tokens::give(&state, wanted, None).await?;
    let mut response = html(DONE.to_owned());
    set_cookie(&parts, &mut response, &token, LIFETIME)?;
    Ok(response)
}

/// `POST /api/logout`.
pub(crate) async fn logout(
    State(state): State<HttpState>,
    parts: Parts,
) -> Result<Response, Problem> {
    if let Some(id) = pass(&parts, &state).and_then(|pass| pass.grant.id()) {
        state.studio().revoke_token(None, id).await?;
    }
    let mut response = Json(Done::OK).into_response();
    set_cookie(&parts, &mut response, "", Duration::ZERO)?;
    Ok(response)
}

/// `GET /api/me`.
pub(crate) async fn me(Caller(pass): Caller) -> Json<Me> {
    let by = match &pass {
        None => "machine",
        Some(pass) if pass.scope == Scope::Login => "login",
        Some(_) => "token",
    };
    let expires = pass.and_then(|pass| pass.grant.expires());
    let expires_at = expires.map(tokens::time);
    Json(Me { operator: true, by: by.to_owned(), expires_at })
}

/// What the browser's cookie opens: nothing unless a page of the studio's own asks, also when
/// the browser tells nothing of the page.
pub(crate) fn pass(parts: &Parts, state: &HttpState) -> Option<Pass> {
    is_from_our_page(parts)
        .then(|| cookie(parts))?
        .and_then(|token| state.locks().pass(&[Scope::Login], token))
}

/// Whether the browser tells that a page of ours asks. Which origins are ours was checked before
/// ([`crate::guard`]): a foreign one does not come so far.
fn is_from_our_page(parts: &Parts) -> bool {
    let site = parts.headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    parts.headers.contains_key(ORIGIN) || site == Some(b"same-origin")
}

fn cookie(parts: &Parts) -> Option<&str> {
    let all = parts.headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = all.flat_map(|value| value.split(';')).filter_map(|pair| pair.split_once('='));
    pairs.find(|(name, _)| name.trim() == NAME).map(|(_, value)| value.trim())
}

fn set_cookie(
    parts: &Parts,
    response: &mut Response,
    value: &str,
    lifetime: Duration,
) -> Result<(), Problem> {
    let secure = if is_encrypted(parts) { "; Secure" } else { "" };
    let seconds = lifetime.as_secs();
    let text =
        format!("{NAME}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}");
    // A token is letters, digits, dots and dashes.
    let value = HeaderValue::try_from(text).map_err(|_| Problem::of(ErrorCode::Internal))?;
    response.headers_mut().insert(SET_COOKIE, value);
    Ok(())
}

/// Whether the browser's connection is encrypted: here, or before a proxy as its page tells.
fn is_encrypted(parts: &Parts) -> bool {
    let by_page = parts.headers.get(ORIGIN).is_some_and(|o| o.as_bytes().starts_with(b"https://"));
    by_page || parts.extensions.get::<Encrypted>().is_some()
}

/// What may stand in the page without being looked at further.
fn is_code(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn html(text: String) -> Response {
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (
            CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
        ),
        // The form's own request has an `Origin` only so; no other site gets the address.
        (REFERRER_POLICY, "same-origin"),
    ];
    (headers, text).into_response()
}
