//! Speaks netlink with the kernel's netfilter: transactions of rules, and dumps.
//!
//! Our own few messages instead of a program that is started for each change: what one change costs is then what the
//! kernel takes for it. The kernel answers within the call that sends, so that nothing is ever waited for.
pub(crate) mod attribute;
pub(crate) mod flows;
pub(crate) mod ruleset;

use attribute::Message;
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, setsockopt, socket, sockopt};
use std::os::fd::{AsRawFd, OwnedFd};

/// Subsystems, as in `linux/netfilter/nfnetlink.h`.
const CONNTRACK: u8 = 1;
const NFTABLES: u8 = 10;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
/// As in `linux/netlink.h`.
const REQUEST: u16 = 1;
const ACK: u16 = 4;
const CREATE: u16 = 0x400;
const EXCLUSIVE: u16 = 0x200;
const DUMP: u16 = 0x300;
const INTERRUPTED: u16 = 0x10;
const ERROR: u16 = 2;
const DONE: u16 = 3;
/// A length, and what every netlink message begins with; then family, version and resource of netfilter.
const HEADER: usize = 16;
const HEADER_NETFILTER: usize = 4;
const IPV4: u8 = 2;
/// The kernel never sends more at once.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// A dump is repeated so often when others change what is dumped.
const DUMPS_MAX: u32 = 5;
/// The kernel copies a transaction as one buffer: for it, and what it keeps account of beside.
const SEND_BYTES_MIN: usize = 1 << 20;

/// What the kernel refused, or why it could not be asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NetfilterError {
    #[error("{0}")]
    Refused(Errno),
    #[error("the kernel's rules change too often to be read")]
    Restless,
    #[error("the kernel's answer is not understood")]
    Garbled,
}

impl NetfilterError {
    pub(crate) fn is_absent(&self) -> bool {
        matches!(self, NetfilterError::Refused(Errno::ENOENT))
    }
}

impl From<Errno> for NetfilterError {
    fn from(error: Errno) -> NetfilterError {
        NetfilterError::Refused(error)
    }
}

pub(crate) type Result<T> = std::result::Result<T, NetfilterError>;

/// A connection to the netfilter of the network namespace in which it was opened.
pub(crate) struct Netfilter {
    socket: OwnedFd,
    sequence: u32,
}

/// One message of the kernel.
struct Answer<'a> {
    kind: u16,
    flags: u16,
    sequence: u32,
    body: &'a [u8],
}

