//! Backups of whole clusters: taken while clients write, restored whole or not at all, and looked through for damage.
use backend::backup;
use backend::config::{Backup, Restore, Verify};
use backend::verify;
use e2e::Cluster;
use reqwest::Method;
use serde_json::{Value, json};
use shared::client::config::Target;
use shared::client::http::Client;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

const WRITERS: usize = 4;
/// Each writer has written this much before the backup begins.
const BEFORE: u64 = 25;
/// Set in the process that is to be killed: backup and data directory.
const RESTORER: &str = "RESTORE_KILL";

fn backup_of(cluster: &Cluster, file: &Path) -> Backup {
    Backup { file: file.into(), data_dir: Some(cluster.data_dir()), kubeconfig: None, force: false }
}

fn restore_to(file: &Path, dir: &Path) -> Restore {
    Restore { file: file.into(), data_dir: Some(dir.into()), replace: false, copy: true }
}

fn faults(dir: &Path) -> Vec<String> {
    let options = Verify { data_dir: Some(dir.into()), backup: None };
    let (faults, _) = verify::look(&options).expect("it can be looked at");
    faults.iter().map(ToString::to_string).collect()
}

/// Creates `w-N-1`, `w-N-2`, … one after the other until told to stop; says how far it is.
async fn write(cluster: &Cluster, writer: usize, stop: &AtomicBool, done: &AtomicU64) {
    let caller = cluster.admin();
    for number in 1.. {
        if stop.load(Ordering::Acquire) {
            return;
        }
        let object = json!({"metadata": {"name": format!("w-{writer}-{number}")}, "data": {"text": "x".repeat(500)}});
        caller.create("/api/v1/namespaces/load/configmaps", &object).await;
        done.store(number, Ordering::Release);
    }
}

