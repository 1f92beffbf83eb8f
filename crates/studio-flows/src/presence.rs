//! Who looks at shared sessions just now. In memory alone: it is told anew every 30 s.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use studio_events::Participant;
use studio_ids::RoomId;
use tokio::time::Instant;

/// Who was silent for so long is not there.
const PRESENT_FOR: Duration = Duration::from_secs(90);
/// Most people of one shared session; one more takes the place of who was silent longest.
const PRESENT_MAX: usize = 200;

#[derive(Default)]
pub(crate) struct Presence(HashMap<RoomId, BTreeMap<String, Present>>);

struct Present {
    name: String,
    seen: Instant,
}

impl Present {
    fn is_there(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.seen) < PRESENT_FOR
    }
}

impl Presence {
    /// Somebody told that they are there.
    pub(crate) fn see(&mut self, room: RoomId, who: Participant, now: Instant) {
        if !self.0.contains_key(&room) {
            self.0.retain(|_, people| people.values().any(|present| present.is_there(now)));
        }
        let people = self.0.entry(room).or_default();
        people.retain(|_, present| present.is_there(now));
        if PRESENT_MAX <= people.len() && !people.contains_key(&who.id) {
            let silent = people.iter().min_by_key(|(_, present)| present.seen);
            if let Some(id) = silent.map(|(id, _)| id.clone()) {
                people.remove(&id);
            }
        }
        people.insert(who.id, Present { name: who.display_name, seen: now });
    }

    /// Somebody went.
    pub(crate) fn forget(&mut self, room: RoomId, id: &str) {
        if let Some(people) = self.0.get_mut(&room) {
            people.remove(id);
        }
    }

    /// Who is there, in the order of their ids.
    pub(crate) fn there(&self, room: RoomId, now: Instant) -> Vec<Participant> {
        let people = self.0.get(&room).into_iter().flatten();
        let there = people.filter(|(_, present)| present.is_there(now));
        there
            .map(|(id, present)| Participant { id: id.clone(), display_name: present.name.clone() })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(id: &str) -> Participant {
        Participant { id: id.to_owned(), display_name: id.to_uppercase() }
    }

    fn ids(presence: &Presence, room: RoomId, now: Instant) -> String {
        let there = presence.there(room, now).into_iter().map(|who| who.display_name);
        there.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn who_is_silent_for_ninety_seconds_or_leaves_is_not_there() {
        let (mut presence, room, other) = (Presence::default(), RoomId::random(), RoomId::random());
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        presence.see(room, person("a"), at(0));
        presence.see(room, person("b"), at(60));
        presence.see(room, person("c"), at(60));
        assert_eq!(ids(&presence, room, at(89)), "A B C");
        assert_eq!(ids(&presence, room, at(90)), "B C");
        assert_eq!(ids(&presence, other, at(60)), "");
        presence.forget(room, "c");
        assert_eq!(ids(&presence, room, at(90)), "B");
    }

    #[test]
    fn pings_do_not_fill_the_memory() {
        let mut presence = Presence::default();
        let (room, start) = (RoomId::random(), Instant::now());
        for n in 0..1_000 {
            presence.see(room, person(&n.to_string()), start + Duration::from_millis(n));
        }
        let there = presence.there(room, start + Duration::from_secs(1));
        assert_eq!(there.len(), PRESENT_MAX);
        assert!(there.contains(&person("999")), "the last one is there");
        for _ in 0..1_000 {
            presence.see(RoomId::random(), person("a"), start);
        }
        presence.see(RoomId::random(), person("a"), start + Duration::from_secs(200));
        assert_eq!(presence.0.len(), 1, "what nobody looks at is forgotten");
    }
}
