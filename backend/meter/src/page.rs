//! The page in Prometheus' text format, version 0.0.4: families with their help and type, each series once.
use crate::{Counter, Gauge, Histogram, Unit};
use std::fmt::{Display, Write};
use std::sync::atomic::Ordering;

/// What a family is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// A page that is being written.
#[derive(Default)]
pub struct Page {
    text: String,
}

/// One family of a page; its series follow each other.
pub struct Family<'a> {
    text: &'a mut String,
    name: &'static str,
}

/// Labels with their values, in the order in which they are shown.
pub type Labels<'a> = &'a [(&'static str, &'a str)];

impl Page {
    /// The media type of the page.
    pub const CONTENT_TYPE: &'static str = "text/plain; version=0.0.4; charset=utf-8";

    pub fn family(&mut self, name: &'static str, kind: Kind, help: &str) -> Family<'_> {
        let word = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        debug_assert_eq!(kind == Kind::Counter, name.ends_with("_total"), "{name}: counters end in _total");
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {word}");
        Family { text: &mut self.text, name }
    }

    /// A family of one series without labels.
    pub fn counter(&mut self, name: &'static str, help: &str, value: &Counter) {
        self.family(name, Kind::Counter, help).value(&[], value.get());
    }

    pub fn gauge(&mut self, name: &'static str, help: &str, value: &Gauge) {
        self.family(name, Kind::Gauge, help).value(&[], value.get());
    }

    /// A gauge that is only looked at now.
    pub fn number(&mut self, name: &'static str, help: &str, value: impl Display) {
        self.family(name, Kind::Gauge, help).value(&[], value);
    }

    pub fn histogram(&mut self, name: &'static str, help: &str, values: &Histogram) {
        self.family(name, Kind::Histogram, help).histogram(&[], values);
    }

    pub fn into_text(self) -> String {
        self.text
    }
}

impl Family<'_> {
    pub fn value(&mut self, labels: Labels<'_>, value: impl Display) {
        self.sample("", labels, None, value);
    }

    pub fn histogram(&mut self, labels: Labels<'_>, values: &Histogram) {
        let mut below = 0;
        let all = values.bounds.iter().map(Some).chain([None]);
        for (bound, bucket) in all.zip(&values.buckets) {
            below += bucket.load(Ordering::Relaxed);
            let bound = bound.map_or_else(|| "+Inf".to_string(), |bound| shown(*bound, values.unit));
            self.sample("_bucket", labels, Some(&bound), below);
        }
        self.sample("_sum", labels, None, shown(values.sum.load(Ordering::Relaxed), values.unit));
        // Of the same readings as the buckets, so that they always agree.
        self.sample("_count", labels, None, below);
    }

    fn sample(&mut self, suffix: &str, labels: Labels<'_>, bound: Option<&str>, value: impl Display) {
        let text = &mut *self.text;
        text.push_str(self.name);
        text.push_str(suffix);
        let all = labels.iter().map(|(name, value)| (*name, *value)).chain(bound.map(|bound| ("le", bound)));
        let mut before = '{';
        for (name, value) in all {
            let _ = write!(text, "{before}{name}=\"");
            escape(value, text);
            text.push('"');
            before = ',';
        }
        if before == ',' {
            text.push('}');
        }
        let _ = writeln!(text, " {value}");
    }
}

fn shown(value: u64, unit: Unit) -> String {
    match unit {
        Unit::Seconds => (value as f64 / 1e9).to_string(),
        Unit::Number => value.to_string(),
    }
}

fn escape(value: &str, text: &mut String) {
    for c in value.chars() {
        match c {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            c => text.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_page_is_what_prometheus_reads() {
        static TOOK: Histogram = Histogram::seconds(&[1_000_000, 500_000_000]);
        TOOK.took(Duration::from_micros(900));
        TOOK.took(Duration::from_millis(100));
        TOOK.took(Duration::from_secs(2));
        let mut page = Page::default();
        let mut family = page.family("calls_total", Kind::Counter, "Calls by \"name\"");
        family.value(&[("name", "a\"b\\c\nd"), ("code", "200")], 3);
        page.histogram("took_seconds", "Time", &TOOK);
        let wanted = "# HELP calls_total Calls by \"name\"\n# TYPE calls_total counter\n\
            calls_total{name=\"a\\\"b\\\\c\\nd\",code=\"200\"} 3\n\
            # HELP took_seconds Time\n# TYPE took_seconds histogram\n\
            took_seconds_bucket{le=\"0.001\"} 1\ntook_seconds_bucket{le=\"0.5\"} 2\ntook_seconds_bucket{le=\"+Inf\"} 3\n\
            took_seconds_sum 2.1009\ntook_seconds_count 3\n";
        assert_eq!(page.into_text(), wanted);
    }
}
