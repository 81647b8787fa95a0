//! SPDY/3.1, the server's side: frames, header compression, and streams over any byte connection.
//!
//! Flow control is not used by Kubernetes' clients, which ignore window updates; full queues hold the connection back.
use bytes::{BufMut, Bytes, BytesMut};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use std::collections::{BTreeMap, HashMap};
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

/// What both sides' header compression starts from, as the protocol fixes it.
const DICTIONARY: &[u8] = include_bytes!("spdy_dictionary.bin");

const FRAME_BYTES_MAX: usize = 1 << 20;
const HEADER_BYTES_MAX: usize = 64 * 1024;
const STREAMS_MAX: usize = 2048;
/// Frames that wait for a slow reader of one stream, or for the connection.
const QUEUE_FRAMES: usize = 32;

const SYN_STREAM: u16 = 1;
const SYN_REPLY: u16 = 2;
const RST_STREAM: u16 = 3;
const PING: u16 = 6;
const GOAWAY: u16 = 7;
const FIN: u8 = 1;

/// A stream that the client opened.
pub struct Stream {
    pub id: u32,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
    /// What the client sends; ends with its FIN, a reset, or the connection.
    pub data: mpsc::Receiver<Bytes>,
    pub writer: Writer,
}

/// Sends frames; cheap to clone.
#[derive(Clone)]
pub struct Writer(mpsc::Sender<Frame>);

enum Frame {
    Reply(u32),
    Data { id: u32, bytes: Bytes, fin: bool },
    Reset(u32),
    Ping([u8; 4]),
}

impl Writer {
    /// Accepts a stream. Errors mean that the connection is gone.
    pub async fn reply(&self, id: u32) -> Result<(), Gone> {
        self.0.send(Frame::Reply(id)).await.map_err(|_| Gone)
    }

    pub async fn data(&self, id: u32, bytes: Bytes) -> Result<(), Gone> {
        self.0.send(Frame::Data { id, bytes, fin: false }).await.map_err(|_| Gone)
    }

    /// No more data from this side.
    pub async fn finish(&self, id: u32) -> Result<(), Gone> {
        self.0.send(Frame::Data { id, bytes: Bytes::new(), fin: true }).await.map_err(|_| Gone)
    }

    pub async fn reset(&self, id: u32) -> Result<(), Gone> {
        self.0.send(Frame::Reset(id)).await.map_err(|_| Gone)
    }
}

/// The connection has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

/// Speaks SPDY over a connection until it ends; the streams that the client opens come out of the receiver.
pub fn serve<C>(connection: C) -> mpsc::Receiver<Stream>
where
    C: AsyncRead + AsyncWrite + Send + 'static,
{
    let (read, write) = tokio::io::split(connection);
    let (frames, outgoing) = mpsc::channel(QUEUE_FRAMES);
    let (opened, streams) = mpsc::channel(QUEUE_FRAMES);
    tokio::spawn(write_frames(write, outgoing));
    tokio::spawn(async move {
        let mut reader = Reader { read, headers: Headers::new(), open: HashMap::new(), writer: Writer(frames), opened };
        if let Err(error) = reader.run().await {
            tracing::debug!(%error, "SPDY connection ended");
        }
    });
    streams
}

struct Reader<R> {
    read: R,
    headers: Headers,
    open: HashMap<u32, mpsc::Sender<Bytes>>,
    writer: Writer,
    opened: mpsc::Sender<Stream>,
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_string())
}

fn word(bytes: &[u8], at: usize) -> io::Result<u32> {
    let four = bytes.get(at..at + 4).and_then(|b| <[u8; 4]>::try_from(b).ok());
    four.map(u32::from_be_bytes).ok_or_else(|| bad("a frame is cut off"))
}

impl<R: AsyncRead + Unpin> Reader<R> {
    async fn run(&mut self) -> io::Result<()> {
        let mut head = [0u8; 8];
        loop {
            match self.read.read_exact(&mut head).await {
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
                Err(e) => return Err(e),
            }
            let flags = head[4];
            let length = (word(&head, 4)? & 0x00ff_ffff) as usize;
            if length > FRAME_BYTES_MAX {
                return Err(bad("a frame is too long"));
            }
            let mut payload = vec![0; length];
            self.read.read_exact(&mut payload).await?;
            let first = word(&head, 0)?;
            if first & 0x8000_0000 == 0 {
                self.data(first, flags, payload.into()).await;
            } else if !self.control((first & 0xffff) as u16, flags, &payload).await? {
                return Ok(());
            }
        }
    }

