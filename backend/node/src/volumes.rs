//! A pod's volumes: directories under the data directory, filled from what the pod refers to.
use crate::api::NodeApi;
use crate::environment::data;
use base64::Engine;
use logic::pod::values::expand;
use logic::pod::values::{field, resource};
use shared::kinds::{CONFIG_MAP, SECRET};
use shared::objects::pod::{Container, DownwardFile, KeyToPath, Pod, ProjectedVolume, Volume};
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

/// Mode of files whose volume does not say.
const MODE_DEFAULT: i32 = 0o644;

/// Where a pod keeps its files.
pub(crate) fn pod_dir(data_dir: &Path, uid: &str) -> PathBuf {
    pods_dir(data_dir).join(uid)
}

/// What all pods of this node have on its disk.
pub(crate) fn pods_dir(data_dir: &Path) -> PathBuf {
    data_dir.join("pods")
}

pub(crate) struct Context<'a> {
    pub(crate) api: &'a dyn NodeApi,
    pub(crate) pod: &'a Pod,
    pub(crate) dir: PathBuf,
    pub(crate) host_ip: &'a str,
    pub(crate) pod_ip: &'a str,
    pub(crate) node: (i64, i64),
}

/// Host path of every volume, made and filled. Memory volumes have none: they are a tmpfs of each container.
pub(crate) async fn prepare(c: &Context<'_>) -> Result<BTreeMap<String, PathBuf>, String> {
    let mut paths = BTreeMap::new();
    for volume in &c.pod.spec.volumes {
        let fail = |why: String| format!("MountVolume.SetUp failed for volume {:?} : {why}", volume.name);
        if let Some(path) = one(c, volume).await.map_err(fail)? {
            paths.insert(volume.name.clone(), path);
        }
    }
    Ok(paths)
}

async fn one(c: &Context<'_>, volume: &Volume) -> Result<Option<PathBuf>, String> {
    if let Some(host) = &volume.host_path {
        return host_path(&host.path, &host.type_).map(Some);
    }
    let dir = c.dir.join("volumes").join(&volume.name);
    if volume.persistent_volume_claim.is_some() {
        return Err("persistent volume claims are not served by this cluster".into());
    }
    let files = files_of(c, volume).await?;
    make_dir(&dir)?;
    match files {
        Some(files) => write_files(&dir, &files)?,
        None => {
            // Anybody in the pod may write into an empty directory, whatever user it runs as.
            std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o777)).map_err(|e| e.to_string())?;
        }
    }
    Ok(Some(dir))
}

fn make_dir(dir: &Path) -> Result<(), String> {
    std::fs::create_dir_all(dir).map_err(|e| format!("{}: {e}", dir.display()))
}

fn host_path(path: &str, kind: &str) -> Result<PathBuf, String> {
    let p = PathBuf::from(path);
    let wrong = |what: &str| Err(format!("hostPath type check failed: {path} is not {what}"));
    match kind {
        "DirectoryOrCreate" => make_dir(&p)?,
        "FileOrCreate" if !p.exists() => std::fs::write(&p, b"").map_err(|e| e.to_string())?,
        "Directory" if !p.is_dir() => return wrong("a directory"),
        "File" if !p.is_file() => return wrong("a file"),
        _ => {}
    }
    Ok(p)
}

/// Path in the volume → content and mode. `None`: the volume is an empty directory.
type Files = BTreeMap<String, (Vec<u8>, i32)>;

async fn files_of(c: &Context<'_>, volume: &Volume) -> Result<Option<Files>, String> {
    let namespace = &c.pod.metadata.namespace;
    let mut files = Files::new();
    if let Some(s) = &volume.secret {
        let entries = data(c.api, &SECRET, namespace, &s.secret_name, s.optional == Some(true)).await?.unwrap_or_default();
        select(&entries, &s.items, s.default_mode, s.optional == Some(true), &mut files)?;
    } else if let Some(m) = &volume.config_map {
        let entries = data(c.api, &CONFIG_MAP, namespace, &m.name, m.optional == Some(true)).await?.unwrap_or_default();
        select(&entries, &m.items, m.default_mode, m.optional == Some(true), &mut files)?;
    } else if let Some(d) = &volume.downward_api {
        downward(c, &d.items, d.default_mode, &mut files)?;
    } else if let Some(p) = &volume.projected {
        projected(c, &volume.name, p, &mut files).await?;
    } else {
        return Ok(None);
    }
    Ok(Some(files))
}

