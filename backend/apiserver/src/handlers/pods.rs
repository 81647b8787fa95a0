//! What a running pod answers: its log, and streams into its containers.
use super::Call;
use crate::query::Query;
use crate::respond::{self, Response};
use crate::router::Resource;
use crate::stream;
use crate::streams::{LogRequest, Target};
use axum::body::Body;
use futures::StreamExt;
use http::{Method, StatusCode};
use registry::AccessRequest;
use serde_json::Value;
use shared::kinds;
use shared::objects::pod::Pod;
use shared::status::{FieldError, Status};

/// Which container a command or log means when the pod has several.
const DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";

/// `log`, `exec`, `attach`, `portforward`.
pub async fn serve(call: Call, target: Resource) -> Result<Response, Status> {
    if *target.kind != kinds::POD {
        return Err(respond::unknown_path());
    }
    let query = call.query()?;
    let verb = match (target.subresource.as_str(), call.method()) {
        ("log", &Method::GET | &Method::HEAD) => "get",
        // Whoever may only read must not run commands, whatever the method of the handshake.
        ("exec" | "attach" | "portforward", &Method::GET | &Method::POST) => "create",
        ("log" | "exec" | "attach" | "portforward", _) => return Err(respond::method_not_allowed()),
        _ => return Err(respond::unknown_path()),
    };
    let (namespace, name) = (target.namespace.clone().unwrap_or_default(), target.name.clone().unwrap_or_default());
    let request = AccessRequest::resource(verb, target.kind, Some(&namespace), &name, &target.subresource);
    call.app.registry.authorise(&call.caller, &request)?;
    let pod: Pod = call.app.registry.get(&call.app.myself, &kinds::POD, Some(&namespace), &name)?.view();
    match target.subresource.as_str() {
        "log" => log(&call, &pod, &query).await,
        "exec" | "attach" => {
            let attach = target.subresource == "attach";
            stream::remote_command(call, &query, target_of(&pod, query.text("container"))?, attach).await
        }
        _ => {
            let first = pod.spec.containers.first().map(|c| c.name.clone()).unwrap_or_default();
            stream::port_forward(call, &query, target_of(&pod, &first)?).await
        }
    }
}

/// Where a container runs; an empty name means the only one, or the one that the pod's annotation names.
pub(super) fn target_of(pod: &Pod, container: &str) -> Result<Target, Status> {
    let meta = &pod.metadata;
    let all: Vec<&str> = pod.spec.containers.iter().chain(&pod.spec.init_containers).map(|c| c.name.as_str()).collect();
    let default = meta.annotations.get(DEFAULT_CONTAINER).map(String::as_str).filter(|d| all.contains(d));
    let container = match (container, default, pod.spec.containers.as_slice()) {
        ("", Some(default), _) => default,
        ("", None, [only]) => only.name.as_str(),
        ("", None, several) => {
            let names: Vec<&str> = several.iter().map(|c| c.name.as_str()).collect();
            let text = format!("a container name must be specified for pod {}, choose one of: [{}]", meta.name, names.join(" "));
            return Err(Status::bad_request(text));
        }
        (named, _, _) => named,
    };
    if !all.contains(&container) {
        return Err(Status::bad_request(format!("container {container} is not valid for pod {}", meta.name)));
    }
    if pod.spec.node_name.is_empty() {
        return Err(Status::bad_request(format!("pod {} does not have a host assigned", meta.name)));
    }
    Ok(Target {
        node: pod.spec.node_name.clone(),
        namespace: meta.namespace.clone(),
        pod: meta.name.clone(),
        uid: meta.uid.clone(),
        container: container.into(),
    })
}

