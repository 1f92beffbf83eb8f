//! Shared sessions: rooms without agents, for people who watch sessions together.
//!
//! All that is known of one is its stream; nothing else is kept, so there is nothing to load and
//! nothing that two servers could know differently. Its id is derived from its invite code: who
//! has the code finds it, and how long a look takes tells nothing of any code.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use studio_auth::{Code, Scope};
use studio_events::{Participant, SharedEvent, Stamped, Timestamp};
use studio_ids::{RoomId, SessionId};
use studio_streams::{BadBatch, Batch, CreateOptions, Follow, Offset, StreamError, StreamPath};
use tokio::time::Instant;

use crate::{
    FlowError, Studio,
    inner::{Inner, lock},
    words::NewLink,
};

/// Most events after which somebody may join or link still. Every look reads all of them.
const EVENTS_MAX: usize = 2_000;
/// Most records that are read at once.
const PAGE_RECORDS_MAX: usize = 1_000;
/// How much is kept of what a linked session is called and is about.
const TEXT_CHARS_MAX: usize = 500;

impl Studio {
    /// Makes one, with its maker in it.
    pub async fn create_shared(
        &self,
        name: String,
        by: Participant,
    ) -> Result<(RoomId, Code), FlowError> {
        self.whole(move |inner| async move {
            let code = Code::random();
            let id = room_of(code.expose());
            let created = SharedEvent::SharedSessionCreated {
                name,
                code: code.expose().to_owned(),
                created_by: by.clone(),
            };
            let events = [created, SharedEvent::ParticipantJoined { participant: by }];
            let initial = Some(inner.batch(id, &events)?);
            let options = CreateOptions { initial, ..CreateOptions::default() };
            let failed = |source| FlowError::CreateShared { source: Arc::new(source) };
            inner.parts.streams.create(&StreamPath::shared(id), options).await.map_err(failed)?;
            Ok((id, code))
        })
        .await
    }

    /// The shared session of an invite code, and whether one may join with it still.
    pub async fn shared_by_code(&self, code: &str) -> Result<(RoomId, bool), FlowError> {
        let id = room_of(code);
        let shared = self.inner().shared(id).await?;
        Ok((id, !shared.revoked))
    }

    /// Somebody comes. Who is there already under the same name comes once.
    pub async fn join_shared(&self, id: RoomId, who: Participant) -> Result<(), FlowError> {
        self.whole(move |inner| async move {
            let shared = inner.shared(id).await?;
            if shared.revoked {
                return Err(FlowError::InviteRevoked(id));
            }
            if shared.people.get(&who.id) == Some(&who.display_name) {
                return Ok(());
            }
            shared.has_room(id)?;
            inner.tell_shared(id, SharedEvent::ParticipantJoined { participant: who }).await
        })
        .await
    }

    /// Somebody goes; they are not present either.
    pub async fn leave_shared(&self, id: RoomId, who: String) -> Result<(), FlowError> {
        self.whole(move |inner| async move {
            lock(&inner.presence).forget(id, &who);
            if !inner.shared(id).await?.people.contains_key(&who) {
                return Ok(());
            }
            inner.tell_shared(id, SharedEvent::ParticipantLeft { participant_id: who }).await
        })
        .await
    }

    /// Somebody is present for the next 90 s.
    pub fn ping_shared(&self, id: RoomId, who: Participant) {
        lock(&self.inner().presence).see(id, who, Instant::now());
    }

    /// Who is present.
    pub fn present_in_shared(&self, id: RoomId) -> Vec<Participant> {
        lock(&self.inner().presence).there(id, Instant::now())
    }

    /// Links a session: whoever is in the shared one may have its token from now on. That whoever
    /// asks controls the session is for the caller to know.
    pub async fn link_session(&self, id: RoomId, link: NewLink) -> Result<(), FlowError> {
        self.whole(move |inner| async move {
            inner.record(link.session)?;
            inner.shared(id).await?.has_room(id)?;
            let short = |text: String| text.chars().take(TEXT_CHARS_MAX).collect();
            let event = SharedEvent::SessionLinked {
                session_id: link.session,
                session_name: link.name.map(short),
                session_description: link.description.map(short),
                linked_by: link.by,
            };
            inner.tell_shared(id, event).await
        })
        .await
    }

    /// Links a session no more. Tokens of it that people have stay good: rotate them.
    pub async fn unlink_session(&self, id: RoomId, session: SessionId) -> Result<(), FlowError> {
        self.whole(move |inner| async move {
            if !inner.shared(id).await?.linked.contains_key(&session) {
                return Ok(());
            }
            inner.tell_shared(id, SharedEvent::SessionUnlinked { session_id: session }).await
        })
        .await
    }

