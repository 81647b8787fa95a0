//! A disk in memory that loses power at a chosen write, tears and reorders what was not synced, and fails on request.
use crate::redb::files::{Files, Stored};
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

/// What the hardware keeps whole.
const SECTOR: usize = 512;

/// What goes wrong at a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// This step may happen in part; nothing after it does.
    PowerCut,
    /// The step fails; a failed sync forgets what it should have written, as Linux does.
    Error,
    /// Writes and syncs at and after this step find no room, until `heal`.
    Full,
}

/// Clones share the disk.
#[derive(Clone, Debug, Default)]
pub(super) struct SimDisk(Arc<Mutex<Disk>>);

#[derive(Debug, Default)]
struct Disk {
    files: Vec<Content>,
    /// What running programs see, and what a power cut leaves for certain.
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    pending_names: Vec<NameChange>,
    steps: u64,
    plan: BTreeMap<u64, Fault>,
    dark: bool,
    full: bool,
}

#[derive(Debug, Default)]
struct Content {
    now: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<Pending>,
}

#[derive(Clone, Debug)]
enum Pending {
    Write(usize, Vec<u8>),
    Size(usize),
}

#[derive(Clone, Debug)]
enum NameChange {
    Set(String, usize),
    Move(String, String),
    Remove(String),
}

fn rename(names: &mut BTreeMap<String, usize>, change: &NameChange) {
    match change {
        NameChange::Set(name, file) => drop(names.insert(name.clone(), *file)),
        NameChange::Remove(name) => drop(names.remove(name)),
        NameChange::Move(from, to) => {
            if let Some(file) = names.remove(from) {
                names.insert(to.clone(), file);
            }
        }
    }
}

fn apply(bytes: &mut Vec<u8>, change: &Pending) {
    match change {
        Pending::Size(size) => bytes.resize(*size, 0),
        Pending::Write(offset, data) => {
            bytes.resize(bytes.len().max(offset + data.len()), 0);
            bytes[*offset..offset + data.len()].copy_from_slice(data);
        }
    }
}

impl Disk {
    /// Counts a step; an error when it must not happen. `Ok(true)`: the power goes with it.
    fn step(&mut self, writes: bool) -> io::Result<bool> {
        if self.dark {
            return Err(io::Error::other("no power"));
        }
        self.steps += 1;
        match self.plan.get(&self.steps) {
            Some(Fault::PowerCut) => self.dark = true,
            Some(Fault::Error) => return Err(io::Error::other("injected")),
            Some(Fault::Full) => self.full = true,
            None => {}
        }
        if self.full && writes { Err(io::ErrorKind::StorageFull.into()) } else { Ok(self.dark) }
    }

    fn change_name(&mut self, change: NameChange) -> io::Result<()> {
        let cut = self.step(matches!(change, NameChange::Set(..)))?;
        rename(&mut self.names, &change);
        self.pending_names.push(change);
        if cut { Err(io::Error::other("no power")) } else { Ok(()) }
    }
}

impl SimDisk {
    pub fn with_plan(plan: impl IntoIterator<Item = (u64, Fault)>) -> SimDisk {
        let disk = SimDisk::default();
        disk.0.lock().plan = plan.into_iter().collect();
        disk
    }

    pub fn steps(&self) -> u64 {
        self.0.lock().steps
    }

    /// Whether the power is gone.
    pub fn is_dark(&self) -> bool {
        self.0.lock().dark
    }

    /// The step that follows after `count - 1` others meets this fault.
    pub fn fail_after(&self, count: u64, fault: Fault) {
        let mut disk = self.0.lock();
        let step = disk.steps + count;
        disk.plan.insert(step, fault);
    }

    /// There is room again.
    pub fn heal(&self) {
        self.0.lock().full = false;
    }

