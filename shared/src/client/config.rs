//! Which cluster, as whom, in which namespace: kubeconfig files, their discovery order, and changes to them.
use super::{ClientError, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

/// What the flags of one command line say about the connection; empty members mean "as the kubeconfig says".
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    pub kubeconfig: Option<PathBuf>,
    pub context: Option<String>,
    pub cluster: Option<String>,
    pub user: Option<String>,
    pub namespace: Option<String>,
    pub server: Option<String>,
    pub token: Option<String>,
    pub username: Option<String>,
    pub password: Option<String>,
    pub certificate_authority: Option<PathBuf>,
    pub client_certificate: Option<PathBuf>,
    pub client_key: Option<PathBuf>,
    pub insecure: bool,
}

/// Everything needed to talk to one server as one user.
#[derive(Clone, Debug, Default)]
pub struct Target {
    pub server: String,
    pub ca_pem: Option<Vec<u8>>,
    pub client_pem: Option<(Vec<u8>, Vec<u8>)>,
    pub token: Option<String>,
    pub basic: Option<(String, String)>,
    pub insecure: bool,
    pub tls_server_name: Option<String>,
    pub namespace: String,
    /// `-n` was given, so files must not name another namespace.
    pub namespace_explicit: bool,
}

/// Where the process looks for things; a value, so that the order can be tested without touching the environment.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    pub kubeconfig: Option<String>,
    pub home: Option<PathBuf>,
    pub data_dir: Option<PathBuf>,
    pub xdg_data_home: Option<PathBuf>,
    pub cwd: PathBuf,
}

impl Surroundings {
    pub fn of_process() -> Surroundings {
        let path = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        Surroundings {
            kubeconfig: std::env::var("KUBECONFIG").ok().filter(|v| !v.is_empty()),
            home: path("HOME"),
            data_dir: path("OPENSHIFT_DATA_DIR"),
            xdg_data_home: path("XDG_DATA_HOME"),
            cwd: std::env::current_dir().unwrap_or_default(),
        }
    }

    /// Candidate files in order; the first that can be read decides (files of `$KUBECONFIG` are merged).
    pub fn candidates(&self) -> Vec<PathBuf> {
        let mut out: Vec<PathBuf> = Vec::new();
        if let Some(list) = &self.kubeconfig {
            out.extend(std::env::split_paths(list).filter(|p| !p.as_os_str().is_empty()));
        }
        out.push(self.cwd.join(".kubeconfig"));
        out.extend(self.home.iter().map(|h| h.join(".kube/config")));
        out.extend(self.admin_candidates());
        out
    }

    fn admin_candidates(&self) -> Vec<PathBuf> {
        if let Some(dir) = &self.data_dir {
            return vec![dir.join("admin.kubeconfig")];
        }
        let xdg = self.xdg_data_home.clone().or_else(|| self.home.as_ref().map(|h| h.join(".local/share")));
        let mut out = vec![PathBuf::from("/var/lib/openshift/admin.kubeconfig")];
        out.extend(xdg.map(|d| d.join("openshift/admin.kubeconfig")));
        out
    }

    /// The file that `login`, `project` and `config set-…` write: never the server's own admin.kubeconfig.
    pub fn writable(&self, flag: Option<&Path>) -> PathBuf {
        if let Some(path) = flag {
            return path.to_path_buf();
        }
        if let Some(first) = self.kubeconfig.as_ref().and_then(|l| std::env::split_paths(l).next()) {
            return first;
        }
        let local = self.cwd.join(".kubeconfig");
        if local.is_file() { local } else { self.home.clone().unwrap_or_default().join(".kube/config") }
    }
}

/// A kubeconfig as JSON, kept whole so that rewriting it loses nothing, with the directory its paths are relative to.
#[derive(Clone, Debug)]
pub struct Kubeconfig {
    pub value: Value,
    pub dir: PathBuf,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", default)]
struct Cluster {
    server: String,
    certificate_authority: Option<PathBuf>,
    certificate_authority_data: Option<String>,
    insecure_skip_tls_verify: bool,
    tls_server_name: Option<String>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", default)]
struct User {
    client_certificate: Option<PathBuf>,
    client_certificate_data: Option<String>,
    client_key: Option<PathBuf>,
    client_key_data: Option<String>,
    token: Option<String>,
    #[serde(rename = "tokenFile")]
    token_file: Option<PathBuf>,
    username: Option<String>,
    password: Option<String>,
}

impl Kubeconfig {
    pub fn empty() -> Kubeconfig {
        let value = json!({"apiVersion": "v1", "kind": "Config", "clusters": [], "contexts": [], "current-context": "", "users": []});
        Kubeconfig { value, dir: PathBuf::new() }
    }