    /// What a linked session is opened with. A link is as old as the tokens of its time: when the
    /// session's tokens are rotated it opens nothing, until the session is linked anew.
    ///
    /// Fails with [`FlowError::NoSession`] for every other session (`L1`).
    pub async fn linked(&self, id: RoomId, session: SessionId) -> Result<Scope, FlowError> {
        let inner = self.inner();
        let shared = inner.shared(id).await?;
        let linked = shared.linked.get(&session).ok_or(FlowError::NoSession(session))?;
        let at = u64::try_from(linked.unix_millis() / 1_000).unwrap_or_default();
        if inner.tokens.rotated_since(session, at) {
            return Err(FlowError::NoSession(session));
        }
        inner.record(session)?;
        Ok(Scope::Session(session))
    }

    /// Lets nobody join with the code any more. Who is in stays in.
    pub async fn revoke_invite(&self, id: RoomId) -> Result<(), FlowError> {
        self.whole(move |inner| async move {
            if inner.shared(id).await?.revoked {
                return Ok(());
            }
            inner.tell_shared(id, SharedEvent::CodeRevoked).await
        })
        .await
    }

    /// What happens in a shared session from a place on, then live.
    pub async fn watch_shared(&self, id: RoomId, from: Offset) -> Result<Follow, FlowError> {
        let followed = self.inner().parts.streams.follow(&StreamPath::shared(id), from).await;
        followed.map_err(|source| FlowError::shared(id, source))
    }
}

/// The id that goes with a code: a UUID of version 8, 122 bits of the code's digest.
fn room_of(code: &str) -> RoomId {
    let digest = Code::digest(code);
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    RoomId::from_bytes(bytes)
}

/// A shared session as its stream tells it.
#[derive(Default)]
struct Shared {
    is_made: bool,
    revoked: bool,
    /// Who is in it: id and name.
    people: HashMap<String, String>,
    /// Since when which sessions are linked.
    linked: BTreeMap<SessionId, Timestamp>,
    events: usize,
}

impl Shared {
    fn apply(&mut self, Stamped { event, ts }: Stamped<SharedEvent>) {
        match event {
            SharedEvent::SharedSessionCreated { .. } => self.is_made = true,
            SharedEvent::ParticipantJoined { participant } => {
                self.people.insert(participant.id, participant.display_name);
            }
            SharedEvent::ParticipantLeft { participant_id } => {
                self.people.remove(&participant_id);
            }
            SharedEvent::SessionLinked { session_id, .. } => {
                self.linked.insert(session_id, ts);
            }
            SharedEvent::SessionUnlinked { session_id } => {
                self.linked.remove(&session_id);
            }
            SharedEvent::CodeRevoked => self.revoked = true,
        }
    }

    /// Whether more may happen than that people go and links end.
    fn has_room(&self, id: RoomId) -> Result<(), FlowError> {
        if self.events < EVENTS_MAX { Ok(()) } else { Err(FlowError::SharedFull(id)) }
    }
}

impl Inner {
    async fn shared(&self, id: RoomId) -> Result<Shared, FlowError> {
        let path = StreamPath::shared(id);
        let (mut shared, mut next) = (Shared::default(), Offset::Start);
        loop {
            let page = self.parts.streams.read(&path, next, PAGE_RECORDS_MAX).await;
            let page = page.map_err(|source| FlowError::shared(id, source))?;
            shared.events += page.records.len();
            // What a later version wrote is passed over.
            let events = page.records.iter().filter_map(|r| serde_json::from_slice(&r.data).ok());
            events.for_each(|event| shared.apply(event));
            next = page.next;
            if page.up_to_date {
                break;
            }
        }
        if shared.is_made { Ok(shared) } else { Err(FlowError::NoShared(id)) }
    }

    async fn tell_shared(&self, id: RoomId, event: SharedEvent) -> Result<(), FlowError> {
        let batch = self.batch(id, &[event])?;
        let told = self.parts.streams.append(&StreamPath::shared(id), batch, None).await;
        told.map(drop).map_err(|source| FlowError::shared(id, source))
    }

    fn batch(&self, id: RoomId, events: &[SharedEvent]) -> Result<Batch, FlowError> {
        let ts = self.now();
        let told = events.iter().map(|event| Stamped { event: event.clone(), ts });
        // Made of strings, which always serialise.
        let records = told.map(|told| serde_json::to_vec(&told).unwrap_or_default().into());
        let failed = |source: BadBatch| {
            let (path, tried) = (StreamPath::shared(id), "appended to");
            FlowError::shared(id, StreamError::Failed { path, tried, source: Box::new(source) })
        };
        Batch::new(records.collect()).map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_has_one_shared_session_and_is_not_told_by_it() {
        let [one, other] = [Code::random(), Code::random()];
        assert_eq!(room_of(one.expose()), room_of(one.expose()));
        assert_ne!(room_of(one.expose()), room_of(other.expose()));
        assert!(64 <= one.expose().len(), "more than 128 bits in hex digits");
        let id = room_of(one.expose()).to_string();
        assert_eq!((&id[14..15], id.len()), ("8", 36));
        assert!(!one.expose().contains(&id[..8]));
    }
}
