//! Logging in and out, and which project commands work in: what changes the user's own kubeconfig.
use super::print;
use crate::client::config::{self, Kubeconfig, Overrides, Surroundings, Target};
use crate::client::http::Client;
use crate::client::terminal;
use crate::client::{ClientError, Result, resources};
use crate::kinds::PROJECT;
use base64::Engine;
use clap::Args;
use serde_json::{Value, json};

const AUTHORIZE: &str = "/oauth/authorize?client_id=openshift-challenging-client&response_type=token";

#[derive(Args, Debug)]
pub(super) struct LoginArgs {
    /// Address of the server [default: the kubeconfig's]
    server_url: Option<String>,
    /// Your name
    #[arg(short = 'u', long = "login-name", value_name = "NAME")]
    name: Option<String>,
    /// Your password; asked for when it is not given
    #[arg(short = 'p', long = "login-password", value_name = "PASSWORD")]
    secret: Option<String>,
}

/// The user's own file: the flag's, else `$KUBECONFIG`'s, else `./.kubeconfig` or `~/.kube/config`.
fn load(flags: &Overrides) -> Result<(Kubeconfig, std::path::PathBuf)> {
    let around = Surroundings::of_process();
    let path = around.writable(flags.kubeconfig.as_deref());
    let known = match &flags.kubeconfig {
        Some(path) if !path.exists() => None,
        flag => Kubeconfig::load(flag.as_deref(), &around)?,
    };
    // The paths in it may be relative to another directory than the one it is written to.
    Ok((known.map_or_else(Kubeconfig::empty, Kubeconfig::with_absolute_paths), path))
}

fn host(server: &str) -> String {
    server.split("//").nth(1).unwrap_or(server).trim_end_matches('/').to_string()
}

/// As the names of entries have been made since the first `login`: dots would be read as steps of a path.
fn entry_name(server: &str) -> String {
    host(server).replace('.', "-")
}

pub(super) async fn login(flags: Overrides, args: LoginArgs) -> Result<()> {
    let (mut file, path) = load(&flags)?;
    let mut flags = Overrides { server: args.server_url.clone().map(|s| full(&s)).or(flags.server), ..flags };
    flags.context = flags.context.filter(|c| file.entry("contexts", c).is_some());
    let (name, password) = (args.name.or(flags.username.take()), args.secret.or(flags.password.take()));
    let token = flags.token.take();
    let mut target = file.target(&flags)?;
    // Whoever logs in is not whom the file's certificate names.
    target.client_pem = None;
    target.basic = None;
    target.token = token;
    if target.token.is_none() {
        let name = name.map_or_else(|| terminal::ask("Username: ", true), Ok)?;
        let password = password.map_or_else(|| terminal::ask("Password: ", false), Ok)?;
        target.token = Some(challenge(&target, &name, &password).await?);
    }
    let client = Client::new(target.clone())?;
    let user = super::projects::who(&client).await.map_err(|e| match e.code() {
        401 => ClientError::usage("the token is not valid or has expired"),
        _ => e,
    })?;
    let projects = client.get(&resources::path(&PROJECT, "", "")).await.ok();
    let names: Vec<&str> = projects
        .as_ref()
        .and_then(|p| p["items"].as_array())
        .into_iter()
        .flatten()
        .filter_map(|p| p["metadata"]["name"].as_str())
        .collect();
    let project = match flags.namespace.as_deref() {
        Some(namespace) => namespace,
        None if names.contains(&target.namespace.as_str()) => &target.namespace,
        None => names.iter().find(|n| **n != "default").copied().unwrap_or("default"),
    };
    write(&mut file, &target, &user, project);
    file.write(&path)?;
    print(&format!("Logged into {} as {user}\n", host(&target.server)))?;
    match names.len() {
        0 => print("You have no projects yet; make one with: osc new-project NAME\n"),
        1 => print(&format!("Using project \"{project}\"\n")),
        _ => print(&format!("Using project \"{project}\"; yours are: {}\n", names.join(", "))),
    }
}

fn full(server: &str) -> String {
    let with_scheme = if server.contains("://") { server.to_string() } else { format!("https://{server}") };
    let bare = with_scheme.trim_end_matches('/').to_string();
    let has_port = bare.rsplit_once(':').is_some_and(|(_, p)| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit()));
    if has_port { bare } else { format!("{bare}:8443") }
}

/// The token that the server gives for a name and a password, from the address it redirects to.
async fn challenge(target: &Target, name: &str, password: &str) -> Result<String> {
    let basic = Target { basic: Some((name.into(), password.into())), token: None, ..target.clone() };
    let client = Client::with_redirects(basic, reqwest::redirect::Policy::none())?;
    let response = client.send(client.request(reqwest::Method::GET, AUTHORIZE)).await?;
    if response.status() == reqwest::StatusCode::UNAUTHORIZED {
        return Err(ClientError::usage("login failed: the name or the password is wrong, or the server takes no passwords from here"));
    }
    let location = response.headers().get("location").and_then(|l| l.to_str().ok()).unwrap_or_default();
    token_of(location)
        .ok_or_else(|| ClientError::Transport(format!("the server {} gave no token (answer {})", target.server, response.status())))
}

