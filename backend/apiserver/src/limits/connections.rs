//! Open connections: how many there may be, which one ends for a new one, and one that resets its requests too often.
use logic::fairness::Lane;
use logic::fairness::connections::{Held, to_end};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// Descriptors that are left for files, the container engine and whatever else the process does.
const SPARE_DESCRIPTORS: u64 = 256;
/// Connections before and in their handshake, and in it.
const PLACES_MAX: u64 = 8192;
const HANDSHAKES_MAX: u64 = 1024;
const CROWD_MAX: u64 = 4096;
const RESERVED_MAX: u64 = 16_384;
/// Of one address, this machine excepted: here everybody shares it.
const PER_ADDRESS_MAX: usize = 1024;
/// So long may a client say nothing when there are too many: its first bytes come with the connection, or it is far away.
const SILENCE_GRACE: Duration = Duration::from_millis(25);
/// A handshake this old may be ended for a new one when there are too many.
const HANDSHAKE_GRACE: Duration = Duration::from_millis(100);
/// Requests that a client may take back before they are answered, per connection and period.
const RESETS_MAX: u32 = 500;
const RESETS_PERIOD_MS: u64 = 10_000;

/// How many connections may be open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    pub places: usize,
    pub handshakes: usize,
    pub crowd: usize,
    pub reserved: usize,
}

/// Shares out the descriptors that the process may have.
pub fn room(descriptors: u64) -> Room {
    let free = descriptors.saturating_sub(SPARE_DESCRIPTORS).max(16);
    let part = |max: u64, of: u64| usize::try_from(max.min(free / of).max(2)).unwrap_or(usize::MAX);
    Room { places: part(PLACES_MAX, 4), handshakes: part(HANDSHAKES_MAX, 8), crowd: part(CROWD_MAX, 4), reserved: part(RESERVED_MAX, 3) }
}

/// The descriptors that this process may have.
pub fn descriptors() -> u64 {
    rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(1 << 20)
}

/// One open connection.
pub struct Line {
    started: Instant,
    address: IpAddr,
    /// Requests and streams that are open on it.
    open: AtomicU32,
    /// Milliseconds after the pool's start when `open` last changed.
    since: AtomicU64,
    /// Requests taken back in the period that began at the upper half (in periods); see [`Line::reset`].
    resets: AtomicU64,
    /// Ends the connection at once.
    pub end: CancellationToken,
}

impl Line {
    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// A line that belongs to no pool, for tests.
    pub fn alone(address: IpAddr) -> Line {
        Line {
            started: Instant::now(),
            address,
            open: AtomicU32::new(0),
            since: AtomicU64::new(0),
            resets: AtomicU64::new(0),
            end: CancellationToken::new(),
        }
    }

    pub fn begin(&self) {
        self.open.fetch_add(1, Ordering::Relaxed);
        self.since.store(self.now(), Ordering::Relaxed);
    }

    pub fn finish(&self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
        self.since.store(self.now(), Ordering::Relaxed);
    }

    /// The client took a request back; one that does little else is cut off.
    pub fn reset(&self) {
        let period = self.now() / RESETS_PERIOD_MS;
        let seen = self.resets.load(Ordering::Relaxed);
        let count = if seen >> 32 == period { (seen & u64::from(u32::MAX)) + 1 } else { 1 };
        self.resets.store(period << 32 | count, Ordering::Relaxed);
        if count > u64::from(RESETS_MAX) {
            self.end.cancel();
        }
    }
}

#[derive(Default)]
struct Pool {
    open: BTreeMap<u64, Arc<Line>>,
    next: u64,
}

/// All connections after their handshake.
pub struct Connections {
    started: Instant,
    room: Room,
    crowd: Mutex<Pool>,
    reserved: Mutex<Pool>,
    door: Mutex<Door>,
    /// Places before and in the handshake.
    places: Arc<Semaphore>,
    /// Ended to make room.
    pub ended: AtomicU64,
}

