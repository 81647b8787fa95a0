//! The layout's version: data of an older one are upgraded after a copy is kept beside them, those of a newer one refused.
//!
//! ```text
//! DATA/store                 the data, in the layout of `group::FORMAT`
//!     /rollback/format-N     what they were before the upgrade from layout N, for going back to the older program
//! ```
//! A layout changes by raising `FORMAT` and adding a step here. Steps may be cut short at any point and start again.
use super::OpenError;
use super::checkpoint;
use super::files::Files;
use super::group::{FORMAT, HEADER_BYTES, Header};
use super::log::segment_names;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

const ROLLBACK: &str = "rollback";

type Step = fn(&dyn Files) -> Result<(), String>;

/// The step at N leads from layout N to N+1.
const STEPS: [Step; FORMAT as usize] = [number];

/// Where the data of an older layout are kept.
fn kept(path: &Path, format: u32) -> PathBuf {
    path.with_file_name(ROLLBACK).join(format!("format-{format}"))
}

/// How to go back to what this program reads, when the data are newer.
pub(crate) fn way_back(path: &Path) -> String {
    let kept = kept(path, FORMAT);
    if kept.is_dir() {
        return format!("start the program that wrote it, or, losing what was written since, put {} in its place", kept.display());
    }
    "start the program that wrote it".to_owned()
}

/// Brings the data to today's layout. Newer ones are left for the loading to refuse.
pub(crate) fn upgrade(path: &Path, files: &dyn Files) -> Result<(), OpenError> {
    let fail = |why: String| OpenError::File { path: path.display().to_string(), why };
    let Some(found) = oldest(files).map_err(fail)?.filter(|found| *found < FORMAT) else { return Ok(()) };
    let kept = kept(path, found);
    keep(path, &kept)
        .map_err(|error| fail(format!("it has format {found} and no copy of it can be kept in {}: {error}", kept.display())))?;
    for (from, step) in (0..FORMAT).zip(STEPS).skip(found as usize) {
        step(files).map_err(|why| fail(format!("the upgrade from format {from} failed: {why}; as it was it is in {}", kept.display())))?;
    }
    tracing::info!(from = found, to = FORMAT, kept = %kept.display(), "the data were brought to this program's format");
    Ok(())
}

/// The oldest layout of any file; the checkpoint is only asked where there is no log, since it is always upgraded first.
fn oldest(files: &dyn Files) -> Result<Option<u32>, String> {
    let mut found = None;
    for name in segment_names(files).map_err(|error| error.to_string())? {
        if let Some((header, _)) = header(files, &name).map_err(|error| format!("{name}: {error}"))? {
            found = Some(found.map_or(header.format, |least: u32| least.min(header.format)));
        }
    }
    if found.is_none() {
        found = checkpoint::format(files)?.map(|format| u32::try_from(format).unwrap_or(u32::MAX));
    }
    Ok(found)
}

/// A segment's head; `None` when there is none to be read, which the loading judges.
fn header(files: &dyn Files, name: &str) -> io::Result<Option<(Header, std::sync::Arc<dyn super::files::Stored>)>> {
    let file = files.open(name)?;
    let mut bytes = [0; HEADER_BYTES];
    if file.size()? < HEADER_BYTES as u64 {
        return Ok(None);
    }
    file.read_at(0, &mut bytes)?;
    Ok(Header::decode(&bytes).map(|header| (header, file)))
}

/// Copies everything, once: what an upgrade that was cut short has kept already is the original.
fn keep(path: &Path, kept: &Path) -> io::Result<()> {
    if kept.is_dir() {
        return Ok(());
    }
    let parent = kept.parent().expect("it lies in the rollback directory");
    let part = kept.with_extension("part");
    let _ = std::fs::remove_dir_all(&part);
    std::fs::create_dir_all(&part)?;
    std::fs::set_permissions(parent, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        let to = part.join(entry.file_name());
        std::fs::copy(entry.path(), &to)?;
        File::open(&to)?.sync_all()?;
    }
    File::open(&part)?.sync_all()?;
    std::fs::rename(&part, kept)?;
    File::open(parent)?.sync_all()
}

/// 0 → 1: files said nothing of their version; nothing else differs.
fn number(files: &dyn Files) -> Result<(), String> {
    checkpoint::number(files, 1)?;
    let io = |error: io::Error| error.to_string();
    for name in segment_names(files).map_err(io)? {
        if let Some((header, file)) = header(files, &name).map_err(io)?.filter(|(header, _)| header.format == 0) {
            file.write_at(0, &Header { format: 1, ..header }.encode()).and_then(|()| file.sync()).map_err(io)?;
        }
    }
    Ok(())
}
