//! The user's terminal: raw mode that is always taken back, window size, and input as it is typed.
use rustix::termios::{OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr};
use std::io::Read;
use tokio::sync::mpsc;

/// Pieces of input that wait to be sent.
const QUEUE_PIECES: usize = 16;
const PIECE_BYTES: usize = 32 * 1024;

pub fn stdin_is_terminal() -> bool {
    isatty(std::io::stdin())
}

/// Raw mode of the terminal at stdin, until this is dropped.
pub struct Raw(Termios);

impl Raw {
    pub fn enter() -> Option<Raw> {
        let before = tcgetattr(std::io::stdin()).ok()?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(std::io::stdin(), OptionalActions::Now, &raw).ok()?;
        Some(Raw(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &self.0);
    }
}

/// Columns and rows.
pub fn size() -> Option<(u16, u16)> {
    let size = tcgetwinsize(std::io::stdin()).ok()?;
    (size.ws_col > 0).then_some((size.ws_col, size.ws_row))
}

/// What comes in on stdin. A thread of its own reads it, which the end of the program does not wait for.
pub fn input() -> mpsc::Receiver<Vec<u8>> {
    let (to, from) = mpsc::channel(QUEUE_PIECES);
    std::thread::spawn(move || {
        let mut buffer = vec![0; PIECE_BYTES];
        loop {
            match std::io::stdin().lock().read(&mut buffer) {
                Ok(n) if n > 0 && to.blocking_send(buffer[..n].to_vec()).is_ok() => {}
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                _ => return,
            }
        }
    });
    from
}

/// Asks the user for one line; without `shown` it is not seen while it is typed.
pub fn ask(prompt: &str, shown: bool) -> crate::client::Result<String> {
    use crate::client::ClientError;
    use rustix::termios::LocalModes;
    use std::io::{BufRead, Write};
    let failed = |e: std::io::Error| ClientError::usage(format!("cannot read your answer: {e}"));
    let terminal = stdin_is_terminal();
    if terminal {
        eprint!("{prompt}");
        std::io::stderr().flush().map_err(failed)?;
    }
    let quiet = (terminal && !shown).then(|| tcgetattr(std::io::stdin()).ok()).flatten().map(|before| {
        let mut hidden = before.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &hidden);
        Raw(before)
    });
    let mut line = String::new();
    let read = std::io::stdin().lock().read_line(&mut line);
    if quiet.is_some() {
        eprintln!();
    }
    drop(quiet);
    read.map_err(failed)?;
    let line = line.trim_end_matches(['\r', '\n']);
    if line.is_empty() {
        return Err(ClientError::usage("a name and a password are needed: osc login -u NAME -p PASSWORD"));
    }
    Ok(line.to_string())
}
