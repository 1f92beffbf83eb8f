//! Who may tell of agents that the studio does not run, and who may set their hooks up.

use axum::{extract::FromRequestParts, http::request::Parts};
use studio_api::ErrorCode;
use studio_auth::Scope;
use studio_flows::words::HookSource;
use studio_ids::{HookProjectId, HookSecretId};

use crate::{
    HttpState, Problem,
    address::ClientAddress,
    guard::{host_of, own_authority},
    permit::{Operator, bearer},
};

/// What a project's secret begins with; its id and a token follow.
pub(crate) const SECRET_FORM: &str = "sh1.";
/// What a proxy adds to what it passes on.
const PASSED_ON: [&str; 5] =
    ["forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip"];

/// Proof that hooks may tell what agents do: a project's secret, or the reference's one secret
/// where its derivations are accepted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HookCaller {
    pub(crate) from: HookSource,
    /// The project's; the reference's cannot be revoked.
    secret: Option<HookSecretId>,
}

impl HookCaller {
    /// Returns when what was shown is void.
    pub(crate) async fn over(self, state: &HttpState) {
        match self.secret {
            Some(secret) => state.studio().hook_secret_over(secret).await,
            None => std::future::pending().await,
        }
    }
}

/// Proof of holding the good secret of this project.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProjectSecret(pub(crate) HookProjectId);

/// Proof that a person at this machine asks: the connection comes from here, under a name of this
/// machine, and no proxy passed it on; in production with the operator's token.
#[derive(Clone, Debug)]
pub(crate) struct LocalUser {
    /// Under which name and port: `localhost:4400`.
    pub(crate) authority: String,
}

/// Proof of a code that an installer was given. It is used up by that.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SetupCode;

impl FromRequestParts<HttpState> for HookCaller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &HttpState) -> Result<Self, Problem> {
        let refused = || Problem::unauthenticated("hook");
        let token = bearer(parts).ok_or_else(refused)?;
        if let Some((secret, project)) = project_of(state, &token) {
            return Ok(Self { from: HookSource::Project(project), secret: Some(secret) });
        }
        let known = state.locks().opens(Scope::AllHooks, &token);
        known.then_some(Self { from: HookSource::Anybody, secret: None }).ok_or_else(refused)
    }
}

impl FromRequestParts<HttpState> for ProjectSecret {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &HttpState) -> Result<Self, Problem> {
        let project = bearer(parts).and_then(|token| project_of(state, &token));
        project.map(|(_, project)| Self(project)).ok_or_else(|| Problem::unauthenticated("hook"))
    }
}

/// The secret that this is, and the project that it is the good one of.
fn project_of(state: &HttpState, token: &str) -> Option<(HookSecretId, HookProjectId)> {
    let (secret, token) = token.strip_prefix(SECRET_FORM)?.split_once('.')?;
    let secret: HookSecretId = secret.parse().ok()?;
    let fits = state.locks().opens(Scope::ProjectHooks(secret), token);
    let project = fits.then(|| state.studio().hook_project_of(secret)).flatten()?;
    Some((secret, project))
}

impl FromRequestParts<HttpState> for LocalUser {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &HttpState) -> Result<Self, Problem> {
        let Operator = Operator::from_request_parts(parts, state).await?;
        let settings = state.settings();
        let authority = own_authority(parts, settings)?;
        let at_home = host_of(&authority).is_some_and(|host| {
            host.eq_ignore_ascii_case("localhost") || matches!(host, "127.0.0.1" | "[::1]")
        });
        let here = ClientAddress::of(parts, &settings.trusted_proxies).0.is_loopback();
        let passed_on = PASSED_ON.iter().any(|name| parts.headers.contains_key(*name));
        if at_home && here && !passed_on {
            Ok(Self { authority })
        } else {
            Err(Problem::of(ErrorCode::NotLocal))
        }
    }
}

impl FromRequestParts<HttpState> for SetupCode {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &HttpState) -> Result<Self, Problem> {
        let known = bearer(parts).is_some_and(|code| state.setup_codes().take(&code).is_some());
        if known { Ok(Self) } else { Err(Problem::unauthenticated("setup")) }
    }
}
