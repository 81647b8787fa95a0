//! The Kubernetes whose API this is: what `/version`, nodes, metrics and the programs say.

pub const MAJOR: &str = "1";
pub const MINOR: &str = "33";
/// As release names have it.
pub const KUBERNETES: &str = "v1.33.0";

/// The architecture in Go's words, as Kubernetes names platforms.
pub const ARCHITECTURE: &str = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_the_release_is_of_its_numbers() {
        assert_eq!(KUBERNETES, format!("v{MAJOR}.{MINOR}.0"));
    }
}
