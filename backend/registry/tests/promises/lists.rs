//! Lists show one moment: in pages, at a revision, and while others write.
use crate::{Fixture, config_map};
use registry::options::{DeleteOptions, ListAt, ListOptions};
use registry::{Config, List};
use serde_json::json;
use shared::kinds::CONFIG_MAP;
use shared::selector::{FieldSelector, LabelSelector};
use shared::status::Status;
use std::sync::Arc;
use store::Store;
use store::memory::MemoryStore;

fn list(f: &Fixture, options: &ListOptions) -> Result<List, Status> {
    f.registry.list(&f.caller, &CONFIG_MAP, Some("n"), options)
}

fn names(list: &List) -> Vec<String> {
    list.items.iter().map(|o| o.name().to_string()).collect()
}

async fn many(f: &Fixture, count: usize) -> Vec<String> {
    for i in 0..count {
        let mut body = config_map(&format!("m{i:03}"), json!({}));
        body["metadata"]["labels"] = json!({"odd": (i % 2).to_string()});
        f.create(&CONFIG_MAP, body).await.unwrap();
    }
    (0..count).map(|i| format!("m{i:03}")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn pages_are_of_one_moment_while_others_write() {
    let f = Fixture::new().await;
    let all = many(&f, 50).await;
    let g = f.clone();
    let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
    let noise = tokio::spawn(async move {
        for i in 0.. {
            if stopped.try_recv().is_ok() {
                return;
            }
            let name = format!("m{:03}", i * 7 % 50);
            let _ = g.delete(&CONFIG_MAP, &name, &DeleteOptions::default()).await;
            let _ = g.create(&CONFIG_MAP, config_map(&format!("n{i}"), json!({}))).await;
            let _ = g.create(&CONFIG_MAP, config_map(&name, json!({}))).await;
            tokio::task::yield_now().await;
        }
    });
    for limit in [1, 7, 49, 50, 51] {
        let first = list(&f, &ListOptions { limit, ..ListOptions::default() }).unwrap();
        let whole = list(&f, &ListOptions { at: ListAt::Exact(first.revision), ..ListOptions::default() }).unwrap();
        let (mut seen, mut page) = (names(&first), first);
        while let Some(token) = page.continue_token.clone() {
            assert_eq!(page.remaining, Some(whole.items.len() - seen.len()));
            let next = list(&f, &ListOptions { limit, continue_token: Some(token), ..ListOptions::default() }).unwrap();
            assert_eq!(next.revision, page.revision, "all pages are of one revision");
            assert!(next.items.len() <= limit);
            seen.extend(names(&next));
            page = next;
        }
        assert_eq!(seen, names(&whole));
        assert!(all.iter().filter(|n| seen.contains(n)).count() >= 49);
        tokio::task::yield_now().await;
    }
    stop.send(()).unwrap();
    noise.await.unwrap();
}

#[tokio::test]
async fn pages_of_a_selection_hold_it_all_and_nothing_else() {
    let f = Fixture::new().await;
    many(&f, 21).await;
    for limit in [1, 3, 10, 20] {
        let labels = LabelSelector::parse("odd=1").unwrap();
        let (mut seen, mut token) = (Vec::new(), None);
        loop {
            let page = list(&f, &ListOptions { limit, labels: labels.clone(), continue_token: token, ..ListOptions::default() }).unwrap();
            assert!(page.items.len() <= limit && page.remaining.is_none());
            seen.extend(names(&page));
            token = page.continue_token;
            if token.is_none() {
                break;
            }
        }
        assert_eq!(seen, (0..21).filter(|i| i % 2 == 1).map(|i| format!("m{i:03}")).collect::<Vec<_>>());
    }
    let one = list(&f, &ListOptions { fields: FieldSelector::parse("metadata.name=m004").unwrap(), ..ListOptions::default() }).unwrap();
    assert_eq!(names(&one), ["m004"]);
    let unknown = list(&f, &ListOptions { fields: FieldSelector::parse("data.x=1").unwrap(), ..ListOptions::default() });
    assert!(unknown.err().unwrap().message.contains("field label not supported: data.x"));
}

#[tokio::test]
async fn a_list_at_a_revision_shows_what_was_then() {
    let f = Fixture::new().await;
    let mut truth = Vec::new();
    for i in 0..10 {
        let name = format!("m{}", i % 4);
        if f.create(&CONFIG_MAP, config_map(&name, json!({}))).await.is_err() {
            f.delete(&CONFIG_MAP, &name, &DeleteOptions::default()).await.unwrap();
        }
        let now = list(&f, &ListOptions::default()).unwrap();
        truth.push((now.revision, names(&now)));
    }
    for (revision, wanted) in truth {
        let then = list(&f, &ListOptions { at: ListAt::Exact(revision), ..ListOptions::default() }).unwrap();
        assert_eq!((then.revision, names(&then)), (revision, wanted));
        let fresh = list(&f, &ListOptions { at: ListAt::NotOlderThan(revision), ..ListOptions::default() }).unwrap();
        assert!(fresh.revision >= revision);
    }
    for at in [ListAt::Exact(9999), ListAt::NotOlderThan(9999)] {
        let refused = list(&f, &ListOptions { at, ..ListOptions::default() }).err().unwrap();
        assert_eq!(refused.code, 504, "{}", refused.message);
    }
}

#[tokio::test]
async fn an_expired_page_says_how_to_go_on() {
    let store = Arc::new(MemoryStore::new());
    let f = Fixture::with(store.clone(), Config::default()).await;
    let all = many(&f, 10).await;
    let first = list(&f, &ListOptions { limit: 4, ..ListOptions::default() }).unwrap();
    f.create(&CONFIG_MAP, config_map("z", json!({}))).await.unwrap();
    store.compact(store.revision()).await.unwrap();
    let expired =
        list(&f, &ListOptions { limit: 4, continue_token: first.continue_token.clone(), ..ListOptions::default() }).err().unwrap();
    assert_eq!(expired.code, 410, "{}", expired.message);
    let token = Some(expired.metadata.continue_token);
    let rest = list(&f, &ListOptions { continue_token: token, ..ListOptions::default() }).unwrap();
    let mut seen = names(&first);
    seen.extend(names(&rest));
    assert_eq!(seen[..10], all);
    assert_eq!(seen[10], "z");
    let exact = list(&f, &ListOptions { at: ListAt::Exact(first.revision), ..ListOptions::default() }).err().unwrap();
    assert_eq!(exact.code, 410, "{}", exact.message);
    for forged in ["x", "e30", "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MSwic3RhcnQiOiIuLi8uLi8ifQ"] {
        let refused = list(&f, &ListOptions { continue_token: Some(forged.into()), ..ListOptions::default() }).err().unwrap();
        assert_eq!(refused.code, 400, "{}", refused.message);
    }
}
