//! The file format of backups: writing one to a stream, and reading one that has been checked from end to end first.
//!
//! ```text
//! pilothouse backup 1\n          the format's version, readable by eye
//! {"revision":…}\n               the manifest, one line of JSON
//! gzip of                        the manifest's files, one after the other
//!                                then per object: key, revision u64, created u64, value
//!                                then a key of length 0
//! SHA-256 of everything before   32 bytes
//! ```
//! Numbers are little-endian; a key or value is its length (u32) and its bytes.
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Take, Write};
use std::path::Path;
use std::sync::{Arc, OnceLock};
use store::Record;

/// The format that this program writes, and the newest it reads.
pub const FORMAT: u32 = 1;
const MAGIC: &str = "pilothouse backup ";
/// The longest first line and manifest.
const LINE_BYTES_MAX: u64 = 1 << 20;
const KEY_BYTES_MAX: usize = 4096;
/// Longer than any value or file that is kept.
const VALUE_BYTES_MAX: usize = 64 << 20;
const SUM_BYTES: u64 = 32;
/// Fast and close to what the best level reaches on JSON.
const LEVEL: u32 = 5;

/// What a backup says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// The revision at which the objects are one state.
    pub revision: u64,
    pub objects: u64,
    /// Of the program that wrote it.
    pub program: String,
    pub taken_at: String,
    pub files: Vec<FileEntry>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    pub name: String,
    pub bytes: u64,
}

/// Why a file is not read as a backup.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot be read: {0}")]
    Io(#[from] std::io::Error),
    #[error("is not a backup of this program")]
    NotABackup,
    #[error("has format {0}, and this program reads up to {FORMAT}; use the program that wrote it, or a newer one")]
    Newer(u32),
    #[error("is damaged or cut short: its checksum does not match")]
    Checksum,
    #[error("is damaged: {0}")]
    Content(String),
}

/// Writes and hashes.
struct Summed<W> {
    out: W,
    sum: Sha256,
}

impl<W: Write> Write for Summed<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let count = self.out.write(bytes)?;
        self.sum.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.out.flush()
    }
}

/// Writes a backup. The manifest's counts are taken from what is given.
pub fn write(out: &mut dyn Write, revision: u64, files: &[(String, Vec<u8>)], records: &[Arc<Record>]) -> std::io::Result<()> {
    let manifest = Manifest {
        revision,
        objects: records.len() as u64,
        program: env!("CARGO_PKG_VERSION").into(),
        taken_at: jiff::Timestamp::now().to_string(),
        files: files.iter().map(|(name, bytes)| FileEntry { name: name.clone(), bytes: bytes.len() as u64 }).collect(),
    };
    let mut summed = Summed { out, sum: Sha256::new() };
    writeln!(summed, "{MAGIC}{FORMAT}")?;
    serde_json::to_writer(&mut summed, &manifest)?;
    summed.write_all(b"\n")?;
    let mut packed = GzEncoder::new(&mut summed, Compression::new(LEVEL));
    for (_, bytes) in files {
        packed.write_all(bytes)?;
    }
    for record in records {
        put(&mut packed, record.key.as_bytes())?;
        packed.write_all(&record.revision.to_le_bytes())?;
        packed.write_all(&record.created.to_le_bytes())?;
        put(&mut packed, &record.value)?;
    }
    put(&mut packed, b"")?;
    packed.finish()?;
    let sum = summed.sum.finalize();
    summed.out.write_all(&sum)?;
    summed.out.flush()
}

fn put(out: &mut dyn Write, bytes: &[u8]) -> std::io::Result<()> {
    let length = u32::try_from(bytes.len()).map_err(std::io::Error::other)?;
    out.write_all(&length.to_le_bytes())?;
    out.write_all(bytes)
}

/// A backup whose checksum is right, being read.
pub struct Archive {
    pub manifest: Manifest,
    pub files: Vec<(String, Vec<u8>)>,
    packed: GzDecoder<Take<BufReader<File>>>,
    left: u64,
    ended: bool,
}

impl Archive {
    /// Checks the whole file, then reads its manifest and files.
    pub fn open(path: &Path) -> Result<Archive, Error> {
        let mut file = BufReader::new(File::open(path)?);
        let length = file.get_ref().metadata()?.len();
        let head = line(&mut file)?;
        let version = head.strip_prefix(MAGIC).and_then(|version| version.parse::<u32>().ok()).ok_or(Error::NotABackup)?;
        if version > FORMAT {
            return Err(Error::Newer(version));
        }
        let body = length.checked_sub(SUM_BYTES).ok_or(Error::Checksum)?;
        check_sum(&mut file, body)?;
        file.seek(SeekFrom::Start(head.len() as u64 + 1))?;
        let manifest_line = line(&mut file)?;
        let manifest: Manifest = serde_json::from_str(&manifest_line).map_err(|error| Error::Content(error.to_string()))?;
        let start = (head.len() + manifest_line.len() + 2) as u64;
        let mut packed = GzDecoder::new(file.take(body.saturating_sub(start)));
        let mut files = Vec::new();
        for entry in &manifest.files {
            let length = usize::try_from(entry.bytes).unwrap_or(usize::MAX);
            files.push((entry.name.clone(), exactly(&mut packed, length, VALUE_BYTES_MAX)?));
        }
        let left = manifest.objects;
        Ok(Archive { manifest, files, packed, left, ended: false })
    }