    pub fn parse(text: &str, path: &Path) -> Result<Kubeconfig> {
        let value: Value = if text.trim().is_empty() {
            Kubeconfig::empty().value
        } else {
            super::files::parse_document(text).map_err(|e| ClientError::usage(format!("{}: {e}", path.display())))?
        };
        if !value.is_object() {
            return Err(ClientError::usage(format!("{} is not a kubeconfig", path.display())));
        }
        Ok(Kubeconfig { value, dir: path.parent().unwrap_or(Path::new("")).to_path_buf() })
    }

    pub fn read(path: &Path) -> Result<Kubeconfig> {
        let text =
            std::fs::read_to_string(path).map_err(|e| ClientError::usage(format!("cannot read the kubeconfig {}: {e}", path.display())))?;
        Kubeconfig::parse(&text, path)
    }

    /// Reads the file that decides: `--kubeconfig`, else the first readable candidate (several of `$KUBECONFIG` merged).
    pub fn load(flag: Option<&Path>, around: &Surroundings) -> Result<Option<Kubeconfig>> {
        if let Some(path) = flag {
            return Kubeconfig::read(path).map(Some);
        }
        let named: Vec<PathBuf> = around.kubeconfig.as_ref().map(|l| std::env::split_paths(l).collect()).unwrap_or_default();
        let mut merged: Option<Kubeconfig> = None;
        for path in named.iter().filter(|p| p.is_file()) {
            let next = Kubeconfig::read(path)?.with_absolute_paths();
            merged = Some(match merged {
                None => next,
                Some(base) => base.merged(next),
            });
        }
        if merged.is_some() {
            return Ok(merged);
        }
        for path in around.candidates() {
            if let Ok(text) = std::fs::read_to_string(&path) {
                let config = Kubeconfig::parse(&text, &path)?;
                if !config.names("clusters").is_empty() {
                    return Ok(Some(config));
                }
            }
        }
        Ok(None)
    }

    /// The same with paths that hold wherever the file is written to.
    pub fn with_absolute_paths(mut self) -> Kubeconfig {
        let dir = self.dir.clone();
        for (list, inner, keys) in [
            ("clusters", "cluster", &["certificate-authority"][..]),
            ("users", "user", &["client-certificate", "client-key", "tokenFile"][..]),
        ] {
            for item in self.value[list].as_array_mut().into_iter().flatten() {
                for key in keys {
                    if let Some(text) = item[inner][key].as_str().filter(|t| !t.is_empty()) {
                        item[inner][key] = json!(dir.join(text));
                    }
                }
            }
        }
        self
    }

    fn merged(mut self, other: Kubeconfig) -> Kubeconfig {
        for list in ["clusters", "contexts", "users"] {
            let known = self.names(list);
            let more: Vec<Value> = other.value[list].as_array().into_iter().flatten().cloned().collect();
            if let Some(items) = self.list_mut(list) {
                items.extend(more.into_iter().filter(|i| !known.iter().any(|k| i["name"] == **k)));
            }
        }
        if self.current_context().is_empty() {
            self.value["current-context"] = other.value["current-context"].clone();
        }
        self
    }

    pub fn names(&self, list: &str) -> Vec<String> {
        self.value[list].as_array().into_iter().flatten().filter_map(|i| i["name"].as_str()).map(str::to_string).collect()
    }

    pub fn current_context(&self) -> &str {
        self.value["current-context"].as_str().unwrap_or_default()
    }

    /// The entry called `name` of `clusters`, `contexts` or `users`.
    pub fn entry(&self, list: &str, name: &str) -> Option<&Value> {
        let inner = list.trim_end_matches('s');
        self.value[list].as_array()?.iter().find(|i| i["name"] == name).map(|i| &i[inner])
    }

    fn list_mut(&mut self, list: &str) -> Option<&mut Vec<Value>> {
        if !self.value[list].is_array() {
            self.value[list] = json!([]);
        }
        self.value[list].as_array_mut()
    }

