use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use studio_ids::{
    BranchName, HookProjectId, HookSecretId, InstanceId, ProjectName, Repository, RunId, SessionId,
};

use crate::Timestamp;

/// Where a session stands, as clients of the reference system read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SessionStatus {
    /// Being prepared, working, or waiting for a person.
    Running,
    /// The last turn ended well, or was interrupted.
    Complete,
    /// The last turn or the preparation failed.
    Error,
    /// A person cancelled it; its sandbox is gone.
    Cancelled,
}

/// What is known of the project's repository.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "the wire's own words")]
pub struct GitInfo {
    pub branch: String,
    pub remote_url: Option<String>,
    pub repo_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repo_visibility: Option<String>,
    pub last_commit_hash: Option<String>,
    pub last_commit_message: Option<String>,
    pub last_checkpoint_at: Option<Timestamp>,
}

/// A session as clients see it. Source: spec 03 section 6.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionInfo {
    /// Its id.
    pub id: SessionId,
    /// The project's name; for local sessions the folder's name, which may be anything.
    pub project_name: String,
    /// Where it lies in the sandbox; empty while there is none.
    pub sandbox_project_dir: String,
    /// What the person asked for.
    pub description: String,
    /// When it was created.
    pub created_at: Timestamp,
    /// When something last happened.
    pub last_active_at: Timestamp,
    /// Where it stands.
    pub status: SessionStatus,
    /// Whether a gate waits for a person. Derived from open gates when served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub needs_input: Option<bool>,
    /// The agent's own id of its last conversation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_coder_session_id: Option<String>,
    /// The app's port on the studio's machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_port: Option<u16>,
    /// Where a browser finds the app.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview_url: Option<String>,
    /// The claimable database's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim_id: Option<String>,
    /// The agent's id, for sessions that an agent registered itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claude_session_id: Option<String>,
    /// US dollars over all turns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_cost_usd: Option<f64>,
    /// Requests to the model over all turns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_turns: Option<u64>,
    /// Wall time over all turns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_duration_ms: Option<u64>,
    /// The repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git: Option<GitInfo>,
    /// Added: what a person calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Added: whether a person has put it away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archived: Option<bool>,
    /// Added: that it happened elsewhere and was brought here as a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imported: Option<Imported>,
}

/// Where a session came from that was brought here as a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Imported {
    /// Its id there.
    pub from: SessionId,
    /// When it was brought.
    pub at: Timestamp,
}

/// How far the preparation of a session has come; what a restarted server goes on with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Fed by hooks; the studio runs nothing.
    Hosted,
    /// Waits for the infrastructure choice.
    #[default]
    AwaitingInfra,
    /// A sandbox is being made.
    CreatingSandbox,
    /// Files are being put into it.
    SettingUp,
    /// The agent was started at least once.
    Started,
    /// Cancelled, or failed before the agent started: nothing is left to run.
    Ended,
}

/// What a session's project is a clone of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cloned {
    /// Which repository.
    pub repository: Repository,
    /// Which branch is checked out; the repository's own choice when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<BranchName>,
}

/// A sandbox as the registry keeps it: opaque to all but its provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SandboxRecord {
    /// Which provider made it.
    pub provider: String,
    /// The provider's own name of it.
    pub id: String,
}

/// What the studio keeps of a session and clients do not see.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SessionPrivate {
    /// How far the preparation has come.
    pub phase: Phase,
    /// No infrastructure, no project template: the description is the prompt.
    pub freeform: bool,
    /// The directory name of the project in the sandbox.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project: Option<ProjectName>,
    /// Where the agent lives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sandbox: Option<SandboxRecord>,
    /// The agent's process, the last that was started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    /// The model, if the caller chose one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Whether a person is asked about everything that changes something, if the caller chose.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ask_all: Option<bool>,
    /// US dollars after which the session stops, if the caller chose.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget_usd: Option<f64>,
    /// The project whose hooks feed it, if they came with a project's secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hook_project: Option<HookProjectId>,
    /// Whom it counts against: `address:192.0.2.1`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The repository that its project is a clone of, if it was not begun here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cloned: Option<Box<Cloned>>,
}

