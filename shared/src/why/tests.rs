//! Each trouble that a person meets, as the objects show it, and the words for it.
use super::*;
use crate::kinds;
use serde_json::json;

fn pod(status: Value) -> Value {
    json!({"metadata":{"name":"p","uid":"u1","labels":{"app":"web"}},"spec":{"nodeName":"master","restartPolicy":"Always",
        "containers":[{"name":"c","image":"i"}]},"status":status})
}

fn waiting(reason: &str, message: &str) -> Value {
    pod(json!({"phase":"Pending","containerStatuses":[{"name":"c","image":"web:9","restartCount":3,
        "state":{"waiting":{"reason":reason,"message":message}},
        "lastState":{"terminated":{"exitCode":3,"finishedAt":"2026-01-01T10:00:00Z","message":"no\nconfig"}}}]}))
}

fn ready() -> Value {
    pod(json!({"phase":"Running","conditions":[{"type":"Ready","status":"True"}],
        "containerStatuses":[{"name":"c","ready":true,"restartCount":1,"state":{"running":{}}}]}))
}

fn event(reason: &str, message: &str, at: &str) -> Value {
    json!({"type":"Warning","reason":reason,"message":message,"lastTimestamp":at,"involvedObject":{"name":"p","uid":"u1"}})
}

fn say(kind: &Kind, object: &Value, around: &Around<'_>) -> String {
    explain(kind, object, around).to_string()
}

#[test]
fn a_pod_that_is_well_is_called_well() {
    let why = explain(&kinds::POD, &ready(), &Around::default());
    assert!(why.healthy && why.chain.is_empty());
    assert_eq!(why.sentence, "pod p is well: running and ready on node master (after 1 restart)");
    let done = pod(json!({"phase":"Succeeded"}));
    assert!(explain(&kinds::POD, &done, &Around::default()).healthy);
}

#[test]
fn an_image_that_is_missing() {
    let pod = waiting("ImagePullBackOff", "image \"web:9\" is not present on this node and cannot be pulled: no route to host");
    assert_eq!(
        say(&kinds::POD, &pod, &Around::default()),
        "pod p does not run: container c has no image \"web:9\"\n  because image \"web:9\" is not present on this node and cannot be pulled: no route to host\n    because pulling it failed before and is tried again after a pause\n"
    );
}

#[test]
fn a_container_that_keeps_ending_is_tried_again_at_a_time() {
    let pod = waiting("CrashLoopBackOff", "back-off 40s restarting failed container=c pod=p_hack(u1)");
    assert_eq!(
        say(&kinds::POD, &pod, &Around::default()),
        "pod p does not run: container c keeps ending, and is tried again at 10:00:40 UTC\n  because container c ended with exit code 3: no config\n    because it was started 4 times before\n"
    );
    let longer = waiting("CrashLoopBackOff", "back-off 2m40s restarting failed container=c");
    assert!(say(&kinds::POD, &longer, &Around::default()).contains("10:02:40 UTC"));
    let odd = waiting("CrashLoopBackOff", "no number here");
    assert!(say(&kinds::POD, &odd, &Around::default()).contains("after a pause"));
}

#[test]
fn a_node_that_refused_and_why() {
    let message = "0/2 nodes are available: 1 insufficient cpu, 1 node(s) had taints. a: insufficient cpu (wants 4, has 2); b: had taint x";
    let mut pending = pod(json!({"phase":"Pending","conditions":[{"type":"PodScheduled","status":"False","message":message}]}));
    pending["spec"]["nodeName"] = json!("");
    let why = explain(&kinds::POD, &pending, &Around::default());
    assert_eq!(why.sentence, "pod p waits for a node");
    assert_eq!(why.chain[0], "0/2 nodes are available: 1 insufficient cpu, 1 node(s) had taints");
    assert!(why.chain[1].starts_with("node a refused: insufficient cpu"), "{:?}", why.chain);
    assert!(why.chain[2].starts_with("node b refused: had taint x"), "{:?}", why.chain);
    pending["status"]["conditions"] = json!([]);
    let events = [event("FailedScheduling", "old", "1"), event("FailedScheduling", "0/0 nodes are available: no node has joined", "2")];
    let why = explain(&kinds::POD, &pending, &Around { events: &events, ..Around::default() });
    assert_eq!(why.chain, ["0/0 nodes are available: no node has joined"]);
}

#[test]
fn a_probe_that_fails_with_what_it_said() {
    let mut running = ready();
    running["status"]["conditions"][0]["status"] = json!("False");
    running["status"]["containerStatuses"][0]["ready"] = json!(false);
    let events = [event("Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 503\n", "1")];
    let why = explain(&kinds::POD, &running, &Around { events: &events, ..Around::default() });
    assert_eq!(why.sentence, "pod p runs and is not ready: container c does not answer its probe");
    assert_eq!(why.chain, ["Readiness probe failed: HTTP probe failed with statuscode: 503"]);
    // The event of another pod of the same name that is gone does not count.
    let mut other = events[0].clone();
    other["involvedObject"]["uid"] = json!("u0");
    let why = explain(&kinds::POD, &running, &Around { events: &[other], ..Around::default() });
    assert_eq!(why.chain, ["its readiness probe has not succeeded yet"]);
}

