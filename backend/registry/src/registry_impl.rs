//! Registry: the calls that everything above makes. Reads are here; writes are in `write_path` and `delete`.
use crate::caller::Caller;
use crate::error::{from_store, future};
use crate::fanout::{Fanout, Filter, Watch};
use crate::metrics::{self, Step};
use crate::object::Object;
use crate::options::{ListAt, ListOptions, WatchOptions};
use crate::policy::PolicyCache;
use crate::service_address::Addresses;
use crate::views;
use shared::kinds::{Kind, Storage};
use shared::selector::FieldSelector;
use shared::status::Status;
use shared::watch::EventType;
use std::collections::HashMap;
use std::sync::Arc;
use store::{Range, Revision, Store};

/// What differs between clusters.
#[derive(Clone, Debug)]
pub struct Config {
    /// Network of the services' addresses.
    pub portal_net: ipnet::Ipv4Net,
}

impl Default for Config {
    fn default() -> Config {
        Config { portal_net: "172.30.0.0/16".parse().expect("a network") }
    }
}

/// Cheap to clone.
#[derive(Clone)]
pub struct Registry(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) fanout: Fanout,
    pub(crate) policy: PolicyCache,
    pub(crate) addresses: Addresses,
    /// One lock for each namespace that has a quota: usage is counted and committed under it.
    pub(crate) quota_locks: parking_lot::Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

/// What a write answers: the object as stored (or as it would be, for a dry run) and warnings for the client.
pub struct Written {
    pub object: Object,
    pub warnings: Vec<String>,
}

/// What a deletion did.
pub struct Deleted {
    /// Its last state.
    pub object: Object,
    /// Gone from the store; otherwise it waits for finalizers or for the node to stop it.
    pub gone: bool,
}

pub struct List {
    pub revision: Revision,
    pub items: Vec<Object>,
    pub continue_token: Option<String>,
    pub remaining: Option<usize>,
}

/// One event of a watch; a bookmark has no object.
#[derive(Clone)]
pub struct WatchItem {
    pub event_type: EventType,
    pub revision: Revision,
    /// For DELETED: the last state; its bytes carry the deletion's resourceVersion.
    pub object: Option<Object>,
    /// This bookmark ends the initial events of a WatchList.
    pub initial_events_end: bool,
}

/// What somebody wants to do, as RBAC sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccessRequest {
    pub verb: String,
    pub group: String,
    /// Plural resource.
    pub resource: String,
    pub subresource: String,
    pub namespace: String,
    pub name: String,
    /// Set instead of the above for URLs that are no resource (`/metrics`).
    pub path: String,
    /// What a list or watch selects by fields.
    pub fields: FieldSelector,
}

impl AccessRequest {
    pub fn resource(verb: &str, kind: &Kind, namespace: Option<&str>, name: &str, subresource: &str) -> AccessRequest {
        // A namespace lies in itself: whoever is bound there may do there what his role says. To make one is no such act.
        let itself = matches!(kind.kind, "Namespace" | "Project") && verb != "create";
        let namespace = namespace.or(itself.then_some(name));
        AccessRequest {
            verb: verb.into(),
            group: kind.group.into(),
            resource: kind.plural.into(),
            subresource: subresource.into(),
            namespace: namespace.unwrap_or_default().into(),
            name: name.into(),
            path: String::new(),
            fields: FieldSelector::default(),
        }
    }
}

impl Registry {
    /// Must be called inside a tokio runtime: it starts the watch fan-out.
    pub fn new(store: Arc<dyn Store>, config: Config) -> Registry {
        let addresses = Addresses::load(&*store, config.portal_net);
        Registry(Arc::new(Inner {
            fanout: Fanout::start(store.clone()),
            policy: PolicyCache::default(),
            addresses,
            quota_locks: parking_lot::Mutex::default(),
            store,
        }))
    }

    /// The newest revision.
    pub fn revision(&self) -> Revision {
        self.0.store.revision()
    }

    /// May the caller do this? For access reviews and for what is not an object (logs, exec, non-resource URLs).
    pub fn authorise(&self, caller: &Caller, request: &AccessRequest) -> Result<(), Status> {
        metrics::check(Step::Authorise, || self.0.policy.authorise(&*self.0.store, caller, request))
    }

    /// Everything the caller may do in a namespace, as `resourceRules` and `nonResourceRules` of a rules review.
    pub fn rules_for(&self, caller: &Caller, namespace: &str) -> (Vec<serde_json::Value>, Vec<serde_json::Value>) {
        self.0.policy.rules_for(&*self.0.store, caller, namespace)
    }

    pub(crate) fn allow(
        &self,
        caller: &Caller,
        verb: &str,
        kind: &Kind,
        namespace: Option<&str>,
        name: &str,
        sub: &str,
    ) -> Result<(), Status> {
        self.authorise(caller, &AccessRequest::resource(verb, kind, namespace, name, sub))
    }

    /// The object itself, without asking for permission.
    pub(crate) fn load(&self, kind: &'static Kind, namespace: Option<&str>, name: &str) -> Option<Object> {
        self.0.store.get(&store::key::object(kind, namespace, name)).map(|record| Object { kind, record })
    }

