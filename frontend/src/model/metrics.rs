//! CPU and memory over the last minutes, as numbers for people and as lines to draw.
use serde_json::Value;
use shared::quantity::Quantity;
use std::collections::VecDeque;

/// Samples that are kept.
pub const SAMPLES_MAX: usize = 60;
/// The drawing's own units.
pub const WIDTH: f64 = 240.0;
pub const HEIGHT: f64 = 48.0;

/// What one moment was.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sample {
    /// When the node measured, as it wrote it.
    pub at: String,
    /// Thousandths of a core.
    pub cpu: i64,
    /// Bytes.
    pub memory: i64,
}

/// The sum over the containers of a PodMetrics, or a NodeMetrics' own usage.
pub fn sample(object: &Value) -> Option<Sample> {
    let amount = |v: &Value| v.as_str().and_then(|t| t.parse::<Quantity>().ok()).unwrap_or(Quantity::ZERO);
    let usages: Vec<&Value> = match object["containers"].as_array() {
        Some(containers) => containers.iter().map(|c| &c["usage"]).collect(),
        None => vec![object.get("usage")?],
    };
    Some(Sample {
        at: object["timestamp"].as_str().unwrap_or_default().to_string(),
        cpu: usages.iter().map(|u| amount(&u["cpu"]).millis()).sum(),
        memory: usages.iter().map(|u| amount(&u["memory"]).units()).sum(),
    })
}

/// Adds a sample unless the node has not measured since the last one.
pub fn push(samples: &mut VecDeque<Sample>, new: Sample) {
    if samples.back().is_some_and(|last| last.at == new.at && !new.at.is_empty()) {
        return;
    }
    samples.push_back(new);
    while samples.len() > SAMPLES_MAX {
        samples.pop_front();
    }
}

/// The points of a polyline, newest at the right edge; from zero to the highest value.
pub fn points(values: &[i64]) -> String {
    let top = values.iter().copied().max().unwrap_or(0).max(1) as f64;
    let step = WIDTH / (SAMPLES_MAX - 1) as f64;
    let first = SAMPLES_MAX.saturating_sub(values.len());
    let point = |(i, v): (usize, &i64)| format!("{:.1},{:.1}", (first + i) as f64 * step, HEIGHT - 2.0 - *v as f64 / top * (HEIGHT - 6.0));
    values.iter().enumerate().map(point).collect::<Vec<_>>().join(" ")
}

/// `250 m` of a core, or `1.25 cores`.
pub fn cpu(millis: i64) -> String {
    if millis < 1000 { format!("{millis} millicores") } else { format!("{:.2} cores", millis as f64 / 1000.0) }
}

/// `12.4 MiB`.
pub fn bytes(n: i64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if n < 1024 {
        return format!("{n} bytes");
    }
    let (mut value, mut unit) = (n as f64 / 1024.0, 0);
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        (value, unit) = (value / 1024.0, unit + 1);
    }
    format!("{value:.1} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn containers_are_added_up() {
        let metrics = json!({"timestamp": "t", "containers": [
            {"usage": {"cpu": "1500000n", "memory": "1Mi"}}, {"usage": {"cpu": "3m", "memory": "512Ki"}}]});
        assert_eq!(sample(&metrics), Some(Sample { at: "t".into(), cpu: 5, memory: 1_572_864 }));
        assert_eq!(sample(&json!({})), None);
    }

    #[test]
    fn the_newest_value_is_at_the_right_edge() {
        assert_eq!(points(&[0, 10]), format!("{:.1},46.0 240.0,4.0", WIDTH - WIDTH / 59.0));
        assert_eq!(points(&[]), "");
        assert_eq!((cpu(12).as_str(), cpu(1250).as_str(), bytes(13_000_000).as_str()), ("12 millicores", "1.25 cores", "12.4 MiB"));
    }

    #[test]
    fn a_node_that_did_not_measure_adds_nothing() {
        let mut all = VecDeque::new();
        for at in ["1", "1", "2"] {
            push(&mut all, Sample { at: at.into(), ..Sample::default() });
        }
        assert_eq!(all.len(), 2);
    }
}
