//! Runs journeys on the real engine: files of shell commands, each with what it must print.
//!
//! Usage: `journey --bin DIR [NAME=VALUE | FILE]…`. A fresh data directory and one server serve all files in order;
//! `NAME=VALUE` sets a variable for the files after it.
//!
//! ```text
//! # Words for people.
//! $ osc get minions                    the command, as typed; run by bash, must succeed
//! NAME                LABELS           its output, line by line; … stands for any text, a line … for any lines
//!
//! $ [20s] osc get pods                 repeated until the output is as wanted, for at most so long
//! $ [fails] osc get nonsense 2>&1      must fail
//! $ [any] docker stop $ID              whatever it prints
//! $ [set IP] osc get …                 the output becomes the variable IP of later commands
//! $ [start] openshift start            the server, in the background; goes on when it says that it is ready
//! $ [kill]                             kills the server with SIGKILL
//! ```
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

/// Longest a command may take unless it says otherwise.
const COMMAND_MAX: Duration = Duration::from_secs(60);
const START_MAX: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(50);

#[derive(Debug, PartialEq)]
enum Mode {
    Once,
    Until(Duration),
    Fails,
    Any,
    Set(String),
    Start,
    Kill,
}

#[derive(Debug, PartialEq)]
struct Step {
    line: usize,
    mode: Mode,
    command: String,
    wanted: Vec<String>,
}

fn parse(text: &str) -> Result<Vec<Step>, String> {
    let mut steps: Vec<Step> = Vec::new();
    let mut open = false;
    for (index, line) in text.lines().enumerate() {
        if let Some(command) = line.strip_prefix("$ ") {
            let (mode, command) = mode(command).map_err(|e| format!("line {}: {e}", index + 1))?;
            steps.push(Step { line: index + 1, mode, command: command.to_string(), wanted: Vec::new() });
            open = true;
        } else if line.is_empty() || line.starts_with("# ") {
            open = false;
        } else if open {
            steps.last_mut().expect("a command is open").wanted.push(line.trim_end().to_string());
        } else {
            return Err(format!("line {}: neither a command, a comment nor the output of a command: {line}", index + 1));
        }
    }
    Ok(steps)
}

fn mode(command: &str) -> Result<(Mode, &str), String> {
    let Some((word, rest)) = command.strip_prefix('[').and_then(|c| c.split_once(']')) else { return Ok((Mode::Once, command)) };
    let mode = match word.split_once(' ') {
        Some(("set", name)) => Mode::Set(name.to_string()),
        _ => match word {
            "fails" => Mode::Fails,
            "any" => Mode::Any,
            "start" => Mode::Start,
            "kill" => Mode::Kill,
            _ => {
                let seconds = word.strip_suffix('s').and_then(|n| n.parse().ok());
                Mode::Until(Duration::from_secs(seconds.ok_or_else(|| format!("[{word}] is not known"))?))
            }
        },
    };
    Ok((mode, rest.trim_start()))
}

