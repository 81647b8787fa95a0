//! A project as a graph in three columns: services, the controllers behind them, and pods.
use super::overview::{PodChip, chip, owns, selects, service};
use super::tone::Tone;
use serde_json::Value;
use shared::kinds::{Kind, POD, REPLICATION_CONTROLLER, SERVICE};
use std::collections::BTreeMap;

/// Pods of one controller beyond these are one node together.
const PODS_SHOWN: usize = 12;
/// Pixels; as the style sheet draws nodes.
pub const NODE_WIDTH: i32 = 240;
pub const NODE_HEIGHT: i32 = 44;
const GAP: i32 = 12;
const COLUMN_GAP: i32 = 72;

/// One box.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Kind and name; unique.
    pub id: String,
    pub kind: &'static Kind,
    pub name: String,
    /// Beside the name: an address, `2 of 3 ready`, a status.
    pub note: String,
    pub tone: Tone,
    pub column: usize,
    pub x: i32,
    pub y: i32,
    /// Where the box leads when it stands for several pods.
    pub many: bool,
}

/// A line from one box to another, by their places in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edge {
    pub from: usize,
    pub to: usize,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Graph {
    pub nodes: Vec<Node>,
    pub edges: Vec<Edge>,
    pub width: i32,
    pub height: i32,
}

/// The graph of a project, placed so that what belongs together is near.
pub fn graph<'a>(
    services: impl Iterator<Item = &'a Value>,
    controllers: impl Iterator<Item = &'a Value>,
    pods: impl Iterator<Item = &'a Value>,
) -> Graph {
    let (services, controllers, pods): (Vec<&Value>, Vec<&Value>, Vec<&Value>) =
        (services.collect(), controllers.collect(), pods.collect());
    let mut graph = Graph::default();
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    for s in &services {
        let s = service(s);
        add(&mut graph, &mut places, 0, &SERVICE, &s.name, s.address, Tone::Idle);
    }
    // Controllers in the order of the first service that leads to them.
    let first = |labels: &Value| services.iter().position(|s| selects(&s["spec"]["selector"], labels)).unwrap_or(services.len());
    let template = |c: &Value| c["spec"]["template"]["metadata"]["labels"].clone();
    let mut ordered = controllers.clone();
    ordered.sort_by_key(|c| first(&template(c)));
    let mut loose: Vec<&&Value> = pods.iter().filter(|p| !controllers.iter().any(|c| owns(c, p))).collect();
    loose.sort_by_key(|p| first(&p["metadata"]["labels"]));
    for c in ordered {
        let owned: Vec<PodChip> = pods.iter().filter(|p| owns(c, p)).map(|p| chip(p)).collect();
        let at = controller(&mut graph, &mut places, c, &owned);
        connect(&mut graph, &services, &template(c), at);
    }
    for pod in loose {
        let shown = chip(pod);
        let at = add(&mut graph, &mut places, 2, &POD, &shown.name, shown.status, shown.tone);
        connect(&mut graph, &services, &pod["metadata"]["labels"], at);
    }
    place(&mut graph);
    graph
}

fn controller(graph: &mut Graph, places: &mut BTreeMap<String, usize>, object: &Value, pods: &[PodChip]) -> usize {
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    let wanted = object["spec"]["replicas"].as_i64().unwrap_or(1);
    let ready = object["status"]["readyReplicas"].as_i64().unwrap_or(0);
    let tone = if ready >= wanted { Tone::Good } else { Tone::Busy };
    let at = add(graph, places, 1, &REPLICATION_CONTROLLER, name, format!("{ready} of {wanted} ready"), tone);
    for pod in pods.iter().take(PODS_SHOWN) {
        let to = add(graph, places, 2, &POD, &pod.name, pod.status.clone(), pod.tone);
        graph.edges.push(Edge { from: at, to });
    }
    let hidden = &pods[pods.len().min(PODS_SHOWN)..];
    if !hidden.is_empty() {
        let well = hidden.iter().filter(|p| p.tone == Tone::Good).count();
        let tone = if well == hidden.len() { Tone::Good } else { Tone::Busy };
        let to = add(graph, places, 2, &POD, &format!("{} more pods of {name}", hidden.len()), format!("{well} ready"), tone);
        graph.nodes[to].many = true;
        graph.edges.push(Edge { from: at, to });
    }
    at
}

fn add(
    graph: &mut Graph,
    places: &mut BTreeMap<String, usize>,
    column: usize,
    kind: &'static Kind,
    name: &str,
    note: String,
    tone: Tone,
) -> usize {
    let id = format!("{}/{name}", kind.singular);
    *places.entry(id.clone()).or_insert_with(|| {
        graph.nodes.push(Node { id, kind, name: name.to_string(), note, tone, column, x: 0, y: 0, many: false });
        graph.nodes.len() - 1
    })
}

/// Every service that selects these labels leads to the node.
fn connect(graph: &mut Graph, services: &[&Value], labels: &Value, to: usize) {
    for (from, _) in services.iter().enumerate().filter(|(_, s)| selects(&s["spec"]["selector"], labels)) {
        graph.edges.push(Edge { from, to });
    }
}

