//! Which connection ends when there are too many: the one longest at rest of whoever holds the most.
use std::collections::HashMap;
use std::hash::Hash;

/// One open connection as the choice sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held<A, K> {
    pub key: K,
    /// Who holds it: an address.
    pub holder: A,
    /// Whether a request or watch is open on it.
    pub busy: bool,
    /// When it last began or ended a request, in milliseconds.
    pub since: u64,
}

/// The connection that makes room for a new one of `newcomer`: one of its own when it has `per_holder` or more; else, when
/// there are `max` or more in all, one of the holder with the most. `None`: there is room.
pub fn to_end<A: Eq + Hash + Copy, K: Copy>(open: &[Held<A, K>], newcomer: A, per_holder: usize, max: usize) -> Option<K> {
    let mut counts: HashMap<A, usize> = HashMap::new();
    for held in open {
        *counts.entry(held.holder).or_default() += 1;
    }
    let holder = if counts.get(&newcomer).is_some_and(|n| *n >= per_holder) {
        newcomer
    } else if open.len() >= max {
        let (holder, _) = counts.iter().max_by_key(|(_, n)| **n)?;
        *holder
    } else {
        return None;
    };
    open.iter().filter(|h| h.holder == holder).min_by_key(|h| (h.busy, h.since)).map(|h| h.key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn held(key: u32, holder: u8, busy: bool, since: u64) -> Held<u8, u32> {
        Held { key, holder, busy, since }
    }

    #[test]
    fn the_greediest_holder_gives_up_what_it_does_not_use() {
        let open = [held(1, 1, false, 5), held(2, 2, true, 1), held(3, 2, false, 9), held(4, 2, false, 7)];
        assert_eq!(to_end(&open, 3, 10, 10), None);
        assert_eq!(to_end(&open, 3, 10, 4), Some(4));
        assert_eq!(to_end(&open, 1, 1, 10), Some(1), "whoever has enough makes room for itself");
        assert_eq!(to_end(&open[1..2], 2, 1, 10), Some(2), "even one in use when there is no other");
    }

    proptest! {
        /// Whatever a flood opens, whoever holds a connection or two keeps them.
        #[test]
        fn a_flood_ends_only_its_own(arrivals in proptest::collection::vec(0u8..3, 50..300)) {
            let mut open = vec![held(0, 100, false, 0), held(1, 101, true, 0)];
            for (n, holder) in arrivals.into_iter().enumerate() {
                let n = n as u64 + 2;
                if let Some(key) = to_end(&open, holder, 16, 24) {
                    prop_assert!(key > 1);
                    open.retain(|h| h.key != key);
                }
                open.push(held(n as u32, holder, n.is_multiple_of(2), n));
                prop_assert!(open.len() <= 24);
                prop_assert!(open.iter().filter(|h| h.holder == holder).count() <= 16);
            }
        }
    }
}