/// Whether a line is as wanted; `…` stands for any text.
fn line_matches(wanted: &str, got: &str) -> bool {
    let mut parts = wanted.split('…');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = got.strip_prefix(first) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

/// Whether all lines are as wanted; a line `…` stands for any number of lines.
fn matches(wanted: &[String], got: &[&str]) -> bool {
    match wanted.split_first() {
        None => got.is_empty(),
        Some((any, rest)) if any == "…" => (0..=got.len()).any(|skip| matches(rest, &got[skip..])),
        Some((line, rest)) => {
            got.split_first().is_some_and(|(first, others)| line_matches(line, first.trim_end()) && matches(rest, others))
        }
    }
}

struct Journey {
    work: PathBuf,
    variables: BTreeMap<String, String>,
    server: Option<Child>,
    passed: usize,
}

struct Outcome {
    success: bool,
    output: String,
    errors: String,
}

impl Journey {
    fn bash(&self, command: &str) -> Command {
        let mut bash = Command::new("bash");
        bash.args(["-c", command]).envs(&self.variables).stdin(Stdio::null());
        bash
    }

    /// Output goes to files: a child that outlives the command cannot hold a pipe open.
    fn run(&self, command: &str, limit: Duration) -> Result<Outcome, String> {
        let (out, err) = (self.work.join("out"), self.work.join("err"));
        let file = |path: &Path| fs::File::create(path).map_err(|e| format!("{}: {e}", path.display()));
        let seconds = limit.as_secs().max(1).to_string();
        let mut child = Command::new("timeout");
        child.args(["-k", "1", &seconds, "bash", "-c", command]).envs(&self.variables).stdin(Stdio::null());
        let status = child.stdout(file(&out)?).stderr(file(&err)?).status().map_err(|e| format!("timeout: {e}"));
        let read = |path: &Path| String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned();
        Ok(Outcome { success: status?.success(), output: read(&out), errors: read(&err) })
    }

    fn step(&mut self, step: &Step) -> Result<(), String> {
        match &step.mode {
            Mode::Start => return self.start(&step.command),
            Mode::Kill => return self.kill(),
            Mode::Until(limit) => return self.until(step, *limit),
            Mode::Once | Mode::Fails | Mode::Any | Mode::Set(_) => {}
        }
        let outcome = self.run(&step.command, COMMAND_MAX)?;
        if outcome.success == (step.mode == Mode::Fails) && step.mode != Mode::Any {
            return Err(format!("ended {}\n{}{}", if outcome.success { "well" } else { "badly" }, outcome.output, outcome.errors));
        }
        match &step.mode {
            Mode::Any => Ok(()),
            Mode::Set(name) => {
                self.variables.insert(name.clone(), outcome.output.trim().to_string());
                Ok(())
            }
            _ => compare(step, &outcome),
        }
    }

    fn until(&self, step: &Step, limit: Duration) -> Result<(), String> {
        let start = Instant::now();
        loop {
            let outcome = self.run(&step.command, limit)?;
            let verdict = if outcome.success { compare(step, &outcome) } else { Err(outcome.errors) };
            if verdict.is_ok() || start.elapsed() > limit {
                return verdict;
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn start(&mut self, command: &str) -> Result<(), String> {
        let log = self.work.join("server.log");
        let file = fs::OpenOptions::new().create(true).append(true).open(&log).map_err(|e| e.to_string())?;
        let before = fs::metadata(&log).map_or(0, |m| m.len());
        let errors = file.try_clone().map_err(|e| e.to_string())?;
        let child = self.bash(&format!("exec {command}")).stdout(file).stderr(errors).spawn().map_err(|e| e.to_string())?;
        self.server = Some(child);
        let start = Instant::now();
        loop {
            let text = fs::read(&log).unwrap_or_default();
            if String::from_utf8_lossy(&text[usize::try_from(before).unwrap_or(0).min(text.len())..]).contains("ready after") {
                return Ok(());
            }
            if start.elapsed() > START_MAX {
                return Err("the server did not become ready".into());
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn kill(&mut self) -> Result<(), String> {
        let Some(mut server) = self.server.take() else { return Err("no server runs".into()) };
        server.kill().and_then(|()| server.wait()).map_err(|e| e.to_string())?;
        Ok(())
    }

    fn finish(&mut self, failed: bool) {
        if failed {
            let log = fs::read_to_string(self.work.join("server.log")).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            println!("--- the server's last lines\n{}", lines[lines.len().saturating_sub(40)..].join("\n"));
        }
        if let Some(mut server) = self.server.take() {
            let _ = Command::new("kill").arg(server.id().to_string()).status();
            let _ = server.wait();
        }
        let _ = self.run("openshift ex clean", COMMAND_MAX);
    }
}

fn compare(step: &Step, outcome: &Outcome) -> Result<(), String> {
    let got: Vec<&str> = outcome.output.lines().collect();
    if matches(&step.wanted, &got) {
        return Ok(());
    }
    let mut text = String::new();
    let _ = writeln!(text, "wanted:\n  {}\ngot:\n  {}", step.wanted.join("\n  "), got.join("\n  "));
    if !outcome.errors.is_empty() {
        let _ = writeln!(text, "errors:\n  {}", outcome.errors.lines().collect::<Vec<_>>().join("\n  "));
    }
    Err(text)
}

fn prepare(bin: &Path) -> Result<(tempfile::TempDir, Journey), String> {
    let work = tempfile::tempdir().map_err(|e| e.to_string())?;
    let bin = bin.canonicalize().map_err(|e| format!("{}: {e}", bin.display()))?;
    let links = work.path().join("bin");
    fs::create_dir(&links).map_err(|e| e.to_string())?;
    for name in ["openshift", "osc"] {
        std::os::unix::fs::symlink(bin.join("openshift"), links.join(name)).map_err(|e| e.to_string())?;
    }
    let data = work.path().join("data");
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/hello-openshift");
    let path = format!("{}:{}", links.display(), std::env::var("PATH").unwrap_or_default());
    let variables = BTreeMap::from([
        ("PATH".to_string(), path),
        ("HOME".to_string(), work.path().display().to_string()),
        ("OPENSHIFT_DATA_DIR".to_string(), data.display().to_string()),
        ("KUBECONFIG".to_string(), data.join("admin.kubeconfig").display().to_string()),
        ("EXAMPLES".to_string(), examples.display().to_string()),
        ("WORK".to_string(), work.path().display().to_string()),
    ]);
    let journey = Journey { work: work.path().to_path_buf(), variables, server: None, passed: 0 };
    Ok((work, journey))
}

fn all(journey: &mut Journey, files: &[String]) -> Result<(), String> {
    for file in files {
        if let Some((name, value)) = file.split_once('=') {
            journey.variables.insert(name.to_string(), value.to_string());
            continue;
        }
        let text = fs::read_to_string(file).map_err(|e| format!("{file}: {e}"))?;
        let steps = parse(&text).map_err(|e| format!("{file}: {e}"))?;
        for step in &steps {
            let start = Instant::now();
            journey.step(step).map_err(|e| format!("FAILED {file}:{}: {}\n{e}", step.line, step.command))?;
            journey.passed += 1;
            println!("ok {:>5} ms  {}", start.elapsed().as_millis(), step.command);
        }
    }
    Ok(())
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [flag, bin, files @ ..] = arguments.as_slice() else {
        eprintln!("usage: journey --bin DIRECTORY [NAME=VALUE | FILE]…");
        return ExitCode::FAILURE;
    };
    if flag != "--bin" || files.is_empty() {
        eprintln!("usage: journey --bin DIRECTORY [NAME=VALUE | FILE]…");
        return ExitCode::FAILURE;
    }
    let (_work, mut journey) = match prepare(Path::new(bin)) {
        Ok(prepared) => prepared,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let outcome = all(&mut journey, files);
    if let Err(error) = &outcome {
        println!("{error}");
    }
    journey.finish(outcome.is_err());
    println!("{} steps passed, {} failed", journey.passed, u8::from(outcome.is_err()));
    if outcome.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is(wanted: &str, got: &str) -> bool {
        let wanted: Vec<String> = wanted.lines().map(String::from).collect();
        matches(&wanted, &got.lines().collect::<Vec<_>>())
    }

    #[test]
    fn dots_stand_for_any_text_and_any_lines() {
        assert!(is("a … c", "a b c") && is("…\nx", "1\n2\nx") && is("", "") && is("a…b…", "a1b2"));
        assert!(!is("a", "a\nb") && !is("a … c", "a b d") && !is("", "x") && !is("x\n…\ny", "x"));
    }

    #[test]
    fn a_file_is_commands_with_their_output() {
        let steps = parse("# say\n$ [20s] osc get\nA\nB\n\n$ [set X] y\n$ [kill]\n").unwrap();
        assert_eq!(steps.len(), 3);
        assert_eq!(steps[0].mode, Mode::Until(Duration::from_secs(20)));
        assert_eq!(steps[0].wanted, ["A", "B"]);
        assert_eq!(steps[1].mode, Mode::Set("X".into()));
        assert!(parse("stray").is_err() && parse("$ [often] x").is_err());
    }
}
