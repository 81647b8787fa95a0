//! The words and flags of the client, and nothing of what they do.
use super::super::config::Overrides;
use super::apply::ApplyArgs;
use super::edit::EditArgs;
use super::explain::ExplainArgs;
use super::expose::ExposeArgs;
use super::forward::ForwardArgs;
use super::login::LoginArgs;
use super::logs::LogArgs;
use super::review::CanIArgs;
use super::settings::ConfigCommand;
use super::stream::{AttachArgs, ExecArgs, RshArgs};
use super::wait::WaitArgs;
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

#[derive(Parser, Debug)]
#[command(
    name = "osc",
    about = "OpenShift Client: work on the objects of a cluster",
    disable_version_flag = true,
    after_help = "Every command also takes the flags that 'osc options' lists."
)]
pub(super) struct Cli {
    #[command(flatten)]
    pub(super) global: Global,
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Parser, Debug)]
#[command(
    name = "ex",
    bin_name = "openshift ex",
    about = "Work on projects and policy",
    disable_version_flag = true,
    after_help = "On the server itself also: backup, restore, verify, diagnostics, clean; see 'openshift ex backup --help'."
)]
pub(super) struct ExCli {
    #[command(flatten)]
    pub(super) global: Global,
    #[command(subcommand)]
    pub(super) command: ExCommand,
}

#[derive(Args, Clone, Debug)]
pub(super) struct Global {
    /// Namespace (project) to work in
    #[arg(short, long, global = true)]
    namespace: Option<String>,
    /// Kubeconfig file
    #[arg(long, global = true, hide = true)]
    kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig
    #[arg(long, global = true, hide = true)]
    context: Option<String>,
    /// Cluster of the kubeconfig
    #[arg(long, global = true, hide = true)]
    cluster: Option<String>,
    /// User of the kubeconfig
    #[arg(long, global = true, hide = true)]
    user: Option<String>,
    /// Address of the API server
    #[arg(long, global = true, hide = true)]
    server: Option<String>,
    /// Token to show to the server
    #[arg(long, global = true, hide = true)]
    token: Option<String>,
    /// Name for a login by password
    #[arg(long, global = true, hide = true)]
    username: Option<String>,
    /// Password for a login
    #[arg(long, global = true, hide = true)]
    password: Option<String>,
    /// File with the certificates to trust
    #[arg(long, global = true, hide = true)]
    certificate_authority: Option<PathBuf>,
    /// File with your certificate
    #[arg(long, global = true, hide = true)]
    client_certificate: Option<PathBuf>,
    /// File with the key of your certificate
    #[arg(long, global = true, hide = true)]
    client_key: Option<PathBuf>,
    /// Do not check the server's certificate
    #[arg(long, global = true, hide = true)]
    insecure_skip_tls_verify: bool,
    /// Version of what is printed: v1beta1, v1beta2, v1beta3 or v1
    #[arg(long, global = true, hide = true)]
    pub(super) api_version: Option<String>,
    // Flags of the era: accepted, with nothing to do.
    #[arg(long, global = true, hide = true, default_missing_value = "true", num_args = 0..=1, require_equals = true)]
    match_server_version: Option<bool>,
    #[arg(long, global = true, hide = true, default_missing_value = "true", num_args = 0..=1, require_equals = true)]
    validate: Option<String>,
    #[arg(long, global = true, hide = true, alias = "v")]
    loglevel: Option<i32>,
}

impl Global {
    pub(super) fn overrides(&self) -> Overrides {
        let g = self.clone();
        Overrides {
            kubeconfig: g.kubeconfig,
            context: g.context,
            cluster: g.cluster,
            user: g.user,
            namespace: g.namespace,
            server: g.server,
            token: g.token,
            username: g.username,
            password: g.password,
            certificate_authority: g.certificate_authority,
            client_certificate: g.client_certificate,
            client_key: g.client_key,
            insecure: g.insecure_skip_tls_verify,
        }
    }
}

