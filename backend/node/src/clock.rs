//! The agent's only sources of time and chance; a simulation has its own.
use jiff::Timestamp;
use rand::Rng;
use rand::rngs::SmallRng;
use rand::{SeedableRng, distr::StandardUniform, prelude::Distribution};

pub(crate) fn now() -> Timestamp {
    shared::simulated::now().unwrap_or_else(Timestamp::now)
}

pub(crate) fn random<T>() -> T
where
    StandardUniform: Distribution<T>,
{
    match shared::simulated::number() {
        Some(number) => SmallRng::seed_from_u64(number).random(),
        None => rand::random(),
    }
}