#[test]
fn a_pod_whose_image_is_on_its_way_says_so() {
    let coming = waiting("ContainerCreating", "");
    let mut pulling = event("Pulling", "Pulling image \"web:9\"", "2");
    pulling["type"] = json!("Normal");
    let events = [event("Failed", "older trouble", "1"), pulling];
    let why = explain(&kinds::POD, &coming, &Around { events: &events, ..Around::default() });
    assert_eq!(why.chain, ["Pulling image \"web:9\""]);
}

#[test]
fn a_pod_that_failed_and_one_that_is_going() {
    let mut failed =
        pod(json!({"phase":"Failed","containerStatuses":[{"name":"c","state":{"terminated":{"exitCode":137,"reason":"OOMKilled"}}}]}));
    failed["spec"]["restartPolicy"] = json!("Never");
    let why = explain(&kinds::POD, &failed, &Around::default());
    assert_eq!(why.chain[0], "container c was killed because it used more memory than its limit");
    assert!(why.chain[1].contains("Never"));
    let mut going = ready();
    going["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    going["metadata"]["finalizers"] = json!(["example.com/wait"]);
    assert!(explain(&kinds::POD, &going, &Around::default()).chain[0].contains("example.com/wait"));
}

#[test]
fn a_node_that_is_lost_takes_its_pods_along() {
    let node = json!({"metadata":{"name":"master"},"status":{"conditions":[{"type":"Ready","status":"Unknown","lastHeartbeatTime":"T","message":"Kubelet stopped posting node status."}]}});
    let why = explain(&kinds::POD, &ready(), &Around { nodes: std::slice::from_ref(&node), ..Around::default() });
    assert!(!why.healthy && why.chain == ["Kubelet stopped posting node status"], "{why:?}");
    assert_eq!(explain(&kinds::NODE, &node, &Around::default()).chain[0], "it has not been heard of since T");
}

#[test]
fn a_controller_stopped_by_a_quota_says_which() {
    let rc = json!({"metadata":{"name":"c","uid":"r"},"spec":{"replicas":3},"status":{"replicas":2,"readyReplicas":2}});
    let quota = json!({"metadata":{"name":"small"},"status":{"hard":{"pods":"2","memory":"1Gi"},"used":{"pods":"2","memory":"512Mi"}}});
    let mut denied = event("FailedCreate", "Error creating: pods \"c-x\" is forbidden: exceeded quota: small", "1");
    denied["involvedObject"] = json!({"name":"c","uid":"r"});
    let around = Around { quotas: std::slice::from_ref(&quota), events: std::slice::from_ref(&denied), ..Around::default() };
    let why = explain(&kinds::REPLICATION_CONTROLLER, &rc, &around);
    assert_eq!(why.sentence, "replication controller c has 2 of 3 pods ready");
    assert_eq!(why.chain[0], "1 pod could not be made yet");
    assert!(why.chain[1].contains("exceeded quota"));
    assert_eq!(why.chain[2], "quota small is used up: 2 of 2 pods");
    assert_eq!(why.chain.len(), 3);
    assert!(!explain(&kinds::RESOURCE_QUOTA, &quota, &Around::default()).healthy);
}

#[test]
fn a_controller_is_as_well_as_its_pods() {
    let mut sick = waiting("ErrImagePull", "gone");
    sick["metadata"]["ownerReferences"] = json!([{"controller":true,"name":"c"}]);
    let rc = json!({"metadata":{"name":"c"},"spec":{"replicas":1},"status":{"replicas":1,"readyReplicas":0}});
    let why = explain(&kinds::REPLICATION_CONTROLLER, &rc, &Around { pods: std::slice::from_ref(&sick), ..Around::default() });
    assert_eq!(why.chain, ["pod p does not run: container c has no image \"web:9\"", "gone"]);
    let well = json!({"metadata":{"name":"c"},"spec":{"replicas":0},"status":{"replicas":0}});
    assert!(explain(&kinds::REPLICATION_CONTROLLER, &well, &Around::default()).healthy);
}

#[test]
fn a_service_that_leads_nowhere() {
    let service = |selector: Value| json!({"metadata":{"name":"s"},"spec":{"selector":selector,"ports":[{"port":80,"targetPort":"http"}]}});
    let pods = [ready()];
    let around = Around { pods: &pods, ..Around::default() };
    let why = explain(&kinds::SERVICE, &service(json!({"app":"wep"})), &around);
    assert_eq!(why.chain, ["no pod matches its selector app=wep", "the nearest, pod p, has the labels app=web"]);
    let why = explain(&kinds::SERVICE, &service(json!({"app":"web"})), &around);
    assert_eq!(why.chain, ["no container of its pods has a port named \"http\""]);
    let sick = [waiting("ErrImagePull", "gone")];
    let why = explain(&kinds::SERVICE, &service(json!({"app":"web"})), &Around { pods: &sick, ..Around::default() });
    assert_eq!(why.chain[0], "its selector app=web matches 1 pod");
    assert_eq!(why.chain.last().map(String::as_str), Some("gone"));
    assert!(explain(&kinds::SERVICE, &service(Value::Null), &around).healthy);
}

#[test]
fn nonsense_is_explained_without_an_accident() {
    for kind in kinds::KINDS {
        for object in [json!(null), json!({}), json!({"status":7,"spec":[1],"metadata":"x"}), json!({"status":{"conditions":[null,3]}})] {
            assert!(!explain(kind, &object, &Around::default()).sentence.is_empty());
        }
    }
}