    /// Sets members of an entry and makes the entry if it is absent; null removes a member.
    pub fn set_entry(&mut self, list: &str, name: &str, members: &[(&str, Value)]) {
        let inner = list.trim_end_matches('s').to_string();
        let Some(items) = self.list_mut(list) else { return };
        let at = items.iter().position(|i| i["name"] == name).unwrap_or_else(|| {
            items.push(json!({"name": name}));
            items.len() - 1
        });
        if !items[at][&inner].is_object() {
            items[at][&inner] = Value::Object(Map::new());
        }
        let Some(map) = items[at][&inner].as_object_mut() else { return };
        for (key, value) in members {
            if value.is_null() {
                map.remove(*key);
            } else {
                map.insert((*key).to_string(), value.clone());
            }
        }
    }

    pub fn remove_entry(&mut self, list: &str, name: &str) -> bool {
        let Some(items) = self.list_mut(list) else { return false };
        let before = items.len();
        items.retain(|i| i["name"] != name);
        items.len() != before
    }

    /// Writes the file for its owner alone, whole or not at all.
    pub fn write(&self, path: &Path) -> Result<()> {
        let failed = |e: std::io::Error| ClientError::usage(format!("cannot write {}: {e}", path.display()));
        let dir = path.parent().filter(|d| !d.as_os_str().is_empty()).unwrap_or(Path::new("."));
        std::fs::create_dir_all(dir).map_err(failed)?;
        let mut file = tempfile::NamedTempFile::new_in(dir).map_err(failed)?;
        std::io::Write::write_all(&mut file, super::output::yaml::to_yaml(&self.value).as_bytes()).map_err(failed)?;
        file.persist(path).map_err(|e| failed(e.error))?;
        Ok(())
    }

    /// Resolves context, cluster and user to one target; flags win over the file.
    pub fn target(&self, flags: &Overrides) -> Result<Target> {
        let context_name = flags.context.as_deref().unwrap_or(self.current_context());
        let context = match self.entry("contexts", context_name) {
            Some(c) => c.clone(),
            None if context_name.is_empty() => Value::Null,
            None => return Err(ClientError::usage(format!("context {context_name:?} is not in the kubeconfig; see 'osc config view'"))),
        };
        let pick = |flag: &Option<String>, key: &str| flag.clone().or_else(|| context[key].as_str().map(str::to_string));
        let cluster: Cluster = self.typed("clusters", pick(&flags.cluster, "cluster"))?;
        let user: User = self.typed("users", pick(&flags.user, "user"))?;
        let bytes = |data: &Option<String>, file: &Option<PathBuf>, over: &Option<PathBuf>| self.bytes(data, file, over);
        let client_cert = bytes(&user.client_certificate_data, &user.client_certificate, &flags.client_certificate)?;
        let client_key = bytes(&user.client_key_data, &user.client_key, &flags.client_key)?;
        let mut token = flags.token.clone().or(user.token.filter(|t| !t.is_empty()));
        if let (None, Some(file)) = (&token, &user.token_file) {
            token = std::fs::read_to_string(self.dir.join(file)).ok().map(|t| t.trim().to_string());
        }
        let basic = match (flags.username.clone().or(user.username), flags.password.clone().or(user.password)) {
            (Some(name), Some(password)) if token.is_none() => Some((name, password)),
            _ => None,
        };
        let server = flags.server.clone().unwrap_or(cluster.server);
        Ok(Target {
            server: if server.is_empty() { super::http::DEFAULT_SERVER.into() } else { server.trim_end_matches('/').to_string() },
            ca_pem: bytes(&cluster.certificate_authority_data, &cluster.certificate_authority, &flags.certificate_authority)?,
            // A token given on purpose must not be overruled by the certificate that the file also holds.
            client_pem: if flags.token.is_some() || flags.username.is_some() { None } else { client_cert.zip(client_key) },
            token,
            basic,
            insecure: flags.insecure || cluster.insecure_skip_tls_verify,
            tls_server_name: cluster.tls_server_name,
            namespace: pick(&flags.namespace, "namespace").filter(|n| !n.is_empty()).unwrap_or_else(|| "default".into()),
            namespace_explicit: flags.namespace.is_some(),
        })
    }

