//! Logs to stderr, one line each: for eyes on a terminal, for the journal with its levels, or as JSON for programs.
use crate::config::LogFormat;
use std::fmt;
use std::io::IsTerminal;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::{Compact, Format, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// `level` is a level or a filter such as `info,node=debug`.
pub fn start(level: &str, format: LogFormat) {
    let filter = EnvFilter::try_new(level).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(true);
    // systemd sets it for services whose stderr is the journal.
    let journal = std::env::var_os("JOURNAL_STREAM").is_some() && !std::io::stderr().is_terminal();
    // A second start in one process (tests) keeps the first subscriber.
    let _ = match format {
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
        LogFormat::Text if journal => builder.with_ansi(false).event_format(Journal(Format::default().compact())).try_init(),
        LogFormat::Text => builder.with_ansi(std::io::stderr().is_terminal()).try_init(),
    };
}

/// The journal knows the time; the level it takes from a number before the line.
struct Journal(Format<Compact>);

/// syslog's numbers.
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        _ => 7,
    }
}

impl<S, N> FormatEvent<S, N> for Journal
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        write!(writer, "<{}>", priority(*event.metadata().level()))?;
        self.0.clone().without_time().with_level(false).with_ansi(false).format_event(context, writer, event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("nobody panics").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn the_journal_gets_levels_and_no_times() {
        let lines = Lines::default();
        let out = lines.clone();
        let subscriber =
            tracing_subscriber::fmt().with_writer(move || out.clone()).event_format(Journal(Format::default().compact())).finish();
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(target: "node", pod = "a/b", "cannot start");
            tracing::info!(target: "node", "goes on");
        });
        let text = String::from_utf8(lines.0.lock().expect("nobody panics").clone()).expect("text");
        assert_eq!(text, "<4>node: cannot start pod=\"a/b\"\n<6>node: goes on\n");
    }
}
