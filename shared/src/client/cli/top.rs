//! `osc top`: what nodes and pods use at present, in kubectl's columns.
use super::args::{TopArgs, TopCommand};
use super::inspect::items;
use super::print;
use crate::client::http::{Client, encode, with_query};
use crate::client::output::tabwriter::{Layout, align};
use crate::client::{ClientError, Result, resources};
use crate::kinds::NODE;
use crate::quantity::Quantity;
use serde_json::Value;

const METRICS: &str = "/apis/metrics.k8s.io/v1beta1";
/// kubectl's, which is narrower than that of `get`.
const COLUMNS: Layout = Layout { min_width: 6, padding: 3, tabs: false };

pub(super) async fn run(client: &Client, command: TopCommand) -> Result<()> {
    match command {
        TopCommand::Nodes(a) => nodes(client, a).await,
        TopCommand::Pods(a) => pods(client, a).await,
    }
}

/// CPU in thousandths of a core, memory in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Use {
    cpu: i64,
    memory: i64,
}

impl Use {
    fn of(resources: &Value) -> Use {
        let read = |name: &str| resources[name].as_str().and_then(|text| text.parse::<Quantity>().ok()).unwrap_or(Quantity::ZERO);
        Use { cpu: read("cpu").millis(), memory: read("memory").units() }
    }

    fn plus(self, other: Use) -> Use {
        Use { cpu: self.cpu.saturating_add(other.cpu), memory: self.memory.saturating_add(other.memory) }
    }

    fn mebibytes(self) -> i64 {
        self.memory >> 20
    }
}

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

fn share(used: i64, of: i64) -> String {
    if of > 0 { format!("{}%", i128::from(used) * 100 / i128::from(of)) } else { "<unknown>".into() }
}

async fn measured(client: &Client, collection: &str, args: &TopArgs) -> Result<Vec<Value>> {
    let list = match (&args.name, &args.selector) {
        (Some(name), _) => vec![client.get(&format!("{collection}/{}", encode(name))).await?],
        (None, selector) => {
            let query: Vec<(&str, &str)> = selector.iter().map(|s| ("labelSelector", s.as_str())).collect();
            let mut list = client.get(&with_query(collection, &query)).await?;
            list["items"].as_array_mut().map(std::mem::take).unwrap_or_default()
        }
    };
    match args.sort_by.as_deref() {
        None | Some("cpu" | "memory") => Ok(list),
        Some(other) => Err(ClientError::usage(format!("--sort-by takes cpu or memory, not {other:?}"))),
    }
}

/// The greatest first where that was asked for, else by name.
fn sort<T>(rows: &mut [T], by: Option<&str>, key: impl Fn(&T) -> (String, Use)) {
    rows.sort_by_cached_key(|row| {
        let (name, used) = key(row);
        let first = match by {
            Some("cpu") => -used.cpu,
            Some("memory") => -used.memory,
            _ => 0,
        };
        (first, name)
    });
}

async fn nodes(client: &Client, args: TopArgs) -> Result<()> {
    let mut list = measured(client, &format!("{METRICS}/nodes"), &args).await?;
    let known = items(client, resources::path(&NODE, "", "")).await;
    sort(&mut list, args.sort_by.as_deref(), |node| (name(node).to_string(), Use::of(&node["usage"])));
    let mut text = header(&args, "NAME\tCPU(cores)\tCPU(%)\tMEMORY(bytes)\tMEMORY(%)\t\n");
    for node in &list {
        let used = Use::of(&node["usage"]);
        let all =
            known.iter().find(|known| name(known) == name(node)).map(|node| Use::of(&node["status"]["allocatable"])).unwrap_or_default();
        let (cpu, memory) = (share(used.cpu, all.cpu), share(used.memory, all.memory));
        text.push_str(&format!("{}\t{}m\t{cpu}\t{}Mi\t{memory}\t\n", name(node), used.cpu, used.mebibytes()));
    }
    show(&list, &text)
}

fn header(args: &TopArgs, line: &str) -> String {
    if args.no_headers { String::new() } else { line.to_string() }
}

fn show(list: &[Value], text: &str) -> Result<()> {
    if list.is_empty() {
        return Err(ClientError::usage("metrics not available yet"));
    }
    print(&align(text, COLUMNS))
}

async fn pods(client: &Client, args: TopArgs) -> Result<()> {
    let namespace = &client.target.namespace;
    let collection =
        if args.all_namespaces { format!("{METRICS}/pods") } else { format!("{METRICS}/namespaces/{}/pods", encode(namespace)) };
    let mut list = measured(client, &collection, &args).await?;
    if list.is_empty() {
        let place = if args.all_namespaces { String::new() } else { format!(" in {namespace} namespace") };
        eprintln!("No resources found{place}.");
        return Ok(());
    }
    let containers = |pod: &Value| pod["containers"].as_array().cloned().unwrap_or_default();
    let whole = |pod: &Value| containers(pod).iter().fold(Use::default(), |sum, c| sum.plus(Use::of(&c["usage"])));
    let place = |pod: &Value| pod["metadata"]["namespace"].as_str().unwrap_or_default().to_string();
    sort(&mut list, args.sort_by.as_deref(), |pod| (format!("{}/{}", place(pod), name(pod)), whole(pod)));
    let first = if args.all_namespaces { "NAMESPACE\t" } else { "" };
    let columns = if args.containers { "POD\tNAME\tCPU(cores)\tMEMORY(bytes)\t\n" } else { "NAME\tCPU(cores)\tMEMORY(bytes)\t\n" };
    let mut text = header(&args, &format!("{first}{columns}"));
    for pod in &list {
        let first = if args.all_namespaces { format!("{}\t", place(pod)) } else { String::new() };
        let mut row = |what: &str, used: Use| text.push_str(&format!("{first}{what}\t{}m\t{}Mi\t\n", used.cpu, used.mebibytes()));
        if args.containers {
            let mut each = containers(pod);
            each.sort_by_cached_key(|c| c["name"].as_str().unwrap_or_default().to_string());
            each.iter().for_each(|c| row(&format!("{}\t{}", name(pod), c["name"].as_str().unwrap_or_default()), Use::of(&c["usage"])));
        } else {
            row(name(pod), whole(pod));
        }
    }
    show(&list, &text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn usage_is_read_as_kubectl_shows_it() {
        let used = Use::of(&json!({"cpu": "1234567n", "memory": "20500Ki"}));
        assert_eq!((used.cpu, used.mebibytes()), (2, 20));
        assert_eq!(share(used.cpu, 2000), "0%");
        assert_eq!(share(1500, 2000), "75%");
        assert_eq!(share(1, 0), "<unknown>");
    }
}
