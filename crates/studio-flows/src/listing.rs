//! Finding sessions, naming them, putting them away, and what they cost.

use std::{fmt, str::FromStr};

use studio_events::{SessionInfo, SessionStatus, SessionUpdate, Timestamp};
use studio_ids::SessionId;
use studio_registry::SessionRecord;

use crate::{
    FlowError, Studio,
    words::{SessionPage, Usage},
};

/// Fewest letters of a search word that are looked for at the beginning of ids.
const ID_LETTERS_MIN: usize = 4;

/// Where a list of sessions goes on: after this one. Good also when it was deleted meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    created_at: Timestamp,
    id: SessionId,
}

/// A text that is no [`Cursor`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a place in the list of sessions")]
pub struct BadCursor;

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.created_at.unix_millis(), self.id)
    }
}

impl FromStr for Cursor {
    type Err = BadCursor;

    fn from_str(text: &str) -> Result<Self, BadCursor> {
        let (millis, id) = text.split_once('.').ok_or(BadCursor)?;
        let millis: i64 = millis.parse().map_err(|_bad| BadCursor)?;
        // What a timestamp can be told as: the years 0 to 9999.
        if !(-62_167_219_200_000..=253_402_300_799_999).contains(&millis) {
            return Err(BadCursor);
        }
        let id = id.parse().map_err(|_bad| BadCursor)?;
        Ok(Self { created_at: Timestamp::from_unix_millis(millis), id })
    }
}

/// Which sessions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Every one of these words stands in the name, the description or the project's name, in
    /// whatever case, or begins the id.
    pub words: Vec<String>,
    /// Only those that stand so.
    pub status: Option<SessionStatus>,
    /// Only those that are put away (`true`) or are not (`false`); all when absent.
    pub archived: Option<bool>,
}

impl Wanted {
    /// What a person types into a search field, split at blanks.
    pub fn words_of(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_lowercase).collect()
    }

    fn fits(&self, record: &SessionRecord) -> bool {
        let info = &record.info;
        let archived = info.archived.unwrap_or(false);
        self.status.is_none_or(|status| info.status == status)
            && self.archived.is_none_or(|wanted| archived == wanted)
            && (self.words.is_empty() || self.is_told(info))
    }

    fn is_told(&self, info: &SessionInfo) -> bool {
        let name = info.name.as_deref().unwrap_or_default();
        let text = format!("{name}\n{}\n{}", info.description, info.project_name).to_lowercase();
        let id = info.id.to_string();
        let begins_id = |word: &str| ID_LETTERS_MIN <= word.len() && id.starts_with(word);
        self.words.iter().all(|word| text.contains(word.as_str()) || begins_id(word))
    }
}

/// A change that a person makes to a session's place in the list.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Relabel {
    /// What it is called; `Some(None)` takes the name away.
    pub name: Option<Option<String>>,
    /// Whether it is put away.
    pub archived: Option<bool>,
    /// US dollars that it may spend in all; `Some(None)` leaves the server's limit alone. What the
    /// server allows stays the most.
    pub budget_usd: Option<Option<f64>>,
}

impl Studio {
    /// Sessions that fit, newest first, after `after`.
    pub fn find_sessions(
        &self,
        wanted: &Wanted,
        after: Option<Cursor>,
        max: usize,
    ) -> Result<SessionPage, FlowError> {
        let inner = self.inner();
        inner.is_ours()?;
        let after = after.map(|cursor| (cursor.created_at, cursor.id));
        let page = inner.registry.page(after, max, |record| wanted.fits(record));
        let next = page.next.map(|(created_at, id)| Cursor { created_at, id });
        let shown = page.records.iter().map(|record| inner.shown(&record.info));
        Ok(SessionPage { sessions: shown.collect(), next: next.map(|cursor| cursor.to_string()) })
    }

    /// Renames a session, puts it away or takes it out again. That is no activity of it.
    pub async fn relabel(&self, id: SessionId, change: Relabel) -> Result<SessionInfo, FlowError> {
        self.whole(move |inner| async move {
            inner.record(id)?;
            let budget = change.budget_usd.is_some();
            let update = move |before: &SessionRecord| {
                Some(SessionUpdate {
                    name: change.name,
                    archived: change.archived,
                    budget_usd: change.budget_usd,
                    last_active_at: Some(before.info.last_active_at),
                    ..SessionUpdate::default()
                })
            };
            let changed = inner.registry.update_with(id, update).await;
            let changed = changed.map_err(FlowError::registry)?;
            if budget && let Some(live) = inner.live_now(id) {
                live.set_outdated();
                let budget = inner.budget_of(&changed);
                if let Some(limit) = budget.limit_usd().filter(|_| budget.is_exceeded()) {
                    inner.stop_exceeded(&live, limit, budget.spent_usd(), false).await?;
                }
            }
            Ok(inner.shown(&changed.info))
        })
        .await
    }

    /// What a session has cost so far, and what it may.
    pub fn usage(&self, id: SessionId) -> Result<Usage, FlowError> {
        let inner = self.inner();
        let record = inner.record(id)?;
        Ok(Usage {
            cost_usd: record.info.total_cost_usd,
            turns: record.info.total_turns,
            duration_ms: record.info.total_duration_ms,
            budget_usd: inner.budget_of(&record).limit_usd(),
            left_usd: inner.budget_of(&record).left_usd(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_is_told_and_nothing_else_is() {
        let id = SessionId::random();
        let cursor = Cursor { created_at: Timestamp::from_unix_millis(1_700_000_000_123), id };
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        for bad in ["", ".", "1", "x.y", &format!("1e3.{id}"), &format!("{}.{id}", i64::MAX)] {
            assert_eq!(bad.parse::<Cursor>(), Err(BadCursor), "{bad}");
        }
    }
}
