//! A command in a container over a WebSocket: each message begins with the number of its channel.
use js_sys::{Array, ArrayBuffer, Uint8Array};
use serde_json::Value;
use wasm_bindgen::JsCast;
use wasm_bindgen::closure::Closure;
use web_sys::{BinaryType, MessageEvent, WebSocket};

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const ERROR: u8 = 3;
const RESIZE: u8 = 4;

/// What comes from the container.
pub enum Said {
    Open,
    Output(Vec<u8>),
    /// Why the command could not run or ended badly.
    Failed(String),
    Closed,
}

/// An open terminal; dropping it ends the command's stdin and closes the line.
pub struct Exec {
    socket: WebSocket,
    _message: Closure<dyn FnMut(MessageEvent)>,
    _open: Closure<dyn FnMut()>,
    _close: Closure<dyn FnMut()>,
}

impl Exec {
    /// The best shell that the container has, on a terminal of this size (columns, rows).
    pub fn shell(
        project: &str,
        pod: &str,
        container: &str,
        size: (u16, u16),
        take: impl Fn(Said) + Clone + 'static,
    ) -> Result<Exec, String> {
        let host = web_sys::window().and_then(|w| w.location().host().ok()).unwrap_or_default();
        let script = js_sys::encode_uri_component("TERM=xterm; export TERM; command -v bash >/dev/null && exec bash; exec sh");
        let url = format!(
            "wss://{host}/api/v1/namespaces/{project}/pods/{pod}/exec?container={container}&stdin=true&stdout=true&tty=true\
             &command=sh&command=-c&command={script}"
        );
        let protocols = Array::of2(&"v5.channel.k8s.io".into(), &"v4.channel.k8s.io".into());
        let socket =
            WebSocket::new_with_str_sequence(&url, &protocols).map_err(|_| "The browser refuses to open a WebSocket.".to_string())?;
        socket.set_binary_type(BinaryType::Arraybuffer);
        let (on_open, on_message, on_close) = (take.clone(), take.clone(), take);
        let line = socket.clone();
        let open = Closure::<dyn FnMut()>::new(move || {
            resize(&line, size);
            on_open(Said::Open);
        });
        let message = Closure::<dyn FnMut(MessageEvent)>::new(move |event: MessageEvent| {
            let Ok(buffer) = event.data().dyn_into::<ArrayBuffer>() else { return };
            let bytes = Uint8Array::new(&buffer).to_vec();
            match bytes.split_first() {
                Some((&(STDOUT | STDERR), rest)) => on_message(Said::Output(rest.to_vec())),
                Some((&ERROR, rest)) => {
                    if let Some(sentence) = failure(rest) {
                        on_message(Said::Failed(sentence));
                    }
                }
                _ => {}
            }
        });
        let close = Closure::<dyn FnMut()>::new(move || on_close(Said::Closed));
        socket.set_onopen(Some(open.as_ref().unchecked_ref()));
        socket.set_onmessage(Some(message.as_ref().unchecked_ref()));
        socket.set_onclose(Some(close.as_ref().unchecked_ref()));
        Ok(Exec { socket, _message: message, _open: open, _close: close })
    }

    pub fn send(&self, bytes: &[u8]) {
        write(&self.socket, STDIN, bytes);
    }

    pub fn resize(&self, columns: u16, rows: u16) {
        resize(&self.socket, (columns, rows));
    }
}

impl Drop for Exec {
    fn drop(&mut self) {
        self.socket.set_onopen(None);
        self.socket.set_onmessage(None);
        self.socket.set_onclose(None);
        let _ = self.socket.close();
    }
}

fn resize(socket: &WebSocket, (columns, rows): (u16, u16)) {
    write(socket, RESIZE, format!("{{\"Width\":{columns},\"Height\":{rows}}}").as_bytes());
}

fn write(socket: &WebSocket, channel: u8, bytes: &[u8]) {
    if socket.ready_state() == WebSocket::OPEN {
        let _ = socket.send_with_u8_array(&[&[channel], bytes].concat());
    }
}

/// The sentence of a Status that is no success.
fn failure(bytes: &[u8]) -> Option<String> {
    let status: Value = serde_json::from_slice(bytes).ok()?;
    let failed = status["status"] != "Success" && status["reason"] != "NonZeroExitCode";
    failed.then(|| status["message"].as_str().unwrap_or("The command could not run.").to_string())
}
