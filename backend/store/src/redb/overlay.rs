//! A data directory that is only looked at: writes go to memory and are forgotten.
use super::files::{Files, Lock, Stored};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Writes are kept in pieces of this size.
const PAGE: usize = 4096;

/// The directory, locked against the server if it has ever been used by one.
pub(crate) struct Untouched {
    path: PathBuf,
    _lock: Option<Lock>,
}

impl Untouched {
    /// `Ok(None)` when another process has the directory.
    pub fn open(path: &Path) -> io::Result<Option<Untouched>> {
        let lock = match File::open(path.join(super::files::LOCK)) {
            Ok(file) => match Lock::take(file)? {
                Some(lock) => Some(lock),
                None => return Ok(None),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        std::fs::read_dir(path)?;
        Ok(Some(Untouched { path: path.to_owned(), _lock: lock }))
    }
}

impl Files for Untouched {
    fn names(&self) -> io::Result<Vec<String>> {
        std::fs::read_dir(&self.path)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn Stored>> {
        let file = File::open(self.path.join(name))?;
        let size = file.metadata()?.len();
        Ok(Arc::new(Overlay { file: Some(file), written: Mutex::new(Written { size, under: size, pages: BTreeMap::new() }) }))
    }

    fn create(&self, _: &str) -> io::Result<Arc<dyn Stored>> {
        Ok(Arc::new(Overlay { file: None, written: Mutex::default() }))
    }

    fn rename(&self, _: &str, _: &str) -> io::Result<()> {
        Ok(())
    }

    fn remove(&self, _: &str) -> io::Result<()> {
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

/// A file as it would be after the writes.
#[derive(Debug)]
struct Overlay {
    file: Option<File>,
    written: Mutex<Written>,
}

#[derive(Debug, Default)]
struct Written {
    size: u64,
    /// The file shows through up to here: less than its length once it was cut.
    under: u64,
    pages: BTreeMap<u64, Vec<u8>>,
}

impl Overlay {
    /// The page as it is now.
    fn page(&self, written: &Written, index: u64) -> io::Result<Vec<u8>> {
        if let Some(page) = written.pages.get(&index) {
            return Ok(page.clone());
        }
        let mut page = vec![0; PAGE];
        let start = index * PAGE as u64;
        if let Some(file) = self.file.as_ref().filter(|_| start < written.under) {
            let length = usize::try_from(written.under - start).map_or(PAGE, |length| length.min(PAGE));
            file.read_exact_at(&mut page[..length], start)?;
        }
        Ok(page)
    }
}

/// Calls `each` for every part of a range that lies in one page: page, offset in it, offset in the range, length.
fn pieces(offset: u64, length: usize, mut each: impl FnMut(u64, usize, usize, usize) -> io::Result<()>) -> io::Result<()> {
    let mut done = 0;
    while done < length {
        let at = offset + done as u64;
        let inside = usize::try_from(at % PAGE as u64).expect("less than a page");
        let count = (PAGE - inside).min(length - done);
        each(at / PAGE as u64, inside, done, count)?;
        done += count;
    }
    Ok(())
}

impl Stored for Overlay {
    fn size(&self) -> io::Result<u64> {
        Ok(self.written.lock().size)
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let written = self.written.lock();
        if offset + out.len() as u64 > written.size {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(file) = self.file.as_ref().filter(|_| written.pages.is_empty() && written.under == written.size) {
            return file.read_exact_at(out, offset);
        }
        pieces(offset, out.len(), |page, inside, done, count| {
            out[done..done + count].copy_from_slice(&self.page(&written, page)?[inside..inside + count]);
            Ok(())
        })
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut written = self.written.lock();
        pieces(offset, data.len(), |index, inside, done, count| {
            let mut page = self.page(&written, index)?;
            page[inside..inside + count].copy_from_slice(&data[done..done + count]);
            written.pages.insert(index, page);
            Ok(())
        })?;
        written.size = written.size.max(offset + data.len() as u64);
        Ok(())
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        let mut written = self.written.lock();
        if size < written.size {
            let last = size / PAGE as u64;
            let inside = usize::try_from(size % PAGE as u64).expect("less than a page");
            let mut page = self.page(&written, last)?;
            page[inside..].fill(0);
            written.pages.split_off(&last);
            written.pages.insert(last, page);
            written.under = written.under.min(size);
        }
        written.size = size;
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_the_file_stays() {
        let directory = tempfile::tempdir().unwrap();
        let whole: Vec<u8> = (0..10_000u32).map(|n| n.to_le_bytes()[0]).collect();
        std::fs::write(directory.path().join("f"), &whole).unwrap();
        let file = Untouched::open(directory.path()).unwrap().unwrap().open("f").unwrap();
        let mut expected = whole.clone();
        file.write_at(4090, b"across two pages").unwrap();
        expected[4090..4106].copy_from_slice(b"across two pages");
        file.write_at(9_995, b"past the end").unwrap();
        expected.truncate(9_995);
        expected.extend_from_slice(b"past the end");
        assert_eq!(super::super::files::read_all(&*file).unwrap(), expected);
        file.set_size(5_000).unwrap();
        file.set_size(6_000).unwrap();
        expected.truncate(5_000);
        expected.resize(6_000, 0);
        assert_eq!(super::super::files::read_all(&*file).unwrap(), expected);
        assert_eq!(std::fs::read(directory.path().join("f")).unwrap(), whole);
    }
}
