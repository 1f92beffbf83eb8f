use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `POST /api/provision-electric`: what an answer of `mode: "claim"` to the infrastructure gate
/// takes, and where a person claims it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DatabaseMade {
    /// The sync service's name of the source.
    pub source_id: String,
    /// The source's secret.
    pub secret: String,
    /// `postgresql://…`, with a password.
    pub database_url: String,
    /// Where the sync service is.
    pub electric_url: String,
    /// The claim; whoever has it may make the database their own.
    pub claim_id: String,
    /// The page where a person does.
    pub claim_url: String,
}
