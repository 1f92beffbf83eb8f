//! Databases that a person may claim. Each is made outside of the studio, so callers are counted.

use std::time::Instant;

use axum::{Json, extract::State};
use studio_api::{ErrorCode, answers::DatabaseMade};
use studio_flows::Mode;

use crate::{HttpState, Problem, address::ClientAddress, permit::MayCreate};

/// `POST /api/provision-electric`. Takes up to a minute; a client that goes away ends it.
pub(crate) async fn provision(
    State(state): State<HttpState>,
    _: MayCreate,
    client: ClientAddress,
) -> Result<Json<DatabaseMade>, Problem> {
    count(&state, client)?;
    let made = tokio::select! {
        made = state.studio().provision_database() => made?,
        () = state.stop().cancelled() => return Err(Problem::of(ErrorCode::Stopping)),
    };
    Ok(Json(DatabaseMade {
        source_id: made.source_id,
        secret: made.secret.expose().to_owned(),
        database_url: made.database_url.expose().to_owned(),
        electric_url: made.electric_url,
        claim_id: made.claim_id.to_string(),
        claim_url: made.claim_url,
    }))
}

/// Counts a try, in production. One that failed stays counted: whether something was begun
/// outside is not known.
fn count(state: &HttpState, client: ClientAddress) -> Result<(), Problem> {
    if state.studio().settings().mode == Mode::Dev {
        return Ok(());
    }
    let counted = state.database_limit().take(client.0, Instant::now());
    let many = "Too many databases. Please try again later.";
    counted.map(drop).map_err(|wait| Problem::rate_limited(wait).saying(many))
}
