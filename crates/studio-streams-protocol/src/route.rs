use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::{OriginalUri, Request, State},
    http::{
        HeaderMap, HeaderValue, Method, StatusCode,
        header::{
            ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
            ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
            CACHE_CONTROL, ORIGIN, VARY, X_CONTENT_TYPE_OPTIONS,
        },
        request::Parts,
    },
    response::{IntoResponse, Response},
};
use studio_streams::StreamStore;

use crate::{
    Cors, Problem, ProtocolOptions, Wish,
    headers::{METHODS, REQUEST_HEADERS, RESOURCE_POLICY, RESPONSE_HEADERS},
    request::ParsedCreate,
    target::{self, Target},
};

/// What every operation needs.
pub(crate) struct Protocol {
    pub(crate) store: Arc<dyn StreamStore>,
    pub(crate) options: ProtocolOptions,
}

/// The streams of `store` over HTTP. Answers whatever it is given: mount it with `nest` or call
/// it from a route, at [`ProtocolOptions::mount`].
///
/// It does not see connections. Whoever serves it is to bound the heads of requests and to end a
/// connection that takes nothing for long; a reader costs a bounded buffer until then.
pub fn router(store: Arc<dyn StreamStore>, options: ProtocolOptions) -> Router {
    Router::new().fallback(answer).with_state(Arc::new(Protocol { store, options }))
}

async fn answer(
    State(protocol): State<Arc<Protocol>>,
    OriginalUri(uri): OriginalUri,
    request: Request,
) -> Response {
    let (mut parts, body) = request.into_parts();
    // Where it is mounted is of no concern: names are told by the whole path.
    parts.uri = uri;
    let mut response = match protocol.operate(&parts, body).await {
        Ok(response) => response,
        Err(Refused::Access(response)) => response,
        Err(Refused::Problem(problem)) => problem.into_response(),
    };
    protocol.always(&parts.headers, response.headers_mut());
    response
}

/// Why nothing is done.
enum Refused {
    /// The caller may not.
    Access(Response),
    Problem(Problem),
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl Protocol {
    #[allow(clippy::result_large_err, reason = "made once for each request")]
    async fn operate(&self, parts: &Parts, body: Body) -> Result<Response, Refused> {
        // A browser asks this without a token.
        if parts.method == Method::OPTIONS {
            return Ok(preflight());
        }
        let target = target::of(&parts.uri, &self.options.mount);
        let path = match target {
            Ok(Target::Stream(path)) => path,
            other => {
                self.permit(parts, Wish::Other)?;
                return Err(other.err().unwrap_or_else(Problem::no_subscriptions).into());
            }
        };
        let reads = matches!(parts.method, Method::GET | Method::HEAD);
        self.permit(parts, if reads { Wish::Read(&path) } else { Wish::Write(&path) })?;
        Ok(match parts.method {
            Method::GET => self.read(&path, &parts.headers, &parts.uri).await?,
            Method::HEAD => self.head(&path).await?,
            Method::POST => self.append(&path, parts, body).await?,
            Method::DELETE => self.delete(&path).await?,
            Method::PUT => {
                let asked = ParsedCreate::of(&parts.headers, &self.options.mount)?;
                if let Some(source) = asked.source() {
                    self.permit(parts, Wish::Read(source))?;
                }
                self.create(&path, parts, asked, body).await?
            }
            _ => return Err(Problem::wrong_method().into()),
        })
    }

    #[allow(clippy::result_large_err, reason = "made once for each request")]
    fn permit(&self, parts: &Parts, wish: Wish<'_>) -> Result<(), Refused> {
        match self.options.access.refusal(parts, wish) {
            None => Ok(()),
            Some(response) => Err(Refused::Access(response)),
        }
    }

    /// What every answer says, also one of failure.
    fn always(&self, asked: &HeaderMap, headers: &mut HeaderMap) {
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        let policy = HeaderValue::from_static(self.options.resource_policy);
        headers.insert(RESOURCE_POLICY, policy);
        headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
        let origin = match &self.options.cors {
            Cors::Nobody => return,
            Cors::Everybody => HeaderValue::from_static("*"),
            Cors::Origins(allowed) => {
                headers.append(VARY, HeaderValue::from_static("Origin"));
                let allows = |origin: &&HeaderValue| {
                    let is = |one: &String| one.as_bytes().eq_ignore_ascii_case(origin.as_bytes());
                    allowed.iter().any(is)
                };
                match asked.get(ORIGIN).filter(allows) {
                    Some(origin) => origin.clone(),
                    None => return,
                }
            }
        };
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        let exposed = HeaderValue::from_static(RESPONSE_HEADERS);
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
    }
}

/// What a page may send, if its origin is allowed at all.
fn preflight() -> Response {
    let headers = [
        (ACCESS_CONTROL_ALLOW_METHODS, METHODS),
        (ACCESS_CONTROL_ALLOW_HEADERS, REQUEST_HEADERS),
        (ACCESS_CONTROL_MAX_AGE, "600"),
    ];
    (StatusCode::NO_CONTENT, headers).into_response()
}
