//! The command tree of `osc`, `openshift cli` and `openshift ex`: flags first, then one file a family of verbs.
mod apply;
mod args;
mod edit;
mod explain;
mod expose;
mod forward;
mod get;
mod inspect;
mod login;
mod logs;
mod pods;
mod projects;
mod review;
mod settings;
mod status;
mod stream;
mod top;
mod usage;
mod wait;
mod why;
mod write;

use super::http::Client;
use super::{ClientError, Result, config};
use args::{AuthCommand, Cli, Command, ExCli, ExCommand, PolicyCommand};
use clap::{CommandFactory, Parser};
use std::process::ExitCode;

/// Runs `osc` with these arguments (the first is the program's name).
pub fn run(arguments: &[String]) -> ExitCode {
    finish(Cli::try_parse_from(arguments), |cli| async move { osc(cli).await })
}

/// The words and flags of `osc`.
pub fn command() -> clap::Command {
    Cli::command()
}

/// The words and flags of `openshift ex` that concern a cluster, not this host.
pub fn ex_command() -> clap::Command {
    ExCli::command()
}

/// Runs `openshift ex …` (the first argument is `ex`).
pub fn run_ex(arguments: &[String]) -> ExitCode {
    finish(ExCli::try_parse_from(arguments), |cli| async move { ex(cli).await })
}

fn finish<T, F: Future<Output = Result<()>>>(parsed: std::result::Result<T, clap::Error>, work: impl FnOnce(T) -> F) -> ExitCode {
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => {
            let Some(line) = usage::line(&error) else {
                let _ = print(&error.to_string());
                return ExitCode::SUCCESS;
            };
            eprintln!("Error: {line}");
            return ExitCode::FAILURE;
        }
    };
    // One thread is enough for one conversation, and starts fastest.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&ClientError::usage(format!("cannot start: {error}"))),
    };
    match runtime.block_on(work(cli)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(ClientError::Exit(code)) => ExitCode::from(code),
        Err(error) => fail(&error),
    }
}

fn fail(error: &ClientError) -> ExitCode {
    eprintln!("Error: {error}");
    ExitCode::FAILURE
}

/// Writes to stdout; a reader that went away (`| head`) ends the program quietly.
pub(crate) fn print(text: &str) -> Result<()> {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Err(ClientError::Exit(0)),
        Err(error) => Err(ClientError::usage(format!("cannot write: {error}"))),
    }
}

async fn osc(cli: Cli) -> Result<()> {
    let connect = || Client::new(config::load(&cli.global.overrides())?);
    match cli.command {
        Command::Get(mut a) => {
            a.output_version = a.output_version.or(cli.global.api_version.clone());
            get::run(&connect()?, a).await
        }
        Command::Create(a) => write::create(&connect()?, &a.files.filename).await,
        Command::Apply(a) => apply::run(&connect()?, a).await,
        Command::Update(a) | Command::Replace(a) => write::update(&connect()?, a).await,
        Command::Delete(a) | Command::Stop(a) => write::delete(&connect()?, a).await,
        Command::Patch(a) => write::patch_typed(&connect()?, a).await,
        Command::Explain(a) => explain::run(&connect()?, a).await,
        Command::Edit(a) => edit::run(&connect()?, a).await,
        Command::Expose(a) => expose::run(&connect()?, a).await,
        Command::Wait(a) => wait::run(&connect()?, a).await,
        Command::Why(a) => why::run(&connect()?, &a.words).await,
        Command::Status => status::run(&connect()?).await,
        Command::Describe(a) => inspect::describe(&connect()?, &a.words).await,
        Command::Top { command } => top::run(&connect()?, command).await,
        Command::Log(a) => logs::run(&connect()?, a, true).await,
        Command::Logs(a) => logs::run(&connect()?, a, false).await,
        Command::Exec(a) => stream::exec(&connect()?, a).await,
        Command::Rsh(a) => stream::rsh(&connect()?, a).await,
        Command::Attach(a) => stream::attach(&connect()?, a).await,
        Command::PortForward(a) => forward::run(&connect()?, a).await,
        Command::Label(a) => write::label(&connect()?, a, "labels").await,
        Command::Annotate(a) => write::label(&connect()?, a, "annotations").await,
        Command::Resize(a) | Command::Scale(a) => write::scale(&connect()?, a).await,
        Command::NewProject(a) => projects::new_project(&connect()?, a).await,
        Command::Projects => projects::list(&connect()?).await,
        Command::Project { name } => login::project(cli.global.overrides(), name).await,
        Command::Login(a) => login::login(cli.global.overrides(), a).await,
        Command::Logout => login::logout(cli.global.overrides()).await,
        Command::Whoami { show_token } => projects::whoami(&connect()?, show_token).await,
        Command::Config { command } => settings::run(cli.global.overrides(), command),
        Command::Auth { command: AuthCommand::CanI(a) } => review::can_i(&connect()?, a).await,
        Command::Auth { command: AuthCommand::Whoami } => projects::whoami(&connect()?, false).await,
        Command::Policy { command } => policy(&connect()?, command).await,
        Command::ApiResources => inspect::api_resources(),
        Command::Version => inspect::version(connect().ok()).await,
        Command::Options => inspect::options(),
        Command::Completion { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "osc", &mut std::io::stdout());
            Ok(())
        }
    }
}

async fn ex(cli: ExCli) -> Result<()> {
    let client = Client::new(config::load(&cli.global.overrides())?)?;
    match cli.command {
        ExCommand::NewProject(a) => projects::new_project(&client, a).await,
        ExCommand::Policy { command } => policy(&client, command).await,
    }
}

async fn policy(client: &Client, command: PolicyCommand) -> Result<()> {
    let namespace = client.target.namespace.clone();
    match command {
        PolicyCommand::AddUser { role, names, .. } => projects::bind(client, &namespace, &role, "User", &names).await,
        PolicyCommand::AddGroup { role, names, .. } => projects::bind(client, &namespace, &role, "Group", &names).await,
        PolicyCommand::RemoveUser { role, names, .. } => projects::unbind(client, &namespace, Some(&role), "User", &names).await,
        PolicyCommand::RemoveGroup { role, names, .. } => projects::unbind(client, &namespace, Some(&role), "Group", &names).await,
        PolicyCommand::RemoveUserFromProject { names, .. } => projects::unbind(client, &namespace, None, "User", &names).await,
        PolicyCommand::RemoveGroupFromProject { names, .. } => projects::unbind(client, &namespace, None, "Group", &names).await,
        PolicyCommand::WhoCan { verb, resource } => review::who_can(client, &verb, &resource).await,
    }
}