#[derive(Subcommand, Debug)]
pub(super) enum Command {
    /// Show objects as a table, JSON, YAML or by a template
    Get(GetArgs),
    /// Create objects from files, standard input or a URL; prints one name a line
    Create(CreateArgs),
    /// Make objects what the files say; leaves alone what the files never said
    Apply(ApplyArgs),
    /// Replace objects from files, or change one with --patch; prints one name a line
    Update(UpdateArgs),
    #[command(hide = true)]
    Replace(UpdateArgs),
    /// Delete objects by file, name or label; prints one name a line
    Delete(DeleteArgs),
    /// Change an object by a patch
    Patch(PatchArgs),
    /// Change an object in your editor ($EDITOR)
    Edit(EditArgs),
    /// Make a service in front of the pods of a controller, pod or service
    Expose(ExposeArgs),
    /// Stop a controller with its pods, and delete it
    Stop(DeleteArgs),
    /// Wait until objects have a condition, a value, or are gone
    Wait(WaitArgs),
    /// Say why an object is not as it should be
    Why(Words),
    /// Show a project at a glance
    Status,
    /// Show an object with what belongs to it
    Describe(Words),
    /// Show what nodes or pods use at present
    Top {
        #[command(subcommand)]
        command: TopCommand,
    },
    /// Say what the fields of a kind mean
    Explain(ExplainArgs),
    /// Print the log of a pod's container
    Log(LogArgs),
    #[command(hide = true)]
    Logs(LogArgs),
    /// Run a command in a container: exec POD -- COMMAND
    Exec(ExecArgs),
    /// Open a shell in a container
    Rsh(RshArgs),
    /// Connect to what runs in a container
    Attach(AttachArgs),
    /// Lead local ports to ports of a pod
    PortForward(ForwardArgs),
    /// Set or remove (KEY-) labels
    Label(LabelArgs),
    /// Set or remove (KEY-) annotations
    Annotate(LabelArgs),
    /// Set the number of replicas of a controller
    Resize(ScaleArgs),
    /// As resize
    Scale(ScaleArgs),
    /// Create a project, with an administrator if named
    NewProject(NewProjectArgs),
    /// List the projects that you may see
    Projects,
    /// Show or change the project that commands work in
    Project { name: Option<String> },
    /// Log in and remember it in your kubeconfig
    Login(LoginArgs),
    /// End your session on the server and forget its token
    Logout,
    /// Print who you are
    Whoami {
        /// Print your token instead
        #[arg(short = 't', long)]
        show_token: bool,
    },
    /// Look at and change the kubeconfig
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Ask what you may do
    Auth {
        #[command(subcommand)]
        command: AuthCommand,
    },
    /// Grant and take back roles in a project (-n)
    Policy {
        #[command(subcommand)]
        command: PolicyCommand,
    },
    /// List the kinds of objects
    ApiResources,
    /// Print the versions of client and server
    Version,
    /// List the flags that every command takes
    Options,
    /// Print a completion script
    Completion { shell: clap_complete::Shell },
}

#[derive(Subcommand, Debug)]
pub(super) enum ExCommand {
    /// Create a project, with an administrator if named
    NewProject(NewProjectArgs),
    /// Grant and take back roles in a project (-n)
    Policy {
        #[command(subcommand)]
        command: PolicyCommand,
    },
}

#[derive(Subcommand, Debug)]
pub(super) enum AuthCommand {
    /// Say whether you may: can-i VERB RESOURCE [NAME]
    CanI(CanIArgs),
    /// Print who you are
    Whoami,
}

#[derive(Subcommand, Debug)]
pub(super) enum PolicyCommand {
    /// Give users a role
    AddUser {
        role: String,
        #[arg(required = true)]
        names: Vec<String>,
        #[command(flatten)]
        era: Era,
    },
    /// Give groups a role
    AddGroup {
        role: String,
        #[arg(required = true)]
        names: Vec<String>,
        #[command(flatten)]
        era: Era,
    },
    /// Take a role from users
    RemoveUser {
        role: String,
        #[arg(required = true)]
        names: Vec<String>,
        #[command(flatten)]
        era: Era,
    },
    /// Take a role from groups
    RemoveGroup {
        role: String,
        #[arg(required = true)]
        names: Vec<String>,
        #[command(flatten)]
        era: Era,
    },
    /// Take every role from users
    RemoveUserFromProject {
        #[arg(required = true)]
        names: Vec<String>,
        #[command(flatten)]
        era: Era,
    },
    /// Take every role from groups
    RemoveGroupFromProject {
        #[arg(required = true)]
        names: Vec<String>,
        #[command(flatten)]
        era: Era,
    },
    /// List who may: who-can VERB RESOURCE
    WhoCan { verb: String, resource: String },
}

/// Flags of the era whose work is done otherwise today; accepted for its commands' sake.
#[derive(Args, Debug)]
pub(super) struct Era {
    #[arg(long, hide = true, default_value = "master")]
    role_namespace: String,
}

#[derive(Args, Debug)]
pub(super) struct PatchArgs {
    /// RESOURCE NAME or RESOURCE/NAME
    #[arg(required = true, value_name = "RESOURCE")]
    pub(super) words: Vec<String>,
    /// The change, JSON or YAML
    #[arg(short, long)]
    pub(super) patch: Option<String>,
    /// File with the change
    #[arg(long, conflicts_with = "patch")]
    pub(super) patch_file: Option<String>,
    /// How the change is to be read
    #[arg(long = "type", default_value = "strategic", value_parser = ["strategic", "merge", "json"])]
    pub(super) form: String,
}

#[derive(Args, Debug)]
pub(super) struct Files {
    /// File, directory, URL, or - for standard input
    #[arg(short, long)]
    pub(super) filename: Vec<String>,
}

#[derive(Args, Debug)]
pub(super) struct CreateArgs {
    #[command(flatten)]
    pub(super) files: Files,
}

#[derive(Args, Debug)]
pub(super) struct Words {
    /// RESOURCE NAME…, RESOURCE/NAME…
    #[arg(required = true, value_name = "RESOURCE")]
    pub(super) words: Vec<String>,
}

#[derive(Subcommand, Debug)]
pub(super) enum TopCommand {
    /// CPU and memory of nodes
    #[command(visible_aliases = ["node", "no"])]
    Nodes(TopArgs),
    /// CPU and memory of pods
    #[command(visible_aliases = ["pod", "po"])]
    Pods(TopArgs),
}

