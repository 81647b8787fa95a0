//! `osc config …`: looks at and changes the kubeconfig, nothing on the server.
use super::print;
use crate::client::config::{Kubeconfig, Overrides, Surroundings};
use crate::client::output::{json, tabwriter, yaml};
use crate::client::{ClientError, Result};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

#[derive(Subcommand, Debug)]
pub(super) enum ConfigCommand {
    /// Print the kubeconfig; keys and tokens are left out unless --raw
    View(ViewArgs),
    /// Print the name of the current context
    CurrentContext,
    /// List the contexts
    GetContexts,
    /// List the clusters
    GetClusters,
    /// List the users
    GetUsers,
    /// Make a context the current one
    UseContext { name: String },
    /// Set members of a context: --cluster, --user, --namespace
    SetContext {
        #[arg(required_unless_present = "current")]
        name: Option<String>,
        /// The current context
        #[arg(long)]
        current: bool,
    },
    /// Set members of a cluster: --server, --certificate-authority, --insecure-skip-tls-verify
    SetCluster { name: String },
    /// Set members of a user: --token, --username, --password, --client-certificate, --client-key
    SetCredentials { name: String },
    /// Forget a context
    DeleteContext { name: String },
    /// Forget a cluster
    DeleteCluster { name: String },
    /// Forget a user
    DeleteUser { name: String },
    /// Rename a context
    RenameContext { old: String, new: String },
}

#[derive(Args, Debug)]
pub(super) struct ViewArgs {
    /// Only what the current context needs
    #[arg(long)]
    minify: bool,
    /// With keys and tokens
    #[arg(long)]
    raw: bool,
    /// Accepted for kubectl's sake
    #[arg(long, hide = true)]
    flatten: bool,
    #[arg(short, long, default_value = "yaml", value_parser = ["yaml", "json"])]
    output: String,
}

pub(super) fn run(flags: Overrides, command: ConfigCommand) -> Result<()> {
    let around = Surroundings::of_process();
    let path = around.writable(flags.kubeconfig.as_deref());
    let absent = flags.kubeconfig.as_ref().is_some_and(|p| !p.exists());
    let found = if absent { None } else { Kubeconfig::load(flags.kubeconfig.as_deref(), &around)? };
    let mut file = found.unwrap_or_else(Kubeconfig::empty);
    match look(&file, &flags, &command)? {
        Some(text) => print(&text),
        None => {
            file = file.with_absolute_paths();
            let said = change(&mut file, &flags, command)?;
            file.write(&path)?;
            print(&said)
        }
    }
}

/// What the commands that only look print; `None` for those that change.
fn look(file: &Kubeconfig, flags: &Overrides, command: &ConfigCommand) -> Result<Option<String>> {
    let list =
        |title: &str, list: &str| Some(format!("{title}\n{}", file.names(list).iter().map(|n| format!("{n}\n")).collect::<String>()));
    Ok(match command {
        ConfigCommand::View(args) => {
            let value = view(file, flags, args);
            Some(if args.output == "json" { json::to_json(&value) } else { yaml::to_yaml(&value) })
        }
        ConfigCommand::CurrentContext if file.current_context().is_empty() => return Err(ClientError::usage("current-context is not set")),
        ConfigCommand::CurrentContext => Some(format!("{}\n", file.current_context())),
        ConfigCommand::GetClusters => list("NAME", "clusters"),
        ConfigCommand::GetUsers => list("NAME", "users"),
        ConfigCommand::GetContexts => {
            let mut text = String::from("CURRENT\tNAME\tCLUSTER\tUSER\tNAMESPACE\n");
            for name in file.names("contexts") {
                let cell = |key: &str| file.entry("contexts", &name).and_then(|c| c[key].as_str()).unwrap_or_default().to_string();
                let mark = if name == file.current_context() { "*" } else { "" };
                text.push_str(&format!("{mark}\t{name}\t{}\t{}\t{}\n", cell("cluster"), cell("user"), cell("namespace")));
            }
            Some(tabwriter::align(&text, tabwriter::DESCRIPTION))
        }
        _ => None,
    })
}

fn view(file: &Kubeconfig, flags: &Overrides, args: &ViewArgs) -> Value {
    let mut value = file.value.clone();
    if args.minify {
        let context = flags.context.as_deref().unwrap_or(file.current_context());
        let of = |key: &str| file.entry("contexts", context).and_then(|c| c[key].as_str()).unwrap_or_default().to_string();
        for (list, keep) in [("contexts", context.to_string()), ("clusters", of("cluster")), ("users", of("user"))] {
            if let Some(items) = value[list].as_array_mut() {
                items.retain(|i| i["name"] == keep);
            }
        }
    }
    if !args.raw {
        for user in value["users"].as_array_mut().into_iter().flatten() {
            for (key, said) in [
                ("client-certificate-data", "DATA+OMITTED"),
                ("client-key-data", "DATA+OMITTED"),
                ("token", "REDACTED"),
                ("password", "REDACTED"),
            ] {
                if user["user"].get(key).is_some() {
                    user["user"][key] = json!(said);
                }
            }
        }
        for cluster in value["clusters"].as_array_mut().into_iter().flatten() {
            if cluster["cluster"].get("certificate-authority-data").is_some() {
                cluster["cluster"]["certificate-authority-data"] = json!("DATA+OMITTED");
            }
        }
    }
    value
}