async fn projected(c: &Context<'_>, volume: &str, p: &ProjectedVolume, files: &mut Files) -> Result<(), String> {
    let namespace = &c.pod.metadata.namespace;
    for source in &p.sources {
        if let Some(s) = &source.secret {
            let entries = data(c.api, &SECRET, namespace, &s.name, s.optional == Some(true)).await?.unwrap_or_default();
            select(&entries, &s.items, p.default_mode, s.optional == Some(true), files)?;
        }
        if let Some(m) = &source.config_map {
            let entries = data(c.api, &CONFIG_MAP, namespace, &m.name, m.optional == Some(true)).await?.unwrap_or_default();
            select(&entries, &m.items, p.default_mode, m.optional == Some(true), files)?;
        }
        if let Some(d) = &source.downward_api {
            downward(c, &d.items, p.default_mode, files)?;
        }
        if let Some(t) = &source.service_account_token {
            let meta = &c.pod.metadata;
            let seconds = t.expiration_seconds.unwrap_or(3600);
            let account = &c.pod.spec.service_account_name;
            let path = relative(&t.path)?;
            let token = match present(&c.dir.join("volumes").join(volume).join(&path)) {
                Some(token) => token,
                None => c
                    .api
                    .service_account_token(namespace, account, &meta.name, &meta.uid, &t.audience, seconds)
                    .await
                    .map_err(|s| s.message)?,
            };
            // Readable by whatever user the containers run as, unless the volume says otherwise.
            files.insert(path, (token.into_bytes(), p.default_mode.unwrap_or(MODE_DEFAULT)));
        }
    }
    Ok(())
}

/// The token that is there already, while less than four fifths of its life have passed.
fn present(path: &Path) -> Option<String> {
    let token = std::fs::read_to_string(path).ok()?;
    let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let claims: serde_json::Value = serde_json::from_slice(&claims).ok()?;
    let (from, until) = (claims["iat"].as_i64()?, claims["exp"].as_i64()?);
    let now = crate::clock::now().as_second();
    (now < from.saturating_add(until.saturating_sub(from) / 5 * 4)).then_some(token)
}

/// Can files in the pod's volumes change while it runs?
pub(crate) fn change(pod: &Pod) -> bool {
    pod.spec.volumes.iter().any(|v| v.secret.is_some() || v.config_map.is_some() || v.downward_api.is_some() || v.projected.is_some())
}

fn select(
    entries: &BTreeMap<String, Vec<u8>>,
    items: &[KeyToPath],
    mode: Option<i32>,
    optional: bool,
    files: &mut Files,
) -> Result<(), String> {
    let mode = mode.unwrap_or(MODE_DEFAULT);
    if items.is_empty() {
        files.extend(entries.iter().map(|(k, v)| (k.clone(), (v.clone(), mode))));
        return Ok(());
    }
    for item in items {
        match entries.get(&item.key) {
            Some(value) => {
                files.insert(relative(&item.path)?, (value.clone(), item.mode.unwrap_or(mode)));
            }
            None if optional => {}
            None => return Err(format!("references non-existent key: {}", item.key)),
        }
    }
    Ok(())
}

fn downward(c: &Context<'_>, items: &[DownwardFile], mode: Option<i32>, files: &mut Files) -> Result<(), String> {
    for item in items {
        let value = if let Some(f) = &item.field_ref {
            field(c.pod, &f.field_path, c.host_ip, c.pod_ip)
        } else if let Some(r) = &item.resource_field_ref {
            resource(c.pod, &r.container_name, &r.resource, r.divisor.as_deref().unwrap_or_default(), c.node)
        } else {
            None
        };
        let value = value.ok_or_else(|| format!("file {:?} refers to nothing that is known", item.path))?;
        files.insert(relative(&item.path)?, (value.into_bytes(), item.mode.or(mode).unwrap_or(MODE_DEFAULT)));
    }
    Ok(())
}

/// A path that stays inside the volume.
fn relative(path: &str) -> Result<String, String> {
    let inside = Path::new(path).components().all(|p| matches!(p, Component::Normal(_)));
    if inside && !path.is_empty() { Ok(path.to_string()) } else { Err(format!("path {path:?} must be relative and not contain '..'")) }
}

/// All files change at once: they are written into a new directory, and the link `..data` is turned to it.
fn write_files(dir: &Path, files: &Files) -> Result<(), String> {
    let fail = |e: std::io::Error| format!("{}: {e}", dir.display());
    let current = dir.join("..data");
    let same = |name: &String, content: &Vec<u8>| std::fs::read(current.join(name)).is_ok_and(|old| old == *content);
    let listed = std::fs::read_dir(&current).map(|d| d.count()).unwrap_or(0);
    let top: std::collections::BTreeSet<&str> = files.keys().filter_map(|f| f.split('/').next()).collect();
    if current.exists() && listed == top.len() && files.iter().all(|(name, (content, _))| same(name, content)) {
        return Ok(());
    }
    let old = std::fs::read_link(&current).ok();
    let fresh = format!("..{:x}", crate::clock::random::<u64>());
    for (name, (content, mode)) in files {
        let path = dir.join(&fresh).join(name);
        make_dir(path.parent().unwrap_or(dir))?;
        std::fs::write(&path, content).map_err(fail)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(*mode as u32)).map_err(fail)?;
    }
    make_dir(&dir.join(&fresh))?;
    let turning = dir.join("..data_tmp");
    let _ = std::fs::remove_file(&turning);
    std::os::unix::fs::symlink(&fresh, &turning).map_err(fail)?;
    std::fs::rename(&turning, &current).map_err(fail)?;
    for name in top {
        let link = dir.join(name);
        if link.symlink_metadata().is_err() {
            std::os::unix::fs::symlink(Path::new("..data").join(name), link).map_err(fail)?;
        }
    }
    // Entries that are no more: their links point nowhere.
    for entry in std::fs::read_dir(dir).map_err(fail)?.flatten() {
        let name = entry.file_name();
        let stays = name.to_str().is_none_or(|n| n.starts_with("..") || files.keys().any(|f| f.split('/').next() == Some(n)));
        if !stays {
            let _ = std::fs::remove_file(entry.path());
        }
    }
    if let Some(old) = old {
        let _ = std::fs::remove_dir_all(dir.join(old));
    }
    Ok(())
}

