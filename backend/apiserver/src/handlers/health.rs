//! Liveness, readiness and the version.
use super::Call;
use crate::app::Check;
use crate::respond::{self, Response};
use http::StatusCode;
use serde_json::{Value, json};
use shared::status::Status;
use shared::version::{ARCHITECTURE, KUBERNETES, MAJOR, MINOR};

/// `/version`
pub fn version() -> Value {
    json!({
        "major": MAJOR,
        "minor": MINOR,
        "gitVersion": format!("{KUBERNETES}+openshift-{}", env!("CARGO_PKG_VERSION")),
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "none",
        "compiler": "rustc",
        "platform": format!("linux/{ARCHITECTURE}"),
    })
}

/// `/healthz`, `/livez` and `/readyz`, whole or one check. Anybody may ask.
pub fn serve(call: &Call, endpoint: &str, only: Option<&str>) -> Result<Response, Status> {
    let mut checks = vec![Check { name: "ping".into(), result: Ok(()) }];
    if endpoint == "readyz" {
        let stopping = call.app.stop.is_cancelled();
        checks.push(Check { name: "shutdown".into(), result: if stopping { Err("process is shutting down".into()) } else { Ok(()) } });
        checks.extend((call.app.readiness)());
    }
    let query = call.query()?;
    checks.retain(|c| !query.all("exclude").any(|e| e == c.name));
    if let Some(only) = only {
        checks.retain(|c| c.name == only);
        if checks.is_empty() {
            return Err(respond::unknown_path());
        }
    }
    let failed = checks.iter().any(|c| c.result.is_err());
    let verbose = query.get("verbose").is_some() || failed;
    let code = if failed { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::OK };
    if !verbose {
        return Ok(respond::text(code, "ok"));
    }
    Ok(respond::text(code, report(endpoint, &checks, failed)))
}

fn report(endpoint: &str, checks: &[Check], failed: bool) -> String {
    let mut text = String::new();
    for check in checks {
        match &check.result {
            Ok(()) => text.push_str(&format!("[+]{} ok\n", check.name)),
            Err(why) => text.push_str(&format!("[-]{} failed: {why}\n", check.name)),
        }
    }
    text.push_str(&format!("{endpoint} check {}\n", if failed { "failed" } else { "passed" }));
    text
}
