//! How often a password may be guessed: wrong ones use up the tries of the account and of the address, right ones do not.
use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

/// Tries that are there at once; after them, one comes back every [`REFILL_MS`].
const ACCOUNT_TRIES: f64 = 10.0;
const ADDRESS_TRIES: f64 = 20.0;
/// On this machine many people and programs share one address.
const LOOPBACK_TRIES: f64 = 200.0;
/// Milliseconds until a used try of an account comes back: ten in a minute. An address's come back in proportion.
const REFILL_MS: f64 = 6000.0;
/// Accounts, addresses and pairs that are remembered; those that have all their tries back are forgotten first.
const REMEMBERED_MAX: usize = 10_000;

#[derive(Clone, Copy, Debug)]
struct Tries {
    left: f64,
    at: u64,
    max: f64,
}

impl Tries {
    fn new(max: f64, now: u64) -> Tries {
        Tries { left: max, at: now, max }
    }

    fn refill(&mut self, now: u64) {
        let gained = now.saturating_sub(self.at) as f64 * self.max / ACCOUNT_TRIES / REFILL_MS;
        self.left = (self.left + gained).min(self.max);
        self.at = self.at.max(now);
    }

    /// Milliseconds until there is a whole try.
    fn wait(&self) -> u64 {
        ((1.0 - self.left).max(0.0) * REFILL_MS * ACCOUNT_TRIES / self.max).ceil() as u64
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Key {
    Account(String),
    Address(IpAddr),
    /// An account at an address from where its right password has come before.
    Known(String, IpAddr),
}

/// Remembers wrong passwords. Names need not exist: what is answered must not tell which do.
#[derive(Debug, Default)]
pub struct Guesses {
    tries: HashMap<Key, Tries>,
    known: BTreeSet<(String, IpAddr)>,
}

impl Guesses {
    /// Takes the tries that an attempt needs, before the password is looked at; `Err` says in how many milliseconds to come
    /// again. Guesses from elsewhere never use up the tries of an account at the address where it has logged in before.
    pub fn attempt(&mut self, account: &str, address: IpAddr, now: u64) -> Result<(), u64> {
        let keys = self.keys(account, address);
        self.make_room(now);
        let mut wait = 0;
        for key in &keys {
            let max = Self::max(key);
            let tries = self.tries.entry(key.clone()).or_insert_with(|| Tries::new(max, now));
            tries.refill(now);
            wait = wait.max(tries.wait());
        }
        if wait > 0 {
            return Err(wait);
        }
        for key in &keys {
            if let Some(tries) = self.tries.get_mut(key) {
                tries.left -= 1.0;
            }
        }
        Ok(())
    }

    /// The attempt was right: its tries come back, and the account is known at this address.
    pub fn right(&mut self, account: &str, address: IpAddr) {
        self.give_back(account, address);
        if self.known.len() < REMEMBERED_MAX {
            self.known.insert((account.to_string(), address));
        }
    }

    /// The attempt was neither right nor wrong.
    pub fn give_back(&mut self, account: &str, address: IpAddr) {
        for key in self.keys(account, address) {
            if let Some(tries) = self.tries.get_mut(&key) {
                tries.left = (tries.left + 1.0).min(tries.max);
            }
        }
    }

    fn keys(&self, account: &str, address: IpAddr) -> Vec<Key> {
        let pair = (account.to_string(), address);
        if self.known.contains(&pair) {
            return vec![Key::Known(pair.0, address)];
        }
        vec![Key::Account(pair.0), Key::Address(address)]
    }

    fn max(key: &Key) -> f64 {
        match key {
            Key::Account(_) | Key::Known(..) => ACCOUNT_TRIES,
            Key::Address(address) if address.is_loopback() => LOOPBACK_TRIES,
            Key::Address(_) => ADDRESS_TRIES,
        }
    }

    fn make_room(&mut self, now: u64) {
        if self.tries.len() < REMEMBERED_MAX {
            return;
        }
        self.tries.retain(|_, t| {
            t.refill(now);
            t.left < t.max
        });
        // Still too many: somebody makes names up from many addresses. Those with the most tries left matter least.
        if self.tries.len() >= REMEMBERED_MAX {
            let mut left: Vec<f64> = self.tries.values().map(|t| t.left / t.max).collect();
            left.sort_by(f64::total_cmp);
            let middle = left[left.len() / 2];
            self.tries.retain(|_, t| t.left / t.max < middle);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ip(n: u32) -> IpAddr {
        IpAddr::from(std::net::Ipv4Addr::from(0x0a00_0000 + n))
    }

    fn tried(guesses: &mut Guesses, account: &str, address: IpAddr, seconds: u64) -> usize {
        (0..seconds * 10).filter(|n| guesses.attempt(account, address, n * 100).is_ok()).count()
    }

    #[test]
    fn an_account_is_guessed_at_ten_times_a_minute_from_one_address_or_many() {
        assert_eq!(tried(&mut Guesses::default(), "joe", ip(1), 60), 19, "ten at once, and those that come back");
        let mut guesses = Guesses::default();
        let many = (0..600).filter(|n| guesses.attempt("joe", ip(*n), u64::from(*n) * 100).is_ok()).count();
        assert_eq!(many, 19);
    }

    #[test]
    fn one_address_does_not_try_one_password_on_all_accounts() {
        let mut guesses = Guesses::default();
        let many = (0..600).filter(|n| guesses.attempt(&format!("user{n}"), ip(1), n * 100).is_ok()).count();
        assert!(many < 45, "{many}");
    }

    #[test]
    fn the_owner_logs_in_while_others_guess() {
        let mut guesses = Guesses::default();
        guesses.attempt("joe", ip(7), 0).unwrap();
        guesses.right("joe", ip(7));
        for n in 0..10_000u32 {
            let _ = guesses.attempt("joe", ip(100 + n % 500), u64::from(n) * 10);
        }
        assert_eq!(guesses.attempt("joe", ip(7), 100_000), Ok(()), "from where it has logged in before");
        let wait = guesses.attempt("joe", ip(8), 100_000).unwrap_err();
        assert!(wait <= REFILL_MS as u64, "and from elsewhere the lock is short: {wait} ms");
        assert_eq!(guesses.attempt("joe", ip(8), 100_000 + wait), Ok(()));
    }

    #[test]
    fn right_passwords_cost_nothing() {
        let mut guesses = Guesses::default();
        for n in 0..1000 {
            guesses.attempt("robot", ip(1), n).unwrap();
            guesses.right("robot", ip(1));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(8))]
        #[test]
        fn memory_is_bounded(seed in any::<u32>()) {
            let mut guesses = Guesses::default();
            for n in 0..30_000u32 {
                let _ = guesses.attempt(&format!("u{}", n.wrapping_mul(seed) % 20_000), ip(n.wrapping_mul(seed | 1) % 20_000), u64::from(n));
                prop_assert!(guesses.tries.len() <= REMEMBERED_MAX + 2);
            }
        }
    }
}