    fn typed<T: Default + for<'a> Deserialize<'a>>(&self, list: &str, name: Option<String>) -> Result<T> {
        let Some(name) = name.filter(|n| !n.is_empty()) else { return Ok(T::default()) };
        let Some(entry) = self.entry(list, &name) else { return Ok(T::default()) };
        serde_json::from_value(entry.clone()).map_err(|e| ClientError::usage(format!("kubeconfig entry {name:?} of {list}: {e}")))
    }

    fn bytes(&self, data: &Option<String>, file: &Option<PathBuf>, over: &Option<PathBuf>) -> Result<Option<Vec<u8>>> {
        use base64::Engine;
        let read = |p: PathBuf| std::fs::read(&p).map_err(|e| ClientError::usage(format!("cannot read {}: {e}", p.display())));
        if let Some(path) = over {
            return read(path.clone()).map(Some);
        }
        if let Some(text) = data.as_ref().filter(|t| !t.is_empty()) {
            let packed: String = text.split_whitespace().collect();
            return base64::engine::general_purpose::STANDARD
                .decode(packed)
                .map(Some)
                .map_err(|e| ClientError::usage(format!("a certificate in the kubeconfig is not base64: {e}")));
        }
        file.as_ref().filter(|p| !p.as_os_str().is_empty()).map(|p| read(self.dir.join(p))).transpose()
    }
}

/// The target of this command line, or what to do when no cluster is known.
pub fn load(flags: &Overrides) -> Result<Target> {
    match Kubeconfig::load(flags.kubeconfig.as_deref(), &Surroundings::of_process())? {
        Some(config) => config.target(flags),
        None => Kubeconfig::empty().target(flags),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = r#"
apiVersion: v1
kind: Config
clusters:
- name: a
  cluster: {server: "https://a:8443/", certificate-authority-data: QUJD}
- {name: b, cluster: {server: "https://b:1"}}
contexts:
- name: one
  context: {cluster: a, user: u, namespace: hack}
- {name: two, context: {cluster: b, user: none}}
current-context: one
users:
- {name: u, user: {token: secret}}
"#;

    #[test]
    fn context_cluster_and_user_are_resolved() {
        let config = Kubeconfig::parse(CONFIG, Path::new("x/config")).expect("parses");
        let t = config.target(&Overrides::default()).expect("target");
        assert_eq!((t.server.as_str(), t.namespace.as_str(), t.token.as_deref()), ("https://a:8443", "hack", Some("secret")));
        assert_eq!(t.ca_pem.as_deref(), Some(&b"ABC"[..]));
        let flags = Overrides { context: Some("two".into()), namespace: Some("n".into()), ..Overrides::default() };
        let t = config.target(&flags).expect("target");
        assert_eq!((t.server.as_str(), t.namespace.as_str(), t.namespace_explicit), ("https://b:1", "n", true));
        let wrong = Overrides { context: Some("nope".into()), ..Overrides::default() };
        assert!(config.target(&wrong).is_err());
    }

    #[test]
    fn discovery_order_is_the_documented_one() {
        let around = Surroundings {
            kubeconfig: Some("/k1:/k2".into()),
            home: Some("/h".into()),
            data_dir: None,
            xdg_data_home: Some("/x".into()),
            cwd: "/c".into(),
        };
        let want =
            ["/k1", "/k2", "/c/.kubeconfig", "/h/.kube/config", "/var/lib/openshift/admin.kubeconfig", "/x/openshift/admin.kubeconfig"];
        assert_eq!(around.candidates(), want.map(PathBuf::from));
        let moved = Surroundings { data_dir: Some("/d".into()), kubeconfig: None, ..around };
        assert_eq!(moved.candidates().last(), Some(&PathBuf::from("/d/admin.kubeconfig")));
    }

    #[test]
    fn entries_are_set_and_removed_without_losing_others() {
        let mut config = Kubeconfig::parse(CONFIG, Path::new("config")).expect("parses");
        config.set_entry("contexts", "one", &[("namespace", json!("other"))]);
        config.set_entry("users", "new", &[("token", json!("t"))]);
        assert_eq!(config.entry("contexts", "one").map(|c| c["user"].clone()), Some(json!("u")));
        assert_eq!(config.target(&Overrides::default()).expect("target").namespace, "other");
        assert!(config.remove_entry("users", "u") && !config.remove_entry("users", "u"));
    }
}