/// A directory whose agents tell the studio what they do. The secret itself is kept nowhere: it
/// is derived from its id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HookProject {
    /// The project; stays the same when its secret is changed.
    pub id: HookProjectId,
    /// Where it lies on its machine: absolute.
    pub directory: String,
    /// The one secret that is good; absent = revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<HookSecretId>,
    /// When its hooks were set up first.
    pub created_at: Timestamp,
    /// When its secret was made or revoked.
    pub changed_at: Timestamp,
}

/// A change of a session. Absent = unchanged; `Some(None)` (JSON `null`) = cleared.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "the fields of SessionInfo and SessionPrivate")]
pub struct SessionUpdate {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sandbox_project_dir: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_active_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<SessionStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub needs_input: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_coder_session_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", with = "clearable")]
    pub app_port: Option<Option<u16>>,
    #[serde(skip_serializing_if = "Option::is_none", with = "clearable")]
    pub preview_url: Option<Option<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claim_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_cost_usd: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_turns: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_duration_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub git: Option<GitInfo>,
    #[serde(skip_serializing_if = "Option::is_none", with = "clearable")]
    pub name: Option<Option<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub archived: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    #[serde(skip_serializing_if = "Option::is_none", with = "clearable")]
    pub sandbox: Option<Option<SandboxRecord>>,
    #[serde(skip_serializing_if = "Option::is_none", with = "clearable")]
    pub run: Option<Option<RunId>>,
    #[serde(skip_serializing_if = "Option::is_none", with = "clearable")]
    pub budget_usd: Option<Option<f64>>,
}

/// A field that can be set to nothing: JSON `null` is a value here, absence is "unchanged".
mod clearable {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<T: Serialize, S: Serializer>(
        value: &Option<Option<T>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        value.as_ref().and_then(Option::as_ref).serialize(serializer)
    }

    pub(super) fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Option<T>>, D::Error> {
        Option::deserialize(deserializer).map(Some)
    }
}

/// One entry of the registry's stream. Source: spec 03 section 5; `writer_started`, `internal`
/// and unknown types are this project's own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum RegistryEntry {
    /// A server took the registry over.
    WriterStarted {
        /// Which server.
        instance: InstanceId,
        /// Its lease: one more than the last; the epoch of everything it writes.
        lease: u64,
        /// When.
        ts: Timestamp,
    },
    /// A session was created (or is told anew by a snapshot).
    SessionRegistered {
        /// The session.
        session: SessionInfo,
        /// What the studio keeps beside it.
        #[serde(default)]
        internal: SessionPrivate,
        /// When.
        ts: Timestamp,
    },
    /// A session changed.
    SessionUpdated {
        /// Which.
        session_id: SessionId,
        /// How.
        update: SessionUpdate,
        /// When.
        ts: Timestamp,
    },
    /// A session was deleted.
    SessionDeleted {
        /// Which.
        session_id: SessionId,
        /// When.
        ts: Timestamp,
    },
    /// A local agent's transcript belongs to a session.
    SessionMapped {
        /// The transcript's path on the agent's machine.
        transcript_path: String,
        /// The session.
        session_id: SessionId,
        /// When.
        ts: Timestamp,
    },
    /// A project's hooks were set up, or its secret was changed or revoked.
    HookProjectSet {
        /// The project as it is now.
        project: HookProject,
        /// When.
        ts: Timestamp,
    },
    /// A revoked project was forgotten.
    HookProjectForgotten {
        /// Which.
        project_id: HookProjectId,
        /// When.
        ts: Timestamp,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_update_tells_cleared_from_unchanged() {
        let cleared: SessionUpdate = serde_json::from_str(r#"{"appPort":null}"#).unwrap();
        assert_eq!(cleared.app_port, Some(None));
        assert_eq!(cleared.preview_url, None);
        assert_eq!(serde_json::to_string(&cleared).unwrap(), r#"{"appPort":null}"#);
    }
}
