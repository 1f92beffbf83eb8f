use std::{collections::HashMap, hash::Hash};

/// What was used lately, bounded: a value lives for at least `half` further insertions and is
/// gone after `2 * half` of them if nobody asks for it.
#[derive(Debug)]
pub(crate) struct Cache<K, V> {
    hot: HashMap<K, V>,
    cold: HashMap<K, V>,
    half: usize,
}

impl<K: Eq + Hash + Clone, V> Cache<K, V> {
    pub(crate) fn new(half: usize) -> Self {
        Self { hot: HashMap::new(), cold: HashMap::new(), half }
    }

    /// The value, if it is still here.
    pub(crate) fn get(&mut self, key: &K) -> Option<&mut V> {
        if let Some((key, value)) = self.cold.remove_entry(key) {
            self.hot.insert(key, value);
        }
        self.hot.get_mut(key)
    }

    pub(crate) fn insert(&mut self, key: K, value: V) {
        self.cold.remove(&key);
        self.hot.insert(key, value);
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.hot.clear();
        self.cold.clear();
    }

    /// Forgets what was not used lately. Only called when every value is also in the engine.
    pub(crate) fn trim(&mut self) {
        if self.half <= self.hot.len() {
            self.cold = std::mem::take(&mut self.hot);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_the_rest_is_forgotten() {
        let mut cache = Cache::new(10);
        cache.insert(0, "kept");
        for n in 1..1_000 {
            cache.insert(n, "x");
            assert_eq!(cache.get(&0), Some(&mut "kept"));
            cache.trim();
            assert!(cache.hot.len() + cache.cold.len() <= 21);
        }
        assert_eq!(cache.get(&1), None);
    }
}