#[derive(Args, Debug)]
pub(super) struct TopArgs {
    /// Only this one
    pub(super) name: Option<String>,
    #[arg(short = 'l', long)]
    pub(super) selector: Option<String>,
    /// cpu or memory
    #[arg(long)]
    pub(super) sort_by: Option<String>,
    #[arg(long)]
    pub(super) no_headers: bool,
    /// Pods of all namespaces
    #[arg(short = 'A', long)]
    pub(super) all_namespaces: bool,
    /// Each container of the pods
    #[arg(long)]
    pub(super) containers: bool,
}

#[derive(Args, Debug)]
pub(super) struct GetArgs {
    /// RESOURCE[,RESOURCE…] [NAME…] or RESOURCE/NAME…
    #[arg(required = true, value_name = "RESOURCE")]
    pub(super) words: Vec<String>,
    /// json, yaml, wide, name, template, templatefile, go-template=…, jsonpath=…, custom-columns=…
    #[arg(short, long, default_value = "")]
    pub(super) output: String,
    /// Go template, or its file with -o templatefile
    #[arg(short, long)]
    pub(super) template: Option<String>,
    /// v1beta1, v1beta2, v1beta3 or v1 for -o json, yaml and template [default: v1beta1 for kinds of that time]
    #[arg(long)]
    pub(super) output_version: Option<String>,
    #[arg(short = 'l', long)]
    pub(super) selector: Option<String>,
    /// Field selector
    #[arg(long, alias = "field-selector")]
    pub(super) fields: Option<String>,
    #[arg(long)]
    pub(super) no_headers: bool,
    #[arg(short = 'A', long)]
    pub(super) all_namespaces: bool,
    /// Sort by a JSONPath
    #[arg(long)]
    pub(super) sort_by: Option<String>,
    /// After the list, print changes as they come
    #[arg(short, long)]
    pub(super) watch: bool,
    /// Print changes only
    #[arg(long)]
    pub(super) watch_only: bool,
}

#[derive(Args, Debug)]
pub(super) struct UpdateArgs {
    #[command(flatten)]
    pub(super) files: Files,
    /// RESOURCE NAME for --patch
    pub(super) words: Vec<String>,
    /// Merge patch, JSON
    #[arg(short, long)]
    pub(super) patch: Option<String>,
}

#[derive(Args, Debug)]
pub(super) struct DeleteArgs {
    #[command(flatten)]
    pub(super) files: Files,
    pub(super) words: Vec<String>,
    #[arg(short = 'l', long)]
    pub(super) selector: Option<String>,
    #[arg(long)]
    pub(super) all: bool,
    /// Seconds that a pod gets to stop; -1 means its own
    #[arg(long, default_value_t = -1, allow_hyphen_values = true)]
    pub(super) grace_period: i64,
    /// Give pods one second
    #[arg(long)]
    pub(super) now: bool,
    /// Do not wait for pods at all
    #[arg(long)]
    pub(super) force: bool,
    /// What happens to the objects that these own
    #[arg(long, default_value = "background", default_missing_value = "background", num_args = 0..=1, require_equals = true,
        value_parser = ["background", "foreground", "orphan", "true", "false"])]
    pub(super) cascade: String,
    /// Do not mind objects that are not there
    #[arg(long)]
    pub(super) ignore_not_found: bool,
    /// Accepted for kubectl's sake
    #[arg(long, hide = true, default_missing_value = "true", num_args = 0..=1, require_equals = true)]
    wait: Option<bool>,
}

#[derive(Args, Debug)]
pub(super) struct LabelArgs {
    /// RESOURCE NAME KEY=VALUE… KEY-…
    #[arg(required = true, value_name = "RESOURCE")]
    pub(super) words: Vec<String>,
    /// Replace values that are set already
    #[arg(long)]
    pub(super) overwrite: bool,
    #[arg(short = 'l', long)]
    pub(super) selector: Option<String>,
    /// Every object of the kind
    #[arg(long)]
    pub(super) all: bool,
    /// Only if the object is of this version still
    #[arg(long)]
    pub(super) resource_version: Option<String>,
}

#[derive(Args, Debug)]
pub(super) struct ScaleArgs {
    #[arg(long)]
    pub(super) replicas: u32,
    /// RESOURCE NAME or RESOURCE/NAME
    #[arg(required = true, value_name = "RESOURCE")]
    pub(super) words: Vec<String>,
}

#[derive(Args, Debug)]
pub(super) struct NewProjectArgs {
    pub(super) name: String,
    #[arg(long, default_value = "")]
    pub(super) display_name: String,
    #[arg(long, default_value = "")]
    pub(super) description: String,
    /// User who administers the project, such as anypassword:admin
    #[arg(long)]
    pub(super) admin: Option<String>,
    #[arg(long, default_value = "admin")]
    pub(super) admin_role: String,
    /// Where the era kept its global roles; accepted for its commands' sake
    #[arg(long, hide = true, default_value = "master")]
    master_policy_namespace: String,
}
