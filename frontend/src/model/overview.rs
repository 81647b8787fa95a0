//! A project at a glance: services, the controllers behind them, and their pods.
use super::rows::row;
use super::tone::{Tone, of_status};
use serde_json::Value;
use shared::kinds::POD;
use shared::table;

/// A pod as a chip.
#[derive(Clone, Debug, PartialEq)]
pub struct PodChip {
    pub name: String,
    pub status: String,
    pub tone: Tone,
}

/// A replication controller and its pods.
#[derive(Clone, Debug, PartialEq)]
pub struct Controller {
    pub name: String,
    pub wanted: i64,
    pub ready: i64,
    pub image: String,
    pub pods: Vec<PodChip>,
}

/// A service with what it leads to; without a name: what no service leads to.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Tile {
    pub service: Option<Service>,
    pub controllers: Vec<Controller>,
    /// Pods that no controller owns.
    pub pods: Vec<PodChip>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Service {
    pub name: String,
    /// Address and ports, as people type them.
    pub address: String,
    pub selector: String,
    pub selects: bool,
}

/// One tile a service in the order of names, and one for what is left.
pub fn tiles<'a>(
    services: impl Iterator<Item = &'a Value>,
    controllers: impl Iterator<Item = &'a Value>,
    pods: impl Iterator<Item = &'a Value>,
) -> Vec<Tile> {
    let (controllers, pods): (Vec<&Value>, Vec<&Value>) = (controllers.collect(), pods.collect());
    let mut used_controllers = vec![false; controllers.len()];
    let mut used_pods = vec![false; pods.len()];
    let mut tiles = vec![];
    for service in services {
        let selector = &service["spec"]["selector"];
        let mut tile = Tile { service: Some(self::service(service)), ..Tile::default() };
        for (i, c) in controllers.iter().enumerate() {
            if selects(selector, &c["spec"]["template"]["metadata"]["labels"]) {
                used_controllers[i] = true;
                tile.controllers.push(controller(c, &pods, &mut used_pods));
            }
        }
        for (i, p) in pods.iter().enumerate() {
            let owned = controllers.iter().any(|c| owns(c, p));
            if !owned && selects(selector, &p["metadata"]["labels"]) {
                used_pods[i] = true;
                tile.pods.push(chip(p));
            }
        }
        tiles.push(tile);
    }
    let mut rest = Tile::default();
    for (i, c) in controllers.iter().enumerate().filter(|(i, _)| !used_controllers[*i]) {
        debug_assert!(!used_controllers[i]);
        rest.controllers.push(controller(c, &pods, &mut used_pods));
    }
    rest.pods = pods.iter().zip(&used_pods).filter(|(_, used)| !**used).map(|(p, _)| chip(p)).collect();
    if !rest.controllers.is_empty() || !rest.pods.is_empty() {
        tiles.push(rest);
    }
    tiles
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_string()
}

pub fn selects(selector: &Value, labels: &Value) -> bool {
    selector.as_object().is_some_and(|s| !s.is_empty() && s.iter().all(|(k, v)| labels.get(k) == Some(v)))
}

pub fn owns(controller: &Value, pod: &Value) -> bool {
    let uid = &controller["metadata"]["uid"];
    pod["metadata"]["ownerReferences"].as_array().is_some_and(|o| o.iter().any(|r| r["uid"] == *uid && r["controller"] == true))
}

pub fn service(object: &Value) -> Service {
    let spec = &object["spec"];
    let ports = spec["ports"].as_array().cloned().unwrap_or_default();
    let ip = spec["clusterIP"].as_str().unwrap_or("None");
    let addresses: Vec<String> = ports.iter().map(|p| format!("{ip}:{}", p["port"])).collect();
    let selector: Vec<String> =
        spec["selector"].as_object().into_iter().flatten().map(|(k, v)| format!("{k}={}", v.as_str().unwrap_or_default())).collect();
    Service {
        name: text(&object["metadata"]["name"]),
        address: if addresses.is_empty() { ip.to_string() } else { addresses.join(", ") },
        selects: !selector.is_empty(),
        selector: selector.join(","),
    }
}

fn controller(object: &Value, pods: &[&Value], used: &mut [bool]) -> Controller {
    let mut chips = vec![];
    for (i, pod) in pods.iter().enumerate().filter(|(_, p)| owns(object, p)) {
        used[i] = true;
        chips.push(chip(pod));
    }
    let containers = object.pointer("/spec/template/spec/containers").and_then(Value::as_array).cloned().unwrap_or_default();
    Controller {
        name: text(&object["metadata"]["name"]),
        wanted: object["spec"]["replicas"].as_i64().unwrap_or(1),
        ready: object["status"]["readyReplicas"].as_i64().unwrap_or(0),
        image: containers.iter().map(|c| text(&c["image"])).collect::<Vec<_>>().join(", "),
        pods: chips,
    }
}

/// A pod as a chip.
pub fn chip(pod: &Value) -> PodChip {
    let at = |title: &str| table::columns(&POD).iter().filter(|c| c.priority == 0).position(|c| c.name == title);
    let row = row(&POD, pod, 0);
    let cell = |title: &str| at(title).and_then(|i| row.cells.get(i)).map(|c| c.text.clone()).unwrap_or_default();
    let status = cell("Status");
    PodChip { name: row.name, tone: of_status(&status, Some(&cell("Ready"))), status }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn everything_stands_under_its_service_and_nothing_is_lost() {
        let service =
            json!({"metadata": {"name": "web"}, "spec": {"clusterIP": "172.30.0.7", "ports": [{"port": 80}], "selector": {"app": "web"}}});
        let rc = json!({"metadata": {"name": "web-rc", "uid": "1"}, "spec": {"replicas": 2, "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"image": "nginx"}]}}}});
        let pod = |name: &str, labels: Value, owner: &str| json!({"metadata": {"name": name, "labels": labels, "ownerReferences": [{"uid": owner, "controller": true}]}});
        let pods = [pod("a", json!({"app": "web"}), "1"), pod("b", json!({"app": "web"}), ""), pod("c", json!({}), "")];
        let tiles = tiles([&service].into_iter(), [&rc].into_iter(), pods.iter());
        assert_eq!(tiles.len(), 2);
        assert_eq!(tiles[0].service.as_ref().unwrap().address, "172.30.0.7:80");
        assert_eq!((tiles[0].controllers[0].wanted, tiles[0].controllers[0].pods[0].name.as_str()), (2, "a"));
        assert_eq!(tiles[0].pods.iter().map(|p| p.name.as_str()).collect::<Vec<_>>(), ["b"]);
        assert_eq!(tiles[1].pods[0].name, "c");
        assert!(tiles[1].service.is_none());
    }

    #[test]
    fn a_service_without_selector_takes_nothing() {
        let service = json!({"metadata": {"name": "kubernetes"}, "spec": {"clusterIP": "172.30.0.2"}});
        let pod = json!({"metadata": {"name": "p", "labels": {}}});
        let tiles = tiles([&service].into_iter(), [].into_iter(), [&pod].into_iter());
        assert_eq!((tiles.len(), tiles[0].pods.len(), tiles[1].pods.len()), (2, 0, 1));
    }
}
