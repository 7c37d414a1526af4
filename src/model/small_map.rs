//! A map of a few entries.

/// Keys and values in the order of the keys, in exactly the memory that they need.
///
/// There is one for each path that is out of spec, with an entry for each of its receivers. A `BTreeMap` of two
/// entries takes the room of eleven, which for ten thousand paths are tens of megabytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SmallMap<K, V>(Vec<(K, V)>);

impl<K: Ord, V> SmallMap<K, V> {
    /// The value of a key.
    pub fn get(&self, key: &K) -> Option<&V> {
        self.place(key).ok().map(|place| &self.0[place].1)
    }

    /// The value of a key, to be changed.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.place(key).ok().map(|place| &mut self.0[place].1)
    }

    /// Takes a key and its value out.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        self.place(key).ok().map(|place| self.0.remove(place).1)
    }

    /// Adds a value unless its key is there.
    pub fn insert_new(&mut self, key: K, value: impl FnOnce() -> V) {
        if let Err(place) = self.place(&key) {
            self.0.reserve_exact(1);
            self.0.insert(place, (key, value()));
        }
    }

    /// Keeps the entries that are to be kept.
    pub fn retain(&mut self, mut keep: impl FnMut(&K, &mut V) -> bool) {
        self.0.retain_mut(|(key, value)| keep(key, value));
    }

    /// The entries in the order of the keys.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&K, &V)> {
        self.0.iter().map(|(key, value)| (key, value))
    }

    /// The entries in the order of the keys, with values to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&K, &mut V)> {
        self.0.iter_mut().map(|(key, value)| (&*key, value))
    }

    /// The values in the order of the keys.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.0.iter().map(|(_, value)| value)
    }

    /// The values in the order of the keys, to be changed.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.0.iter_mut().map(|(_, value)| value)
    }

    fn place(&self, key: &K) -> Result<usize, usize> {
        self.0.binary_search_by(|(other, _)| other.cmp(key))
    }
}

impl<K, V> Default for SmallMap<K, V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

/// Of several values of one key the last counts.
impl<K: Ord, V> FromIterator<(K, V)> for SmallMap<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut map = Self::default();
        for (key, value) in entries {
            match map.place(&key) {
                Ok(place) => map.0[place].1 = value,
                Err(place) => map.0.insert(place, (key, value)),
            }
        }
        map.0.shrink_to_fit();
        map
    }
}

impl<K: Ord, V, const N: usize> From<[(K, V); N]> for SmallMap<K, V> {
    fn from(entries: [(K, V); N]) -> Self {
        entries.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_map_in_the_order_of_its_keys() {
        let mut map = SmallMap::from([(3, "c"), (1, "a"), (3, "C"), (2, "b")]);
        assert_eq!(map.iter().collect::<Vec<_>>(), [(&1, &"a"), (&2, &"b"), (&3, &"C")]);
        assert_eq!((map.get(&2), map.get(&4)), (Some(&"b"), None));
        assert_eq!((map.remove(&2), map.remove(&2)), (Some("b"), None));
        map.insert_new(0, || "z");
        map.insert_new(1, || "not");
        map.values_mut().for_each(|value| *value = &value[..1]);
        if let Some(value) = map.get_mut(&3) {
            *value = "d";
        }
        map.retain(|key, _| *key != 1);
        assert_eq!(map.values().collect::<Vec<_>>(), [&"z", &"d"]);
        for (_, value) in map.iter_mut() {
            *value = "";
        }
        assert_eq!(map, SmallMap::from([(0, ""), (3, "")]));
    }
}
