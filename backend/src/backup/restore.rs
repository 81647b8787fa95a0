//! `openshift ex restore FILE --data-dir=DIR`: makes a data directory from a backup, whole or not at all.
use super::archive::Archive;
use super::{IDENTITY, NEEDED, STORE};
use crate::config::{Restore, data_dir};
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use store::Record;
use store::redb::RedbStore;

/// The restored store's revision is this much higher than the backup's, so that no revision that the lost server gave
/// out after the backup means something else now: a client that remembers one is told to list anew.
const REVISION_BUMP: u64 = 1_000_000_000;
/// Stands in a directory that is being made; it goes in the last step but one.
const UNFINISHED: &str = "UNFINISHED";
const CLUSTER_ID: &str = "cluster-id";

/// Checks the whole backup, builds the directory beside its place, then puts it there in one step.
pub fn restore(options: &Restore) -> Result<(), String> {
    let shown = options.file.display();
    let mut archive = Archive::open(&options.file).map_err(|error| format!("{shown} {error}"))?;
    let missing = NEEDED.iter().find(|needed| !archive.files.iter().any(|(name, _)| name == *needed));
    if let Some(missing) = missing {
        return Err(format!("{shown} is damaged: it holds no {missing}"));
    }
    let dir = data_dir(options.data_dir.as_ref());
    let occupied = check_place(&dir, options.replace)?;
    let building = beside(&dir, "restoring")?;
    clear_leftover(&building, &dir)?;
    build(&building, &mut archive, options.copy).map_err(|error| {
        // What is left would be removed by the next restore too.
        let _ = std::fs::remove_dir_all(&building);
        format!("nothing is restored: {error}")
    })?;
    let kept = put_in_place(&building, &dir, occupied).map_err(|error| format!("nothing is restored: {}: {error}", dir.display()))?;
    let manifest = &archive.manifest;
    println!("{}: {} objects as of {}, revision {}", dir.display(), manifest.objects, manifest.taken_at, manifest.revision);
    if let Some(kept) = kept {
        println!("what was there before is in {}", kept.display());
    }
    Ok(())
}

/// Whether there is something in the way; an error unless it may be replaced.
fn check_place(dir: &Path, replace: bool) -> Result<bool, String> {
    let fail = |error: std::io::Error| format!("{}: {error}", dir.display());
    let entries = match std::fs::read_dir(dir) {
        Ok(mut entries) => entries.next().is_some(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(fail(error)),
    };
    if !entries {
        return Ok(false);
    }
    if !replace {
        return Err(format!("{} is not empty; --replace moves what is in it aside, or name another directory", dir.display()));
    }
    match File::open(dir.join(STORE).join("LOCK")) {
        Ok(lock) if lock.try_lock().is_err() => Err(format!("a server is running on {}; stop it first", dir.display())),
        _ => Ok(true),
    }
}

/// `DIR.SUFFIX`: on the same file system, so that a rename is one step.
fn beside(dir: &Path, suffix: &str) -> Result<PathBuf, String> {
    let name = dir.file_name().ok_or_else(|| format!("{} cannot be a data directory", dir.display()))?;
    let mut name = name.to_owned();
    name.push(format!(".{suffix}"));
    let sibling = dir.with_file_name(name);
    if let Some(parent) = sibling.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        std::fs::create_dir_all(parent).map_err(|error| format!("{}: {error}", parent.display()))?;
    }
    Ok(sibling)
}

/// A restore that was killed left its building site, which goes; or, in its very last step, the data from before, which stay.
fn clear_leftover(building: &Path, dir: &Path) -> Result<(), String> {
    if !building.exists() {
        return Ok(());
    }
    let fail = |error: std::io::Error| format!("{}: {error}", building.display());
    if building.join(UNFINISHED).exists() || std::fs::read_dir(building).map_err(fail)?.next().is_none() {
        return std::fs::remove_dir_all(building).map_err(fail);
    }
    std::fs::rename(building, before(dir)?).map_err(fail)
}

/// Where the data from before a restore are kept.
fn before(dir: &Path) -> Result<PathBuf, String> {
    beside(dir, &format!("before-restore-{}", jiff::Timestamp::now().as_millisecond()))
}

fn build(building: &Path, archive: &mut Archive, copy: bool) -> Result<(), String> {
    let fail = |error: std::io::Error| format!("{}: {error}", building.display());
    DirBuilder::new().mode(0o711).create(building).map_err(fail)?;
    write_private(&building.join(UNFINISHED), b"a restore was cut short; start it again\n").map_err(fail)?;
    let files = std::mem::take(&mut archive.files);
    for (name, bytes) in files.iter().filter(|(name, _)| IDENTITY.contains(&name.as_str()) && !(copy && name == CLUSTER_ID)) {
        write_private(&building.join(name), bytes).map_err(fail)?;
    }
    let revision = archive.manifest.revision + REVISION_BUMP;
    let mut records = std::iter::from_fn(|| archive.next_record().map_err(|error| format!("the backup {error}")).transpose());
    RedbStore::plant(&building.join(STORE), revision, &mut records as &mut dyn Iterator<Item = Result<Record, String>>)?;
    File::open(building).and_then(|dir| dir.sync_all()).map_err(fail)
}

fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// The one step that counts. Returns where the data from before are.
fn put_in_place(building: &Path, dir: &Path, occupied: bool) -> std::io::Result<Option<PathBuf>> {
    std::fs::set_permissions(building, std::fs::Permissions::from_mode(0o711))?;
    std::fs::remove_file(building.join(UNFINISHED))?;
    File::open(building)?.sync_all()?;
    if occupied {
        renameat2(AT_FDCWD, building, AT_FDCWD, dir, RenameFlags::RENAME_EXCHANGE)?;
    } else {
        std::fs::rename(building, dir)?;
    }
    let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent)?.sync_all()?;
    if !occupied {
        return Ok(None);
    }
    let kept = before(dir).map_err(std::io::Error::other)?;
    std::fs::rename(building, &kept)?;
    Ok(Some(kept))
}
