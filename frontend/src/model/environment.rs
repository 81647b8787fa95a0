//! The variables and volumes of a pod's containers, as the specification and the services around it say.
use serde_json::Value;
use shared::service_env;

/// One variable; where its value comes from if it is not written in the pod.
#[derive(Clone, Debug, PartialEq)]
pub struct Variable {
    pub name: String,
    pub value: String,
    pub source: String,
}

/// The variables of one container: its own, then those of the services that it finds.
pub fn variables(pod: &Value, container: &Value, services: &[Value]) -> Vec<Variable> {
    let text = |v: &Value| v.as_str().unwrap_or_default().to_string();
    let mut all: Vec<Variable> = vec![];
    for from in container["envFrom"].as_array().into_iter().flatten() {
        let (what, reference) = if from["configMapRef"].is_object() { ("config map", "configMapRef") } else { ("secret", "secretRef") };
        all.push(Variable {
            name: format!("{}*", text(&from["prefix"])),
            value: String::new(),
            source: format!("all of {what} {}", text(&from[reference]["name"])),
        });
    }
    for e in container["env"].as_array().into_iter().flatten() {
        all.push(Variable { name: text(&e["name"]), value: text(&e["value"]), source: source(&e["valueFrom"]) });
    }
    if pod["spec"]["enableServiceLinks"] != false {
        let namespace = text(&pod["metadata"]["namespace"]);
        let found = service_env::variables(services, &namespace).into_iter();
        let found: Vec<Variable> = found
            .filter(|(name, _)| !all.iter().any(|v| v.name == *name))
            .map(|(name, value)| Variable { name, value, source: "service".into() })
            .collect();
        all.extend(found);
    }
    all
}

fn source(from: &Value) -> String {
    let text = |v: &Value| v.as_str().unwrap_or_default().to_string();
    let key = |what: &str, r: &Value| format!("{what} {}, key {}", text(&r["name"]), text(&r["key"]));
    if from["configMapKeyRef"].is_object() {
        key("config map", &from["configMapKeyRef"])
    } else if from["secretKeyRef"].is_object() {
        key("secret", &from["secretKeyRef"])
    } else if from["fieldRef"].is_object() {
        format!("field {}", text(&from["fieldRef"]["fieldPath"]))
    } else if from["resourceFieldRef"].is_object() {
        format!("resource {}", text(&from["resourceFieldRef"]["resource"]))
    } else {
        String::new()
    }
}

/// One volume: its name, what it is, and where containers see it.
#[derive(Clone, Debug, PartialEq)]
pub struct Volume {
    pub name: String,
    pub what: String,
    pub mounts: Vec<String>,
}

/// The volumes of a pod.
pub fn volumes(pod: &Value) -> Vec<Volume> {
    let list = |v: &Value| v.as_array().cloned().unwrap_or_default();
    let containers = list(&pod["spec"]["containers"]);
    let mounts = |volume: &Value| -> Vec<String> {
        let all = containers.iter().flat_map(|c| list(&c["volumeMounts"]).into_iter().map(move |m| (c["name"].clone(), m)));
        all.filter(|(_, m)| m["name"] == volume["name"])
            .map(|(c, m)| {
                let mode = if m["readOnly"] == true { " (read only)" } else { "" };
                format!("{} in {}{mode}", m["mountPath"].as_str().unwrap_or_default(), c.as_str().unwrap_or_default())
            })
            .collect()
    };
    list(&pod["spec"]["volumes"])
        .iter()
        .map(|v| Volume { name: v["name"].as_str().unwrap_or_default().into(), what: what(v), mounts: mounts(v) })
        .collect()
}

fn what(volume: &Value) -> String {
    let text = |path: &str| volume.pointer(path).and_then(Value::as_str).unwrap_or_default();
    let kind = volume.as_object().into_iter().flatten().map(|(k, _)| k.as_str()).find(|k| *k != "name").unwrap_or("emptyDir");
    match kind {
        "emptyDir" if text("/emptyDir/medium") == "Memory" => "empty directory in memory".into(),
        "emptyDir" => "empty directory".into(),
        "configMap" => format!("config map {}", text("/configMap/name")),
        "secret" => format!("secret {}", text("/secret/secretName")),
        "hostPath" => format!("{} of the node", text("/hostPath/path")),
        "projected" => "service account token and others".into(),
        "downwardAPI" => "fields of the pod".into(),
        other => other.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn own_variables_come_first_and_services_are_found() {
        let pod = json!({"metadata": {"namespace": "hack"}});
        let container = json!({"envFrom": [{"prefix": "P_", "configMapRef": {"name": "c"}}],
            "env": [{"name": "A", "value": "1"}, {"name": "WEB_SERVICE_PORT", "value": "9"}, {"name": "K", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]});
        let service = json!({"metadata": {"name": "web", "namespace": "hack"}, "spec": {"clusterIP": "10.0.0.1", "ports": [{"port": 80}]}});
        let all = variables(&pod, &container, &[service.clone()]);
        let seen: Vec<String> = all.iter().take(6).map(|v| format!("{}={}|{}", v.name, v.value, v.source)).collect();
        assert_eq!(
            seen,
            [
                "P_*=|all of config map c",
                "A=1|",
                "WEB_SERVICE_PORT=9|",
                "K=|secret s, key k",
                "WEB_SERVICE_HOST=10.0.0.1|service",
                "WEB_PORT=tcp://10.0.0.1:80|service"
            ]
        );
        let without = json!({"metadata": {"namespace": "hack"}, "spec": {"enableServiceLinks": false}});
        assert_eq!(variables(&without, &container, &[service]).len(), 4);
    }

    #[test]
    fn volumes_say_where_they_are_seen() {
        let pod = json!({"spec": {"volumes": [{"name": "v", "secret": {"secretName": "s"}}, {"name": "e"}],
            "containers": [{"name": "a", "volumeMounts": [{"name": "v", "mountPath": "/s", "readOnly": true}]}]}});
        let all = volumes(&pod);
        assert_eq!(all[0], Volume { name: "v".into(), what: "secret s".into(), mounts: vec!["/s in a (read only)".into()] });
        assert_eq!(all[1].what, "empty directory");
    }
}
