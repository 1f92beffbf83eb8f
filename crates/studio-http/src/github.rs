//! GitHub: what a person's own token lists, tokens for a session's repository, and sessions out of
//! one.

use std::error::Error as _;

use axum::{
    Json,
    extract::{FromRequestParts, Path, State},
    http::{StatusCode, request::Parts},
};
use studio_api::{
    PrivateText, ResumeSession,
    answers::{
        AccountList, BranchList, GitTokenAnswer, GithubAccount, GithubBranch, GithubRepository,
        RepositoryList, SessionCreated,
    },
};
use studio_auth::Scope;
use studio_flows::{FlowError, Resume, Studio, words::Credentials};
use studio_github::{AccountKind, UserToken};
use studio_ids::Repository;
use studio_sandbox::Secret;

use crate::{
    HttpState, Problem,
    address::ClientAddress,
    body::Checked,
    permit::{GitSession, MayCreate, MayResume},
    sessions::limited,
};

/// `POST /api/sessions/{id}/github-token`.
pub(crate) async fn token(
    State(state): State<HttpState>,
    GitSession(session): GitSession,
) -> Result<Json<GitTokenAnswer>, Problem> {
    let given = state.studio().git_token(session).await?;
    let (token, expires_at) = (given.token.expose().to_owned(), given.expires_at);
    Ok(Json(GitTokenAnswer { token, expires_at }))
}

/// `GET /api/github/accounts`.
pub(crate) async fn accounts(
    State(state): State<HttpState>,
    _: MayCreate,
    GhToken(token): GhToken,
) -> Json<AccountList> {
    let Some(token) = token else { return Json(AccountList::default()) };
    Json(match state.studio().accounts(&token).await {
        Ok(found) => AccountList {
            incomplete: found.incomplete.map(|error| error.to_string()),
            accounts: found.accounts.into_iter().map(account).collect(),
        },
        Err(error) => AccountList { incomplete: Some(why(&error)), ..AccountList::default() },
    })
}

/// `GET /api/github/repos`.
pub(crate) async fn repos(
    State(state): State<HttpState>,
    _: MayCreate,
    GhToken(token): GhToken,
) -> Json<RepositoryList> {
    let Some(token) = token else { return Json(RepositoryList::default()) };
    Json(match state.studio().repos(&token).await {
        Ok(found) => RepositoryList {
            repos: found.items.into_iter().map(repository).collect(),
            incomplete: None,
        },
        Err(error) => RepositoryList { incomplete: Some(why(&error)), repos: Vec::new() },
    })
}

/// `GET /api/github/repos/{owner}/{repo}/branches`.
pub(crate) async fn branches(
    State(state): State<HttpState>,
    _: MayCreate,
    GhToken(token): GhToken,
    Path((owner, name)): Path<(String, String)>,
) -> Json<BranchList> {
    // What is no repository's name has no branches.
    let named = format!("{owner}/{name}").parse::<Repository>().ok();
    let (Some(token), Some(named)) = (token, named) else { return Json(BranchList::default()) };
    Json(match state.studio().branches(&token, &named).await {
        Ok(found) => BranchList {
            incomplete: (!found.is_complete).then(|| "there are more".to_owned()),
            branches: found.items.into_iter().map(branch).collect(),
        },
        Err(error) => BranchList { incomplete: Some(why(&error)), branches: Vec::new() },
    })
}

/// `POST /api/sessions/resume`.
pub(crate) async fn resume(
    State(state): State<HttpState>,
    _: MayCreate,
    _: MayResume,
    client: ClientAddress,
    Checked(body): Checked<ResumeSession>,
) -> Result<(StatusCode, Json<SessionCreated>), Problem> {
    let secret = |text: Option<PrivateText>| text.map(|text| Secret::new(text.into_inner()));
    let credentials = Credentials {
        api_key: secret(body.api_key),
        oauth_token: secret(body.oauth_token),
        gh_token: secret(body.gh_token),
    };
    let wanted = Resume { address: body.repo_url, branch: body.branch, credentials };
    let resume = async |studio: &Studio| studio.resume_session(wanted).await;
    let session = limited(&state, client, resume).await?;
    let session_token = state.locks().mint(Scope::Session(session.id));
    let created = SessionCreated { session_id: session.id, session, session_token };
    Ok((StatusCode::CREATED, Json(created)))
}

/// `X-GH-Token`, the caller's own. One that GitHub could not have given is none.
pub(crate) struct GhToken(Option<UserToken>);

impl FromRequestParts<HttpState> for GhToken {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &HttpState) -> Result<Self, Problem> {
        let value = parts.headers.get("x-gh-token").and_then(|value| value.to_str().ok());
        Ok(Self(value.and_then(|text| UserToken::new(text).ok())))
    }
}

fn account(account: studio_github::Account) -> GithubAccount {
    let kind = match account.kind {
        AccountKind::User => "user",
        AccountKind::Org => "org",
    };
    GithubAccount { login: account.login.to_string(), kind: kind.to_owned() }
}

fn repository(repo: studio_github::Repo) -> GithubRepository {
    GithubRepository {
        name_with_owner: repo.repository.to_string(),
        url: repo.url,
        updated_at: repo.updated_at.to_string(),
    }
}

fn branch(branch: studio_github::Branch) -> GithubBranch {
    GithubBranch { name: branch.name.to_string(), is_default: branch.is_default }
}

/// A failure as an empty list tells it, which clients of the reference know how to show.
fn why(error: &FlowError) -> String {
    // What GitHub itself says, if it was asked.
    error.source().map_or_else(|| error.to_string(), ToString::to_string)
}