    async fn data(&mut self, id: u32, flags: u8, bytes: Bytes) {
        if let Some(stream) = self.open.get(&id)
            && !bytes.is_empty()
        {
            // Whoever does not listen any more loses nothing by not being told.
            let _ = stream.send(bytes).await;
        }
        if flags & FIN != 0 {
            self.open.remove(&id);
        }
    }

    /// Whether the connection goes on.
    async fn control(&mut self, kind: u16, flags: u8, payload: &[u8]) -> io::Result<bool> {
        match kind {
            SYN_STREAM => self.syn_stream(flags, payload).await?,
            RST_STREAM => drop(self.open.remove(&(word(payload, 0)? & 0x7fff_ffff))),
            PING => {
                let id = payload.get(..4).and_then(|b| <[u8; 4]>::try_from(b).ok()).ok_or_else(|| bad("a ping is cut off"))?;
                return Ok(self.writer.0.send(Frame::Ping(id)).await.is_ok());
            }
            GOAWAY => return Ok(false),
            // SETTINGS, HEADERS, WINDOW_UPDATE and replies to what we never opened.
            _ => {}
        }
        Ok(true)
    }

    async fn syn_stream(&mut self, flags: u8, payload: &[u8]) -> io::Result<()> {
        let id = word(payload, 0)? & 0x7fff_ffff;
        let block = payload.get(10..).ok_or_else(|| bad("a stream's opening is cut off"))?;
        // Read always: the compression runs through all of them.
        let headers = self.headers.read(block)?;
        if self.open.len() >= STREAMS_MAX {
            self.open.retain(|_, stream| !stream.is_closed());
        }
        if self.open.len() >= STREAMS_MAX || self.open.contains_key(&id) {
            let _ = self.writer.reset(id).await;
            return Ok(());
        }
        let (sender, data) = mpsc::channel(QUEUE_FRAMES);
        if flags & FIN == 0 {
            self.open.insert(id, sender);
        }
        let stream = Stream { id, headers, data, writer: self.writer.clone() };
        self.opened.send(stream).await.map_err(|_| bad("nobody takes streams any more"))
    }
}

/// Decompresses header blocks; one state for the whole connection.
struct Headers {
    inflate: Decompress,
}

impl Headers {
    fn new() -> Headers {
        Headers { inflate: Decompress::new(true) }
    }

    fn read(&mut self, block: &[u8]) -> io::Result<BTreeMap<String, String>> {
        let plain = self.inflate(block)?;
        let mut headers = BTreeMap::new();
        let mut at = 4;
        let text = |at: &mut usize| -> io::Result<String> {
            let length = word(&plain, *at)? as usize;
            let bytes = plain.get(*at + 4..).and_then(|b| b.get(..length)).ok_or_else(|| bad("a header is cut off"))?;
            *at += 4 + length;
            String::from_utf8(bytes.to_vec()).map_err(|_| bad("a header is not UTF-8"))
        };
        for _ in 0..word(&plain, 0)? {
            let name = text(&mut at)?.to_ascii_lowercase();
            headers.insert(name, text(&mut at)?);
        }
        Ok(headers)
    }

    fn inflate(&mut self, block: &[u8]) -> io::Result<Vec<u8>> {
        let mut plain = Vec::new();
        let mut used = 0;
        let mut buffer = vec![0; 4096];
        loop {
            let (before_in, before_out) = (self.inflate.total_in(), self.inflate.total_out());
            let outcome = self.inflate.decompress(&block[used..], &mut buffer, FlushDecompress::Sync);
            used += (self.inflate.total_in() - before_in) as usize;
            let made = (self.inflate.total_out() - before_out) as usize;
            plain.extend_from_slice(&buffer[..made]);
            if plain.len() > HEADER_BYTES_MAX {
                return Err(bad("headers are too long"));
            }
            match outcome {
                Ok(_) if used >= block.len() && made < buffer.len() => return Ok(plain),
                Ok(_) if made == 0 && used < block.len() && self.inflate.total_in() == before_in => {
                    return Err(bad("headers cannot be decompressed"));
                }
                Ok(_) => {}
                Err(e) if e.needs_dictionary().is_some() => {
                    self.inflate.set_dictionary(DICTIONARY).map_err(|e| bad(&e.to_string()))?;
                }
                Err(e) => return Err(bad(&e.to_string())),
            }
        }
    }
}

/// Compresses header blocks; one state for the whole connection.
struct Packer(Compress);

impl Packer {
    fn new() -> io::Result<Packer> {
        let mut deflate = Compress::new(Compression::default(), true);
        deflate.set_dictionary(DICTIONARY).map_err(|e| bad(&e.to_string()))?;
        Ok(Packer(deflate))
    }