/// `HOST:CONTAINER[:ro]` for each of a container's mounts, and its tmpfs mounts.
pub(crate) fn mounts(
    pod: &Pod,
    container: &Container,
    paths: &BTreeMap<String, PathBuf>,
    known: &BTreeMap<String, String>,
) -> Result<(Vec<String>, BTreeMap<String, String>), String> {
    let (mut binds, mut tmpfs) = (Vec::new(), BTreeMap::new());
    for mount in &container.volume_mounts {
        let volume = pod.spec.volumes.iter().find(|v| v.name == mount.name);
        let memory = volume.and_then(|v| v.empty_dir.as_ref()).is_some_and(|e| e.medium == "Memory");
        // Shared by several containers, memory has to be one mount; alone, it is a tmpfs of the container.
        let sharers = pod
            .spec
            .containers
            .iter()
            .chain(&pod.spec.init_containers)
            .filter(|c| c.volume_mounts.iter().any(|m| m.name == mount.name))
            .count();
        let sub = if mount.sub_path_expr.is_empty() { mount.sub_path.clone() } else { expand(&mount.sub_path_expr, known) };
        if memory && sharers == 1 && sub.is_empty() {
            tmpfs.insert(mount.mount_path.clone(), "rw,mode=1777".to_string());
            continue;
        }
        let base = paths.get(&mount.name).ok_or_else(|| format!("volume {:?} is not there", mount.name))?;
        let source = if sub.is_empty() { base.clone() } else { sub_path(base, &sub)? };
        let mode = if mount.read_only { ":ro" } else { "" };
        binds.push(format!("{}:{}{mode}", source.display(), mount.mount_path));
    }
    Ok((binds, tmpfs))
}

/// A directory or file under the volume; links that lead out of it are refused (CVE-2021-25741's class).
fn sub_path(base: &Path, sub: &str) -> Result<PathBuf, String> {
    let root = base.canonicalize().map_err(|e| e.to_string())?;
    let mut real = root.clone();
    // Step by step, so that nothing is made behind a link that leads out.
    for part in Path::new(&relative(sub)?).components() {
        let next = real.join(part);
        if next.symlink_metadata().is_err() {
            std::fs::create_dir(&next).map_err(|e| format!("{}: {e}", next.display()))?;
        }
        real = next.canonicalize().map_err(|e| format!("{}: {e}", next.display()))?;
        if !real.starts_with(&root) {
            return Err(format!("subPath {sub:?} leads out of its volume"));
        }
    }
    Ok(real)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sub_path_makes_nothing_outside_of_its_volume() {
        let (volume, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::os::unix::fs::symlink(outside.path(), volume.path().join("out")).unwrap();
        for sub in ["out/evil", "out", "../x", "/etc"] {
            assert!(sub_path(volume.path(), sub).is_err(), "{sub}");
        }
        assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
        assert!(sub_path(volume.path(), "a/b").unwrap().ends_with("a/b"));
    }

    #[test]
    fn files_change_together_and_removed_keys_go() {
        let dir = tempfile::tempdir().unwrap();
        let files = |list: &[(&str, &str)]| list.iter().map(|(k, v)| (k.to_string(), (v.as_bytes().to_vec(), 0o644))).collect::<Files>();
        write_files(dir.path(), &files(&[("a", "1"), ("b", "2")])).unwrap();
        let first = std::fs::read_link(dir.path().join("..data")).unwrap();
        write_files(dir.path(), &files(&[("a", "1"), ("b", "2")])).unwrap();
        assert_eq!(std::fs::read_link(dir.path().join("..data")).unwrap(), first, "nothing changed, nothing is written");
        write_files(dir.path(), &files(&[("a", "3"), ("c/d", "4")])).unwrap();
        assert_eq!(std::fs::read_to_string(dir.path().join("a")).unwrap(), "3");
        assert_eq!(std::fs::read_to_string(dir.path().join("c/d")).unwrap(), "4");
        assert!(dir.path().join("b").symlink_metadata().is_err());
        assert!(!dir.path().join(first).exists());
    }
}
