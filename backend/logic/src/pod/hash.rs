//! The hash in a container's name: adler-32 over the specification as the original printed it, so that the tutorial's
//! very digits come out.
use crate::admission::service_account::{TOKEN_PATH, TOKEN_VOLUME_PREFIX};
use shared::objects::pod::{Container, VolumeMount};

/// Hash of an app container.
pub fn of_container(c: &Container) -> u32 {
    let ports: Vec<(i32, i32, &str, &str)> =
        c.ports.iter().map(|p| (p.host_port, p.container_port, protocol(&p.protocol), p.host_ip.as_str())).collect();
    let limits: Vec<String> = c.resources.limits.iter().map(|(k, v)| format!("{k}:{v}")).collect();
    adler32(
        dump(&c.name, &c.image, &command(c), &ports, &rest(c), &limits.join(" "), &c.termination_message_path, &c.image_pull_policy)
            .as_bytes(),
    )
}

/// Hash of a pod's infra container: it holds the host ports of all containers.
pub fn of_infra(image: &str, containers: &[Container]) -> u32 {
    let ports: Vec<(i32, i32, &str, &str)> = containers
        .iter()
        .flat_map(|c| &c.ports)
        .map(|p| (p.host_port, p.container_port, protocol(&p.protocol), p.host_ip.as_str()))
        .collect();
    adler32(dump("POD", image, "", &ports, "", "", "", "").as_bytes())
}

fn protocol(p: &str) -> &str {
    if p.is_empty() { "TCP" } else { p }
}

fn command(c: &Container) -> String {
    [c.command.join("\u{1}"), c.args.join("\u{1}")].join("\u{2}").trim_matches('\u{2}').to_string()
}

/// What the original's container did not have, or had in another form: only its presence has to change the hash.
fn rest(c: &Container) -> String {
    // The token's mount is the cluster's addition; the digits are of what people wrote.
    let injected = |m: &&VolumeMount| m.mount_path == TOKEN_PATH && m.name.starts_with(TOKEN_VOLUME_PREFIX);
    let mounts: Vec<&VolumeMount> = c.volume_mounts.iter().filter(|m| !injected(m)).collect();
    let value = serde_json::json!([
        c.env,
        c.env_from,
        mounts,
        c.working_dir,
        c.liveness_probe,
        c.readiness_probe,
        c.startup_probe,
        c.lifecycle,
        c.security_context,
        c.tty,
        c.stdin
    ]);
    let empty = serde_json::json!([[], [], [], "", null, null, null, null, null, false, false]);
    if value == empty { String::new() } else { value.to_string() }
}

type Port<'a> = (i32, i32, &'a str, &'a str);

/// The layout of go-spew's `%#v` of the original's `api.Container`, on one line.
fn dump(name: &str, image: &str, command: &str, ports: &[Port<'_>], rest: &str, limits: &str, termination: &str, policy: &str) -> String {
    let list = |text: &str, kind: &str| if text.is_empty() { format!("({kind})<nil>") } else { format!("({kind})[{text}]") };
    let ports: Vec<String> = ports
        .iter()
        .map(|(host, number, protocol, ip)| {
            format!(
                "{{Name:(string) HostPort:(int){host} ContainerPort:(int){number} Protocol:(api.Protocol){protocol} HostIP:(string){ip}}}"
            )
        })
        .collect();
    let limits = if limits.is_empty() { "(api.ResourceList)<nil>".to_string() } else { format!("(api.ResourceList)map[{limits}]") };
    format!(
        "(api.Container){{Name:(string){name} Image:(string){image} Command:{} WorkingDir:(string) Ports:{} Env:([]api.EnvVar)<nil> \
         Resources:(api.ResourceRequirements){{Limits:{limits}}} VolumeMounts:([]api.VolumeMount)<nil> LivenessProbe:(*api.Probe)<nil> \
         ReadinessProbe:(*api.Probe)<nil> Lifecycle:(*api.Lifecycle)<nil> TerminationMessagePath:(string){termination} Privileged:(bool)false \
         ImagePullPolicy:(api.PullPolicy){policy} Capabilities:(api.Capabilities){{Add:([]api.CapabilityType)<nil> Drop:([]api.CapabilityType)<nil>}}}}{rest}",
        list(command, "[]string"),
        list(&ports.join(" "), "[]api.Port"),
    )
}

/// RFC 1950's checksum.
fn adler32(bytes: &[u8]) -> u32 {
    let (mut a, mut b) = (1u32, 0u32);
    for byte in bytes {
        a = (a + u32::from(*byte)) % 65521;
        b = (b + a) % 65521;
    }
    b << 16 | a
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello(host_port: i32) -> Container {
        serde_json::from_value(serde_json::json!({"name": "hello-openshift", "image": "openshift/hello-openshift", "imagePullPolicy": "IfNotPresent",
            "terminationMessagePath": "/dev/termination-log", "ports": [{"containerPort": 8080, "hostPort": host_port, "protocol": "TCP"}]}))
        .unwrap()
    }

    #[test]
    fn the_tutorials_digits_come_out() {
        assert_eq!(format!("{:x}", of_container(&hello(6061))), "34edfc84");
        assert_eq!(format!("{:x}", of_container(&hello(0))), "346dfbe7");
        assert_eq!(format!("{:x}", of_infra("openshift/origin-pod:v0.4.1", &[hello(6061)])), "e3b5ea67");
        assert_eq!(format!("{:x}", of_infra("openshift/origin-pod:v0.4.1", &[hello(0)])), "7d6e9ca");
    }

    #[test]
    fn the_injected_token_leaves_the_digits_alone() {
        let mut mounted = hello(0);
        mounted.volume_mounts.push(VolumeMount {
            name: "kube-api-access-abcde".into(),
            mount_path: TOKEN_PATH.into(),
            ..Default::default()
        });
        assert_eq!(of_container(&mounted), of_container(&hello(0)));
        mounted.volume_mounts[0].name = "mine".into();
        assert_ne!(of_container(&mounted), of_container(&hello(0)));
    }

    #[test]
    fn a_changed_member_changes_the_hash() {
        let mut changed = hello(0);
        changed.env.push(shared::objects::pod::EnvVar { name: "A".into(), ..Default::default() });
        assert_ne!(of_container(&changed), of_container(&hello(0)));
        let mut changed = hello(0);
        changed.image = "other".into();
        assert_ne!(of_container(&changed), of_container(&hello(0)));
    }
}
