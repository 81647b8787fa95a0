//! How a word of status is coloured; the word itself is always shown too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    Good,
    Busy,
    Bad,
    Idle,
}

impl Tone {
    /// The class of the style sheet.
    pub fn class(self) -> &'static str {
        match self {
            Tone::Good => "status good",
            Tone::Busy => "status busy",
            Tone::Bad => "status bad",
            Tone::Idle => "status idle",
        }
    }

    /// The mark before the word, so that colour is never the only sign.
    pub fn mark(self) -> &'static str {
        match self {
            Tone::Good => "●",
            Tone::Busy => "◐",
            Tone::Bad => "▲",
            Tone::Idle => "○",
        }
    }
}

/// The tone of what the Status column of any kind says; `ready` is `1/2` where there is such a column.
pub fn of_status(status: &str, ready: Option<&str>) -> Tone {
    let all_ready = ready.and_then(|r| r.split_once('/')).is_none_or(|(a, b)| a == b);
    match status {
        "Running" if all_ready => Tone::Good,
        "Running" | "Pending" | "ContainerCreating" | "PodInitializing" | "Terminating" => Tone::Busy,
        "Active" | "Ready" | "Bound" => Tone::Good,
        "Succeeded" | "Completed" => Tone::Idle,
        s if s.starts_with("Init:") && !s.contains("Err") && !s.contains("BackOff") => Tone::Busy,
        s if s.contains("SchedulingDisabled") => Tone::Busy,
        "" | "Unknown" | "<unknown>" => Tone::Idle,
        _ => Tone::Bad,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_but_is_not_ready_is_not_green() {
        assert_eq!(of_status("Running", Some("1/1")), Tone::Good);
        assert_eq!(of_status("Running", Some("0/1")), Tone::Busy);
        assert_eq!(of_status("CrashLoopBackOff", Some("0/1")), Tone::Bad);
        assert_eq!(of_status("Completed", Some("0/1")), Tone::Idle);
        assert_eq!(of_status("Init:CrashLoopBackOff", None), Tone::Bad);
        assert_eq!(of_status("NotReady", None), Tone::Bad);
    }
}
