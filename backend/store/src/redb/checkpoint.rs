//! The checkpoint: a redb file with every record at one revision, where reading the log begins.
use super::files::{Backend, Files, read_all};
use super::group::{self, Body, FORMAT, HEADER_BYTES, Header};
use super::{Loaded, OpenError};
use crate::{Record, Revision};
use bytes::Bytes;
use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition};
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

/// The checkpoint's file.
pub(crate) const FILE: &str = "objects.redb";
/// A first checkpoint that is being made; it counts for nothing until it is renamed.
pub(crate) const NEW_FILE: &str = "objects.redb.new";
/// Key → revision, created, value.
const OBJECTS: TableDefinition<&str, (u64, u64, &[u8])> = TableDefinition::new("objects");
/// `format` and `revision`.
const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
/// redb's own page cache. Reads come from our memory, so only the pages of a running checkpoint matter.
const CACHE_BYTES: usize = 8 << 20;

fn database(files: &dyn Files, name: &str, create: bool) -> Result<Database, redb::Error> {
    let file = if create { files.create(name)? } else { files.open(name)? };
    Ok(Database::builder().set_cache_size(CACHE_BYTES).create_with_backend(Backend(file))?)
}

/// Opens the checkpoint and looks at every page's checksum first: what a flipped bit makes of an object must not be
/// served as truth.
fn checked(files: &dyn Files) -> Result<Database, redb::Error> {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true);
    Ok(builder.create_with_backend(Backend(files.open(FILE)?))?)
}

/// Reads the checkpoint, if there is one, into an empty `loaded`.
pub(crate) fn load(files: &dyn Files, loaded: &mut Loaded, fail: &dyn Fn(String) -> OpenError) -> Result<(), OpenError> {
    let names = files.names().map_err(|error| fail(error.to_string()))?;
    if names.iter().any(|name| name == NEW_FILE) {
        files.remove(NEW_FILE).map_err(|error| fail(error.to_string()))?;
    }
    if !names.iter().any(|name| name == FILE) {
        return Ok(());
    }
    let wrap = |error: redb::Error| fail(format!("{FILE}: {error}"));
    // redb finds some damage only by stumbling over it.
    let look = std::panic::AssertUnwindSafe(|| -> Result<(), OpenError> {
        let database = checked(files).map_err(wrap)?;
        let found = format_of(&database).map_err(wrap)?;
        loaded.accept_format(found)?;
        read(&database, loaded).map_err(wrap)?;
        database.close().map_err(|error| wrap(error.into()))
    });
    std::panic::catch_unwind(look).unwrap_or_else(|_| Err(fail(format!("{FILE}: damaged; its pages contradict each other"))))
}

/// The checkpoint's layout, if there is one.
pub(crate) fn format(files: &dyn Files) -> Result<Option<u64>, String> {
    if !files.names().map_err(|error| error.to_string())?.iter().any(|name| name == FILE) {
        return Ok(None);
    }
    let wrap = |error: redb::Error| format!("{FILE}: {error}");
    let database = checked(files).map_err(wrap)?;
    let found = format_of(&database).map_err(wrap)?;
    database.close().map_err(|error| wrap(error.into()))?;
    Ok(Some(found))
}

/// Gives the checkpoint, if there is one, its layout's number; 0 takes it away.
pub(crate) fn number(files: &dyn Files, format: u64) -> Result<(), String> {
    if !files.names().map_err(|error| error.to_string())?.iter().any(|name| name == FILE) {
        return Ok(());
    }
    let write = || -> Result<(), redb::Error> {
        let database = checked(files)?;
        let mut txn = database.begin_write()?;
        txn.set_quick_repair(true);
        match format {
            0 => drop(txn.open_table(META)?.remove("format")?),
            format => drop(txn.open_table(META)?.insert("format", format)?),
        }
        txn.commit()?;
        Ok(database.close()?)
    };
    write().map_err(|error| format!("{FILE}: {error}"))
}

fn format_of(database: &Database) -> Result<u64, redb::Error> {
    let txn = database.begin_read()?;
    let found = txn.open_table(META)?.get("format")?.map_or(0, |format| format.value());
    Ok(found)
}

fn read(database: &Database, loaded: &mut Loaded) -> Result<(), redb::Error> {
    let txn = database.begin_read()?;
    for entry in txn.open_table(OBJECTS)?.iter()? {
        let (key, value) = entry?;
        let (revision, created, value) = value.value();
        let key: Arc<str> = key.value().into();
        let record = Record { key, revision, created, value: Bytes::copy_from_slice(value), view: OnceLock::new() };
        loaded.state.insert(Arc::new(record));
    }
    loaded.state.revision = txn.open_table(META)?.get("revision")?.map_or(0, |revision| revision.value());
    loaded.checkpoint = loaded.state.revision;
    Ok(())
}