    /// What a machine finds when it starts after the power cut: of what was not synced, whatever the seed leaves.
    pub fn after_power_cut(&self, seed: u64, plan: impl IntoIterator<Item = (u64, Fault)>) -> SimDisk {
        let mut random = StdRng::seed_from_u64(seed);
        let disk = self.0.lock();
        let mut names = disk.durable_names.clone();
        let kept = random.random_range(0..=disk.pending_names.len());
        disk.pending_names[..kept].iter().for_each(|change| rename(&mut names, change));
        let files = disk.files.iter().map(|file| survive(file, &mut random)).collect();
        let fresh = Disk { files, durable_names: names.clone(), names, plan: plan.into_iter().collect(), ..Disk::default() };
        SimDisk(Arc::new(Mutex::new(fresh)))
    }
}

fn survive(file: &Content, random: &mut StdRng) -> Content {
    let mut bytes = file.durable.clone();
    // Often all or nothing, else any part.
    let chance = [0.0, 0.1, 0.5, 0.9, 1.0][random.random_range(0..5)];
    for change in &file.pending {
        match change {
            Pending::Size(_) if random.random_bool(chance) => apply(&mut bytes, change),
            Pending::Size(_) => {}
            Pending::Write(offset, data) => {
                let mut start = 0;
                while start < data.len() {
                    let end = data.len().min((offset + start + SECTOR) / SECTOR * SECTOR - offset);
                    if random.random_bool(chance) {
                        apply(&mut bytes, &Pending::Write(offset + start, data[start..end].to_vec()));
                    }
                    start = end;
                }
            }
        }
    }
    Content { now: bytes.clone(), durable: bytes, pending: Vec::new() }
}

impl Files for SimDisk {
    fn names(&self) -> io::Result<Vec<String>> {
        Ok(self.0.lock().names.keys().cloned().collect())
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn Stored>> {
        let disk = self.0.lock();
        let file = *disk.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(SimFile { disk: self.clone(), file }))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn Stored>> {
        let mut disk = self.0.lock();
        if let Some(file) = disk.names.get(name).copied() {
            drop(disk);
            let file = SimFile { disk: self.clone(), file };
            file.set_size(0)?;
            return Ok(Arc::new(file));
        }
        let file = disk.files.len();
        disk.files.push(Content::default());
        disk.change_name(NameChange::Set(name.to_owned(), file))?;
        Ok(Arc::new(SimFile { disk: self.clone(), file }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.0.lock().change_name(NameChange::Move(from.to_owned(), to.to_owned()))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.lock().change_name(NameChange::Remove(name.to_owned()))
    }

    fn sync(&self) -> io::Result<()> {
        let mut disk = self.0.lock();
        if disk.step(false)? {
            return Err(io::Error::other("no power"));
        }
        disk.durable_names = disk.names.clone();
        disk.pending_names.clear();
        Ok(())
    }
}

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    file: usize,
}

impl SimFile {
    fn change(&self, change: Pending) -> io::Result<()> {
        let mut disk = self.disk.0.lock();
        let cut = disk.step(true)?;
        let file = &mut disk.files[self.file];
        apply(&mut file.now, &change);
        file.pending.push(change);
        if cut { Err(io::Error::other("no power")) } else { Ok(()) }
    }
}

impl Stored for SimFile {
    fn size(&self) -> io::Result<u64> {
        Ok(self.disk.0.lock().files[self.file].now.len() as u64)
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let disk = self.disk.0.lock();
        let start = usize::try_from(offset).expect("small");
        let bytes = disk.files[self.file].now.get(start..start + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(bytes);
        Ok(())
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.change(Pending::Write(usize::try_from(offset).expect("small"), data.to_vec()))
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        self.change(Pending::Size(usize::try_from(size).expect("small")))
    }

    fn sync(&self) -> io::Result<()> {
        let mut disk = self.disk.0.lock();
        let step = disk.step(false);
        let file = &mut disk.files[self.file];
        match step {
            Ok(false) => {
                file.durable = file.now.clone();
                file.pending.clear();
                Ok(())
            }
            Ok(true) => Err(io::Error::other("no power")),
            Err(error) => {
                // The page cache still shows it, but it will never be written.
                file.pending.clear();
                Err(error)
            }
        }
    }
}
