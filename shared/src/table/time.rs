//! Times of the wire (RFC 3339), and ages and durations as kubectl prints them.
//!
//! Read here rather than by a date library: in the console such a library is a fifth of the program.

const DAY: i64 = 86_400;

/// Unix seconds of an RFC 3339 time such as `2026-01-01T00:00:00.5+01:00`; parts of a second are left out.
pub fn unix(time: &str) -> Option<i64> {
    let (date, rest) = time.split_at_checked(10)?;
    let (clock, rest) = rest.strip_prefix(['T', 't', ' '])?.split_at_checked(8)?;
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let [hours, minutes, seconds] = numbers(clock, ':', [2, 2, 2])?;
    let zone = match rest.strip_prefix('.') {
        Some(fraction) => fraction.trim_start_matches(|c: char| c.is_ascii_digit()),
        None => rest,
    };
    let offset = match zone {
        "Z" | "z" => 0,
        _ => {
            let sign = if zone.starts_with('-') { -1 } else { 1 };
            let [hours, minutes] = numbers(zone.strip_prefix(['+', '-'])?, ':', [2, 2])?;
            sign * (hours * 3600 + minutes * 60)
        }
    };
    let valid = (1..=12).contains(&month) && (1..=31).contains(&day) && hours < 24 && minutes < 60 && seconds <= 60;
    valid.then(|| days(year, month, day) * DAY + hours * 3600 + minutes * 60 + seconds - offset)
}

/// `HH:MM:SS` of Unix seconds, in UTC.
pub fn clock(unix: i64) -> String {
    let s = unix.rem_euclid(DAY);
    format!("{:02}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60)
}

fn numbers<const N: usize>(text: &str, between: char, widths: [usize; N]) -> Option<[i64; N]> {
    let mut all = [0; N];
    let mut parts = text.split(between);
    for (number, width) in all.iter_mut().zip(widths) {
        let part = parts.next().filter(|p| p.len() == width && p.bytes().all(|b| b.is_ascii_digit()))?;
        *number = part.parse().ok()?;
    }
    parts.next().is_none().then_some(all)
}

/// Days since 1970-01-01 in the Gregorian calendar; years begin in March, so that leap days come last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + (month * 153 + 2) / 5 + day - 719_469
}

/// `5d3h`, `12m`, `45s`: at most two units, the coarser the longer.
pub fn human(seconds: i64) -> String {
    // A clock that is a little behind is no news.
    if seconds < -1 {
        return "<invalid>".into();
    }
    let s = seconds.max(0);
    let (minutes, hours, days) = (s / 60, s / 3600, s / 86_400);
    let two = |major: i64, unit: char, minor: i64, small: char| match minor {
        0 => format!("{major}{unit}"),
        _ => format!("{major}{unit}{minor}{small}"),
    };
    match s {
        0..120 => format!("{s}s"),
        120..600 => two(minutes, 'm', s % 60, 's'),
        600..10_800 => format!("{minutes}m"),
        10_800..28_800 => two(hours, 'h', minutes % 60, 'm'),
        28_800..172_800 => format!("{hours}h"),
        172_800..691_200 => two(days, 'd', hours % 24, 'h'),
        691_200..63_072_000 => format!("{days}d"),
        63_072_000..252_288_000 => two(days / 365, 'y', days % 365, 'd'),
        _ => format!("{}y", days / 365),
    }
}

/// Time since an RFC 3339 time; `<unknown>` when there is none.
pub fn since(time: &str, now: i64) -> String {
    unix(time).map_or_else(|| "<unknown>".into(), |then| human(now - then))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn times_are_read_as_a_date_library_reads_them(second in -62_000_000_000_i64..200_000_000_000, nanos in 0..1_000_000_000_i32) {
            let time = jiff::Timestamp::new(second, if second < 0 { 0 } else { nanos }).unwrap();
            prop_assert_eq!(unix(&time.to_string()), Some(second));
            prop_assert_eq!(clock(second), time.strftime("%H:%M:%S").to_string());
        }

        #[test]
        fn nonsense_is_no_time(text in ".{0,40}") {
            prop_assume!(text.parse::<jiff::Timestamp>().is_err());
            prop_assert_eq!(unix(&text), None);
        }
    }

    #[test]
    fn zones_and_fractions_are_understood() {
        assert_eq!(unix("1970-01-01T01:00:00.123456+01:00"), Some(0));
        assert_eq!(unix("1969-12-31t19:00:00-05:00"), Some(0));
        for wrong in ["2026-13-01T00:00:00Z", "2026-01-01T24:00:00Z", "2026-01-01T00:00:00", "2026-1-01T00:00:00Z", "2026-01-01"] {
            assert_eq!(unix(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn durations_as_kubectl_prints_them() {
        let cases = [
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (125, "2m5s"),
            (599, "9m59s"),
            (600, "10m"),
            (10_799, "179m"),
            (10_800, "3h"),
            (11_100, "3h5m"),
            (28_800, "8h"),
            (172_799, "47h"),
            (172_800, "2d"),
            (180_000, "2d2h"),
            (691_200, "8d"),
            (63_072_000, "2y"),
            (63_158_400, "2y1d"),
            (252_288_000, "8y"),
            (-5, "<invalid>"),
        ];
        for (seconds, text) in cases {
            assert_eq!(human(seconds), text, "{seconds}");
        }
        assert_eq!(since("2026-01-01T00:00:00Z", 1_767_225_600 + 61), "61s");
        assert_eq!(since("", 0), "<unknown>");
    }
}