impl Netfilter {
    pub(crate) fn open() -> Result<Netfilter> {
        let protocol = SockProtocol::NetlinkNetFilter;
        let socket = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol)?;
        Ok(Netfilter { socket, sequence: 0 })
    }

    /// Performs all messages or none.
    pub(crate) fn commit(&mut self, messages: impl IntoIterator<Item = Message>) -> Result<()> {
        let mut bytes = Vec::new();
        let mut last = 0;
        Message::batch(BATCH_BEGIN, NFTABLES).append(&mut bytes, self.next());
        for message in messages {
            last = bytes.len();
            message.append(&mut bytes, self.next());
        }
        if last == 0 {
            return Ok(());
        }
        // The last one is acknowledged after all have been performed.
        attribute::add_flags(&mut bytes[last..], ACK);
        Message::batch(BATCH_END, NFTABLES).append(&mut bytes, self.next());
        self.send(&bytes)?;
        let mut acknowledged = false;
        let outcome = self.drain(|answer| {
            if answer.kind != ERROR {
                return Ok(());
            }
            match code(answer.body)? {
                0 => acknowledged = true,
                code => return Err(Errno::from_raw(code).into()),
            }
            Ok(())
        });
        outcome.and(if acknowledged { Ok(()) } else { Err(NetfilterError::Garbled) })
    }

    /// Sends one message outside of a transaction.
    pub(crate) fn request(&mut self, message: Message) -> Result<()> {
        let mut bytes = Vec::new();
        message.append(&mut bytes, self.next());
        attribute::add_flags(&mut bytes, ACK);
        self.send(&bytes)?;
        self.drain(|answer| match (answer.kind, code(answer.body)) {
            (ERROR, Ok(0)) => Ok(()),
            (ERROR, code) => Err(Errno::from_raw(code?).into()),
            _ => Ok(()),
        })
    }

    /// Everything that answers a question, each as what follows netfilter's header.
    pub(crate) fn dump(&mut self, question: &Message) -> Result<Vec<Vec<u8>>> {
        for _ in 0..DUMPS_MAX {
            if let Some(found) = self.dump_once(question)? {
                return Ok(found);
            }
        }
        Err(NetfilterError::Restless)
    }

    fn dump_once(&mut self, question: &Message) -> Result<Option<Vec<Vec<u8>>>> {
        let mut bytes = Vec::new();
        let sequence = self.next();
        question.append(&mut bytes, sequence);
        attribute::add_flags(&mut bytes, DUMP);
        self.send(&bytes)?;
        let (mut found, mut interrupted, mut done) = (Vec::new(), false, false);
        while !done {
            self.receive(MsgFlags::empty(), |answer| {
                if answer.sequence != sequence {
                    return Ok(());
                }
                interrupted |= answer.flags & INTERRUPTED != 0;
                match answer.kind {
                    DONE => done = true,
                    ERROR => match code(answer.body)? {
                        0 => done = true,
                        code => return Err(Errno::from_raw(code).into()),
                    },
                    _ => found.push(answer.body.get(HEADER_NETFILTER..).ok_or(NetfilterError::Garbled)?.to_vec()),
                }
                Ok(())
            })?;
        }
        Ok((!interrupted).then_some(found))
    }

    /// The one answer to a question that is no dump.
    fn ask(&mut self, question: Message) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        question.append(&mut bytes, self.next());
        self.send(&bytes)?;
        let mut found = Err(NetfilterError::Garbled);
        self.drain(|answer| match answer.kind {
            ERROR => Err(Errno::from_raw(code(answer.body)?).into()),
            _ => {
                found = answer.body.get(HEADER_NETFILTER..).map(<[u8]>::to_vec).ok_or(NetfilterError::Garbled);
                Ok(())
            }
        })?;
        found
    }

    fn next(&mut self) -> u32 {
        self.sequence = self.sequence.wrapping_add(1);
        self.sequence
    }

    fn send(&self, bytes: &[u8]) -> Result<()> {
        // Beyond the system's limit, which counts what it needs beside; root may.
        let wanted = (bytes.len() + bytes.len() / 2).max(SEND_BYTES_MIN);
        let _ = setsockopt(&self.socket, sockopt::SndBufForce, &wanted);
        send(self.socket.as_raw_fd(), bytes, MsgFlags::empty())?;
        Ok(())
    }

    /// All that was answered within the call that sent; the first error, if any.
    fn drain(&self, mut each: impl FnMut(Answer<'_>) -> Result<()>) -> Result<()> {
        let mut outcome = Ok(());
        loop {
            let received = self.receive(MsgFlags::MSG_DONTWAIT, |answer| {
                let result = each(answer);
                if outcome.is_ok() {
                    outcome = result;
                }
                Ok(())
            });
            match received {
                Ok(()) => {}
                Err(NetfilterError::Refused(Errno::EAGAIN)) => return outcome,
                Err(error) => return outcome.and(Err(error)),
            }
        }
    }

    fn receive(&self, flags: MsgFlags, mut each: impl FnMut(Answer<'_>) -> Result<()>) -> Result<()> {
        let mut buffer = vec![0; ANSWER_BYTES_MAX];
        let length = recv(self.socket.as_raw_fd(), &mut buffer, flags)?;
        let mut rest = &buffer[..length];
        while rest.len() >= HEADER {
            let word = |at: usize| u32::from_ne_bytes([rest[at], rest[at + 1], rest[at + 2], rest[at + 3]]);
            let half = |at: usize| u16::from_ne_bytes([rest[at], rest[at + 1]]);
            let length = usize::try_from(word(0)).unwrap_or(usize::MAX);
            let body = rest.get(HEADER..length).ok_or(NetfilterError::Garbled)?;
            each(Answer { kind: half(4), flags: half(6), sequence: word(8), body })?;
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
        Ok(())
    }
}

/// The error of an answer; 0: an acknowledgement.
fn code(body: &[u8]) -> Result<i32> {
    let bytes = body.first_chunk::<4>().ok_or(NetfilterError::Garbled)?;
    Ok(i32::from_ne_bytes(*bytes).wrapping_neg())
}
