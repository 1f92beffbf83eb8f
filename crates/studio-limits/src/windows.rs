use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    hash::Hash,
    time::Duration,
};

use studio_events::Timestamp;

/// How often each key may do something within a time that slides along: at most `max` times in
/// any `window`.
///
/// Bounded: at most `keys_max` keys are remembered, each with at most `max` moments. A key whose
/// last moment is over is forgotten by the next call (`D30-98`); when all are fresh, the one that
/// was quiet longest goes. A clock that was set back takes nothing from anybody for longer than
/// one window.
#[derive(Clone, Debug)]
pub struct Windows<K> {
    max: usize,
    window_ms: i64,
    keys_max: usize,
    taken: HashMap<K, VecDeque<Timestamp>>,
    /// Each key under its newest moment: who was quiet longest stands first.
    by_newest: BTreeSet<(Timestamp, K)>,
}

/// Something that was counted; [`Windows::give_back`] takes it off again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted<K> {
    key: K,
    at: Timestamp,
}

impl<K: Clone + Eq + Hash + Ord> Windows<K> {
    /// Nothing counted. `max` 0 allows nothing.
    pub fn new(max: u32, window: Duration, keys_max: usize) -> Self {
        Self {
            max: usize::try_from(max).unwrap_or(usize::MAX),
            window_ms: i64::try_from(window.as_millis()).unwrap_or(i64::MAX),
            keys_max: keys_max.max(1),
            taken: HashMap::new(),
            by_newest: BTreeSet::new(),
        }
    }

    /// Counts one, or tells how long the key has to wait for its next.
    pub fn take(&mut self, key: K, now: Timestamp) -> Result<Counted<K>, Duration> {
        self.purge(now);
        let window_ms = self.window_ms;
        let used = self.taken.get_mut(&key).map_or(0, |moments| {
            while moments.front().is_some_and(|&at| window_ms <= age(at, now)) {
                moments.pop_front();
            }
            moments.len()
        });
        if self.max <= used {
            let oldest = self.taken.get(&key).and_then(|moments| moments.front().copied());
            // Of a moment that lies ahead (the clock was set back) no more than one window.
            let left = oldest.map_or(window_ms, |at| window_ms - age(at, now)).min(window_ms);
            return Err(Duration::from_millis(left.unsigned_abs()));
        }
        self.add(key.clone(), now);
        Ok(Counted { key, at: now })
    }

    /// It did not happen after all.
    pub fn give_back(&mut self, counted: &Counted<K>) {
        let Some(moments) = self.taken.get_mut(&counted.key) else { return };
        let newest = moments.back().copied();
        if let Some(at) = moments.iter().rposition(|&at| at == counted.at) {
            moments.remove(at);
        }
        self.reorder(&counted.key, newest);
    }

    /// Counts what is known to have happened: after a restart, from what was written down.
    pub fn remember(&mut self, key: K, at: Timestamp, now: Timestamp) {
        if age(at, now) < self.window_ms {
            self.add(key, at);
        }
    }

    /// How many keys are remembered.
    pub fn len(&self) -> usize {
        self.taken.len()
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.taken.is_empty()
    }

    fn add(&mut self, key: K, at: Timestamp) {
        if !self.taken.contains_key(&key)
            && self.keys_max <= self.taken.len()
            && let Some((_, quietest)) = self.by_newest.pop_first()
        {
            self.taken.remove(&quietest);
        }
        let moments = self.taken.entry(key.clone()).or_default();
        let newest = moments.back().copied();
        let place = moments.partition_point(|&other| other <= at);
        moments.insert(place, at);
        // More than are needed to refuse the next one are of no use.
        if self.max.max(1) < moments.len() {
            moments.pop_front();
        }
        self.reorder(&key, newest);
    }

    /// Puts a key where its newest moment belongs; `before` was it until now.
    fn reorder(&mut self, key: &K, before: Option<Timestamp>) {
        let newest = self.taken.get(key).and_then(|moments| moments.back().copied());
        if let Some(before) = before {
            self.by_newest.remove(&(before, key.clone()));
        }
        match newest {
            Some(newest) => drop(self.by_newest.insert((newest, key.clone()))),
            None => drop(self.taken.remove(key)),
        }
    }

    /// Forgets the keys whose last moment is over.
    fn purge(&mut self, now: Timestamp) {
        while let Some((newest, key)) = self.by_newest.first() {
            // One that lies more than a window ahead is of a clock that was set back since.
            if age(*newest, now).abs() < self.window_ms {
                break;
            }
            let key = key.clone();
            self.by_newest.pop_first();
            self.taken.remove(&key);
        }
        while let Some((newest, key)) = self.by_newest.last() {
            if -self.window_ms < age(*newest, now) {
                break;
            }
            let key = key.clone();
            self.by_newest.pop_last();
            self.taken.remove(&key);
        }
    }
}

fn age(at: Timestamp, now: Timestamp) -> i64 {
    now.unix_millis().saturating_sub(at.unix_millis())
}
