//! What a pod's containers are called, and back: `k8s_NAME.HASH_POD.NAMESPACE.api_UID_RAND`.

/// Where the pod came from; always the API here.
const SOURCE: &str = "api";

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Parsed {
    pub(crate) container: String,
    pub(crate) hash: u32,
    pub(crate) pod: String,
    pub(crate) namespace: String,
    pub(crate) uid: String,
}

pub(crate) fn build(container: &str, hash: u32, pod: &str, namespace: &str, uid: &str, random: u32) -> String {
    format!("k8s_{container}.{hash:x}_{pod}.{namespace}.{SOURCE}_{uid}_{random:08x}")
}

/// `None`: not one of ours.
pub(crate) fn parse(name: &str) -> Option<Parsed> {
    let parts: Vec<&str> = name.trim_start_matches('/').split('_').collect();
    let [prefix, container, full, uid, _random] = parts.as_slice() else { return None };
    if *prefix != "k8s" {
        return None;
    }
    let (container, hash) = container.rsplit_once('.')?;
    let (pod, source) = full.rsplit_once('.')?;
    let (pod, namespace) = pod.rsplit_once('.')?;
    if source != SOURCE {
        return None;
    }
    Some(Parsed {
        container: container.into(),
        hash: u32::from_str_radix(hash, 16).ok()?,
        pod: pod.into(),
        namespace: namespace.into(),
        uid: (*uid).into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_and_back() {
        let name = build("hello-openshift", 0x7d6e9ca, "hello.openshift", "hack", "61f07084-d24a-11e4-be9b-080027f89fba", 0x36ea7203);
        assert_eq!(name, "k8s_hello-openshift.7d6e9ca_hello.openshift.hack.api_61f07084-d24a-11e4-be9b-080027f89fba_36ea7203");
        let parsed = parse(&name).unwrap();
        assert_eq!((parsed.pod.as_str(), parsed.namespace.as_str(), parsed.hash), ("hello.openshift", "hack", 0x7d6e9ca));
        assert_eq!(parse("web"), None);
        assert_eq!(parse("k8s_a_b_c_d"), None);
    }
}
