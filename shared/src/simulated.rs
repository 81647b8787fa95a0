//! What a simulation puts in the place of time and chance, on the thread that it runs on; empty everywhere else.
//!
//! Whoever asks a clock or draws a number asks here first, so that a simulated cluster lives in its own time and does the
//! same again for the same seed. Nothing here reads a clock or knows chance itself.
use std::cell::Cell;

thread_local! {
    static NOW: Cell<Option<fn() -> jiff::Timestamp>> = const { Cell::new(None) };
    static CHANCE: Cell<Option<u64>> = const { Cell::new(None) };
}

/// From here on, on this thread, time is what `now` says and chance follows from the seed.
pub fn begin(now: fn() -> jiff::Timestamp, seed: u64) {
    NOW.set(Some(now));
    CHANCE.set(Some(seed));
}

/// The thread is in the real world again.
pub fn end() {
    NOW.set(None);
    CHANCE.set(None);
}

/// The simulation's time; `None` in the real world.
pub fn now() -> Option<jiff::Timestamp> {
    NOW.get().map(|now| now())
}

/// The simulation's next number; `None` in the real world.
pub fn number() -> Option<u64> {
    let state = CHANCE.get()?.wrapping_add(0x9e37_79b9_7f4a_7c15);
    CHANCE.set(Some(state));
    // The finalizer of splitmix64: well mixed, and more is not asked of it.
    let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    Some(mixed ^ (mixed >> 31))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_seed_decides_and_the_real_world_is_left_alone() {
        assert!(super::now().is_none() && super::number().is_none());
        let drawn = |seed| {
            super::begin(|| jiff::Timestamp::UNIX_EPOCH, seed);
            let numbers: Vec<_> = (0..5).map(|_| super::number()).collect();
            assert_eq!(super::now(), Some(jiff::Timestamp::UNIX_EPOCH));
            super::end();
            numbers
        };
        assert_eq!(drawn(7), drawn(7));
        assert_ne!(drawn(7), drawn(8));
        assert!(super::now().is_none() && super::number().is_none());
    }
}
