//! What every cluster begins with: namespaces, roles, and the services by which pods find the API and each other.
use crate::Config;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::future::try_join_all;
use logic::authz::bootstrap::{cluster_role_bindings, cluster_roles};
use logic::dns;
use registry::Registry;
use registry::caller::Caller;
use registry::options::{Patch, WriteOptions};
use serde_json::{Value, json};
use shared::kinds::{
    CLUSTER_ROLE, CLUSTER_ROLE_BINDING, CONFIG_MAP, ENDPOINT_SLICE, ENDPOINTS, Kind, NAMESPACE, ROLE, ROLE_BINDING, SERVICE,
};
use shared::status::{Reason, Status};
use std::net::Ipv4Addr;

const NAMESPACES: [&str; 5] = ["default", "kube-system", "kube-public", "kube-node-lease", "openshift"];

/// Creates what is missing. Existing objects are left as people changed them, but for the API's own endpoints.
pub(crate) async fn ensure(registry: &Registry, caller: &Caller, config: &Config) -> Result<(), Status> {
    // All at once: the store makes one group of them, one sync.
    let namespaces = NAMESPACES.iter().map(|name| create(registry, caller, &NAMESPACE, None, json!({"metadata": {"name": name}})));
    try_join_all(namespaces).await?;
    let roles = cluster_roles().into_iter().map(|role| create(registry, caller, &CLUSTER_ROLE, None, role));
    let bindings = cluster_role_bindings().into_iter().map(|binding| create(registry, caller, &CLUSTER_ROLE_BINDING, None, binding));
    let (ro, rw) = config.kubernetes_ips;
    let services = [service("kubernetes-ro", &ro.to_string(), 80, config), service("kubernetes", &rw.to_string(), 443, config)];
    let services = services.into_iter().map(|body| create(registry, caller, &SERVICE, Some("default"), body));
    tokio::try_join!(try_join_all(roles), try_join_all(bindings), try_join_all(services), dns(registry, caller, config))?;
    let names = ["kubernetes-ro", "kubernetes"];
    try_join_all(names.map(|name| endpoints(registry, caller, config, name))).await?;
    cluster_info(registry, caller, config).await
}

/// How pods reach the cluster's DNS. Nothing is behind it for all to see: each node answers its own pods.
async fn dns(registry: &Registry, caller: &Caller, config: &Config) -> Result<(), Status> {
    let body = |ip: Option<Ipv4Addr>| {
        let labels = json!({"k8s-app": dns::SERVICE, "kubernetes.io/cluster-service": "true", "kubernetes.io/name": "KubeDNS"});
        let port = |name: &str, protocol: &str| json!({"name": name, "port": 53, "protocol": protocol, "targetPort": 53});
        let mut spec = json!({"ports": [port("dns", "UDP"), port("dns-tcp", "TCP")]});
        if let Some(ip) = ip {
            spec["clusterIP"] = ip.to_string().into();
        }
        json!({"metadata": {"name": dns::SERVICE, "labels": labels}, "spec": spec})
    };
    match create(registry, caller, &SERVICE, Some(dns::NAMESPACE), body(config.dns_ip)).await {
        // A service of an older cluster may have the address.
        Err(status) if config.dns_ip.is_some() && status.reason == Reason::Invalid => {
            create(registry, caller, &SERVICE, Some(dns::NAMESPACE), body(None)).await
        }
        other => other,
    }
}

fn service(name: &str, ip: &str, port: u16, config: &Config) -> Value {
    json!({"metadata": {"name": name, "labels": {"component": "apiserver", "provider": "kubernetes"}},
        "spec": {"clusterIP": ip, "ports": [{"port": port, "protocol": "TCP", "targetPort": config.api_address.port()}]}})
}

async fn create(registry: &Registry, caller: &Caller, kind: &'static Kind, namespace: Option<&str>, body: Value) -> Result<(), Status> {
    let name = body["metadata"]["name"].as_str().unwrap_or_default();
    if registry.get(caller, kind, namespace, name).is_ok() {
        return Ok(());
    }
    match registry.create(caller, kind, namespace, body, &WriteOptions::default()).await {
        Err(status) if status.reason == Reason::AlreadyExists => Ok(()),
        other => other.map(|_| ()),
    }
}

/// What a machine that is to join may know before it is known itself: the cluster's CA, which it checks by its token.
/// <https://kubernetes.io/docs/reference/access-authn-authz/bootstrap-tokens/>
async fn cluster_info(registry: &Registry, caller: &Caller, config: &Config) -> Result<(), Status> {
    const NAME: &str = "cluster-info";
    const ROLE_NAME: &str = "kubeadm:bootstrap-signer-clusterinfo";
    let ns = Some("kube-public");
    let ca = STANDARD.encode(&config.ca_pem);
    let cluster = json!({"name": "", "cluster": {"server": config.public_url, "certificate-authority-data": ca}});
    let kubeconfig = json!({"apiVersion": "v1", "kind": "Config", "clusters": [cluster]}).to_string();
    let data = json!({"kubeconfig": kubeconfig});
    create(registry, caller, &CONFIG_MAP, ns, json!({"metadata": {"name": NAME}, "data": data})).await?;
    registry.patch(caller, &CONFIG_MAP, ns, NAME, "", Patch::Merge(json!({"data": data})), &WriteOptions::default()).await?;
    let rules = json!([{"verbs": ["get"], "apiGroups": [""], "resources": ["configmaps"], "resourceNames": [NAME]}]);
    create(registry, caller, &ROLE, ns, json!({"metadata": {"name": ROLE_NAME}, "rules": rules})).await?;
    let group = ROLE.group;
    let subjects = json!([{"kind": "Group", "apiGroup": group, "name": "system:unauthenticated"}]);
    let binding =
        json!({"metadata": {"name": ROLE_NAME}, "subjects": subjects, "roleRef": {"apiGroup": group, "kind": "Role", "name": ROLE_NAME}});
    create(registry, caller, &ROLE_BINDING, ns, binding).await
}

/// Where the API is now; it may listen elsewhere than at the last start.
async fn endpoints(registry: &Registry, caller: &Caller, config: &Config, name: &str) -> Result<(), Status> {
    let (ip, port) = (config.api_address.ip().to_string(), config.api_address.port());
    let subsets = json!([{"addresses": [{"ip": ip}], "ports": [{"port": port, "protocol": "TCP"}]}]);
    let labels = json!({"endpointslice.kubernetes.io/skip-mirror": "true"});
    let body = json!({"metadata": {"name": name, "labels": labels}, "subsets": subsets});
    create(registry, caller, &ENDPOINTS, Some("default"), body).await?;
    registry
        .patch(caller, &ENDPOINTS, Some("default"), name, "", Patch::Merge(json!({"subsets": subsets})), &WriteOptions::default())
        .await?;
    let slice = json!({"metadata": {"name": name, "labels": {"kubernetes.io/service-name": name}}, "addressType": "IPv4",
        "endpoints": [{"addresses": [ip], "conditions": {"ready": true}}], "ports": [{"name": "", "port": port, "protocol": "TCP"}]});
    let change = json!({"endpoints": slice["endpoints"], "ports": slice["ports"]});
    create(registry, caller, &ENDPOINT_SLICE, Some("default"), slice).await?;
    registry.patch(caller, &ENDPOINT_SLICE, Some("default"), name, "", Patch::Merge(change), &WriteOptions::default()).await?;
    Ok(())
}
