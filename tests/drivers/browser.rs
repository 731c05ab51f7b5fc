//! Headless Chromium with the page that makes the calls of WebGPU it is sent (page.html).

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use tungstenite::{Message, WebSocket};

/// How long the browser may take to start, and to answer.
const PATIENCE: Duration = Duration::from_secs(120);

/// An open page.
#[derive(Debug)]
pub(crate) struct Browser {
    socket: Mutex<WebSocket<TcpStream>>,
    chromium: Child,
    _profile: TempDir,
    objects: AtomicU64,
}

impl Browser {
    /// Starts Chromium (CHROMIUM names another one than `chromium`) on SwiftShader, and waits for its page.
    pub(crate) fn start() -> Self {
        let name = std::env::var("CHROMIUM").unwrap_or_else(|_| "chromium".into());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let profile = TempDir::new().unwrap();
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/drivers/page.html");
        let mut chromium = Command::new(&name)
            .args(["--headless=new", "--no-sandbox", "--disable-gpu-sandbox", "--no-first-run"])
            .args(["--disable-background-networking", "--disable-component-update"])
            .args(["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--enable-features=Vulkan"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg(format!("file://{}#{}", page.display(), listener.local_addr().unwrap().port()))
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{name}: {error}; install Chromium, or name it in CHROMIUM"));
        let start = Instant::now();
        let stream = loop {
            match listener.accept() {
                Ok((stream, _)) => break stream,
                Err(_) if start.elapsed() < PATIENCE => std::thread::sleep(Duration::from_millis(20)),
                Err(error) => {
                    chromium.kill().unwrap();
                    panic!("{name} did not open the page: {error}");
                }
            }
        };
        stream.set_nonblocking(false).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let socket = Mutex::new(tungstenite::accept(stream).unwrap());
        // 0 is the page's navigator.gpu.
        Browser { socket, chromium, _profile: profile, objects: AtomicU64::new(1) }
    }

    /// Sends a message.
    pub(crate) fn tell(&self, message: &Value, bytes: &[u8]) {
        send(&mut self.socket(), message, bytes);
    }

    /// The answer to a message: a value.
    pub(crate) fn ask(&self, message: &Value) -> Value {
        let text = self.reply(message).into_text().unwrap();
        let reply: Value = serde_json::from_str(&text).unwrap();
        assert!(reply.get("fault").is_none(), "in the browser: {}", reply["fault"]);
        reply["answer"].clone()
    }

    /// The answer to a message: bytes.
    pub(crate) fn ask_bytes(&self, message: &Value) -> Vec<u8> {
        match self.reply(message) {
            Message::Binary(bytes) => bytes.to_vec(),
            other => panic!("in the browser: {other}"),
        }
    }

    fn reply(&self, message: &Value) -> Message {
        let mut socket = self.socket();
        send(&mut socket, message, &[]);
        socket.read().expect("an answer of the browser")
    }

    /// Calls `method` of object `on`; the number of what it returns.
    pub(crate) fn call(&self, on: u64, method: &str, args: Value, bytes: &[u8]) -> u64 {
        let to = self.next();
        self.tell(&json!({"verb": "call", "on": on, "method": method, "args": args, "to": to}), bytes);
        to
    }

    /// The number of what object `of` has under the name of `key`.
    pub(crate) fn get(&self, of: u64, key: &str) -> u64 {
        let to = self.next();
        self.tell(&json!({"verb": "get", "on": of, "key": key, "to": to}), &[]);
        to
    }

    fn next(&self) -> u64 {
        self.objects.fetch_add(1, Ordering::Relaxed)
    }

    fn socket(&self) -> MutexGuard<'_, WebSocket<TcpStream>> {
        self.socket.lock().expect("no thread failed before")
    }
}

fn send(socket: &mut WebSocket<TcpStream>, message: &Value, bytes: &[u8]) {
    let text = message.to_string();
    let length = (text.len() as u32).to_le_bytes();
    let whole = [&length, text.as_bytes(), bytes].concat();
    socket.send(Message::binary(whole)).expect("the browser is there");
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.chromium.kill();
        let _ = self.chromium.wait();
    }
}
