//! Writes the manual pages and shell completions of `openshift` and `osc` into a directory: DIR/man, DIR/completions.
use clap::Command;
use clap_complete::Shell;
use std::io::Result;
use std::path::Path;

fn main() -> Result<()> {
    let directory = std::env::args().nth(1).ok_or_else(|| std::io::Error::other("name the directory to write to"))?;
    let (man, completions) = (Path::new(&directory).join("man"), Path::new(&directory).join("completions"));
    std::fs::create_dir_all(&man)?;
    std::fs::create_dir_all(&completions)?;
    for command in [backend::config::whole_command(), shared::client::cli::command()] {
        let mut command = command;
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let name = command.get_name().to_string();
            let file = match shell {
                Shell::Bash => format!("{name}.bash"),
                Shell::Zsh => format!("_{name}"),
                _ => format!("{name}.fish"),
            };
            let mut out = std::fs::File::create(completions.join(file))?;
            clap_complete::generate(shell, &mut command, name, &mut out);
        }
        pages(&man, command)?;
    }
    Ok(())
}

/// One page per command: `openshift-ex-backup.1`. The client's are those of `osc`.
fn pages(directory: &Path, command: Command) -> Result<()> {
    let command = if command.get_name() == "openshift" { command.mut_subcommand("cli", |client| client.hide(true)) } else { command };
    clap_mangen::generate_to(command, directory)?;
    // `help` needs no pages of its own, at no level.
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if path.file_stem().and_then(|name| name.to_str()).is_some_and(|name| name.split('-').any(|word| word == "help")) {
            std::fs::remove_file(path)?;
        }
    }
    Ok(())
}
