//! Floors and peers: the kernel's own price of a change, and what its usual programs take for the same.
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, setsockopt, socket, sockopt};
use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

pub fn run(program: &str, arguments: &[&str], input: &str) -> Result<String, String> {
    let fail = |why: String| format!("{program} {}: {why}", arguments.join(" "));
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| fail(e.to_string()))?;
    let mut stdin = child.stdin.take().expect("piped");
    let text = input.to_string();
    let feeder = std::thread::spawn(move || stdin.write_all(text.as_bytes()));
    let output = child.wait_with_output().map_err(|e| fail(e.to_string()))?;
    let _ = feeder.join();
    if !output.status.success() {
        return Err(fail(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

pub fn nft(arguments: &[&str], input: &str) -> Result<String, String> {
    run("nft", arguments, input)
}

/// Replacing one element by nft, which is started for it.
pub fn by_nft(table: &str, rounds: usize) -> Result<Vec<Duration>, String> {
    let key = "172.31.0.1 . tcp . 80 . 0";
    let mut address = "10.0.0.1".to_string();
    nft(&["-f", "-"], &format!("add element ip {table} backends {{ {key} : {address} . 80 }}\n"))?;
    let mut times = Vec::new();
    for round in 0..rounds {
        let old = std::mem::replace(&mut address, format!("10.0.1.{round}"));
        let input = format!(
            "delete element ip {table} backends {{ {key} : {old} . 80 }}\nadd element ip {table} backends {{ {key} : {address} . 80 }}\n"
        );
        let began = Instant::now();
        nft(&["-f", "-"], &input)?;
        times.push(began.elapsed());
    }
    nft(&["-f", "-"], &format!("delete element ip {table} backends {{ {key} : {address} . 80 }}\n"))?;
    Ok(times)
}

/// One element replaced by another in one transaction whose bytes lie ready: what the kernel takes, and nothing else.
pub struct Change {
    socket: OwnedFd,
    table: String,
}

fn attribute(number: u16, value: &[u8]) -> Vec<u8> {
    let mut out = [u16::try_from(value.len() + 4).expect("small").to_ne_bytes(), number.to_ne_bytes()].concat();
    out.extend(value);
    out.resize(out.len().next_multiple_of(4), 0);
    out
}

fn message(kind: u16, flags: u16, resource: u16, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(20 + body.len()).expect("small").to_ne_bytes();
    let family = if body.is_empty() { 0 } else { 2 };
    [&length[..], &kind.to_ne_bytes(), &flags.to_ne_bytes(), &[0; 8], &[family, 0], &resource.to_be_bytes(), body].concat()
}

impl Change {
    pub fn new(table: &str) -> Change {
        let protocol = SockProtocol::NetlinkNetFilter;
        let socket = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol).expect("netlink");
        setsockopt(&socket, sockopt::SndBufForce, &(1 << 20)).expect("root");
        Change { socket, table: table.into() }
    }

    fn element(&self, kind: u16, flags: u16, value: Option<[u8; 8]>) -> Vec<u8> {
        const NESTED: u16 = 0x8000;
        let key = [[172, 31, 0, 2], [6, 0, 0, 0], [0, 80, 0, 0], [0; 4]].concat();
        let mut element = attribute(1 | NESTED, &attribute(1, &key));
        element.extend(value.map(|value| attribute(2 | NESTED, &attribute(1, &value))).unwrap_or_default());
        let name = |text: &str| [text.as_bytes(), &[0]].concat();
        let body =
            [attribute(1, &name(&self.table)), attribute(2, &name("backends")), attribute(3 | NESTED, &attribute(1 | NESTED, &element))];
        message(10 << 8 | kind, flags, 0, &body.concat())
    }

    /// Request and acknowledgement are 1 and 4, creation is 0x400.
    fn commit(&self, messages: &[Vec<u8>]) -> Result<Duration, String> {
        let batch = [message(0x10, 1, 10, &[]), messages.concat(), message(0x11, 1, 10, &[])].concat();
        let mut answer = [0; 4096];
        let began = Instant::now();
        send(self.socket.as_raw_fd(), &batch, MsgFlags::empty()).map_err(|e| e.to_string())?;
        let length = recv(self.socket.as_raw_fd(), &mut answer, MsgFlags::empty()).map_err(|e| e.to_string())?;
        let time = began.elapsed();
        match answer.get(16..20).filter(|_| length >= 20) {
            Some([0, 0, 0, 0]) => Ok(time),
            other => Err(format!("the kernel refused the floor's change: {other:?}")),
        }
    }

    pub fn times(&self, rounds: usize) -> Result<Vec<Duration>, String> {
        let value = |round: usize| Some([10, 0, 2, u8::try_from(round % 256).expect("a byte"), 0, 80, 0, 0]);
        self.commit(&[self.element(12, 0x405, value(0))])?;
        let times = (1..=rounds).map(|round| self.commit(&[self.element(14, 1, None), self.element(12, 0x405, value(round))]));
        let times = times.collect::<Result<Vec<Duration>, String>>()?;
        self.commit(&[self.element(14, 5, None)])?;
        Ok(times)
    }
}
