//! The seam to the disk: a flat directory of files, real or (in tests) one that loses power at any write.
use redb::StorageBackend;
use std::fmt::Debug;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What an acknowledged write survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// The end of the process and the loss of power.
    Synced,
    /// The end of the process only. For tests that start many clusters.
    Relaxed,
}

/// One process at a time may hold this file's lock.
pub(crate) const LOCK: &str = "LOCK";

/// A directory. Creations, removals and renames are durable after `sync`.
pub(crate) trait Files: Send + Sync {
    fn names(&self) -> io::Result<Vec<String>>;
    /// Opens a file that exists.
    fn open(&self, name: &str) -> io::Result<Arc<dyn Stored>>;
    /// Makes an empty file, in place of one of that name.
    fn create(&self, name: &str) -> io::Result<Arc<dyn Stored>>;
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    fn remove(&self, name: &str) -> io::Result<()>;
    fn sync(&self) -> io::Result<()>;
}

/// A file. What was written is durable after `sync`.
pub(crate) trait Stored: Debug + Send + Sync {
    fn size(&self) -> io::Result<u64>;
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()>;
    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()>;
    fn set_size(&self, size: u64) -> io::Result<()>;
    fn sync(&self) -> io::Result<()>;
}

/// All bytes of a file.
pub(crate) fn read_all(file: &dyn Stored) -> io::Result<Vec<u8>> {
    let size = usize::try_from(file.size()?).map_err(|_| io::Error::other("the file is larger than memory"))?;
    let mut bytes = vec![0; size];
    file.read_at(0, &mut bytes)?;
    Ok(bytes)
}

/// Lets redb live on any `Stored`.
#[derive(Debug)]
pub(crate) struct Backend(pub Arc<dyn Stored>);

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.0.size()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read_at(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_size(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write_at(offset, data)
    }
}

/// A directory of the file system, locked against other processes.
pub(crate) struct RealFiles {
    path: PathBuf,
    durability: Durability,
    directory: File,
    _lock: Lock,
}

/// The one process that may write here.
pub(super) struct Lock(File);

impl Lock {
    /// `Ok(None)` when another process has it.
    pub fn take(file: File) -> io::Result<Option<Lock>> {
        match file.try_lock() {
            Ok(()) => Ok(Some(Lock(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

impl Drop for Lock {
    /// Said, not left to closing: a child that was forked and has not yet begun its program holds the open file too
    /// (flock(2)). The death of the process ends the lock as well.
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

impl RealFiles {
    /// Opens or makes the directory; `Ok(None)` when another process has it.
    pub fn open(path: &Path, durability: Durability) -> io::Result<Option<RealFiles>> {
        if !path.is_dir() {
            DirBuilder::new().recursive(true).mode(0o700).create(path)?;
            if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
                File::open(parent)?.sync_all()?;
            }
        }
        let lock = private().create(true).truncate(false).open(path.join(LOCK))?;
        let Some(lock) = Lock::take(lock)? else { return Ok(None) };
        Ok(Some(RealFiles { path: path.to_owned(), durability, directory: File::open(path)?, _lock: lock }))
    }
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    options
}

impl Files for RealFiles {
    fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.path)? {
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn Stored>> {
        Ok(Arc::new(RealFile { file: private().open(self.path.join(name))?, durability: self.durability }))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn Stored>> {
        let file = private().create(true).truncate(true).open(self.path.join(name))?;
        Ok(Arc::new(RealFile { file, durability: self.durability }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.path.join(from), self.path.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.path.join(name))
    }

    fn sync(&self) -> io::Result<()> {
        match self.durability {
            Durability::Synced => self.directory.sync_all(),
            Durability::Relaxed => Ok(()),
        }
    }
}

#[derive(Debug)]
struct RealFile {
    file: File,
    durability: Durability,
}

impl Stored for RealFile {
    fn size(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(out, offset)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file.write_all_at(data, offset)
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        self.file.set_len(size)
    }

    fn sync(&self) -> io::Result<()> {
        match self.durability {
            Durability::Synced => self.file.sync_data(),
            Durability::Relaxed => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_that_is_given_back_is_free_although_a_forked_child_has_the_file_open() {
        let directory = tempfile::tempdir().unwrap();
        let open = || private().create(true).truncate(false).open(directory.path().join(LOCK)).unwrap();
        let lock = Lock::take(open()).unwrap().expect("nobody has it");
        // What fork makes: a second descriptor of the same open file.
        let _forked = lock.0.try_clone().unwrap();
        assert!(Lock::take(open()).unwrap().is_none());
        drop(lock);
        assert!(Lock::take(open()).unwrap().is_some());
    }
}
