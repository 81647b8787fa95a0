//! `osc port-forward`: local ports that lead to ports of a pod, one WebSocket a connection.
use super::{pods, print};
use crate::client::http::Client;
use crate::client::socket;
use crate::client::{ClientError, Result};
use clap::Args;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

const DATA: u8 = 0;
const ERROR: u8 = 1;
/// Connections at one time; more wait.
const CONNECTIONS_MAX: usize = 200;
const CHUNK_BYTES: usize = 32 * 1024;

#[derive(Args, Debug)]
pub(super) struct ForwardArgs {
    /// POD [LOCAL:]REMOTE…; 0:REMOTE or :REMOTE takes any free local port
    #[arg(required = true)]
    words: Vec<String>,
    /// The pod, as the client of 2015 was told it
    #[arg(short, long)]
    pod: Option<String>,
    /// Local addresses to listen at, separated by commas
    #[arg(long, default_value = "127.0.0.1")]
    address: String,
}

/// `8080`, `8000:8080`, `:8080` as local and remote port.
fn ports(text: &str) -> Result<(u16, u16)> {
    let wrong = || ClientError::usage(format!("{text:?} is no port to forward; write PORT or LOCAL:REMOTE"));
    let (local, remote) = text.split_once(':').unwrap_or((text, text));
    let local = if local.is_empty() { 0 } else { local.parse().map_err(|_| wrong())? };
    let remote: u16 = remote.parse().map_err(|_| wrong())?;
    if remote == 0 { Err(wrong()) } else { Ok((local, remote)) }
}

pub(super) async fn run(client: &Client, args: ForwardArgs) -> Result<()> {
    let (pod, wanted) = match &args.pod {
        Some(pod) => (pod.clone(), args.words.as_slice()),
        None => (args.words[0].clone(), &args.words[1..]),
    };
    if wanted.is_empty() {
        return Err(ClientError::usage("you must say which port: osc port-forward POD [LOCAL:]REMOTE"));
    }
    let pairs: Vec<(u16, u16)> = wanted.iter().map(|w| ports(w)).collect::<Result<_>>()?;
    let pod = pods::one(client, &pod).await?;
    // Says at once what is wrong with the pod, before anybody connects.
    client.get(&pods::path(client, &pod)).await?;
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut listeners = Vec::new();
    for (local, remote) in pairs {
        for address in args.address.split(',') {
            let address = if address == "localhost" { "127.0.0.1" } else { address };
            let failed = |e: std::io::Error| ClientError::usage(format!("cannot listen at {address}:{local}: {e}"));
            let listener = TcpListener::bind((address, local)).await.map_err(failed)?;
            let bound = listener.local_addr().map_err(failed)?;
            print(&format!("Forwarding from {bound} -> {remote}\n"))?;
            let path = format!("{}/portforward?ports={remote}", pods::path(client, &pod));
            listeners.push(tokio::spawn(accept(listener, client.clone(), path, room.clone())));
        }
    }
    for listener in listeners {
        let _ = listener.await;
    }
    Ok(())
}

async fn accept(listener: TcpListener, client: Client, path: String, room: Arc<Semaphore>) {
    while let Ok((stream, _)) = listener.accept().await {
        let Ok(permit) = room.clone().acquire_owned().await else { return };
        let (client, path) = (client.clone(), path.clone());
        tokio::spawn(async move {
            if let Err(error) = connection(&client, &path, stream).await {
                eprintln!("Error: {error}");
            }
            drop(permit);
        });
    }
}

async fn connection(client: &Client, path: &str, stream: TcpStream) -> Result<()> {
    let (mut sender, mut receiver) = socket::open(client, path).await?;
    let (mut read, mut write) = stream.into_split();
    let outward = async {
        let mut buffer = vec![0; CHUNK_BYTES];
        while let Ok(n @ 1..) = read.read(&mut buffer).await {
            if !sender.send(DATA, &buffer[..n]).await {
                return;
            }
        }
        sender.end(DATA).await;
        // The pod may still have something to say.
        std::future::pending::<()>().await;
    };
    let inward = async {
        // The first message of each channel is the port's number.
        let mut greeted = [false; 2];
        while let Some((channel, bytes)) = receiver.next().await {
            match greeted.get_mut(usize::from(channel)) {
                Some(greeted) if !*greeted => *greeted = true,
                _ if channel == DATA && write.write_all(&bytes).await.is_err() => break,
                _ if channel == ERROR && !bytes.is_empty() => {
                    return Err(ClientError::Transport(String::from_utf8_lossy(&bytes).trim().to_string()));
                }
                _ => {}
            }
        }
        let _ = write.shutdown().await;
        Ok(())
    };
    tokio::select! {
        outcome = inward => outcome,
        () = outward => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_in_every_spelling() {
        assert_eq!(ports("8080").expect("one"), (8080, 8080));
        assert_eq!(ports("80:8080").expect("two"), (80, 8080));
        assert_eq!(ports(":8080").expect("any"), (0, 8080));
        assert!(ports("x").is_err() && ports("80:0").is_err() && ports("70000").is_err());
    }
}
