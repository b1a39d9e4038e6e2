//! HTTP of the test hub: one request per connection.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

/// The address that received a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum At {
    Hub,
    Cdn,
}

#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) at: At,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) authorization: Option<String>,
    pub(crate) range: Option<u64>,
    /// Number of earlier requests with the same path.
    pub(crate) number: usize,
    pub(crate) time: Instant,
}

/// Reply of the server.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    Normal,
    /// The whole file with status 200, whatever range was asked.
    NoRange,
    /// The normal reply, but the connection ends after a number of bytes of the body.
    Cut(usize),
    /// [`Reply::Cut`] without a range.
    CutNoRange(usize),
    /// Another status, headers and body.
    Send(u16, Vec<(String, String)>, String),
    /// The normal reply with other bytes.
    Other(Vec<u8>),
    /// The normal reply with one more header.
    With(String, String),
    /// The normal reply without the length and with more bytes at the end.
    Longer(usize),
    /// A number of bytes of the body, and then silence.
    Silent(usize),
    /// Not even a status.
    Mute,
    /// The normal body in pieces of a size, with a pause between them.
    Slow(usize, Duration),
}

impl Reply {
    pub(crate) fn status(status: u16, headers: &[(&str, &str)]) -> Self {
        let headers = headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        Self::Send(status, headers, format!("status {status} on purpose"))
    }
}

pub(crate) fn read(stream: &TcpStream, at: At) -> Option<Request> {
    let mut reader = BufReader::new(stream.take(64 << 10));
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let target = line.split(' ').nth(1)?.to_owned();
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let mut request = Request {
        at,
        path: path.to_owned(),
        query: query.to_owned(),
        authorization: None,
        range: None,
        number: 0,
        time: Instant::now(),
    };
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim().split_once(':') else {
            return Some(request);
        };
        match name.to_ascii_lowercase().as_str() {
            "authorization" => request.authorization = Some(value.trim().to_owned()),
            "range" => {
                let range = value.trim().strip_prefix("bytes=")?.strip_suffix('-')?;
                request.range = Some(range.parse().ok()?);
            }
            _ => {}
        }
    }
}

pub(crate) fn write(
    mut stream: TcpStream,
    request: &Request,
    reply: Reply,
    normal: (u16, Vec<(String, String)>, Vec<u8>),
) {
    let (mut status, mut headers, mut body) = normal;
    let mut sent = usize::MAX;
    let mut length = true;
    let mut piece = (usize::MAX, Duration::ZERO);
    let mut hang = false;
    let mut ranges = true;
    match reply {
        Reply::Normal => {}
        Reply::NoRange => ranges = false,
        Reply::Cut(bytes) => sent = bytes,
        Reply::CutNoRange(bytes) => (sent, ranges) = (bytes, false),
        Reply::Send(other, more, text) => {
            (status, headers, body) = (other, more, text.into_bytes());
        }
        Reply::Other(bytes) => body = bytes,
        Reply::With(name, value) => headers.push((name, value)),
        Reply::Longer(bytes) => {
            body.extend(vec![b'x'; bytes]);
            (length, ranges) = (false, false);
        }
        Reply::Silent(bytes) => (sent, hang) = (bytes, true),
        Reply::Mute => {
            thread::sleep(Duration::from_secs(60));
            return;
        }
        Reply::Slow(bytes, pause) => piece = (bytes, pause),
    }
    if let (true, 200, Some(start)) = (ranges, status, request.range) {
        let whole = body.len();
        let start = start as usize;
        if start >= whole {
            (status, body) = (416, Vec::new());
        } else {
            body.drain(..start);
            status = 206;
            let range = format!("bytes {start}-{}/{whole}", whole - 1);
            headers.push(("Content-Range".to_owned(), range));
        }
    }
    let mut head = format!("HTTP/1.1 {status} x\r\nConnection: close\r\n");
    if length {
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    if stream.write_all(head.as_bytes()).is_err() {
        return;
    }
    let body = &body[..sent.min(body.len())];
    for bytes in body.chunks(piece.0.min(body.len().max(1))) {
        if stream.write_all(bytes).is_err() {
            return;
        }
        thread::sleep(piece.1);
    }
    if hang {
        thread::sleep(Duration::from_secs(60));
    }
    let _ = stream.shutdown(Shutdown::Write);
    // A close with unread bytes would reset the connection and lose the end of the body.
    let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
    let _ = stream.read_to_end(&mut Vec::new());
}
