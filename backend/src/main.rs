//! The binary `openshift`: `start`, `ex`, `cli`, `kube`, `version`; and `osc` by its other name.
use backend::config::{Command, Ex, Role, StartCommand, parse};
use backend::{backup, clean, diagnostics, node_token, start_node, telemetry, verify, wiring};
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let called = arguments.first().map(|a| a.rsplit('/').next().unwrap_or(a).to_string()).unwrap_or_default();
    if called == "osc" {
        return shared::client::cli::run(&arguments);
    }
    match arguments.get(1).map(String::as_str) {
        Some("cli" | "kube" | "kubectl") => {
            let rest: Vec<String> = std::iter::once("osc".to_string()).chain(arguments[2..].iter().cloned()).collect();
            return shared::client::cli::run(&rest);
        }
        // What is not about this host is the client's.
        Some("ex")
            if !matches!(
                arguments.get(2).map(String::as_str),
                Some("backup" | "clean" | "diagnostics" | "node-token" | "restore" | "verify")
            ) =>
        {
            return shared::client::cli::run_ex(&arguments[1..]);
        }
        _ => {}
    }
    let command = match parse(arguments) {
        Ok(command) => command,
        Err(error) => error.exit(),
    };
    if let Command::Ex { what: Ex::Verify(options) } = &command {
        return ExitCode::from(verify::run(options));
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("cannot start: {error}")),
    };
    let outcome = runtime.block_on(async {
        match command {
            Command::Start(start) => {
                backend::descriptors::raise();
                let StartCommand { role, all_in_one } = *start;
                match role {
                    Some(Role::Node(node)) => {
                        telemetry::start(&node.log_level, node.log_format);
                        start_node::run(*node).await
                    }
                    Some(Role::Master(master)) => {
                        telemetry::start(&master.log_level, master.log_format);
                        wiring::run(*master, false).await
                    }
                    Some(Role::AllInOne(config)) => {
                        telemetry::start(&config.log_level, config.log_format);
                        wiring::run(*config, true).await
                    }
                    None => {
                        telemetry::start(&all_in_one.log_level, all_in_one.log_format);
                        wiring::run(all_in_one, true).await
                    }
                }
            }
            Command::Ex { what: Ex::NodeToken(options) } => node_token::run(&options).await,
            Command::Ex { what: Ex::Clean(options) } => clean::run(&options).await,
            Command::Ex { what: Ex::Backup(options) } => backup::take(&options).await,
            Command::Ex { what: Ex::Restore(options) } => backup::restore(&options),
            Command::Ex { what: Ex::Verify(_) } => Ok(()),
            Command::Ex { what: Ex::Diagnostics(options) } => match diagnostics::run(&options).await {
                true => Ok(()),
                false => Err("this host is not fit for a cluster yet".into()),
            },
            Command::Version => {
                println!("openshift v{}\nkubernetes {}", env!("CARGO_PKG_VERSION"), shared::version::KUBERNETES);
                Ok(())
            }
        }
    });
    // Blocking work that hangs must not keep the process.
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

fn fail(message: &str) -> ExitCode {
    eprintln!("openshift: {message}");
    ExitCode::FAILURE
}
