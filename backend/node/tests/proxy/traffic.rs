//! Servers that say their name, and clients that ask for it.
use super::place::{Place, pod_ip};
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

/// An answer that takes longer never comes.
const PATIENCE: Duration = Duration::from_secs(3);
pub const PORT: u16 = 8080;

/// Serves TCP and UDP in a pod: each connection is told the pod's index, then every line comes back.
pub fn serve(pods: &[Place]) {
    for (index, pod) in pods.iter().enumerate() {
        pod.run(move || {
            let listener = TcpListener::bind((pod_ip(index), PORT)).unwrap();
            std::thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    std::thread::spawn(move || echo(stream, index));
                }
            });
            let socket = UdpSocket::bind((pod_ip(index), PORT)).unwrap();
            std::thread::spawn(move || {
                let mut buffer = [0; 64];
                while let Ok((_, from)) = socket.recv_from(&mut buffer) {
                    let _ = socket.send_to(index.to_string().as_bytes(), from);
                }
            });
        });
    }
}

fn echo(mut stream: TcpStream, index: usize) {
    let _ = stream.set_nodelay(true);
    let mut lines = BufReader::new(stream.try_clone().unwrap());
    let mut line = format!("{index}\n");
    while stream.write_all(line.as_bytes()).is_ok() {
        line.clear();
        if !lines.read_line(&mut line).is_ok_and(|length| length > 0) {
            return;
        }
    }
}

pub fn backend(index: usize) -> SocketAddrV4 {
    format!("{}:{PORT}", pod_ip(index)).parse().unwrap()
}

/// A connection that stays.
pub struct Connection {
    stream: TcpStream,
    lines: BufReader<TcpStream>,
    /// Which pod answers.
    pub pod: usize,
}

impl Connection {
    pub fn open(address: &str) -> std::io::Result<Connection> {
        let stream = TcpStream::connect_timeout(&address.parse().unwrap(), PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut connection = Connection { lines: BufReader::new(stream.try_clone()?), stream, pod: 0 };
        let name = connection.line()?;
        connection.pod = name.parse().map_err(|_| std::io::Error::other(format!("{name:?} is no name")))?;
        Ok(connection)
    }

    fn line(&mut self) -> std::io::Result<String> {
        let mut line = String::new();
        match self.lines.read_line(&mut line)? {
            0 => Err(std::io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(line.trim().to_string()),
        }
    }

    pub fn ping(&mut self) -> std::io::Result<()> {
        self.stream.write_all(b"ping\n")?;
        let line = self.line()?;
        if line == "ping" { Ok(()) } else { Err(std::io::Error::other(line)) }
    }
}

/// Which pod answers one connection.
pub fn ask(address: &str) -> std::io::Result<usize> {
    Connection::open(address).map(|connection| connection.pod)
}

/// A client of UDP with one port for ever.
pub struct Datagrams(UdpSocket);

impl Datagrams {
    pub fn to(address: &str) -> Datagrams {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.connect(address).unwrap();
        Datagrams(socket)
    }

    pub fn ask(&self) -> std::io::Result<usize> {
        self.0.send(b"?")?;
        let mut buffer = [0; 64];
        let length = self.0.recv(&mut buffer)?;
        std::str::from_utf8(&buffer[..length]).ok().and_then(|t| t.parse().ok()).ok_or_else(|| std::io::Error::other("no name"))
    }
}