fn log_request(query: &Query) -> Result<LogRequest, Status> {
    let positive = |name: &str, least: i64| match query.number(name)? {
        Some(n) if n < least => {
            let error = FieldError::invalid(name, n, format!("must be greater than or equal to {least}"));
            Err(Status::invalid(&kinds::POD, "", &[error]))
        }
        other => Ok(other),
    };
    let since = match (positive("sinceSeconds", 1)?, query.text("sinceTime")) {
        (Some(_), time) if !time.is_empty() => {
            return Err(Status::bad_request("at most one of `sinceTime` or `sinceSeconds` may be specified"));
        }
        (Some(seconds), _) => Some(jiff::Timestamp::now().as_second() - seconds),
        (None, "") => None,
        (None, time) => Some(time.parse::<jiff::Timestamp>().map_err(|e| Status::bad_request(format!("sinceTime: {e}")))?.as_second()),
    };
    Ok(LogRequest {
        follow: query.flag("follow")?,
        previous: query.flag("previous")?,
        tail_lines: positive("tailLines", 0)?.map(i64::unsigned_abs),
        since,
        timestamps: query.flag("timestamps")?,
        limit_bytes: positive("limitBytes", 1)?.map(i64::unsigned_abs),
    })
}

async fn log(call: &Call, pod: &Pod, query: &Query) -> Result<Response, Status> {
    let request = log_request(query)?;
    let target = target_of(pod, query.text("container"))?;
    if let Some(why) = not_started(pod, &target.container, request.previous) {
        return Err(Status::bad_request(why));
    }
    let stream = call.app.streams.logs(&target, &request).await?;
    let stop = call.app.stop.clone();
    // An error in mid-stream can only be told by breaking off; headers are long gone.
    let bytes = stream.take_until(stop.cancelled_owned()).map(|chunk| chunk.map_err(|status| std::io::Error::other(status.message)));
    Ok(respond::text(StatusCode::OK, Body::from_stream(bytes)))
}

/// Why there can be no log yet.
fn not_started(pod: &Pod, container: &str, previous: bool) -> Option<String> {
    let status: Value = serde_json::to_value(&pod.status).unwrap_or_default();
    let all = ["containerStatuses", "initContainerStatuses"].into_iter().filter_map(|list| status.get(list)?.as_array());
    let found = all.flatten().find(|c| c.get("name").and_then(Value::as_str) == Some(container))?;
    let name = &pod.metadata.name;
    if previous {
        let none = found.pointer("/lastState/terminated").is_none();
        return none.then(|| format!("previous terminated container \"{container}\" in pod \"{name}\" not found"));
    }
    let reason = found.pointer("/state/waiting/reason")?.as_str()?;
    let ran_before = found.pointer("/lastState/terminated").is_some() || found.get("restartCount").and_then(Value::as_i64) > Some(0);
    let text = match reason {
        "ImagePullBackOff" | "ErrImagePull" | "InvalidImageName" => "trying and failing to pull image".to_string(),
        other => other.to_string(),
    };
    (!ran_before).then(|| format!("container \"{container}\" in pod \"{name}\" is waiting to start: {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(value: Value) -> Pod {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn the_container_is_found_or_asked_for() {
        let two = pod(json!({"metadata": {"name": "p"}, "spec": {"nodeName": "n", "containers": [{"name": "a"}, {"name": "b"}]}}));
        assert_eq!(target_of(&two, "b").unwrap().container, "b");
        assert!(target_of(&two, "").unwrap_err().message.contains("choose one of: [a b]"));
        assert!(target_of(&two, "c").unwrap_err().message.contains("container c is not valid for pod p"));
        let annotated = pod(
            json!({"metadata": {"name": "p", "annotations": {DEFAULT_CONTAINER: "b"}}, "spec": {"nodeName": "n", "containers": [{"name": "a"}, {"name": "b"}]}}),
        );
        assert_eq!(target_of(&annotated, "").unwrap().container, "b");
        let pending = pod(json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "a"}]}}));
        assert!(target_of(&pending, "").unwrap_err().message.contains("does not have a host assigned"));
    }

    #[test]
    fn a_waiting_container_says_why_it_has_no_log() {
        let waiting = pod(
            json!({"metadata": {"name": "p"}, "status": {"containerStatuses": [{"name": "a", "state": {"waiting": {"reason": "ContainerCreating"}}}]}}),
        );
        assert_eq!(not_started(&waiting, "a", false).unwrap(), "container \"a\" in pod \"p\" is waiting to start: ContainerCreating");
    }
}