fn token_of(location: &str) -> Option<String> {
    let (_, fragment) = location.split_once('#')?;
    fragment.split('&').find_map(|p| p.strip_prefix("access_token=")).filter(|t| !t.is_empty()).map(str::to_string)
}

fn write(file: &mut Kubeconfig, target: &Target, user: &str, project: &str) {
    let cluster = entry_name(&target.server);
    let owner = format!("{user}/{cluster}");
    let context = format!("{project}/{cluster}/{user}");
    let ca = target.ca_pem.as_ref().map(|pem| json!(base64::engine::general_purpose::STANDARD.encode(pem)));
    file.set_entry(
        "clusters",
        &cluster,
        &[
            ("server", json!(target.server)),
            ("certificate-authority", Value::Null),
            ("certificate-authority-data", if target.insecure { Value::Null } else { ca.unwrap_or_default() }),
            ("insecure-skip-tls-verify", if target.insecure { json!(true) } else { Value::Null }),
        ],
    );
    file.set_entry("users", &owner, &[("token", json!(target.token))]);
    file.set_entry("contexts", &context, &[("cluster", json!(cluster)), ("user", json!(owner)), ("namespace", json!(project))]);
    file.value["current-context"] = json!(context);
}

/// Ends the session on the server and forgets the token.
pub(super) async fn logout(flags: Overrides) -> Result<()> {
    let (mut file, path) = load(&flags)?;
    let target = file.target(&flags)?;
    if target.token.is_none() {
        return Err(ClientError::usage("you are not logged in with a token; there is nothing to end"));
    }
    let client = Client::new(target)?;
    let user = super::projects::who(&client).await.unwrap_or_default();
    // A token that has expired is as good as ended.
    let _ = client.post("/logout", &json!({})).await;
    let context = flags.context.as_deref().unwrap_or(file.current_context()).to_string();
    let owner = file.entry("contexts", &context).and_then(|c| c["user"].as_str()).unwrap_or_default().to_string();
    file.set_entry("users", &owner, &[("token", Value::Null)]);
    file.write(&path)?;
    print(&format!("Logged {} out on {}\n", if user.is_empty() { "you" } else { &user }, host(&client.target.server)))
}

/// `osc project [NAME]`
pub(super) async fn project(flags: Overrides, name: Option<String>) -> Result<()> {
    let target = config::load(&flags)?;
    let Some(name) = name else {
        return print(&format!("Using project \"{}\" on server \"{}\".\n", target.namespace, target.server));
    };
    let client = Client::new(target.clone())?;
    match client.get(&resources::path(&PROJECT, "", &name)).await {
        Err(error) if matches!(error.code(), 403 | 404) => {
            return Err(ClientError::usage(format!("there is no project \"{name}\" that you may see; 'osc projects' lists yours")));
        }
        other => other?,
    };
    let (mut file, path) = load(&flags)?;
    let old = flags.context.as_deref().unwrap_or(file.current_context()).to_string();
    let of = |key: &str| file.entry("contexts", &old).map(|c| c[key].clone()).unwrap_or_default();
    let (cluster, user) = (of("cluster"), of("user"));
    let context =
        format!("{name}/{}/{}", entry_name(&target.server), user.as_str().unwrap_or_default().split('/').next().unwrap_or_default());
    file.set_entry("contexts", &context, &[("cluster", cluster), ("user", user), ("namespace", json!(name))]);
    file.value["current-context"] = json!(context);
    file.write(&path)?;
    print(&format!("Now using project \"{name}\" on server \"{}\".\n", target.server))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_tokens_are_read() {
        assert_eq!(full("master"), "https://master:8443");
        assert_eq!(full("http://h:80/"), "http://h:80");
        assert_eq!(entry_name("https://10.0.0.1:8443"), "10-0-0-1:8443");
        assert_eq!(token_of("https://h/x#expires_in=1&access_token=abc").as_deref(), Some("abc"));
        assert_eq!(token_of("https://h/x#error=denied"), None);
    }

    #[test]
    fn a_login_becomes_the_current_context_and_keeps_the_others() {
        let mut file = Kubeconfig::empty();
        file.set_entry("users", "old", &[("token", json!("o"))]);
        let target =
            Target { server: "https://h:8443".into(), token: Some("t".into()), ca_pem: Some(b"pem".to_vec()), ..Target::default() };
        write(&mut file, &target, "anypassword:admin", "hack");
        let now = file.target(&Overrides::default()).expect("complete");
        assert_eq!((now.server.as_str(), now.token.as_deref(), now.namespace.as_str()), ("https://h:8443", Some("t"), "hack"));
        assert_eq!(now.ca_pem.as_deref(), Some(&b"pem"[..]));
        assert!(file.entry("users", "old").is_some());
    }
}
