//! What a node does for a pod: names and hashes, environment, what to start and stop next, and what to report.
pub mod address;
pub mod hash;
pub mod plan;
pub mod resolver;
pub mod status;
pub mod values;

/// One container of a pod as the engine shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Instance {
    pub id: String,
    /// The container's name in the pod; `POD` for the infra container.
    pub container: String,
    pub image: String,
    pub image_id: String,
    pub running: bool,
    /// Hash of the specification it was made from.
    pub hash: u32,
    /// How many came before it.
    pub attempt: i32,
    /// RFC 3339, and Unix milliseconds.
    pub started_at: Option<String>,
    pub started_ms: i64,
    pub finished_at: Option<String>,
    pub finished_ms: i64,
    pub exit_code: i32,
    pub oom_killed: bool,
    /// What the container left in its termination message file.
    pub message: String,
}

/// What probes have found out about a running container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Probed {
    /// The startup probe has succeeded, or there is none.
    pub started: bool,
    /// The readiness probe succeeds, or there is none.
    pub ready: bool,
}
