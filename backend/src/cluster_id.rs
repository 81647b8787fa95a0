//! Who a cluster is among others on the same host: an id, made once and kept in its data directory.
use std::io::{ErrorKind, Write};
use std::path::Path;

const FILE: &str = "cluster-id";

/// The id of the cluster whose data lie in `dir`; made if it has none yet.
pub fn of(dir: &Path) -> Result<String, String> {
    if let Some(id) = read(dir)? {
        return Ok(id);
    }
    let id = uuid::Uuid::new_v4().simple().to_string();
    let write = || -> std::io::Result<()> {
        // Whole or not at all: a crash must not leave half an id behind.
        let mut file = tempfile::NamedTempFile::new_in(dir)?;
        writeln!(file, "{id}")?;
        file.as_file().sync_all()?;
        file.persist(dir.join(FILE))?;
        std::fs::File::open(dir)?.sync_all()
    };
    write().map_err(|e| format!("{}: {e}", dir.join(FILE).display()))?;
    Ok(id)
}

/// The id, if a cluster has been started with this directory.
pub fn read(dir: &Path) -> Result<Option<String>, String> {
    let path = dir.join(FILE);
    match std::fs::read_to_string(&path) {
        Ok(text) if !text.trim().is_empty() => Ok(Some(text.trim().to_string())),
        Ok(_) => Ok(None),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("{}: {error}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_made_once_and_differs_between_directories() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        assert_eq!(read(one.path()), Ok(None));
        let id = of(one.path()).unwrap();
        assert_eq!(of(one.path()), Ok(id.clone()));
        assert_eq!(read(one.path()), Ok(Some(id.clone())));
        assert_ne!(of(two.path()).unwrap(), id);
    }
}
