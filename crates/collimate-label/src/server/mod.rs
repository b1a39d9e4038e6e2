//! Server of the local web page.

mod guard;
mod markdown;
mod reply;
mod routes;
mod view;

use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::desk::Desk;
use crate::error::LabelError;
use crate::session::Session;

/// Time after which an idle connection is closed.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Maximum number of concurrent connections.
const CONNECTIONS: usize = 64;

/// Time between two checks for a stop request.
const TICK: Duration = Duration::from_millis(100);

/// Time for the last answer to be sent before the program may end.
const GRACE: Duration = Duration::from_millis(200);

/// Texts of the page that do not come from the session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Name of the labeller if the address names none.
    pub labeller: String,
    /// Command to run after all pairs are labelled.
    pub next: String,
    /// Option of this command for the share of the labels that are right, such as `--ceiling`; absent
    /// if the command has none.
    pub ceiling: Option<String>,
}

impl Page {
    /// Returns the command to run after all pairs are labelled. The option for the share of the labels
    /// that are right follows if the repeats tell this share ([`Session::reliability`]) and it is
    /// below 1.
    pub fn command(&self, session: &Session) -> String {
        let right = session.reliability();
        let percent = right.map(|right| (100.0 * right.estimate).round());
        match (&self.ceiling, percent) {
            (Some(option), Some(percent)) if percent < 100.0 => {
                format!("{} {option} {:.2}", self.next, percent / 100.0)
            }
            _ => self.next.clone(),
        }
    }
}

/// Reason why a server ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// A labeller pressed the button that ends the program.
    Finished,
    /// The caller requested a stop.
    Stopped,
}

/// A running server of the labelling page. Only this computer can reach it, and only with the key
/// in [`Server::url`].
#[derive(Debug)]
pub struct Server {
    shared: Arc<Shared>,
    address: SocketAddr,
    finished: Receiver<()>,
}

/// State that all requests share.
#[derive(Debug)]
struct Shared {
    /// The desk; absent after the end.
    desk: Mutex<Option<Desk>>,
    page: Page,
    /// Secret part of the address.
    key: String,
    port: u16,
    finish: Mutex<Sender<()>>,
}

impl Server {
    /// Returns the address with a port that is free at this moment; port 0 means any port. Use this
    /// to check an address before a session is opened.
    ///
    /// # Errors
    /// [`LabelError::NotLoopback`] for an address that other computers reach; [`LabelError::Port`]
    /// for a port that is not available.
    pub fn free_address(address: SocketAddr) -> Result<SocketAddr, LabelError> {
        if !address.ip().is_loopback() {
            return Err(LabelError::NotLoopback(address.ip()));
        }
        // The server does not report the port that it got.
        let probe = TcpListener::bind(address).and_then(|probe| probe.local_addr());
        probe.map_err(|why| LabelError::Port {
            port: address.port(),
            why,
        })
    }

    /// Starts to serve a session; port 0 means any free port.
    ///
    /// # Errors
    /// As [`Server::free_address`]; [`LabelError::Random`].
    pub fn start(address: SocketAddr, desk: Desk, page: Page) -> Result<Self, LabelError> {
        let address = Self::free_address(address)?;
        let (finish, finished) = channel();
        let shared = Arc::new(Shared {
            desk: Mutex::new(Some(desk)),
            page,
            key: random_hex()?,
            port: address.port(),
            finish: Mutex::new(finish),
        });
        let of_requests = Arc::clone(&shared);
        oxhttp::Server::new(move |request| routes::answer(&of_requests, request))
            .bind(address)
            .with_global_timeout(TIMEOUT)
            .with_max_concurrent_connections(CONNECTIONS)
            .spawn()
            .map_err(|why| LabelError::Port {
                port: address.port(),
                why,
            })?;
        Ok(Self {
            shared,
            address,
            finished,
        })
    }

    /// Returns the address of the page. The key comes after `#`, so that it is sent to no server
    /// and to no other page.
    pub fn url(&self) -> String {
        format!("http://{}/#key={}", self.address, self.shared.key)
    }

    /// Returns the address that the server listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until a labeller ends the program, or until `stop` returns true. A request in
    /// progress is answered first; later requests are refused. Returns the desk and the reason for
    /// the end.
    pub fn wait(self, stop: impl Fn() -> bool) -> (Option<Desk>, Ended) {
        let ended = loop {
            match self.finished.recv_timeout(TICK) {
                Ok(()) => break Ended::Finished,
                Err(RecvTimeoutError::Timeout) if !stop() => {}
                Err(_) => break Ended::Stopped,
            }
        };
        let desk = self
            .shared
            .desk
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        std::thread::sleep(GRACE);
        (desk, ended)
    }
}

/// Returns 32 hexadecimal digits that cannot be guessed.
fn random_hex() -> Result<String, LabelError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| LabelError::Random(error.to_string()))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