/// How many each writer has; panics on a gap.
fn prefixes(list: &Value) -> BTreeMap<String, u64> {
    let mut numbers: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for item in list["items"].as_array().expect("a list") {
        let name = item["metadata"]["name"].as_str().expect("a name");
        if let Some((writer, number)) = name.strip_prefix("w-").and_then(|rest| rest.split_once('-')) {
            numbers.entry(writer.into()).or_default().push(number.parse().expect("a number"));
        }
    }
    let whole = |(writer, mut all): (String, Vec<u64>)| {
        all.sort_unstable();
        assert_eq!(all, (1..=all.len() as u64).collect::<Vec<_>>(), "writer {writer}: no gap");
        (writer, all.len() as u64)
    };
    numbers.into_iter().map(whole).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_under_load_is_one_state_and_comes_back_as_the_same_cluster() {
    let cluster = Cluster::start().await;
    cluster.admin().namespace("load").await;
    let scratch = tempfile::tempdir().expect("a directory");
    let file = scratch.path().join("cluster.backup");
    let stop = AtomicBool::new(false);
    let done: [AtomicU64; WRITERS] = Default::default();
    let writers = futures::future::join_all((0..WRITERS).map(|writer| write(&cluster, writer, &stop, &done[writer])));
    let taking = async {
        e2e::eventually("every writer has begun", || async { done.iter().all(|d| d.load(Ordering::Acquire) >= BEFORE).then_some(()) })
            .await;
        let least: Vec<u64> = done.iter().map(|d| d.load(Ordering::Acquire)).collect();
        backup::take(&backup_of(&cluster, &file)).await.expect("the running server answers");
        stop.store(true, Ordering::Release);
        least
    };
    let (_, least) = tokio::join!(writers, taking);
    assert!(backup::take(&backup_of(&cluster, &file)).await.is_err_and(|why| why.contains("--force")));
    let old = cluster.target();
    let (_, token) = cluster.admin().post("/api/v1/namespaces/load/serviceaccounts/default/token", &json!({"spec": {}})).await;
    let old_revision = cluster.admin().get("/api/v1/namespaces").await.1["metadata"]["resourceVersion"].clone();
    cluster.stop().await;

    let restored = Cluster::start_on(|data| backup::restore(&restore_to(&file, data)).expect("it is restored")).await;
    let (_, list) = restored.admin().get("/api/v1/namespaces/load/configmaps").await;
    let found = prefixes(&list);
    for (writer, least) in least.iter().enumerate() {
        assert!(found[&writer.to_string()] >= *least, "writer {writer}: {found:?}, {least} before the backup");
    }
    // The old administrator's certificate, and the old authority behind the new server's certificate.
    let client = Client::new(Target { server: restored.target().server, ..old }).expect("a client");
    assert!(client.get("/api/v1/nodes").await.is_ok());
    let token = token["status"]["token"].as_str().expect("a token");
    assert_ne!(restored.bearer(token).get("/api/v1/namespaces/load/configmaps").await.0, 401, "tokens of before are known");
    let path = format!("/api/v1/namespaces?watch=true&timeoutSeconds=1&resourceVersion={}", old_revision.as_str().expect("one"));
    let (code, answer) = restored.admin().get(&path).await;
    assert!(code == 410 || answer["object"]["code"] == 410, "revisions of before are gone, not reused: {code} {answer}");
    let kept = restored.stop_and_keep().await;
    assert_eq!(faults(&kept.path().join("data")), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_administrators_get_a_backup() {
    let cluster = Cluster::start().await;
    assert_eq!(cluster.nobody().status(Method::GET, "/backup", "", "").await, 403);
    assert_eq!(cluster.user("somebody").status(Method::GET, "/backup", "", "").await, 403);
    assert_eq!(cluster.admin().status(Method::GET, "/backup", "", "").await, 200);
    assert_eq!(cluster.admin().status(Method::POST, "/backup", "application/json", "{}").await, 405);
    cluster.stop().await;
}

/// A stopped cluster with a few objects, and an offline backup of it.
async fn stopped() -> (tempfile::TempDir, PathBuf, PathBuf) {
    let cluster = Cluster::start().await;
    cluster.admin().namespace("load").await;
    for number in 0..200 {
        let object = json!({"metadata": {"name": format!("c-{number}")}, "data": {"text": format!("{number}").repeat(2000)}});
        cluster.admin().create("/api/v1/namespaces/load/configmaps", &object).await;
    }
    let kept = cluster.stop_and_keep().await;
    let (data, file) = (kept.path().join("data"), kept.path().join("cluster.backup"));
    let options = Backup { file: file.clone(), data_dir: Some(data.clone()), kubeconfig: None, force: false };
    backup::take(&options).await.expect("the directory is read");
    (kept, data, file)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restoring_never_destroys_and_damage_is_named() {
    let (kept, data, file) = stopped().await;
    assert_eq!(faults(&data), [""; 0]);
    let refused = backup::restore(&restore_to(&file, &data)).expect_err("it is not empty");
    assert!(refused.contains("is not empty; --replace"), "{refused}");
    backup::restore(&Restore { replace: true, ..restore_to(&file, &data) }).expect("replaced");
    let aside = std::fs::read_dir(kept.path()).expect("a directory").flatten().map(|e| e.path());
    let aside: Vec<_> = aside.filter(|p| p.to_string_lossy().contains("before-restore")).collect();
    assert_eq!(aside.len(), 1, "the data from before are kept");
    assert_eq!((faults(&data), faults(&aside[0])), (vec![], vec![]));

    // A backup that was cut or hurt leaves no trace.
    let whole = std::fs::read(&file).expect("the backup");
    let target = kept.path().join("target");
    for (how, bytes) in [("cut", whole[..whole.len() - 7].to_vec()), ("hurt", [&whole[..9000], &[!whole[9000]], &whole[9001..]].concat())] {
        std::fs::write(&file, bytes).expect("written");
        let error = backup::restore(&restore_to(&file, &target)).expect_err(how);
        assert!(error.ends_with("is damaged or cut short: its checksum does not match"), "{error}");
        assert!(!target.exists() && !kept.path().join("target.restoring").exists());
    }

    // Objects and keys that are not what they should be.
    let store = store::redb::RedbStore::open(&data.join("store"), store::history::Bounds::default()).expect("it opens");
    let op = |key: &str, value: &str| store::Op {
        key: key.into(),
        expect: store::Expect::Any,
        change: store::Change::Put { value: value.to_owned().into(), revision_at: None },
    };
    use store::Store;
    store.commit(vec![op("/pods/load/x", "{\"kind\":\"Pod\""), op("/gadgets//x", "{}"), op("/nodes/load/x", "{}")]).await.expect("written");
    store.close().await;
    std::fs::remove_file(data.join("serviceaccount.key")).expect("it was there");
    let found = faults(&data).join("\n");
    for fault in
        ["/pods/load/x: is not JSON: ", "/gadgets//x: gadgets is no kind", "/nodes/load/x: has a namespace", "serviceaccount.key: "]
    {
        assert!(found.contains(fault), "{fault} in {found}");
    }
}

/// Not a test by itself: the process that is killed in the middle of a restore.
#[test]
fn restorer() {
    let Ok(paths) = std::env::var(RESTORER) else { return };
    let (file, dir) = paths.split_once('|').expect("two paths");
    backup::restore(&restore_to(Path::new(file), Path::new(dir))).expect("it is restored");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_that_is_killed_leaves_nothing_half_made() {
    let (kept, _, file) = stopped().await;
    let target = kept.path().join("target");
    let (mut nothing, mut whole) = (0, 0);
    for round in 0u64..24 {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "restorer"])
            .env(RESTORER, format!("{}|{}", file.display(), target.display()))
            .stdout(Stdio::null())
            .spawn()
            .expect("it starts");
        // The moments of the kills, from before the first file to after the last.
        let deadline = tokio::time::Instant::now() + Duration::from_millis(round * 4);
        while tokio::time::Instant::now() < deadline && child.try_wait().expect("our child").is_none() {
            tokio::task::yield_now().await;
        }
        let _ = child.kill();
        child.wait().expect("it has ended");
        if target.exists() {
            whole += 1;
            assert_eq!(faults(&target), [""; 0], "round {round}");
            std::fs::remove_dir_all(&target).expect("ours");
        } else {
            nothing += 1;
        }
    }
    backup::restore(&restore_to(&file, &target)).expect("leftovers are not in the way");
    assert_eq!(faults(&target), [""; 0]);
    assert!(!kept.path().join("target.restoring").exists());
    assert!(nothing > 0, "kills met the middle: {nothing} times nothing, {whole} times whole");
}
