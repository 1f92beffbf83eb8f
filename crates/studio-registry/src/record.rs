use studio_events::{SessionInfo, SessionPrivate, SessionUpdate};

/// One session as the registry keeps it.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionRecord {
    /// What clients see.
    pub info: SessionInfo,
    /// What only the studio sees.
    pub internal: SessionPrivate,
}

impl SessionRecord {
    /// Merges an update: what it names is replaced whole, all else stays.
    pub(crate) fn apply(&mut self, update: SessionUpdate) {
        let SessionUpdate {
            sandbox_project_dir,
            last_active_at,
            status,
            needs_input,
            last_coder_session_id,
            app_port,
            preview_url,
            claim_id,
            total_cost_usd,
            total_turns,
            total_duration_ms,
            git,
            name,
            archived,
            phase,
            sandbox,
            run,
            budget_usd,
        } = update;
        let Self { info, internal } = self;
        set(&mut info.sandbox_project_dir, sandbox_project_dir);
        set(&mut info.last_active_at, last_active_at);
        set(&mut info.status, status);
        set_some(&mut info.needs_input, needs_input);
        set_some(&mut info.last_coder_session_id, last_coder_session_id);
        set(&mut info.app_port, app_port);
        set(&mut info.preview_url, preview_url);
        set_some(&mut info.claim_id, claim_id);
        set_some(&mut info.total_cost_usd, total_cost_usd);
        set_some(&mut info.total_turns, total_turns);
        set_some(&mut info.total_duration_ms, total_duration_ms);
        set_some(&mut info.git, git);
        set(&mut info.name, name);
        set_some(&mut info.archived, archived);
        set(&mut internal.phase, phase);
        set(&mut internal.sandbox, sandbox);
        set(&mut internal.run, run);
        set(&mut internal.budget_usd, budget_usd);
    }
}

fn set<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}

fn set_some<T>(field: &mut Option<T>, value: Option<T>) {
    if value.is_some() {
        *field = value;
    }
}
