//! `/hello-openshift`: answers `Hello OpenShift!` to every HTTP request on port 8080.
#![no_std]
#![no_main]
mod system;
use system::{SIGINT, SIGTERM, block, call, exit, number};

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 17\r\nConnection: close\r\n\r\nHello OpenShift!\n";
const STARTED: &[u8] = b"started, serving at 8080\n";
const PORT: u16 = 8080;
/// More clients than this at once wait in the listen queue.
const CLIENTS_MAX: usize = 254;
const POLLIN: i16 = 1;
/// A client that says nothing for this long is closed.
const SILENT_MS_MAX: u64 = 10_000;

#[repr(C)]
#[derive(Clone, Copy)]
struct PollFd {
    fd: i32,
    events: i16,
    revents: i16,
}

#[repr(C)]
struct TimeSpec {
    seconds: i64,
    nanos: i64,
}

/// What is known of one connection: the last four bytes seen, to find the end of the request's head.
#[derive(Clone, Copy)]
struct Client {
    tail: u32,
}

fn listen() -> i32 {
    const AF_INET6: usize = 10;
    const AF_INET: usize = 2;
    const STREAM_NONBLOCK_CLOEXEC: usize = 1 | 0o4000 | 0o2000000;
    const SOL_SOCKET: usize = 1;
    const SO_REUSEADDR: usize = 2;
    let mut address = [0u8; 28];
    let (mut fd, mut family, mut length) = (call(number::SOCKET, [AF_INET6, STREAM_NONBLOCK_CLOEXEC, 0, 0, 0]), AF_INET6, 28);
    if fd < 0 {
        (fd, family, length) = (call(number::SOCKET, [AF_INET, STREAM_NONBLOCK_CLOEXEC, 0, 0, 0]), AF_INET, 16);
    }
    let one: i32 = 1;
    call(number::SETSOCKOPT, [fd as usize, SOL_SOCKET, SO_REUSEADDR, &raw const one as usize, 4]);
    address[..2].copy_from_slice(&(family as u16).to_ne_bytes());
    address[2..4].copy_from_slice(&PORT.to_be_bytes());
    if fd < 0 || call(number::BIND, [fd as usize, address.as_ptr() as usize, length, 0, 0]) < 0 || call(number::LISTEN, [fd as usize, 511, 0, 0, 0]) < 0 {
        exit(1);
    }
    fd as i32
}

fn write(fd: i32, bytes: &[u8]) {
    call(number::WRITE, [fd as usize, bytes.as_ptr() as usize, bytes.len(), 0, 0]);
}

/// Reads what is there. True when the connection is done with: answered, closed or broken.
fn serve(fd: i32, client: &mut Client) -> bool {
    const EAGAIN: isize = -11;
    let mut buffer = [0u8; 1024];
    loop {
        let read = call(number::READ, [fd as usize, buffer.as_mut_ptr() as usize, buffer.len(), 0, 0]);
        if read == EAGAIN {
            return false;
        }
        if read <= 0 {
            return true;
        }
        for byte in &buffer[..read as usize] {
            client.tail = client.tail << 8 | u32::from(*byte);
            if client.tail == 0x0d0a_0d0a {
                write(fd, ANSWER);
                return true;
            }
        }
    }
}

#[unsafe(no_mangle)]
extern "C" fn _start() -> ! {
    const NONBLOCK_CLOEXEC: usize = 0o4000 | 0o2000000;
    let mask = block(&[SIGINT, SIGTERM]);
    let signals = call(number::SIGNALFD4, [usize::MAX, &raw const mask as usize, 8, NONBLOCK_CLOEXEC, 0]) as i32;
    let listener = listen();
    write(1, STARTED);
    let mut fds = [PollFd { fd: -1, events: POLLIN, revents: 0 }; CLIENTS_MAX + 2];
    let mut clients = [Client { tail: 0 }; CLIENTS_MAX + 2];
    fds[0].fd = signals;
    fds[1].fd = listener;
    let mut used = 2;
    loop {
        fds[1].events = if used < fds.len() { POLLIN } else { 0 };
        let timeout = TimeSpec { seconds: (SILENT_MS_MAX / 1000) as i64, nanos: 0 };
        let ready = call(number::PPOLL, [fds.as_ptr() as usize, used, &raw const timeout as usize, 0, 0]);
        if fds[0].revents != 0 && ready > 0 {
            exit(0);
        }
        let mut at = 2;
        while at < used {
            let done = if ready == 0 { true } else { fds[at].revents != 0 && serve(fds[at].fd, &mut clients[at]) };
            if done {
                call(number::CLOSE, [fds[at].fd as usize, 0, 0, 0, 0]);
                used -= 1;
                fds[at] = fds[used];
                clients[at] = clients[used];
            } else {
                at += 1;
            }
        }
        while ready > 0 && fds[1].revents & POLLIN != 0 && used < fds.len() {
            let fd = call(number::ACCEPT4, [listener as usize, 0, 0, NONBLOCK_CLOEXEC, 0]);
            if fd < 0 {
                break;
            }
            fds[used] = PollFd { fd: fd as i32, events: POLLIN, revents: 0 };
            clients[used] = Client { tail: 0 };
            used += 1;
        }
    }
}
