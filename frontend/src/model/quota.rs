//! Quotas as gauges, limits as lines.
use super::tone::Tone;
use serde_json::Value;
use shared::quantity::Quantity;

/// From this share on a quota is nearly used up.
const NEAR: f64 = 0.8;

/// One resource of one quota.
#[derive(Clone, Debug, PartialEq)]
pub struct Gauge {
    pub resource: String,
    pub used: String,
    pub hard: String,
    /// 0 to 1.
    pub share: f64,
    pub tone: Tone,
    pub word: &'static str,
}

/// The gauges of a ResourceQuota in the order of their names.
pub fn gauges(quota: &Value) -> Vec<Gauge> {
    let hard = quota.pointer("/status/hard").or(quota.pointer("/spec/hard")).and_then(Value::as_object);
    hard.into_iter().flatten().map(|(resource, hard)| gauge(resource, &quota["status"]["used"][resource], hard)).collect()
}

fn gauge(resource: &str, used: &Value, hard: &Value) -> Gauge {
    let amount = |v: &Value| v.as_str().and_then(|t| t.parse::<Quantity>().ok()).unwrap_or(Quantity::ZERO);
    let (used_amount, hard_amount) = (amount(used), amount(hard));
    let share = match (used_amount.millis() as f64, hard_amount.millis() as f64) {
        (_, 0.0) => 1.0,
        (used, hard) => (used / hard).clamp(0.0, 1.0),
    };
    let (tone, word) = match share {
        1.0 => (Tone::Bad, "used up"),
        s if s >= NEAR => (Tone::Busy, "nearly used up"),
        _ => (Tone::Good, "within the quota"),
    };
    Gauge { resource: resource.to_string(), used: used_amount.to_string(), hard: hard_amount.to_string(), share, tone, word }
}

/// One line of a LimitRange: `Container cpu`, and the values that are set.
#[derive(Clone, Debug, PartialEq)]
pub struct Limit {
    pub what: String,
    pub values: Vec<(&'static str, String)>,
}

/// The lines of a LimitRange.
pub fn limits(range: &Value) -> Vec<Limit> {
    const MEMBERS: [(&str, &str); 5] = [
        ("min", "at least"),
        ("max", "at most"),
        ("defaultRequest", "requested by default"),
        ("default", "limited by default to"),
        ("maxLimitRequestRatio", "limit to request at most"),
    ];
    let mut all: Vec<Limit> = vec![];
    for item in range["spec"]["limits"].as_array().into_iter().flatten() {
        for (member, word) in MEMBERS {
            for (resource, value) in item[member].as_object().into_iter().flatten() {
                let what = format!("{} {resource}", item["type"].as_str().unwrap_or_default());
                let value = (word, value.as_str().map_or_else(|| value.to_string(), str::to_string));
                match all.iter_mut().find(|l| l.what == what) {
                    Some(line) => line.values.push(value),
                    None => all.push(Limit { what, values: vec![value] }),
                }
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_gauge_warns_before_the_quota_is_used_up() {
        let quota = json!({"status": {"hard": {"cpu": "2", "memory": "1Gi", "pods": "3", "secrets": "0"},
            "used": {"cpu": "1600m", "memory": "64Mi", "pods": "3"}}});
        let seen: Vec<_> = gauges(&quota).into_iter().map(|g| (g.resource, g.used, g.hard, g.word)).collect();
        let line = |r: &str, u: &str, h: &str, w| (r.to_string(), u.to_string(), h.to_string(), w);
        assert_eq!(
            seen,
            [
                line("cpu", "1600m", "2", "nearly used up"),
                line("memory", "64Mi", "1Gi", "within the quota"),
                line("pods", "3", "3", "used up"),
                line("secrets", "0", "0", "used up"),
            ]
        );
    }

    #[test]
    fn limits_are_gathered_by_what_they_limit() {
        let range = json!({"spec": {"limits": [{"type": "Pod", "min": {"cpu": "1m"}, "max": {"cpu": "2", "memory": "1Gi"}}]}});
        let lines = limits(&range);
        assert_eq!(lines[0], Limit { what: "Pod cpu".into(), values: vec![("at least", "1m".into()), ("at most", "2".into())] });
        assert_eq!(lines[1].what, "Pod memory");
    }
}