/// Members that were given; those that were not stay as they are.
fn given<'a>(pairs: &[(&'a str, Option<Value>)]) -> Vec<(&'a str, Value)> {
    pairs.iter().filter_map(|(k, v)| v.clone().map(|v| (*k, v))).collect()
}

fn change(file: &mut Kubeconfig, flags: &Overrides, command: ConfigCommand) -> Result<String> {
    let text = |v: &Option<String>| v.as_ref().map(|v| json!(v));
    let file_path = |v: &Option<std::path::PathBuf>| v.as_ref().map(|v| json!(std::path::absolute(v).unwrap_or_else(|_| v.clone())));
    let known = |file: &Kubeconfig, list: &str, name: &str| match file.entry(list, name) {
        Some(_) => Ok(()),
        None => Err(ClientError::usage(format!(
            "there is no {} {name:?} in the kubeconfig; it has: {}",
            list.trim_end_matches('s'),
            file.names(list).join(", ")
        ))),
    };
    let forget = |file: &mut Kubeconfig, list: &str, name: &str| {
        known(file, list, name)?;
        file.remove_entry(list, name);
        Ok(format!("deleted {} {name}\n", list.trim_end_matches('s')))
    };
    Ok(match command {
        ConfigCommand::UseContext { name } => {
            known(file, "contexts", &name)?;
            file.value["current-context"] = json!(name);
            format!("Switched to context \"{name}\".\n")
        }
        ConfigCommand::SetContext { name, current } => {
            let name = if current { file.current_context().to_string() } else { name.unwrap_or_default() };
            let word = if file.entry("contexts", &name).is_some() { "modified" } else { "created" };
            let members = given(&[("cluster", text(&flags.cluster)), ("user", text(&flags.user)), ("namespace", text(&flags.namespace))]);
            file.set_entry("contexts", &name, &members);
            format!("Context \"{name}\" {word}.\n")
        }
        ConfigCommand::SetCluster { name } => {
            let insecure = flags.insecure.then_some(json!(true));
            let mut members = given(&[("server", text(&flags.server)), ("certificate-authority", file_path(&flags.certificate_authority))]);
            members.extend(given(&[("insecure-skip-tls-verify", insecure)]));
            file.set_entry("clusters", &name, &members);
            format!("Cluster \"{name}\" set.\n")
        }
        ConfigCommand::SetCredentials { name } => {
            let certificate = [("client-certificate", file_path(&flags.client_certificate)), ("client-key", file_path(&flags.client_key))];
            let words = [("token", text(&flags.token)), ("username", text(&flags.username)), ("password", text(&flags.password))];
            file.set_entry("users", &name, &given(&certificate));
            file.set_entry("users", &name, &given(&words));
            format!("User \"{name}\" set.\n")
        }
        ConfigCommand::DeleteContext { name } => forget(file, "contexts", &name)?,
        ConfigCommand::DeleteCluster { name } => forget(file, "clusters", &name)?,
        ConfigCommand::DeleteUser { name } => forget(file, "users", &name)?,
        ConfigCommand::RenameContext { old, new } => {
            known(file, "contexts", &old)?;
            let members = file.entry("contexts", &old).cloned().unwrap_or_default();
            let members: Vec<(&str, Value)> = members.as_object().into_iter().flatten().map(|(k, v)| (k.as_str(), v.clone())).collect();
            file.set_entry("contexts", &new, &members);
            file.remove_entry("contexts", &old);
            if file.current_context() == old {
                file.value["current-context"] = json!(new);
            }
            format!("Context \"{old}\" renamed to \"{new}\".\n")
        }
        _ => String::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contexts_are_made_used_and_forgotten_and_secrets_not_shown() {
        let mut file = Kubeconfig::empty();
        let flags = Overrides { cluster: Some("c".into()), user: Some("u".into()), token: Some("t0p".into()), ..Overrides::default() };
        let mut run = |command| change(&mut file, &flags, command);
        assert_eq!(run(ConfigCommand::SetContext { name: Some("a".into()), current: false }).expect("made"), "Context \"a\" created.\n");
        run(ConfigCommand::SetCredentials { name: "u".into() }).expect("set");
        run(ConfigCommand::UseContext { name: "a".into() }).expect("known");
        assert!(run(ConfigCommand::UseContext { name: "b".into() }).is_err());
        let args = |raw| ViewArgs { minify: true, raw, flatten: false, output: "yaml".into() };
        assert!(!view(&file, &flags, &args(false)).to_string().contains("t0p"));
        assert!(view(&file, &flags, &args(true)).to_string().contains("t0p"));
        change(&mut file, &flags, ConfigCommand::DeleteContext { name: "a".into() }).expect("known");
        assert!(file.names("contexts").is_empty());
    }
}
