//! An HTTP server that misbehaves on demand and records its requests.
#![allow(dead_code, unused_imports)]

mod answers;
mod wire;

use std::collections::HashMap;
use std::io::BufReader;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use collimate_remote::RemoteConfig;
use serde_json::{Value, json};

pub(crate) use answers::{KEY, answered, echo, key, prompt, wanted};

/// A request, as seen by the function that makes the reply.
pub(crate) struct Request {
    pub(crate) path: String,
    pub(crate) authorization: Option<String>,
    pub(crate) body: Value,
    /// Number of earlier requests with the same body.
    pub(crate) asked: usize,
    /// Number of earlier requests with any body.
    pub(crate) number: usize,
}

/// Reply of the server.
#[derive(Clone)]
pub(crate) enum Reply {
    /// A complete answer: status, headers, body.
    Send(u16, Vec<(&'static str, String)>, String),
    /// Half of the body, followed by the end of the connection.
    Cut(String),
    /// Half of the body, followed by a reset of the connection.
    Reset(String),
    /// No answer until the client disconnects.
    Hang,
    /// The body, one byte at a time.
    Drip(String, Duration),
    /// The reply after a delay.
    Late(Duration, Box<Reply>),
}

impl Reply {
    pub(crate) fn good(body: &Value) -> Self {
        Self::Send(200, Vec::new(), body.to_string())
    }

    pub(crate) fn status(status: u16) -> Self {
        let body = json!({"error": {"message": format!("status {status} on purpose")}});
        Self::Send(status, Vec::new(), body.to_string())
    }
}

/// One recorded request.
#[derive(Clone)]
pub(crate) struct Seen {
    pub(crate) hash: u64,
    pub(crate) path: String,
    pub(crate) body: Value,
    pub(crate) at: Instant,
    /// If true, a complete answer of status 200 with JSON was sent.
    pub(crate) good: bool,
}

#[derive(Default)]
struct Shared {
    seen: Mutex<Vec<Seen>>,
    counts: Mutex<HashMap<u64, usize>>,
    active: AtomicUsize,
    peak: AtomicUsize,
    ended: AtomicBool,
}

type Handler = dyn Fn(&Request) -> Reply + Send + Sync;

pub(crate) struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Server {
    pub(crate) fn start(handler: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let handler: Arc<Handler> = Arc::new(handler);
        let for_thread = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if for_thread.ended.load(Ordering::SeqCst) {
                    break;
                }
                let Ok(stream) = stream else { continue };
                let (shared, handler) = (Arc::clone(&for_thread), Arc::clone(&handler));
                thread::spawn(move || serve(stream, &shared, &*handler));
            }
        });
        Self { address, shared }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().clone()
    }

    /// Returns the number of requests.
    pub(crate) fn requests(&self) -> usize {
        self.seen().len()
    }

    /// Returns the largest number of requests that were unanswered at one time.
    pub(crate) fn peak(&self) -> usize {
        self.shared.peak.load(Ordering::SeqCst)
    }

    /// Counts the complete, good answers for each body.
    pub(crate) fn good(&self) -> HashMap<u64, usize> {
        let mut good = HashMap::new();
        for seen in self.seen() {
            *good.entry(seen.hash).or_default() += usize::from(seen.good);
        }
        good
    }

    /// Returns options for this server: short waits and no key.
    pub(crate) fn config(&self) -> RemoteConfig {
        RemoteConfig {
            base_url: self.url(),
            model: "tiny".into(),
            api_key_env: None,
            timeout: 30.0,
            backoff_first: 0.001,
            backoff_most: 0.004,
            retry_after_most: 3.0,
            ..RemoteConfig::default()
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(stream: TcpStream, shared: &Shared, handler: &Handler) {
    stream.set_nodelay(true).unwrap();
    let Ok(mut output) = stream.try_clone() else {
        return;
    };
    let mut input = BufReader::with_capacity(1, stream);
    while let Some((mut request, hash)) = wire::read(&mut input) {
        let active = shared.active.fetch_add(1, Ordering::SeqCst) + 1;
        shared.peak.fetch_max(active, Ordering::SeqCst);
        {
            let mut counts = shared.counts.lock().unwrap();
            let count = counts.entry(hash).or_default();
            request.asked = *count;
            *count += 1;
        }
        let at = Instant::now();
        let place = {
            let mut seen = shared.seen.lock().unwrap();
            request.number = seen.len();
            seen.push(Seen {
                hash,
                path: request.path.clone(),
                body: request.body.clone(),
                at,
                good: false,
            });
            seen.len() - 1
        };
        let mut reply = handler(&request);
        while let Reply::Late(time, then) = reply {
            thread::sleep(time);
            reply = *then;
        }
        if let Reply::Send(200, _, body) = &reply
            && serde_json::from_str::<Value>(body).is_ok()
        {
            shared.seen.lock().unwrap()[place].good = true;
        }
        // Decrement before sending the answer, because the client may send again before this thread
        // continues.
        shared.active.fetch_sub(1, Ordering::SeqCst);
        if !wire::answer(&mut input, &mut output, reply) {
            return;
        }
    }
}