    /// The next object; `None` after the last, once the number is found to be right.
    pub fn next_record(&mut self) -> Result<Option<Record>, Error> {
        if self.ended {
            return Ok(None);
        }
        let key = take(&mut self.packed, KEY_BYTES_MAX)?;
        if key.is_empty() {
            self.ended = true;
            return if self.left == 0 { Ok(None) } else { Err(Error::Content(format!("{} objects are missing", self.left))) };
        }
        self.left = self.left.checked_sub(1).ok_or_else(|| Error::Content("it has more objects than it says".into()))?;
        let key = String::from_utf8(key).map_err(|error| Error::Content(error.to_string()))?;
        let (revision, created) = (number(&mut self.packed)?, number(&mut self.packed)?);
        let value = take(&mut self.packed, VALUE_BYTES_MAX)?;
        Ok(Some(Record { key: key.into(), revision, created, value: value.into(), view: OnceLock::new() }))
    }
}

fn line(file: &mut BufReader<File>) -> Result<String, Error> {
    let mut bytes = Vec::new();
    file.take(LINE_BYTES_MAX).read_until(b'\n', &mut bytes)?;
    if bytes.pop() != Some(b'\n') {
        return Err(Error::NotABackup);
    }
    String::from_utf8(bytes).map_err(|_| Error::NotABackup)
}

fn check_sum(file: &mut BufReader<File>, body: u64) -> Result<(), Error> {
    file.seek(SeekFrom::Start(0))?;
    let mut sum = Sha256::new();
    std::io::copy(&mut file.take(body), &mut sum)?;
    let mut said = Vec::new();
    file.take(SUM_BYTES).read_to_end(&mut said)?;
    if said == *sum.finalize() { Ok(()) } else { Err(Error::Checksum) }
}

fn exactly(from: &mut dyn Read, length: usize, max: usize) -> Result<Vec<u8>, Error> {
    if length > max {
        return Err(Error::Content(format!("a part of {length} bytes; at most {max} are kept")));
    }
    let mut bytes = vec![0; length];
    from.read_exact(&mut bytes).map_err(|error| Error::Content(error.to_string()))?;
    Ok(bytes)
}

fn take(from: &mut dyn Read, max: usize) -> Result<Vec<u8>, Error> {
    let mut length = [0; 4];
    from.read_exact(&mut length).map_err(|error| Error::Content(error.to_string()))?;
    exactly(from, u32::from_le_bytes(length) as usize, max)
}

fn number(from: &mut dyn Read) -> Result<u64, Error> {
    let mut bytes = [0; 8];
    from.read_exact(&mut bytes).map_err(|error| Error::Content(error.to_string()))?;
    Ok(u64::from_le_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(count: u64) -> Vec<u8> {
        let record = |n: u64| {
            Arc::new(Record { key: format!("/pods/a/{n}").into(), revision: n + 1, created: 1, value: "{}".into(), view: OnceLock::new() })
        };
        let records: Vec<_> = (0..count).map(record).collect();
        let mut bytes = Vec::new();
        write(&mut bytes, 77, &[("ca.crt".into(), b"pem".to_vec())], &records).unwrap();
        bytes
    }

    fn read(bytes: &[u8]) -> Result<(Manifest, Vec<(String, u64)>), Error> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        let mut archive = Archive::open(file.path())?;
        let mut found = Vec::new();
        while let Some(record) = archive.next_record()? {
            found.push((record.key.to_string(), record.revision));
        }
        Ok((archive.manifest, found))
    }

    #[test]
    fn what_is_written_is_read() {
        let (manifest, records) = read(&written(3)).unwrap();
        assert_eq!((manifest.revision, manifest.objects, manifest.files[0].name.as_str()), (77, 3, "ca.crt"));
        assert_eq!(records, [("/pods/a/0".to_owned(), 1), ("/pods/a/1".to_owned(), 2), ("/pods/a/2".to_owned(), 3)]);
    }

    #[test]
    fn every_cut_and_every_flipped_bit_is_refused() {
        let whole = written(3);
        for length in 0..whole.len() {
            assert!(matches!(read(&whole[..length]), Err(Error::NotABackup | Error::Checksum)), "cut at {length}");
        }
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x20;
            assert!(matches!(read(&bytes), Err(Error::NotABackup | Error::Newer(_) | Error::Checksum)), "flipped at {at}");
        }
    }

    #[test]
    fn a_newer_format_says_what_to_do() {
        let mut newer = written(0);
        newer[MAGIC.len()] = b'9';
        let error = read(&newer).unwrap_err().to_string();
        assert_eq!(error, "has format 9, and this program reads up to 1; use the program that wrote it, or a newer one");
    }
}