/// Takes a connection out of its pool when it ends.
pub struct Registered {
    connections: Arc<Connections>,
    lane: Lane,
    pub id: u64,
    pub line: Arc<Line>,
}

impl Connections {
    pub fn new(room: Room) -> Connections {
        Connections {
            started: Instant::now(),
            room,
            crowd: Mutex::default(),
            reserved: Mutex::default(),
            door: Mutex::default(),
            places: Arc::new(Semaphore::new(room.places)),
            ended: AtomicU64::new(0),
        }
    }

    fn pool(&self, lane: Lane) -> (&Mutex<Pool>, usize) {
        match lane {
            Lane::Reserved => (&self.reserved, self.room.reserved),
            Lane::Crowd => (&self.crowd, self.room.crowd),
        }
    }

    /// Open connections of a lane.
    pub fn count(&self, lane: Lane) -> usize {
        self.pool(lane).0.lock().open.len()
    }

    /// Takes a connection in; when there are too many, another one ends.
    pub fn register(self: &Arc<Connections>, lane: Lane, address: IpAddr) -> Registered {
        let address = address.to_canonical();
        let (pool, max) = self.pool(lane);
        let per_address = if address.is_loopback() { max } else { PER_ADDRESS_MAX.min(max) };
        let mut pool = pool.lock();
        // Looking through all of them is for when there are many.
        if pool.open.len() >= per_address.min(max) {
            let held: Vec<Held<IpAddr, u64>> = pool.open.iter().map(|(key, line)| held(*key, line)).collect();
            if let Some(line) = to_end(&held, address, per_address, max).and_then(|key| pool.open.remove(&key)) {
                line.end.cancel();
                self.ended.fetch_add(1, Ordering::Relaxed);
            }
        }
        let id = pool.next;
        pool.next += 1;
        let line = Arc::new(Line { started: self.started, ..Line::alone(address) });
        line.since.store(line.now(), Ordering::Relaxed);
        pool.open.insert(id, line.clone());
        Registered { connections: self.clone(), lane, id, line }
    }

    /// A place for a connection that has just come in. Who says nothing soon makes way for it: honest clients send their
    /// first bytes together with the connection's last packet.
    pub async fn place(self: &Arc<Connections>) -> Place {
        let permit = loop {
            if let Ok(permit) = self.places.clone().try_acquire_owned() {
                break permit;
            }
            let oldest =
                self.door.lock().silent.first_key_value().map(|(id, (came, _))| (*id, SILENCE_GRACE.saturating_sub(came.elapsed())));
            match oldest {
                Some((id, Duration::ZERO)) => {
                    // It may have spoken meanwhile; then it stays, and the next one is looked at.
                    let Some((_, end)) = self.door.lock().silent.remove(&id) else { continue };
                    end.cancel();
                    self.ended.fetch_add(1, Ordering::Relaxed);
                    break self.places.clone().acquire_owned().await.expect("nobody closes it");
                }
                Some((_, left)) => tokio::time::sleep(left).await,
                None => tokio::time::sleep(SILENCE_GRACE).await,
            }
        };
        let end = CancellationToken::new();
        let mut door = self.door.lock();
        let id = door.next;
        door.next += 1;
        door.silent.insert(id, (Instant::now(), end.clone()));
        Place { connections: self.clone(), id, end, _permit: permit }
    }
}

/// Connections before their handshake is done.
#[derive(Default)]
struct Door {
    next: u64,
    /// Nothing was heard of these yet.
    silent: BTreeMap<u64, (Instant, CancellationToken)>,
    /// These shake hands, since when.
    shaking: BTreeMap<u64, (Instant, CancellationToken)>,
}

/// Held by a connection until its handshake is done.
pub struct Place {
    connections: Arc<Connections>,
    id: u64,
    /// Somebody else needs the place.
    pub end: CancellationToken,
    _permit: OwnedSemaphorePermit,
}

