//! What keeps one client's load from another: lanes, turns, shares, and bounds on what is held in memory for a client.
//!
//! The bound: the crowd (all but administrators and nodes) costs at most about 512 MiB beside the objects that it stores —
//! 4,096 connections of 64 KiB, 64 MiB of request bodies, 16 turns that decode up to 3 MiB each, 64 MiB of answers under way.
pub mod bodies;
pub mod connections;
pub mod held;
pub mod lanes;
pub mod stall;
pub mod turns;

use crate::app::Peer;
use crate::error::Error;
use connections::Connections;
use held::Held;
use lanes::Lanes;
use logic::fairness::queue::{self, Flow};
use logic::fairness::spending::{Spending, WAIT_MS_MAX};
use logic::fairness::{Class, Lane, class};
use parking_lot::Mutex;
use registry::caller::Identity;
use shared::status::{Reason, Status};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use turns::{Turn, Turns};

const RESERVED_TURNS: queue::Limits = queue::Limits { seats: 1024, seats_per_flow: 512, waiting_per_flow: 2048, waiting: 8192 };
const CROWD_TURNS: queue::Limits = queue::Limits { seats: 16, seats_per_flow: 12, waiting_per_flow: 128, waiting: 2048 };
/// A body of this many bytes more takes one seat more.
const SEAT_BYTES: usize = 256 * 1024;
/// Of the time that the crowd's threads have, this is shared out.
const USED: f64 = 0.7;
/// Somebody of the reserved lane who asked within this time (milliseconds) is there.
const PRESENT_MS: u64 = 1000;
/// Microseconds that a request costs beside what was measured, and that a write costs.
const REQUEST_COST: f64 = 30.0;
const WRITE_COST: f64 = 150.0;
/// Microseconds for a byte in or out: decoding, encrypting.
const BYTE_COST: f64 = 0.005;

/// Bytes of request bodies that are taken in at once: of all, and of one flow.
const BODIES: held::Bounds = held::Bounds { all: 64 << 20, flow: 32 << 20 };
const RESERVED_BODIES: held::Bounds = held::Bounds { all: 256 << 20, flow: 256 << 20 };
/// Watches, streams and unfinished answers.
const OPEN: held::Bounds = held::Bounds { all: 16_384, flow: 4096 };
/// Bytes of answers that are being sent; objects that are in memory anyway do not count.
const ANSWERS: held::Bounds = held::Bounds { all: 64 << 20, flow: 32 << 20 };

/// Connections that became streams (exec, port-forward, watches by WebSocket), as a part of the descriptors: of all, of a flow.
const UPGRADES: (u64, u64) = (8, 16);

/// Everything that limits clients.
pub struct Limits {
    pub lanes: Lanes,
    pub connections: Arc<Connections>,
    reserved: Turns,
    crowd: Turns,
    spending: Mutex<Spending>,
    pub bodies: Arc<Held>,
    pub reserved_bodies: Arc<Held>,
    pub open: Arc<Held>,
    pub answers: Arc<Held>,
    upgrades: Arc<Held>,
    started: Instant,
    /// When somebody of the reserved lane last asked.
    reserved_at: AtomicU64,
}

/// Who a request belongs to, as far as limits go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Who {
    pub class: Class,
    pub flow: Flow,
}

impl Who {
    /// People and programs share by name, administrators and nodes (many of which use one name) by connection.
    pub fn of(identity: &Identity, connection: u64, address: std::net::IpAddr) -> Who {
        let class = class(&identity.name, identity.groups.iter().map(String::as_str));
        let mut hasher = DefaultHasher::new();
        match (class.lane(), class) {
            (Lane::Reserved, _) => connection.hash(&mut hasher),
            (_, Class::Nobody) => address.hash(&mut hasher),
            _ => identity.name.hash(&mut hasher),
        }
        Who { class, flow: hasher.finish() }
    }

    pub fn lane(&self) -> Lane {
        self.class.lane()
    }
}

impl Limits {
    pub fn start() -> Result<Limits, Error> {
        let lanes = Lanes::start()?;
        let descriptors = connections::descriptors();
        let capacity = lanes.crowd_threads as f64 * 1e6 * USED;
        Ok(Limits {
            lanes,
            connections: Arc::new(Connections::new(connections::room(descriptors))),
            reserved: Turns::new(RESERVED_TURNS),
            crowd: Turns::new(CROWD_TURNS),
            spending: Mutex::new(Spending::new(capacity)),
            bodies: Arc::new(Held::new(BODIES)),
            reserved_bodies: Arc::new(Held::new(RESERVED_BODIES)),
            open: Arc::new(Held::new(OPEN)),
            upgrades: Arc::new(Held::new(held::Bounds { all: descriptors / UPGRADES.0, flow: descriptors / UPGRADES.1 })),
            answers: Arc::new(Held::new(ANSWERS)),
            started: Instant::now(),
            reserved_at: AtomicU64::new(0),
        })
    }

    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Seats taken and requests that wait, of one lane.
    pub fn load(&self, lane: Lane) -> (u32, usize) {
        match lane {
            Lane::Reserved => self.reserved.load(),
            Lane::Crowd => self.crowd.load(),
        }
    }

    /// Waits until the caller's share allows another request.
    pub async fn share(&self, who: Who) -> Result<(), Status> {
        let now = self.now();
        if who.lane() == Lane::Reserved {
            self.reserved_at.store(now, Ordering::Relaxed);
            return Ok(());
        }
        let others = now.saturating_sub(self.reserved_at.load(Ordering::Relaxed)) < PRESENT_MS;
        let wait = self.spending.lock().ask(who.flow, now, others);
        match wait {
            0 => Ok(()),
            wait if wait > WAIT_MS_MAX => Err(busy()),
            wait => {
                tokio::time::sleep(Duration::from_millis(wait)).await;
                Ok(())
            }
        }
    }

    /// Room for a connection that becomes a stream.
    pub fn upgrade(&self, identity: &Identity, peer: &Peer) -> Result<held::Part, Status> {
        self.upgrades.take(Who::of(identity, peer.id, peer.remote.ip()).flow, 1).ok_or_else(busy)
    }

    /// A turn for a request with a body of this size.
    pub async fn turn(&self, who: Who, bytes: usize) -> Result<Turn, Status> {
        let width = 1 + u32::try_from(bytes / SEAT_BYTES).unwrap_or(u32::MAX - 1);
        let turns = match who.lane() {
            Lane::Reserved => &self.reserved,
            Lane::Crowd => &self.crowd,
        };
        turns.take(who.flow, width).await.ok_or_else(busy)
    }

    /// Notes what a request cost: `took` where it only read (there it is work, while a write waits for the disk).
    pub fn charge(&self, who: Who, took: Option<Duration>, bytes: u64) {
        if who.lane() == Lane::Crowd {
            let work = took.map_or(WRITE_COST, |t| t.as_secs_f64() * 1e6);
            self.spending.lock().charge(who.flow, REQUEST_COST + work + bytes as f64 * BYTE_COST);
        }
    }
}

/// Too much is being asked for; the same later.
pub fn busy() -> Status {
    Status::failure(429, Reason::TooManyRequests, "Too many requests, please try again later.").with_retry_after(1)
}