/// Columns from left to right; each box beside the middle of what it leads to, if there is room.
fn place(graph: &mut Graph) {
    let mut bottom = [0_i32; 3];
    for column in [2, 1, 0] {
        for i in 0..graph.nodes.len() {
            if graph.nodes[i].column != column {
                continue;
            }
            let targets: Vec<i32> = graph.edges.iter().filter(|e| e.from == i).map(|e| graph.nodes[e.to].y).collect();
            let middle = match (targets.iter().min(), targets.iter().max()) {
                (Some(low), Some(high)) => (low + high) / 2,
                _ => 0,
            };
            let y = middle.max(bottom[column]);
            graph.nodes[i].y = y;
            graph.nodes[i].x = i32::try_from(column).unwrap_or(0) * (NODE_WIDTH + COLUMN_GAP);
            bottom[column] = y + NODE_HEIGHT + GAP;
        }
    }
    graph.width = 3 * NODE_WIDTH + 2 * COLUMN_GAP;
    graph.height = bottom.into_iter().max().unwrap_or(0).max(NODE_HEIGHT);
}

impl Graph {
    /// The path of an edge: level at both ends.
    pub fn path(&self, edge: Edge) -> String {
        let (a, b) = (&self.nodes[edge.from], &self.nodes[edge.to]);
        let (x1, y1, x2, y2) = (a.x + NODE_WIDTH, a.y + NODE_HEIGHT / 2, b.x, b.y + NODE_HEIGHT / 2);
        let bend = (x2 - x1) / 2;
        format!("M{x1} {y1}C{} {y1} {} {y2} {x2} {y2}", x1 + bend, x2 - bend)
    }

    /// Where an arrow key leads from a node.
    pub fn step(&self, from: usize, key: &str) -> Option<usize> {
        let node = self.nodes.get(from)?;
        let nearest = |column: Option<usize>| {
            let linked = self.edges.iter().filter_map(|e| match key {
                "ArrowRight" => (e.from == from).then_some(e.to),
                _ => (e.to == from).then_some(e.from),
            });
            let other = self.nodes.iter().enumerate().filter(|(_, n)| Some(n.column) == column).map(|(i, _)| i);
            linked.min_by_key(|i| (self.nodes[*i].y - node.y).abs()).or_else(|| other.min_by_key(|i| (self.nodes[*i].y - node.y).abs()))
        };
        let column = self.nodes.iter().enumerate().filter(|(_, n)| n.column == node.column);
        match key {
            "ArrowRight" => nearest(node.column.checked_add(1)),
            "ArrowLeft" => nearest(node.column.checked_sub(1)),
            "ArrowDown" => column.filter(|(_, n)| n.y > node.y).min_by_key(|(_, n)| n.y).map(|(i, _)| i),
            "ArrowUp" => column.filter(|(_, n)| n.y < node.y).max_by_key(|(_, n)| n.y).map(|(i, _)| i),
            _ => None,
        }
    }

    /// The names of the nodes that a node leads to.
    pub fn leads_to(&self, from: usize) -> Vec<&str> {
        self.edges.iter().filter(|e| e.from == from).filter_map(|e| self.nodes.get(e.to)).map(|n| n.name.as_str()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(name: &str, owner: &str) -> Value {
        json!({"metadata": {"name": name, "labels": {"app": "web"}, "ownerReferences": [{"uid": owner, "controller": true}]}, "status": {"phase": "Running"}})
    }

    fn example(pods: usize) -> Graph {
        let service = |name: &str, app: &str| json!({"metadata": {"name": name}, "spec": {"clusterIP": "1.2.3.4", "ports": [{"port": 80}], "selector": {"app": app}}});
        let services = [service("db", "db"), service("web", "web")];
        let rc = json!({"metadata": {"name": "rc", "uid": "u"}, "spec": {"replicas": 2, "template": {"metadata": {"labels": {"app": "web"}}}}, "status": {"readyReplicas": 2}});
        let mut all: Vec<Value> = (0..pods).map(|n| pod(&format!("p{n:02}"), "u")).collect();
        all.push(json!({"metadata": {"name": "lone", "labels": {"app": "db"}}}));
        graph(services.iter(), [rc].iter(), all.iter())
    }

    #[test]
    fn services_lead_to_controllers_and_they_to_pods() {
        let g = example(2);
        let names: Vec<&str> = g.nodes.iter().map(|n| n.name.as_str()).collect();
        assert_eq!(names, ["db", "web", "rc", "p00", "p01", "lone"]);
        assert_eq!((g.leads_to(0), g.leads_to(1), g.leads_to(2)), (vec!["lone"], vec!["rc"], vec!["p00", "p01"]));
        assert_eq!(g.nodes[2].note, "2 of 2 ready");
    }

    #[test]
    fn no_box_lies_on_another_and_many_pods_are_one() {
        let g = example(40);
        assert!(g.nodes.iter().any(|n| n.many && n.name == "28 more pods of rc"));
        for (i, a) in g.nodes.iter().enumerate() {
            assert!(g.nodes[..i].iter().all(|b| b.column != a.column || (b.y - a.y).abs() >= NODE_HEIGHT + GAP), "{}", a.name);
            assert!(a.x + NODE_WIDTH <= g.width && a.y + NODE_HEIGHT <= g.height);
        }
    }

    #[test]
    fn arrow_keys_reach_every_node() {
        let g = example(3);
        let mut reached = vec![0];
        let mut next = 0;
        while next < reached.len() {
            let from = reached[next];
            for key in ["ArrowRight", "ArrowLeft", "ArrowUp", "ArrowDown"] {
                reached.extend(g.step(from, key).filter(|to| !reached.contains(to)));
            }
            next += 1;
        }
        reached.sort_unstable();
        assert_eq!(reached, (0..g.nodes.len()).collect::<Vec<_>>());
    }
}
