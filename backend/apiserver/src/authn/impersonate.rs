//! Acting as somebody else: the `Impersonate-*` headers, each part of which needs its own permission.
use super::service_account_groups;
use http::HeaderMap;
use registry::caller::{Caller, GROUP_AUTHENTICATED, GROUP_UNAUTHENTICATED, Identity};
use registry::{AccessRequest, Registry};
use shared::status::Status;
use std::collections::BTreeMap;
use std::sync::Arc;

const USER: &str = "impersonate-user";
const GROUP: &str = "impersonate-group";
const UID: &str = "impersonate-uid";
const EXTRA: &str = "impersonate-extra-";
const ANONYMOUS: &str = "system:anonymous";

/// The identity to act as; the caller itself when no such header is present.
pub fn apply(registry: &Registry, caller: Caller, headers: &HeaderMap) -> Result<Caller, Status> {
    let Some(wanted) = wanted(headers, &caller.0.agent)? else { return Ok(caller) };
    for request in needed(&wanted, headers.contains_key(GROUP)) {
        registry.authorise(&caller, &request)?;
    }
    Ok(Caller(Arc::new(wanted)))
}

fn text(value: &http::HeaderValue) -> Result<String, Status> {
    value.to_str().map(str::to_string).map_err(|_| Status::bad_request("impersonation headers must be plain text"))
}

fn wanted(headers: &HeaderMap, agent: &str) -> Result<Option<Identity>, Status> {
    let mut extra: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in headers {
        if let Some(key) = name.as_str().strip_prefix(EXTRA) {
            extra.entry(percent_decode(key)).or_default().push(text(value)?);
        }
    }
    let mut groups = headers.get_all(GROUP).iter().map(text).collect::<Result<Vec<_>, _>>()?;
    let uid = headers.get(UID).map(text).transpose()?.unwrap_or_default();
    let Some(name) = headers.get(USER).map(text).transpose()?.filter(|n| !n.is_empty()) else {
        if groups.is_empty() && extra.is_empty() && uid.is_empty() {
            return Ok(None);
        }
        return Err(Status::internal("requested impersonation without specifying a user"));
    };
    if groups.is_empty()
        && let Some((namespace, _)) = name.strip_prefix("system:serviceaccount:").and_then(|r| r.split_once(':'))
    {
        groups = service_account_groups(namespace);
    }
    let everybody = if name == ANONYMOUS { GROUP_UNAUTHENTICATED } else { GROUP_AUTHENTICATED };
    if !groups.iter().any(|g| g == everybody) {
        groups.push(everybody.into());
    }
    Ok(Some(Identity { name, uid, groups, extra, agent: agent.into() }))
}

/// One permission per part that is taken on.
fn needed(wanted: &Identity, explicit_groups: bool) -> Vec<AccessRequest> {
    let one = |group: &str, resource: &str, name: &str| AccessRequest {
        verb: "impersonate".into(),
        group: group.into(),
        resource: resource.into(),
        name: name.into(),
        ..AccessRequest::default()
    };
    let mut all = Vec::new();
    match wanted.name.strip_prefix("system:serviceaccount:").and_then(|r| r.split_once(':')) {
        Some((namespace, name)) => all.push(AccessRequest { namespace: namespace.into(), ..one("", "serviceaccounts", name) }),
        None => all.push(one("", "users", &wanted.name)),
    }
    if explicit_groups {
        let own = if wanted.name == ANONYMOUS { GROUP_UNAUTHENTICATED } else { GROUP_AUTHENTICATED };
        all.extend(wanted.groups.iter().filter(|g| *g != own).map(|g| one("", "groups", g)));
    }
    if !wanted.uid.is_empty() {
        all.push(one("authentication.k8s.io", "uids", &wanted.uid));
    }
    for (key, values) in &wanted.extra {
        all.extend(values.iter().map(|v| AccessRequest { subresource: key.clone(), ..one("authentication.k8s.io", "userextras", v) }));
    }
    all
}

fn percent_decode(text: &str) -> String {
    crate::router::percent_decode(text).unwrap_or_else(|| text.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(*name, value.parse().unwrap());
        }
        map
    }

    #[test]
    fn every_part_needs_a_permission() {
        let h = headers(&[(USER, "jane"), (GROUP, "dev"), (GROUP, "ops"), ("impersonate-extra-scopes", "view")]);
        let identity = wanted(&h, "t").unwrap().unwrap();
        assert_eq!(identity.groups, ["dev", "ops", GROUP_AUTHENTICATED]);
        let what: Vec<String> = needed(&identity, true).iter().map(|r| format!("{}/{}:{}", r.resource, r.subresource, r.name)).collect();
        assert_eq!(what, ["users/:jane", "groups/:dev", "groups/:ops", "userextras/scopes:view"]);
    }

    #[test]
    fn a_service_account_gets_its_groups_and_is_asked_for_in_its_namespace() {
        let identity = wanted(&headers(&[(USER, "system:serviceaccount:ns1:robot")]), "t").unwrap().unwrap();
        assert!(identity.groups.contains(&"system:serviceaccounts:ns1".to_string()));
        let asked = needed(&identity, false);
        assert_eq!((asked[0].resource.as_str(), asked[0].namespace.as_str(), asked[0].name.as_str()), ("serviceaccounts", "ns1", "robot"));
    }

    #[test]
    fn groups_without_a_user_are_refused() {
        assert!(wanted(&headers(&[(GROUP, "system:masters")]), "t").is_err());
        assert!(wanted(&HeaderMap::new(), "t").unwrap().is_none());
    }
}
