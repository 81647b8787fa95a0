//! Wrong use of the command line as one line that says what to do instead.
use clap::error::{ContextKind, ContextValue, ErrorKind};

fn text(error: &clap::Error, kind: ContextKind) -> Option<String> {
    match error.get(kind)? {
        ContextValue::String(text) => Some(text.clone()),
        ContextValue::Strings(list) => Some(list.join(", ")),
        ContextValue::StyledStr(text) => Some(text.to_string()),
        ContextValue::StyledStrs(list) => Some(list.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")),
        other => Some(other.to_string()),
    }
}

/// The command as far as it was understood: `osc get`.
fn command(error: &clap::Error) -> String {
    let usage = text(error, ContextKind::Usage).unwrap_or_default();
    let words = usage.trim_start_matches("Usage:").split_whitespace();
    let words: Vec<&str> = words.take_while(|w| !w.starts_with(['[', '<', '-'])).collect();
    if words.is_empty() { "osc".into() } else { words.join(" ") }
}

/// `None` when nothing is wrong: the user asked for help.
pub(super) fn line(error: &clap::Error) -> Option<String> {
    // `--replicas <REPLICAS>` is called --replicas.
    let argument =
        || text(error, ContextKind::InvalidArg).map(|a| a.split(" <").next().unwrap_or_default().to_string()).unwrap_or_default();
    let value = || text(error, ContextKind::InvalidValue).unwrap_or_default();
    let suggestion = |kind| text(error, kind).map(|s| format!("; did you mean {s}?")).unwrap_or_default();
    let command = command(error);
    let see = format!("see '{command} --help'");
    Some(match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => return None,
        ErrorKind::UnknownArgument if argument().starts_with('-') => {
            format!("unknown flag {}{}; {see}", argument(), suggestion(ContextKind::SuggestedArg)).replace("?; see", "? See")
        }
        ErrorKind::UnknownArgument => format!("{:?} is one argument too many for '{command}'; {see}", argument()),
        ErrorKind::InvalidSubcommand => {
            let word = text(error, ContextKind::InvalidSubcommand).unwrap_or_default();
            format!("unknown command {word:?}{}; {see}", suggestion(ContextKind::SuggestedSubcommand)).replace("?; see", "? See")
        }
        ErrorKind::MissingRequiredArgument => {
            let missing = text(error, ContextKind::InvalidArg).unwrap_or_default();
            format!("'{command}' needs {}; {see}", missing.replace(['<', '>'], "").replace("...", "…"))
        }
        ErrorKind::MissingSubcommand => format!("'{command}' needs a command; {see}"),
        ErrorKind::InvalidValue if value().is_empty() => format!("{} needs a value; {see}", argument()),
        ErrorKind::InvalidValue => {
            let known = text(error, ContextKind::ValidValue).map(|v| format!("; it is one of {v}")).unwrap_or_default();
            format!("{:?} is not a value of {}{known}", value(), argument())
        }
        ErrorKind::ValueValidation => {
            let why = std::error::Error::source(error).map(|e| format!(" ({e})")).unwrap_or_default();
            format!("{:?} is not a value of {}{why}", value(), argument())
        }
        ErrorKind::NoEquals => format!("{} takes its value after '='", argument()),
        ErrorKind::TooManyValues => format!("{:?} is one value too many for {}; {see}", value(), argument()),
        ErrorKind::TooFewValues | ErrorKind::WrongNumberOfValues => format!("{} needs more values; {see}", argument()),
        ErrorKind::ArgumentConflict => {
            let other =
                text(error, ContextKind::PriorArg).map(|a| a.split(" <").next().unwrap_or_default().to_string()).unwrap_or_default();
            if other.is_empty() || other == argument() {
                format!("{} is given more than once", argument())
            } else {
                format!("{} cannot be used with {other}", argument())
            }
        }
        ErrorKind::InvalidUtf8 => "an argument is not UTF-8".into(),
        _ => error.to_string().lines().next().unwrap_or_default().trim_start_matches("error: ").to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::args::Cli;
    use super::line;
    use clap::Parser;

    fn of(words: &str) -> String {
        let error = Cli::try_parse_from(words.split_whitespace()).expect_err(words);
        let text = line(&error).expect("an error");
        assert!(!text.contains('\n') && !text.is_empty(), "{text:?}");
        text
    }

    #[test]
    fn no_two_flags_of_a_command_share_a_name() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
        super::super::args::ExCli::command().debug_assert();
    }

    #[test]
    fn one_line_that_says_what_to_do() {
        assert_eq!(of("osc gett pods"), "unknown command \"gett\"; did you mean get? See 'osc --help'");
        assert_eq!(of("osc get pods --selektor=a"), "unknown flag --selektor; did you mean --selector? See 'osc get --help'");
        assert!(of("osc get").starts_with("'osc get' needs RESOURCE"), "{}", of("osc get"));
        assert!(
            of("osc resize --replicas=x rc a").starts_with("\"x\" is not a value of --replicas"),
            "{}",
            of("osc resize --replicas=x rc a")
        );
        assert!(of("osc policy add-user").starts_with("'osc policy add-user' needs ROLE, NAMES…;"), "{}", of("osc policy add-user"));
        assert_eq!(of("osc whoami you"), "\"you\" is one argument too many for 'osc whoami'; see 'osc whoami --help'");
        assert!(of("osc get pods -n").contains("needs a value"), "{}", of("osc get pods -n"));
        assert!(of("osc completion tcsh").contains("one of"), "{}", of("osc completion tcsh"));
        assert!(of("osc get -n a -n b pods").contains("more than once"), "{}", of("osc get -n a -n b pods"));
    }
}
