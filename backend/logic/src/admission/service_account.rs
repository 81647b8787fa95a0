//! Gives a pod what its service account brings along: the mounted token, and the secrets that images are pulled with.
use serde_json::{Value, json};

/// Where programs in pods look for their token.
pub const TOKEN_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// What the injected volume's name starts with.
pub const TOKEN_VOLUME_PREFIX: &str = "kube-api-access-";
/// The account of pods that name none.
pub const DEFAULT_ACCOUNT: &str = "default";
/// Kubernetes' own odd number: an hour, and a little that tells injected tokens from others.
const TOKEN_SECONDS: i64 = 3607;

/// Fills in the account's name where the pod gives none.
pub fn name(spec: &mut Value) -> String {
    let given = |member: &str| spec.get(member).and_then(Value::as_str).filter(|s| !s.is_empty()).map(str::to_string);
    let name = given("serviceAccountName").or_else(|| given("serviceAccount")).unwrap_or_else(|| DEFAULT_ACCOUNT.into());
    spec["serviceAccountName"] = json!(name);
    spec["serviceAccount"] = json!(name);
    name
}

/// `account` is the service account as it is stored; `suffix` makes the volume's name.
pub fn apply(spec: &mut Value, account: &Value, suffix: &str) {
    if spec["imagePullSecrets"].as_array().is_none_or(Vec::is_empty)
        && let Some(secrets) = account.get("imagePullSecrets").filter(|s| s.as_array().is_some_and(|s| !s.is_empty()))
    {
        spec["imagePullSecrets"] = secrets.clone();
    }
    let wanted = |of: &Value| of.get("automountServiceAccountToken").and_then(Value::as_bool);
    if wanted(spec).or_else(|| wanted(account)).unwrap_or(true) {
        mount(spec, suffix);
    }
}

fn mount(spec: &mut Value, suffix: &str) {
    let volumes = spec["volumes"].as_array();
    let present = volumes.into_iter().flatten().filter_map(|v| v["name"].as_str()).find(|n| n.starts_with(TOKEN_VOLUME_PREFIX));
    let (name, fresh) = match present {
        Some(name) => (name.to_string(), false),
        None => (format!("{TOKEN_VOLUME_PREFIX}{suffix}"), true),
    };
    let mut mounted = false;
    for list in ["containers", "initContainers"] {
        for container in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten().filter(|c| c.is_object()) {
            let mut mounts = container.get("volumeMounts").and_then(Value::as_array).cloned().unwrap_or_default();
            // Somebody who mounts something there himself means it.
            if mounts.iter().any(|m| m["mountPath"].as_str().is_some_and(|p| p.trim_end_matches('/') == TOKEN_PATH)) {
                continue;
            }
            mounts.push(json!({"name": name, "readOnly": true, "mountPath": TOKEN_PATH}));
            container["volumeMounts"] = mounts.into();
            mounted = true;
        }
    }
    if mounted && fresh {
        let mut volumes = spec["volumes"].as_array().cloned().unwrap_or_default();
        volumes.push(volume(&name));
        spec["volumes"] = volumes.into();
    }
}

fn volume(name: &str) -> Value {
    json!({"name": name, "projected": {"defaultMode": 420, "sources": [
        {"serviceAccountToken": {"expirationSeconds": TOKEN_SECONDS, "path": "token"}},
        {"configMap": {"items": [{"key": "ca.crt", "path": "ca.crt"}], "name": "kube-root-ca.crt"}},
        {"downwardAPI": {"items": [{"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}, "path": "namespace"}]}}]}})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(extra: Value) -> Value {
        let mut spec = json!({"containers": [{"name": "a"}, {"name": "b", "volumeMounts": [{"name": "own", "mountPath": TOKEN_PATH}]}]});
        for (name, value) in extra.as_object().unwrap() {
            spec[name] = value.clone();
        }
        spec
    }

    #[test]
    fn each_container_that_has_nothing_there_gets_the_token() {
        let mut spec = pod(json!({}));
        assert_eq!(name(&mut spec), "default");
        apply(&mut spec, &json!({"imagePullSecrets": [{"name": "s"}]}), "x7k2p");
        assert_eq!(spec["containers"][0]["volumeMounts"][0]["name"], "kube-api-access-x7k2p");
        assert_eq!(spec["containers"][1]["volumeMounts"].as_array().unwrap().len(), 1);
        assert_eq!(spec["volumes"][0]["projected"]["sources"][0]["serviceAccountToken"]["path"], "token");
        assert_eq!(spec["imagePullSecrets"], json!([{"name": "s"}]));
        let before = spec.clone();
        apply(&mut spec, &json!({}), "other");
        assert_eq!(spec, before, "a second time changes nothing");
    }

    #[test]
    fn the_pods_word_on_automount_comes_before_the_accounts() {
        let no = json!({"automountServiceAccountToken": false});
        let yes = json!({"automountServiceAccountToken": true});
        for (of_pod, of_account, mounted) in [(json!({}), &no, false), (yes.clone(), &no, true), (no.clone(), &yes, false)] {
            let mut spec = pod(of_pod);
            apply(&mut spec, of_account, "x");
            assert_eq!(spec.get("volumes").is_some_and(Value::is_array), mounted, "{of_account}");
        }
    }
}
