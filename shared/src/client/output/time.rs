//! Times as people read them: RFC 1123 in UTC, and ages like `5m`.
use jiff::Timestamp;

/// `Mon, 23 Nov 2026 14:44:26 +0000`; the text itself if it is no time.
pub fn rfc1123(text: &str) -> String {
    match text.parse::<Timestamp>() {
        Ok(t) => t.strftime("%a, %d %b %Y %H:%M:%S +0000").to_string(),
        Err(_) => text.to_string(),
    }
}

/// `2026-11-23 14:44:25 +0000 UTC`
pub fn plain(text: &str) -> String {
    match text.parse::<Timestamp>() {
        Ok(t) => t.strftime("%Y-%m-%d %H:%M:%S +0000 UTC").to_string(),
        Err(_) => text.to_string(),
    }
}

/// How long ago, in the two largest units that matter.
pub fn age(text: &str, now: Timestamp) -> String {
    let Ok(then) = text.parse::<Timestamp>() else { return "<unknown>".into() };
    let s = (now.as_second() - then.as_second()).max(0);
    match s {
        0..=119 => format!("{s}s"),
        120..=7199 => format!("{}m", s / 60),
        7200..=172_799 => format!("{}h", s / 3600),
        _ => format!("{}d", s / 86400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_as_in_2015() {
        assert_eq!(rfc1123("2026-11-23T14:44:26Z"), "Mon, 23 Nov 2026 14:44:26 +0000");
        assert_eq!(plain("2026-11-23T14:44:25Z"), "2026-11-23 14:44:25 +0000 UTC");
        let now: Timestamp = "2026-11-23T15:44:26Z".parse().expect("a time");
        assert_eq!(age("2026-11-23T14:44:26Z", now), "60m");
        assert_eq!(age("", now), "<unknown>");
    }
}
