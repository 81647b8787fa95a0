//! The special values of the API: instants, durations, quantities and bytes, in the spelling that Go's JSON has.
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;

/// Reads an RFC 3339 instant; the error is Go's.
pub fn parse_time(text: &str) -> Result<Timestamp, String> {
    let shaped = text.len() >= 20 && text.as_bytes()[10] == b'T';
    text.parse::<Timestamp>()
        .ok()
        .filter(|_| shaped)
        .ok_or_else(|| format!("parsing time {text:?} as \"2006-01-02T15:04:05Z07:00\": cannot parse {text:?} as \"2006\""))
}

/// `2026-11-23T10:00:00Z`.
pub fn time(seconds: i64) -> Option<String> {
    let at = Timestamp::new(seconds, 0).ok()?;
    Some(at.to_string())
}

/// `2026-11-23T10:00:00.123456Z`.
pub fn micro_time(seconds: i64, nanos: i32) -> Option<String> {
    let at = Timestamp::new(seconds, 0).ok()?;
    let text = at.to_string();
    Some(format!("{}.{:06}Z", text.trim_end_matches('Z'), nanos.clamp(0, 999_999_999) / 1000))
}

/// Nanoseconds as Go prints a duration: `1h0m0s`, `1.5s`, `300ms`, `0s`.
pub fn duration(nanos: i64) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    let n = nanos.unsigned_abs();
    let fraction = |value: u64, unit: u64, name: &str| {
        let digits = format!("{:0width$}", value % unit, width = unit.ilog10() as usize);
        let digits = digits.trim_end_matches('0');
        let (whole, dot) = (value / unit, if digits.is_empty() || unit == 1 { "" } else { "." });
        format!("{whole}{dot}{}{name}", if unit == 1 { "" } else { digits })
    };
    let text = match n {
        0 => return "0s".to_string(),
        1..1_000 => fraction(n, 1, "ns"),
        1_000..1_000_000 => fraction(n, 1_000, "µs"),
        1_000_000..1_000_000_000 => fraction(n, 1_000_000, "ms"),
        _ => {
            let minutes = n / 60_000_000_000;
            let seconds = fraction(n % 60_000_000_000, 1_000_000_000, "s");
            match (minutes / 60, minutes % 60) {
                (0, 0) => seconds,
                (0, m) => format!("{m}m{seconds}"),
                (h, m) => format!("{h}h{m}m{seconds}"),
            }
        }
    };
    format!("{sign}{text}")
}

/// Reads a Go duration: a sign, then numbers with units.
pub fn parse_duration(text: &str) -> Result<i64, String> {
    let bad = || format!("time: invalid duration {text:?}");
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(bad());
    }
    let mut total = 0f64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(bad)?;
        let number: f64 = rest[..digits].parse().map_err(|_| bad())?;
        rest = &rest[digits..];
        let unit = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        total += number
            * match &rest[..unit] {
                "ns" => 1.0,
                "us" | "µs" | "μs" => 1e3,
                "ms" => 1e6,
                "s" => 1e9,
                "m" => 6e10,
                "h" => 3.6e12,
                _ => return Err(bad()),
            };
        rest = &rest[unit..];
    }
    if total >= i64::MAX as f64 { Err(bad()) } else { Ok((sign * total) as i64) }
}

/// A quantity in its canonical spelling (`1000m` is `1`).
pub fn quantity(text: &str) -> Result<String, String> {
    text.parse::<shared::quantity::Quantity>()
        .map(|q| q.to_string())
        .map_err(|_| "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'".to_string())
}

pub fn to_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Line breaks are allowed in it, as Go allows them.
pub fn from_base64(text: &str) -> Result<Vec<u8>, String> {
    let cleaned: String;
    let text = if text.contains(['\n', '\r']) {
        cleaned = text.replace(['\n', '\r'], "");
        &cleaned
    } else {
        text
    };
    STANDARD.decode(text).map_err(|error| {
        let at = match error {
            base64::DecodeError::InvalidByte(at, _) | base64::DecodeError::InvalidLastSymbol(at, _) => at,
            base64::DecodeError::InvalidLength(_) | base64::DecodeError::InvalidPadding => text.len() / 4 * 4,
        };
        format!("illegal base64 data at input byte {at}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_print_and_read_as_in_go() {
        for (nanos, text) in [
            (0, "0s"),
            (1, "1ns"),
            (1_500, "1.5µs"),
            (300_000_000, "300ms"),
            (1_500_000_000, "1.5s"),
            (60_000_000_000, "1m0s"),
            (3_600_000_000_000, "1h0m0s"),
            (-90_000_000_000, "-1m30s"),
        ] {
            assert_eq!(duration(nanos), text);
            assert_eq!(parse_duration(text), Ok(nanos));
        }
        for bad in ["", "1", "s", "1x", "-"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn instants_have_the_precision_of_their_type() {
        assert_eq!(time(1_764_000_000).unwrap(), "2025-11-24T16:00:00Z");
        assert_eq!(micro_time(1_764_000_000, 123_456_789).unwrap(), "2025-11-24T16:00:00.123456Z");
        assert!(parse_time("2025-11-24T16:00:00+01:00").is_ok());
        assert!(parse_time("yesterday").unwrap_err().starts_with("parsing time \"yesterday\" as"));
    }
}