    pub fn get(&self, caller: &Caller, kind: &'static Kind, namespace: Option<&str>, name: &str) -> Result<Object, Status> {
        self.allow(caller, "get", kind, namespace, name, "")?;
        match kind.storage {
            Storage::Stored => self.load(kind, namespace, name).ok_or_else(|| Status::not_found(kind, name)),
            Storage::ViewOf(_) => {
                let base = views::base(kind);
                let found = self.load(base, namespace, name).ok_or_else(|| Status::not_found(kind, name))?;
                Ok(views::show(kind, &found))
            }
            Storage::Virtual => Err(Status::not_found(kind, name)),
        }
    }

    /// `namespace: None` on a namespaced kind lists all namespaces.
    pub fn list(&self, caller: &Caller, kind: &'static Kind, namespace: Option<&str>, options: &ListOptions) -> Result<List, Status> {
        let limited = self.visible_projects(caller, kind, "list", namespace, &options.fields)?;
        crate::list::check_fields(kind, &options.fields)?;
        let mut list = match kind.storage {
            Storage::Stored => self.list_stored(kind, namespace, options)?,
            Storage::ViewOf(_) => {
                let base = views::base(kind);
                let fields = views::base_fields(kind, &options.fields);
                let mut list = self.list_stored(base, namespace, &ListOptions { fields, ..options.clone() })?;
                list.items = list.items.iter().map(|o| views::show(kind, o)).collect();
                list
            }
            Storage::Virtual => return Err(Status::not_found(kind, "")),
        };
        if let Some(visible) = limited {
            list.items.retain(|o| visible.contains(o.name()));
        }
        Ok(list)
    }

    /// Anyone may list projects and sees those he may get; everything else needs the right to list.
    fn visible_projects(
        &self,
        caller: &Caller,
        kind: &'static Kind,
        verb: &str,
        ns: Option<&str>,
        fields: &FieldSelector,
    ) -> Result<Option<std::collections::BTreeSet<String>>, Status> {
        let request = AccessRequest { fields: fields.clone(), ..AccessRequest::resource(verb, kind, ns, "", "") };
        match self.authorise(caller, &request) {
            Ok(()) if *kind == shared::kinds::PROJECT => {
                if self.allow(caller, "list", &shared::kinds::NAMESPACE, None, "", "").is_ok() {
                    return Ok(None);
                }
                Ok(Some(self.0.policy.namespaces_of(&*self.0.store, caller)))
            }
            other => other.map(|()| None),
        }
    }

    pub fn watch(&self, caller: &Caller, kind: &'static Kind, namespace: Option<&str>, options: &WatchOptions) -> Result<Watch, Status> {
        let limited = self.visible_projects(caller, kind, "watch", namespace, &options.fields)?;
        if limited.is_some() {
            return Err(Status::forbidden(kind, "", "watching projects needs the right to list namespaces; list them instead"));
        }
        crate::list::check_fields(kind, &options.fields)?;
        if let Some(from) = options.from
            && from > self.revision()
        {
            return Err(future(from, self.revision()));
        }
        let base = if matches!(kind.storage, Storage::ViewOf(_)) { views::base(kind) } else { kind };
        let fields = if base == kind { options.fields.clone() } else { views::base_fields(kind, &options.fields) };
        let filter = Filter { namespace: namespace.map(str::to_string), labels: options.labels.clone(), fields };
        let wants_state = options.from.is_none() || options.send_initial_events;
        if !wants_state {
            return self.0.fanout.subscribe(base, filter, options.from.unwrap_or_default());
        }
        self.watch_with_state(base, filter, options)
    }

    fn watch_with_state(&self, kind: &'static Kind, filter: Filter, options: &WatchOptions) -> Result<Watch, Status> {
        let prefix = store::key::collection(kind, filter.namespace.as_deref());
        let snapshot = self.0.store.list(&Range { prefix, ..Range::default() }).map_err(|e| from_store(e, kind, ""))?;
        let mut items: Vec<WatchItem> = snapshot
            .records
            .into_iter()
            .map(|record| Object { kind, record })
            .filter(|o| filter.matches(o))
            .map(|o| WatchItem { event_type: EventType::Added, revision: o.revision(), object: Some(o), initial_events_end: false })
            .collect();
        if options.send_initial_events {
            items.push(WatchItem { event_type: EventType::Bookmark, revision: snapshot.revision, object: None, initial_events_end: true });
        }
        let mut watch = self.0.fanout.subscribe(kind, filter, snapshot.revision)?;
        watch.prepend(items);
        Ok(watch)
    }

    /// Every stored object, as one state; for backups.
    pub fn everything(&self) -> (Revision, Vec<std::sync::Arc<store::Record>>) {
        let snapshot = self.0.store.list(&Range::default()).expect("the present is always in history");
        (snapshot.revision, snapshot.records)
    }

    /// Lists by owner or by anything else that is no field: everything of a kind, for components.
    pub fn all(&self, kind: &'static Kind, namespace: Option<&str>) -> (Revision, Vec<Object>) {
        let prefix = store::key::collection(kind, namespace);
        let range = Range { prefix, ..Range::default() };
        let snapshot = self.0.store.list(&range).expect("the present is always in history");
        (snapshot.revision, snapshot.records.into_iter().map(|record| Object { kind, record }).collect())
    }

    /// For lists at a revision.
    pub(crate) fn list_at(options: &ListOptions, current: Revision) -> Result<Option<Revision>, Status> {
        match options.at {
            ListAt::Latest => Ok(None),
            ListAt::NotOlderThan(r) | ListAt::Exact(r) if r > current => Err(future(r, current)),
            ListAt::NotOlderThan(_) => Ok(None),
            ListAt::Exact(r) => Ok(Some(r)),
        }
    }
}
