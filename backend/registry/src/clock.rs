//! The registry's only sources of time and chance; a simulation has its own.
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use uuid::Uuid;

pub fn now() -> jiff::Timestamp {
    shared::simulated::now().unwrap_or_else(jiff::Timestamp::now)
}

/// A number that nobody can foretell, except in a simulation.
pub fn number() -> u64 {
    shared::simulated::number().unwrap_or_else(rand::random)
}

pub(crate) fn chance() -> SmallRng {
    SmallRng::seed_from_u64(number())
}

/// Now, as objects carry it: RFC 3339 in UTC with whole seconds.
pub(crate) fn now_text() -> String {
    text(now())
}

/// RFC 3339 of so many seconds from now.
pub(crate) fn in_seconds(seconds: i64) -> String {
    text(now().saturating_add(jiff::SignedDuration::from_secs(seconds)).unwrap_or(jiff::Timestamp::MAX))
}

fn text(t: jiff::Timestamp) -> String {
    t.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A time-based UUID (version 1), as the container names of the tutorial show it.
pub(crate) fn new_uid() -> String {
    if let (Some(high), Some(low)) = (shared::simulated::number(), shared::simulated::number()) {
        return uuid::Builder::from_u128(u128::from(high) << 64 | u128::from(low))
            .with_version(uuid::Version::Random)
            .into_uuid()
            .to_string();
    }
    static NODE: std::sync::OnceLock<[u8; 6]> = std::sync::OnceLock::new();
    // A random node identifier with the multicast bit, as RFC 4122 §4.5 asks when no hardware address is used.
    let node = NODE.get_or_init(|| {
        let mut bytes: [u8; 6] = rand::rng().random();
        bytes[0] |= 1;
        bytes
    });
    Uuid::now_v1(node).to_string()
}

/// What generated names end in; no vowels, so that no words appear.
const SUFFIX_ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

pub(crate) fn name_suffix() -> String {
    let mut rng = chance();
    (0..5).map(|_| char::from(SUFFIX_ALPHABET[rng.random_range(0..SUFFIX_ALPHABET.len())])).collect()
}