impl Place {
    /// The first bytes are there: waits for its turn to shake hands, and ends the oldest handshake that has had its time.
    pub async fn spoke(&self) {
        let all = &self.connections;
        all.door.lock().silent.remove(&self.id);
        loop {
            let wait = {
                let mut door = all.door.lock();
                match door.shaking.first_key_value() {
                    Some((id, (began, end))) if door.shaking.len() >= all.room.handshakes => {
                        let (id, left) = (*id, HANDSHAKE_GRACE.saturating_sub(began.elapsed()));
                        if left.is_zero() {
                            end.cancel();
                            door.shaking.remove(&id);
                            all.ended.fetch_add(1, Ordering::Relaxed);
                        }
                        left
                    }
                    _ => {
                        door.shaking.insert(self.id, (Instant::now(), self.end.clone()));
                        return;
                    }
                }
            };
            tokio::time::sleep(wait.min(Duration::from_millis(5))).await;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut door = self.connections.door.lock();
        door.silent.remove(&self.id);
        door.shaking.remove(&self.id);
    }
}

fn held(key: u64, line: &Line) -> Held<IpAddr, u64> {
    let (busy, since) = (line.open.load(Ordering::Relaxed) > 0, line.since.load(Ordering::Relaxed));
    Held { key, holder: line.address, busy, since }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.connections.pool(self.lane).0.lock().open.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_are_shared_out_with_some_to_spare() {
        for limit in [0, 256, 1024, 4096, 20_000, 1 << 20] {
            let room = room(limit);
            let all = (room.places + room.crowd + room.reserved) as u64;
            assert!(all + SPARE_DESCRIPTORS <= limit.max(SPARE_DESCRIPTORS + 16), "{limit}: {room:?}");
        }
        assert_eq!(room(1 << 20), Room { places: 8192, handshakes: 1024, crowd: 4096, reserved: 16_384 });
    }

    #[tokio::test]
    async fn who_says_nothing_makes_way_soon_and_who_stops_talking_after_a_while() {
        let all = Arc::new(Connections::new(Room { places: 4, handshakes: 2, crowd: 4, reserved: 4 }));
        let mut places = Vec::new();
        for _ in 0..4 {
            places.push(all.place().await);
        }
        places[0].spoke().await;
        let next = tokio::spawn({
            let all = all.clone();
            async move { all.place().await }
        });
        places[1].end.cancelled().await;
        drop(places.remove(1));
        let fifth = next.await.unwrap();
        assert!(!places.iter().any(|p| p.end.is_cancelled()));
        places[1].spoke().await;
        let began = Instant::now();
        fifth.spoke().await;
        assert!(places[0].end.is_cancelled() && !places[1].end.is_cancelled(), "the oldest of those who shake hands");
        assert!(began.elapsed() >= HANDSHAKE_GRACE / 2);
        drop((places, fifth));
        assert_eq!(all.places.available_permits(), 4);
    }

    #[test]
    fn one_more_connection_ends_one_at_rest() {
        let all = Arc::new(Connections::new(Room { places: 4, handshakes: 2, crowd: 3, reserved: 3 }));
        let address = |n: u8| IpAddr::from([10, 0, 0, n]);
        let kept = all.register(Lane::Crowd, address(9));
        let flood: Vec<_> = (0..10).map(|_| all.register(Lane::Crowd, address(1))).collect();
        assert!(!kept.line.end.is_cancelled());
        assert_eq!(flood.iter().filter(|r| !r.line.end.is_cancelled()).count(), 2);
        assert_eq!((all.count(Lane::Crowd), all.count(Lane::Reserved)), (3, 0));
        drop((flood, kept));
        assert_eq!(all.count(Lane::Crowd), 0);
    }

    #[test]
    fn who_resets_too_often_is_cut_off() {
        let line = Line::alone(IpAddr::from([127, 0, 0, 1]));
        for _ in 0..RESETS_MAX {
            line.reset();
        }
        assert!(!line.end.is_cancelled());
        line.reset();
        assert!(line.end.is_cancelled());
    }
}
