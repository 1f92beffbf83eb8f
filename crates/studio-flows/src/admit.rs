//! Who may make how much: creations in an hour, sandboxes at once, sessions that run. What counts
//! is read off the list of sessions, so it is true after a restart, too; only what is being made
//! right now is kept beside it.

use std::{collections::HashSet, time::Duration};

use studio_events::{Phase, SessionPrivate, SessionStatus};
use studio_ids::SessionId;
use studio_limits::{Caps, Counted, Full, Load, Subject, Windows};
use studio_registry::{Registry, SessionRecord};

use crate::{FlowError, Mode, Settings, Studio, inner::Inner, inner::lock};

/// Over which time creations are counted.
const CREATION_WINDOW: Duration = Duration::from_secs(60 * 60);
/// Most subjects whose creations are remembered; who was quiet longest is forgotten first.
const SUBJECTS_MAX: usize = 10_000;

/// A creation that was counted.
#[derive(Clone, Debug)]
pub struct Creation(Counted<Subject>);

/// A place that is kept while something is made; it is given up when the list of sessions shows
/// it, or when it was not made.
pub(crate) struct Place<'a> {
    inner: &'a Inner,
    id: SessionId,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        lock(&self.inner.places).remove(&self.id);
    }
}

impl Studio {
    /// The same studio, used for somebody who is counted: what is made through it counts against
    /// them.
    #[must_use]
    pub fn on_behalf_of(&self, subject: Subject) -> Self {
        let mut studio = self.clone();
        studio.subject = Some(subject);
        studio
    }

    /// Counts a creation, in production, against whom this is [used for](Self::on_behalf_of).
    ///
    /// Errors: [`FlowError::RateLimited`].
    pub fn count_creation(&self) -> Result<Option<Creation>, FlowError> {
        let Some(subject) = self.subject.clone() else { return Ok(None) };
        let inner = self.inner();
        let mut creations = lock(&inner.creations);
        let Some(creations) = creations.as_mut() else { return Ok(None) };
        let counted = creations.take(subject, inner.now());
        counted.map(|counted| Some(Creation(counted))).map_err(FlowError::RateLimited)
    }

    /// Nothing was created after all.
    pub fn uncount_creation(&self, Creation(counted): &Creation) {
        if let Some(creations) = lock(&self.inner().creations).as_mut() {
            creations.give_back(counted);
        }
    }
}

/// The creations of the last hour as the list of sessions tells them; `None` = no limit.
pub(crate) fn creations(
    settings: &Settings,
    registry: &Registry,
    now: studio_events::Timestamp,
) -> Option<Windows<Subject>> {
    let max = match settings.mode {
        Mode::Production => settings.max_sessions_per_ip_per_hour?,
        Mode::Dev => return None,
    };
    let mut windows = Windows::new(max, CREATION_WINDOW, SUBJECTS_MAX);
    for id in registry.ids_where(|record| record.internal.subject.is_some()) {
        let Some(record) = registry.get(id) else { continue };
        if let Some(subject) = subject(&record.internal) {
            windows.remember(subject, record.info.created_at, now);
        }
    }
    Some(windows)
}

/// Whom a session counts against.
fn subject(private: &SessionPrivate) -> Option<Subject> {
    private.subject.as_deref()?.parse().ok()
}

/// Whether a session has a sandbox, or is about to.
fn holds_sandbox(record: &SessionRecord) -> bool {
    match record.internal.phase {
        Phase::Hosted | Phase::Ended => false,
        Phase::AwaitingInfra | Phase::CreatingSandbox | Phase::SettingUp => true,
        Phase::Started => record.internal.sandbox.is_some(),
    }
}

/// Whether a session runs, or waits for a person in the middle of it.
fn runs(record: &SessionRecord) -> bool {
    record.info.status == SessionStatus::Running
        && !matches!(record.internal.phase, Phase::Hosted | Phase::Ended)
}

impl Inner {
    fn caps(&self) -> Caps {
        match self.parts.settings.mode {
            Mode::Production => self.parts.settings.caps,
            Mode::Dev => Caps::default(),
        }
    }

    /// A place for a session that is about to be made; `None` for one without an agent here.
    pub(crate) fn place_for_session(
        &self,
        id: SessionId,
        private: &SessionPrivate,
    ) -> Result<Option<Place<'_>>, FlowError> {
        if matches!(private.phase, Phase::Hosted | Phase::Ended) {
            return Ok(None);
        }
        self.place(id, subject(private), Caps::admit_session).map(Some)
    }

    /// A place for a sandbox without a session.
    pub(crate) fn place_for_sandbox(&self, id: SessionId) -> Result<Place<'_>, FlowError> {
        self.place(id, None, Caps::admit_sandbox)
    }

    /// A place for a session that stands still and is to run.
    pub(crate) fn place_for_run(&self, record: &SessionRecord) -> Result<Place<'_>, FlowError> {
        self.place(record.info.id, subject(&record.internal), Caps::admit_run)
    }

    fn place(
        &self,
        id: SessionId,
        subject: Option<Subject>,
        admit: impl Fn(&Caps, Load) -> Result<(), Full>,
    ) -> Result<Place<'_>, FlowError> {
        let caps = self.caps();
        let mut places = lock(&self.places);
        if caps != Caps::default() {
            let mut sandboxes: HashSet<SessionId> =
                self.registry.ids_where(holds_sandbox).into_iter().collect();
            sandboxes.extend(places.keys());
            sandboxes.extend(self.sandboxes_by_themselves());
            let mine = |record: &SessionRecord| {
                runs(record) && record.internal.subject.as_deref() == Some(subject_text(&subject))
            };
            let mut running: HashSet<SessionId> = match &subject {
                Some(_) => self.registry.ids_where(mine).into_iter().collect(),
                None => HashSet::new(),
            };
            let making = places.iter().filter(|(_, of)| subject.is_some() && **of == subject);
            running.extend(making.map(|(id, _)| *id));
            // It is not one more than itself.
            for all in [&mut sandboxes, &mut running] {
                all.remove(&id);
            }
            let load = Load { sandboxes: sandboxes.len(), running: running.len() };
            admit(&caps, load).map_err(FlowError::from)?;
        }
        places.insert(id, subject);
        Ok(Place { inner: self, id })
    }
}

fn subject_text(subject: &Option<Subject>) -> &str {
    subject.as_ref().map_or("", Subject::as_str)
}

impl From<Full> for FlowError {
    fn from(full: Full) -> Self {
        match full {
            Full::Sandboxes(_) => Self::AtCapacity(full),
            Full::Running(_) => Self::TooManyRunning(full),
        }
    }
}
