//! `openshift ex verify`: looks a data directory or a backup through and names everything that is wrong with it.
use crate::backup::STORE;
use crate::backup::archive::Archive;
use crate::config::{Verify, data_dir};
use std::path::Path;
use std::sync::Arc;
use store::Fault;

/// Nothing is wrong.
const SOUND: u8 = 0;
/// At least one fault was printed.
const FAULTY: u8 = 1;
/// It could not be looked at.
const UNREADABLE: u8 = 2;

/// Prints one line per fault and a last one that sums up; the exit code.
pub fn run(options: &Verify) -> u8 {
    match look(options) {
        Ok((faults, summary)) => {
            for fault in &faults {
                println!("{fault}");
            }
            println!("{summary}: {}", if faults.is_empty() { "sound".to_owned() } else { format!("{} faults", faults.len()) });
            if faults.is_empty() { SOUND } else { FAULTY }
        }
        Err(why) => {
            eprintln!("openshift: {why}");
            UNREADABLE
        }
    }
}

/// Every fault, and what was looked at.
pub fn look(options: &Verify) -> Result<(Vec<Fault>, String), String> {
    match &options.backup {
        Some(file) => of_backup(file),
        None => of_directory(&data_dir(options.data_dir.as_ref())),
    }
}

fn of_directory(dir: &Path) -> Result<(Vec<Fault>, String), String> {
    let found = store::redb::verify(&dir.join(STORE)).map_err(|error| error.to_string())?;
    let mut faults: Vec<Fault> =
        found.faults.into_iter().map(|fault| Fault { place: format!("{STORE}/{}", fault.place), ..fault }).collect();
    faults.extend(registry::verify::check(found.revision, &found.records));
    faults.extend(apiserver::ca::check(dir).into_iter().map(|(file, what)| Fault { place: file.to_owned(), what }));
    Ok((faults, format!("{}, {} objects, revision {}", dir.display(), found.records.len(), found.revision)))
}

fn of_backup(file: &Path) -> Result<(Vec<Fault>, String), String> {
    let shown = file.display();
    let mut archive = Archive::open(file).map_err(|error| format!("{shown} {error}"))?;
    let mut records = Vec::new();
    while let Some(record) = archive.next_record().map_err(|error| format!("{shown} {error}"))? {
        records.push(Arc::new(record));
    }
    let revision = archive.manifest.revision;
    Ok((registry::verify::check(revision, &records), format!("{shown}, {} objects, revision {revision}", records.len())))
}
