//! Tokens of service accounts: POST `serviceaccounts/NAME/token`, and what others need to verify them.
use super::Call;
use super::subresources::action_body;
use crate::app::App;
use crate::authn::tokens::{AUDIENCES, Bound, Claims, ISSUER, Reference};
use crate::respond::{self, Response};
use crate::router::Resource;
use http::{Method, StatusCode};
use registry::AccessRequest;
use serde_json::{Value, json};
use shared::kinds;
use shared::status::{FieldError, Status};

const SECONDS_DEFAULT: i64 = 3600;
const SECONDS_MIN: i64 = 600;
/// As Kubernetes' kubelets ask for at most: a year.
const SECONDS_MAX: i64 = 365 * 24 * 3600;

/// Signs a token for an account.
pub async fn request(mut call: Call, target: Resource) -> Result<Response, Status> {
    if *call.method() != Method::POST {
        return Err(respond::method_not_allowed());
    }
    let mut value = action_body(&mut call, "TokenRequest").await?;
    let (namespace, name) = (target.namespace.clone().unwrap_or_default(), target.name.clone().unwrap_or_default());
    let allowed = AccessRequest::resource("create", target.kind, Some(&namespace), &name, "token");
    call.app.registry.authorise(&call.caller, &allowed)?;
    let account = call.app.registry.get(&call.app.myself, &kinds::SERVICE_ACCOUNT, Some(&namespace), &name)?;
    let account = Reference { name: name.clone(), uid: account.index().meta.uid.clone() };

    let seconds = value.pointer("/spec/expirationSeconds").and_then(Value::as_i64).unwrap_or(SECONDS_DEFAULT);
    if !(SECONDS_MIN..=1 << 32).contains(&seconds) {
        let error = FieldError::invalid("spec.expirationSeconds", seconds, "may not specify a duration less than 10 minutes");
        return Err(invalid(error));
    }
    let bound = bound(&call.app, &namespace, account, value.pointer("/spec/boundObjectRef"))?;
    let pod = bound.pod.as_ref().and_then(|p| call.app.registry.get(&call.app.myself, &kinds::POD, Some(&namespace), &p.name).ok());
    registry::node_access::token_for_own_pod(&call.caller, pod.as_ref())?;
    let audiences: Vec<String> = value
        .pointer("/spec/audiences")
        .and_then(Value::as_array)
        .map(|a| a.iter().filter_map(Value::as_str).map(str::to_string).collect())
        .unwrap_or_default();
    let audiences = if audiences.is_empty() { AUDIENCES.iter().map(ToString::to_string).collect() } else { audiences };
    let (token, expires) = issue(&call.app, bound, audiences.clone(), seconds.min(SECONDS_MAX))?;

    value["kind"] = json!("TokenRequest");
    value["apiVersion"] = json!("authentication.k8s.io/v1");
    value["metadata"] = json!({"name": name, "namespace": namespace, "creationTimestamp": jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()});
    value["spec"]["audiences"] = json!(audiences);
    value["spec"]["expirationSeconds"] = json!(seconds);
    value["status"] = json!({"token": token, "expirationTimestamp": expires});
    Ok(respond::json_value(StatusCode::CREATED, &value))
}

/// A token and when it expires.
pub fn issue(app: &App, bound: Bound, aud: Vec<String>, seconds: i64) -> Result<(String, String), Status> {
    let now = jiff::Timestamp::now().as_second();
    let claims = Claims {
        aud,
        exp: now + seconds,
        iat: now,
        nbf: now,
        iss: ISSUER.into(),
        jti: uuid::Uuid::new_v4().to_string(),
        sub: format!("system:serviceaccount:{}:{}", bound.namespace, bound.serviceaccount.name),
        bound,
    };
    let token = app.tokens.sign(&claims).map_err(Status::internal)?;
    let expires = jiff::Timestamp::from_second(claims.exp).map_err(|e| Status::internal(e.to_string()))?;
    Ok((token, expires.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()))
}

/// What the token dies with: the account, and the pod or secret that was named.
fn bound(app: &App, namespace: &str, serviceaccount: Reference, object: Option<&Value>) -> Result<Bound, Status> {
    let mut bound = Bound { namespace: namespace.into(), serviceaccount, ..Bound::default() };
    let Some(object) = object.filter(|o| !o.is_null()) else { return Ok(bound) };
    let text = |name: &str| object.get(name).and_then(Value::as_str).unwrap_or_default();
    let find = |kind| -> Result<Reference, Status> {
        let found = app.registry.get(&app.myself, kind, Some(namespace), text("name"))?;
        let uid = found.index().meta.uid.clone();
        if !text("uid").is_empty() && text("uid") != uid {
            let why = format!(
                "the UID in the bound object reference ({}) does not match the UID in record. The object might have been deleted and then recreated",
                text("uid")
            );
            return Err(Status::conflict(kind, text("name"), &why));
        }
        Ok(Reference { name: text("name").into(), uid })
    };
    match (text("apiVersion"), text("kind")) {
        ("v1", "Pod") => {
            let pod = app.registry.get(&app.myself, &kinds::POD, Some(namespace), text("name"))?.value();
            let account = pod.pointer("/spec/serviceAccountName").and_then(Value::as_str).unwrap_or_default();
            if account != bound.serviceaccount.name {
                let error = FieldError::invalid("spec.boundObjectRef", text("name"), "the pod runs under another service account");
                return Err(invalid(error));
            }
            bound.pod = Some(find(&kinds::POD)?);
        }
        ("v1", "Secret") => bound.secret = Some(find(&kinds::SECRET)?),
        (version, kind) => {
            let error = FieldError::invalid("spec.boundObjectRef", format!("{version}, Kind={kind}"), "cannot bind token to this kind");
            return Err(invalid(error));
        }
    }
    Ok(bound)
}

fn invalid(error: FieldError) -> Status {
    let mut status = Status::invalid(&kinds::TOKEN_REVIEW, "", &[error]);
    status.message = status.message.replace("TokenReview", "TokenRequest");
    status
}

/// `/.well-known/openid-configuration`
pub fn openid_configuration(app: &App) -> Value {
    json!({
        "issuer": ISSUER,
        "jwks_uri": format!("{}/openid/v1/jwks", app.public_url),
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
    })
}
