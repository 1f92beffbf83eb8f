use axum::{
    body::{Body, HttpBody},
    extract::{FromRequest, Request},
    http::{HeaderMap, header::CONTENT_TYPE},
};
use bytes::Bytes;
use studio_api::{
    AppendEvent, ErrorCode,
    limits::{APPEND_BYTES_MAX, BODY_BYTES_MAX, HOOK_BODY_BYTES_MAX},
};

use crate::{HttpState, Problem};

/// A checked body. Declared as JSON (`D30-4`), within the byte limit while it is read
/// (`D30-101`), in time.
pub(crate) struct Checked<T>(pub(crate) T);

impl<T: studio_api::Body> FromRequest<HttpState> for Checked<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &HttpState) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        must_be_json(&parts.headers)?;
        let bytes = read(body, BODY_BYTES_MAX, state).await?;
        Ok(Self(T::from_bytes(&bytes)?))
    }
}

/// A body that may be absent or malformed, which both count as `{}` (spec 01, route 5).
pub(crate) struct Optional<T>(pub(crate) T);

impl<T: studio_api::Body> FromRequest<HttpState> for Optional<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &HttpState) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let bytes = read(body, BODY_BYTES_MAX, state).await?;
        if !bytes.is_empty() {
            must_be_json(&parts.headers)?;
        }
        match serde_json::from_slice(&bytes) {
            Ok(value) => Ok(Self(T::decode(&value)?)),
            Err(_malformed) => Ok(Self(T::from_bytes(b"{}")?)),
        }
    }
}

/// A hook's body: as [`Checked`], and larger.
pub(crate) struct HookBody(pub(crate) serde_json::Value);

impl FromRequest<HttpState> for HookBody {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &HttpState) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        must_be_json(&parts.headers)?;
        let bytes = read(body, HOOK_BODY_BYTES_MAX, state).await?;
        Ok(Self(studio_api::Body::from_bytes(&bytes)?))
    }
}

/// An event that is told from outside: as [`Checked`], and smaller.
pub(crate) struct AppendBody(pub(crate) AppendEvent);

impl FromRequest<HttpState> for AppendBody {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &HttpState) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        must_be_json(&parts.headers)?;
        let bytes = read(body, APPEND_BYTES_MAX, state).await?;
        Ok(Self(studio_api::Body::from_bytes(&bytes)?))
    }
}

/// The code of the login page's form; empty for whatever else comes.
pub(crate) struct LoginForm(pub(crate) String);

impl FromRequest<HttpState> for LoginForm {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &HttpState) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        if media_type(&parts.headers) != "application/x-www-form-urlencoded" {
            return Ok(Self(String::new()));
        }
        let bytes = read(body, BODY_BYTES_MAX, state).await?;
        let code = form_urlencoded::parse(&bytes).find(|(name, _)| name == "code");
        Ok(Self(code.map(|(_, code)| code.into_owned()).unwrap_or_default()))
    }
}

fn must_be_json(headers: &HeaderMap) -> Result<(), Problem> {
    if media_type(headers) == "application/json" {
        Ok(())
    } else {
        Err(Problem::of(ErrorCode::UnsupportedMediaType))
    }
}

/// What the body is declared as, in lower case.
fn media_type(headers: &HeaderMap) -> String {
    let declared = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    declared.split(';').next().unwrap_or("").trim().to_ascii_lowercase()
}

async fn read(body: Body, bytes_max: usize, state: &HttpState) -> Result<Bytes, Problem> {
    // One that says so itself is refused before it is read (D30-101).
    let at_least = HttpBody::size_hint(&body).lower();
    if u64::try_from(bytes_max).unwrap_or(u64::MAX) < at_least {
        return Err(Problem::of(ErrorCode::BodyTooLarge));
    }
    let reading = axum::body::to_bytes(body, bytes_max);
    match tokio::time::timeout(state.settings().body_patience, reading).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) if is_too_large(&error) => Err(Problem::of(ErrorCode::BodyTooLarge)),
        // The connection broke or the framing is wrong: nobody may be there to hear it.
        Ok(Err(_broken)) => Err(Problem::told(ErrorCode::BadRequest, "The body broke off")),
        Err(_elapsed) => Err(Problem::of(ErrorCode::RequestTimeout)),
    }
}

fn is_too_large(error: &axum::Error) -> bool {
    let mut causes =
        std::iter::successors(Some(error as &(dyn std::error::Error + 'static)), |error| {
            error.source()
        });
    causes.any(|error| error.is::<http_body_util::LengthLimitError>())
}