    fn pack(&mut self, headers: &BTreeMap<String, String>) -> io::Result<Vec<u8>> {
        let mut plain = BytesMut::new();
        plain.put_u32(headers.len() as u32);
        for (name, value) in headers {
            for text in [name, value] {
                plain.put_u32(text.len() as u32);
                plain.put_slice(text.as_bytes());
            }
        }
        let mut packed = Vec::with_capacity(plain.len() + 64);
        let start = self.0.total_in();
        loop {
            let used = (self.0.total_in() - start) as usize;
            self.0.compress_vec(&plain[used..], &mut packed, FlushCompress::Sync).map_err(|e| bad(&e.to_string()))?;
            if packed.len() < packed.capacity() && (self.0.total_in() - start) as usize == plain.len() {
                return Ok(packed);
            }
            packed.reserve(256);
        }
    }
}

fn control(out: &mut BytesMut, kind: u16, flags: u8, payload: &[u8]) {
    out.put_u16(0x8003);
    out.put_u16(kind);
    out.put_u32(u32::from(flags) << 24 | payload.len() as u32);
    out.put_slice(payload);
}

async fn write_frames<W: AsyncWrite + Unpin>(mut write: W, mut frames: mpsc::Receiver<Frame>) {
    let Ok(mut packer) = Packer::new() else { return };
    while let Some(frame) = frames.recv().await {
        let mut out = BytesMut::new();
        match frame {
            Frame::Reply(id) => {
                let Ok(block) = packer.pack(&BTreeMap::new()) else { return };
                let mut payload = id.to_be_bytes().to_vec();
                payload.extend(block);
                control(&mut out, SYN_REPLY, 0, &payload);
            }
            Frame::Data { id, bytes, fin } => {
                for chunk in bytes.chunks(FRAME_BYTES_MAX) {
                    out.put_u32(id);
                    out.put_u32(chunk.len() as u32);
                    out.put_slice(chunk);
                }
                if fin {
                    out.put_u32(id);
                    out.put_u32(u32::from(FIN) << 24);
                }
            }
            // 5: cancelled.
            Frame::Reset(id) => control(&mut out, RST_STREAM, 0, &[&id.to_be_bytes()[..], &5u32.to_be_bytes()[..]].concat()),
            Frame::Ping(id) => control(&mut out, PING, 0, &id),
        }
        if write.write_all(&out).await.is_err() || write.flush().await.is_err() {
            return;
        }
    }
    let _ = write.shutdown().await;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opening(packer: &mut Packer, id: u32, pairs: &[(&str, &str)], flags: u8) -> BytesMut {
        let headers = pairs.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect();
        let mut payload = id.to_be_bytes().to_vec();
        payload.extend([0; 6]);
        payload.extend(packer.pack(&headers).unwrap());
        let mut out = BytesMut::new();
        control(&mut out, SYN_STREAM, flags, &payload);
        out
    }

    #[tokio::test]
    async fn streams_carry_headers_and_data_both_ways() {
        let (mut client, server) = tokio::io::duplex(1 << 16);
        let mut streams = serve(server);
        let mut packer = Packer::new().unwrap();
        for id in [1u32, 3, 5] {
            let long = "x".repeat(5000);
            client.write_all(&opening(&mut packer, id, &[("streamType", "data"), ("port", "80"), ("long", &long)], 0)).await.unwrap();
            let stream = streams.recv().await.unwrap();
            assert_eq!((stream.id, stream.headers["streamtype"].as_str(), stream.headers["long"].len()), (id, "data", 5000));
        }
        client.write_all(&opening(&mut packer, 7, &[("streamtype", "stdin")], 0)).await.unwrap();
        let mut stream = streams.recv().await.unwrap();
        client.write_all(&[0, 0, 0, 7, FIN, 0, 0, 2, b'h', b'i']).await.unwrap();
        assert_eq!(stream.data.recv().await.unwrap(), "hi");
        assert!(stream.data.recv().await.is_none());
        stream.writer.data(7, Bytes::from_static(b"yo")).await.unwrap();
        let mut back = [0; 10];
        client.read_exact(&mut back).await.unwrap();
        assert_eq!(back, [0, 0, 0, 7, 0, 0, 0, 2, b'y', b'o']);
    }

    #[tokio::test]
    async fn garbage_ends_the_connection_and_nothing_else() {
        for garbage in [vec![0xff; 64], vec![0x80, 3, 0, 1, 0, 0, 0, 4, 0, 0, 0, 1], vec![0, 0, 0, 1, 0, 0xff, 0xff, 0xff]] {
            let (mut client, server) = tokio::io::duplex(1 << 16);
            let mut streams = serve(server);
            client.write_all(&garbage).await.unwrap();
            drop(client);
            assert!(streams.recv().await.is_none());
        }
    }
}