/// What the checkpoint will hold for a key that the segments changed.
struct Newest {
    revision: Revision,
    value: Option<(Revision, Vec<u8>)>,
}

/// Moves sealed segments, oldest first, into the checkpoint. When this returns they are not needed any more.
pub(crate) fn absorb(files: &dyn Files, segments: &[String]) -> Result<(), String> {
    let mut newest = BTreeMap::new();
    let mut last = None;
    for name in segments {
        collect(files, name, &mut newest, &mut last)?;
    }
    let Some(last) = last else { return Ok(()) };
    let exists = files.names().map_err(|error| error.to_string())?.iter().any(|name| name == FILE);
    let file = if exists { FILE } else { NEW_FILE };
    let database = database(files, file, !exists).map_err(|error| error.to_string())?;
    write(&database, newest, last).map_err(|error| error.to_string())?;
    database.close().map_err(|error| error.to_string())?;
    if !exists {
        files.rename(NEW_FILE, FILE).and_then(|()| files.sync()).map_err(|error| error.to_string())?;
    }
    Ok(())
}

fn collect(files: &dyn Files, name: &str, newest: &mut BTreeMap<String, Newest>, last: &mut Option<Revision>) -> Result<(), String> {
    let bytes = files.open(name).and_then(|file| read_all(&*file)).map_err(|error| format!("{name}: {error}"))?;
    let header = Header::decode(&bytes).ok_or_else(|| format!("{name} is damaged: its head cannot be read"))?;
    let mut end = HEADER_BYTES;
    while let Some(group) = group::decode(&bytes, header.salt, end) {
        if let Body::Commits(commits) = group.body {
            for (revision, entries) in commits {
                for entry in entries {
                    let value = entry.value.map(|(created, value)| (created, value.to_vec()));
                    newest.insert(entry.key.to_owned(), Newest { revision, value });
                }
                *last = Some(revision);
            }
        }
        end = group.end;
    }
    // A damaged segment must not be dropped as if it had been read to its end.
    match group::tail(&bytes, header.salt, end) {
        group::Tail::Clean => Ok(()),
        group::Tail::Torn | group::Tail::Damaged => Err(format!("{name} is damaged at byte {end}")),
    }
}

/// Makes a checkpoint of these records in a directory that has none.
pub(crate) fn plant(
    files: &dyn Files,
    revision: Revision,
    records: &mut dyn Iterator<Item = Result<Record, String>>,
) -> Result<(), String> {
    let database = database(files, NEW_FILE, true).map_err(|error| error.to_string())?;
    planted(&database, revision, records)?;
    database.close().map_err(|error| error.to_string())?;
    files.rename(NEW_FILE, FILE).and_then(|()| files.sync()).map_err(|error| error.to_string())
}

fn planted(database: &Database, revision: Revision, records: &mut dyn Iterator<Item = Result<Record, String>>) -> Result<(), String> {
    let wrap = |error: redb::Error| error.to_string();
    let mut txn = database.begin_write().map_err(|error| wrap(error.into()))?;
    txn.set_quick_repair(true);
    {
        let mut objects = txn.open_table(OBJECTS).map_err(|error| wrap(error.into()))?;
        for record in records {
            let record = record?;
            let row = (record.revision, record.created, &*record.value);
            objects.insert(&*record.key, row).map_err(|error| wrap(error.into()))?;
        }
        let mut meta = txn.open_table(META).map_err(|error| wrap(error.into()))?;
        meta.insert("format", u64::from(FORMAT)).map_err(|error| wrap(error.into()))?;
        meta.insert("revision", revision).map_err(|error| wrap(error.into()))?;
    }
    txn.commit().map_err(|error| wrap(error.into()))
}

fn write(database: &Database, newest: BTreeMap<String, Newest>, last: Revision) -> Result<(), redb::Error> {
    let mut txn = database.begin_write()?;
    txn.set_durability(Durability::Immediate)?;
    // After a crash the file is opened without reading it through.
    txn.set_quick_repair(true);
    {
        let mut meta = txn.open_table(META)?;
        let applied = meta.get("revision")?.map_or(0, |revision| revision.value());
        let mut objects = txn.open_table(OBJECTS)?;
        for (key, Newest { revision, value }) in newest {
            if revision <= applied {
                continue;
            }
            match value {
                Some((created, value)) => drop(objects.insert(&*key, (revision, created, value.as_slice()))?),
                None => drop(objects.remove(&*key)?),
            }
        }
        meta.insert("format", u64::from(FORMAT))?;
        meta.insert("revision", last.max(applied))?;
    }
    txn.commit()?;
    Ok(())
}
