//! Who owns which fields of an object: what `managedFields` says after a write, and server-side apply.
use crate::clock;
use crate::options::WriteOptions;
use schema::ssa::{self, ApplyError, Writer};
use serde_json::Value;
use shared::kinds::Kind;
use shared::status::{Cause, Reason, Status};

/// The object that server-side apply makes of the live one, owners noted.
pub(crate) fn apply(
    kind: &Kind,
    live: Option<&Value>,
    applied: &Value,
    subresource: &str,
    options: &WriteOptions,
) -> Result<Value, Status> {
    let now = clock::now_text();
    let writer = Writer { manager: options.field_manager.as_deref().unwrap_or_default(), subresource, now: &now };
    ssa::apply(kind, live, applied, &writer, options.force).map_err(|error| match error {
        ApplyError::Invalid(why) => Status::bad_request(why),
        ApplyError::Conflict { message, conflicts } => {
            let cause = |c: ssa::Conflict| Cause { reason: "FieldManagerConflict".into(), message: c.message, field: c.field };
            Status::failure(409, Reason::Conflict, message).with_causes(conflicts.into_iter().map(cause).collect())
        }
    })
}

/// Notes what a create, update or patch changed. The server's own loops name no manager: what they write stays small.
pub(crate) fn note(kind: &Kind, live: Option<&Value>, new: &mut Value, subresource: &str, options: &WriteOptions) {
    if let Some(manager) = &options.field_manager {
        ssa::update(kind, live, new, &Writer { manager, subresource, now: &clock::now_text() });
    }
}

#[cfg(test)]
mod tests {
    use crate::caller::Caller;
    use crate::options::{Patch, WriteOptions};
    use crate::{Config, Registry};
    use serde_json::{Value, json};
    use shared::kinds::{CONFIG_MAP, NAMESPACE};
    use std::sync::Arc;
    use store::memory::MemoryStore;

    fn by(manager: &str, force: bool) -> WriteOptions {
        WriteOptions { field_manager: Some(manager.into()), force, ..WriteOptions::default() }
    }

    fn map(data: Value) -> Value {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": data})
    }

    #[tokio::test]
    async fn appliers_share_an_object_until_they_disagree() {
        let registry = Registry::new(Arc::new(MemoryStore::new()), Config::default());
        let caller = Caller::system("test");
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}});
        registry.create(&caller, &NAMESPACE, None, namespace, &WriteOptions::default()).await.unwrap();
        let apply = async |data: Value, options: WriteOptions| {
            let written = registry.patch(&caller, &CONFIG_MAP, Some("n"), "m", "", Patch::Apply(map(data)), &options).await;
            written.map(|w| w.object.value())
        };
        let created = apply(json!({"a": "1", "b": "1"}), by("one", false)).await.unwrap();
        assert_eq!(created["metadata"]["managedFields"][0]["fieldsV1"], json!({"f:data": {"f:a": {}, "f:b": {}}}));
        let again = apply(json!({"a": "1", "b": "1"}), by("one", false)).await.unwrap();
        assert_eq!(again, created, "applying the same again writes nothing");

        let refused = apply(json!({"b": "2"}), by("two", false)).await.unwrap_err();
        assert_eq!((refused.code, refused.details.unwrap().causes[0].field.as_str()), (409, ".data.b"));
        apply(json!({"b": "2"}), by("two", true)).await.unwrap();
        let left = apply(json!({}), by("one", false)).await.unwrap();
        assert_eq!(left["data"], json!({"b": "2"}));

        let merge = Patch::Merge(json!({"data": {"c": "3"}}));
        let patched =
            registry.patch(&caller, &CONFIG_MAP, Some("n"), "m", "", merge, &by("kubectl-patch", false)).await.unwrap().object.value();
        let owner = patched["metadata"]["managedFields"].as_array().unwrap().iter().find(|e| e["manager"] == "kubectl-patch").unwrap();
        assert_eq!((&owner["operation"], &owner["fieldsV1"]), (&json!("Update"), &json!({"f:data": {"f:c": {}}})));
    }
}
