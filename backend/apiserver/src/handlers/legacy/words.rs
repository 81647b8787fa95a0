//! What the era called things: the words of its URLs, of its messages, and of kinds that only it had.
use shared::kinds::{self, Kind};
use shared::legacy::Version;

/// The word of a kind in URLs and in `selfLink`.
pub fn in_urls(kind: &Kind, version: Version) -> &'static str {
    match (kind.plural, version) {
        ("rolebindings" | "clusterrolebindings", _) => "roleBindings",
        ("clusterroles", _) => "roles",
        (plural, Version::V1Beta3) => plural_of(plural),
        ("nodes", _) => "minions",
        ("replicationcontrollers", _) => "replicationControllers",
        ("limitranges", _) => "limitRanges",
        ("resourcequotas", _) => "resourceQuotas",
        (plural, _) => plural_of(plural),
    }
}

fn plural_of(plural: &str) -> &'static str {
    kinds::KINDS.iter().find(|k| k.plural == plural).map_or("", |k| k.plural)
}

/// The word of a kind in messages such as `service "x" not found`. The original was not consistent; neither is this.
pub fn in_messages(kind: &Kind) -> &'static str {
    match kind.kind {
        "Service" => "service",
        "ReplicationController" => "replicationController",
        "Node" => "minion",
        "Project" => "namespaces",
        "User" => "User",
        "Role" | "ClusterRole" => "role",
        "RoleBinding" | "ClusterRoleBinding" => "roleBinding",
        _ => kind.plural,
    }
}

/// A kind of the era that this server does not keep: there are none of it.
#[derive(Debug, PartialEq)]
pub struct Absent {
    /// In URLs.
    pub word: &'static str,
    pub kind: &'static str,
    /// In messages.
    pub singular: &'static str,
    pub namespaced: bool,
}

const fn absent(word: &'static str, kind: &'static str, singular: &'static str, namespaced: bool) -> Absent {
    Absent { word, kind, singular, namespaced }
}

const ABSENT: [Absent; 17] = [
    absent("builds", "Build", "build", true),
    absent("buildConfigs", "BuildConfig", "buildConfig", true),
    absent("buildLogs", "BuildLog", "buildLog", true),
    absent("images", "Image", "image", true),
    absent("imageRepositories", "ImageRepository", "imageRepository", true),
    absent("imageRepositoryMappings", "ImageRepositoryMapping", "imageRepositoryMapping", true),
    absent("imageRepositoryTags", "ImageRepositoryTag", "imageRepositoryTag", true),
    absent("deployments", "Deployment", "deployment", true),
    absent("deploymentConfigs", "DeploymentConfig", "deploymentConfig", true),
    absent("generateDeploymentConfigs", "DeploymentConfig", "deploymentConfig", true),
    absent("deploymentConfigRollbacks", "DeploymentConfigRollback", "deploymentConfigRollback", true),
    absent("routes", "Route", "route", true),
    absent("templates", "Template", "template", true),
    absent("oAuthClients", "OAuthClient", "oAuthClient", false),
    absent("oAuthAccessTokens", "OAuthAccessToken", "oAuthAccessToken", false),
    absent("oAuthAuthorizeTokens", "OAuthAuthorizeToken", "oAuthAuthorizeToken", false),
    absent("oAuthClientAuthorizations", "OAuthClientAuthorization", "oAuthClientAuthorization", false),
];

/// The absent kind that a word of an `/osapi` URL means, in any case.
pub fn absent_by_word(word: &str) -> Option<&'static Absent> {
    ABSENT.iter().find(|a| a.word.eq_ignore_ascii_case(word))
}
