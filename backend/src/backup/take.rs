//! `openshift ex backup FILE`: asks the running server, or reads the data directory of one that does not run.
use super::archive::{self, Archive};
use super::{IDENTITY, NEEDED, STORE};
use crate::config::{Backup, data_dir};
use registry::Registry;
use shared::client::config::{self, Overrides};
use shared::client::http::Client;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;
use store::redb::{OpenError, RedbStore};
use store::{Range, Store};

/// Where a running server answers with a backup.
const PATH: &str = "/backup";
/// A server that sends nothing for this long is given up.
const STALL_MAX: Duration = Duration::from_secs(60);

/// What a running server answers with; the objects are one state, at the moment when it is called.
pub fn source(dir: &Path, registry: &Registry) -> apiserver::Backup {
    let (dir, registry) = (dir.to_path_buf(), registry.clone());
    std::sync::Arc::new(move |out| {
        let files = identity(&dir).map_err(std::io::Error::other)?;
        let (revision, records) = registry.everything();
        archive::write(out, revision, &files, &records)
    })
}

/// The files of the cluster's identity, as far as they are there.
fn identity(dir: &Path) -> Result<Vec<(String, Vec<u8>)>, String> {
    let mut files = Vec::new();
    for name in IDENTITY {
        let path = dir.join(name);
        match std::fs::read(&path) {
            Ok(bytes) => files.push((name.to_owned(), bytes)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !NEEDED.contains(&name) => {}
            Err(error) => return Err(format!("{}: {error}", path.display())),
        }
    }
    Ok(files)
}

/// Writes the backup beside its place, checks it as a restore would, then gives it its name.
pub async fn take(options: &Backup) -> Result<(), String> {
    if options.file.exists() && !options.force {
        return Err(format!("{} exists already; --force replaces it", options.file.display()));
    }
    let parent = options.file.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let fail = |error: std::io::Error| format!("{}: {error}", options.file.display());
    // Readable by its owner alone, as tempfile makes it.
    let temporary = tempfile::NamedTempFile::new_in(parent).map_err(fail)?;
    let from = fill(options, temporary.as_file()).await?;
    temporary.as_file().sync_all().map_err(fail)?;
    let mut archive = Archive::open(temporary.path()).map_err(|error| format!("the backup that was just written {error}"))?;
    while archive.next_record().map_err(|error| format!("the backup that was just written {error}"))?.is_some() {}
    let bytes = temporary.as_file().metadata().map_err(fail)?.len();
    temporary.persist(&options.file).map_err(|error| fail(error.error))?;
    File::open(parent).and_then(|dir| dir.sync_all()).map_err(fail)?;
    let manifest = archive.manifest;
    println!("{}: {} objects at revision {} from {from}, {bytes} bytes", options.file.display(), manifest.objects, manifest.revision);
    println!("keep it secret: it holds the cluster's keys");
    Ok(())
}

/// Fills the file and says from where.
async fn fill(options: &Backup, out: &File) -> Result<String, String> {
    let Some(dir) = &options.data_dir else {
        let target = config::load(&Overrides { kubeconfig: options.kubeconfig.clone(), ..Overrides::default() });
        return download(&Client::new(target.map_err(|e| e.to_string())?).map_err(|e| e.to_string())?, out).await;
    };
    let dir = data_dir(Some(dir));
    if !dir.join(STORE).is_dir() {
        return Err(format!("{} is not a data directory: it has no {STORE}", dir.display()));
    }
    let store = match RedbStore::open(&dir.join(STORE), store::history::Bounds::default()) {
        Ok(store) => store,
        Err(OpenError::InUse { .. }) => return download(&admin(&dir)?, out).await,
        Err(error) => return Err(error.to_string()),
    };
    let snapshot = store.list(&Range::default()).map_err(|error| error.to_string())?;
    let mut buffered = BufWriter::new(out);
    let written = archive::write(&mut buffered, snapshot.revision, &identity(&dir)?, &snapshot.records);
    store.close().await;
    written.map_err(|error| error.to_string())?;
    Ok(dir.display().to_string())
}

/// The administrator of the server that runs on `dir`.
fn admin(dir: &Path) -> Result<Client, String> {
    let kubeconfig: Option<PathBuf> = Some(dir.join("admin.kubeconfig"));
    let target = config::load(&Overrides { kubeconfig, ..Overrides::default() }).map_err(|e| e.to_string())?;
    Client::new(target).map_err(|e| e.to_string())
}

async fn download(client: &Client, mut out: &File) -> Result<String, String> {
    let mut response = client.stream(PATH).await.map_err(|error| error.to_string())?;
    loop {
        let chunk = tokio::time::timeout(STALL_MAX, response.chunk()).await;
        match chunk.map_err(|_| format!("{} sent nothing for {} s", client.target.server, STALL_MAX.as_secs()))? {
            Ok(Some(bytes)) => out.write_all(&bytes).map_err(|error| error.to_string())?,
            Ok(None) => return Ok(client.target.server.clone()),
            Err(error) => return Err(format!("the server broke off: {error}")),
        }
    }
}
