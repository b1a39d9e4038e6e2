//! A small HTTP client: one request, one answer. The test controls every byte of the request.
#![allow(dead_code)] // each test uses its part

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// An answer as it was received.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }
}

/// Sends bytes unchanged and reads one answer.
pub(crate) fn send(address: SocketAddr, request: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    // The server may answer, and close, before it has read everything.
    let _ = stream.write_all(request);
    let mut bytes = Vec::new();
    let mut part = [0; 65536];
    loop {
        if let Some(answer) = whole(&bytes) {
            return answer;
        }
        match stream.read(&mut part) {
            Ok(0) => panic!("cut: {}", String::from_utf8_lossy(&bytes)),
            Ok(count) => bytes.extend_from_slice(&part[..count]),
            Err(error) => panic!("{error}: {}", String::from_utf8_lossy(&bytes)),
        }
    }
}

fn whole(bytes: &[u8]) -> Option<Answer> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut answer = Answer {
        status: head.split(' ').nth(1)?.parse().ok()?,
        head,
        body: String::new(),
    };
    let length: usize = answer
        .header("content-length")
        .map_or(0, |l| l.parse().unwrap());
    let body = bytes.get(end + 4..end + 4 + length)?;
    answer.body = String::from_utf8(body.to_vec()).unwrap();
    Some(answer)
}

/// Sends a request with a body, with the headers of the page and some more.
pub(crate) fn request(
    method: &str,
    address: SocketAddr,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Vec<u8> {
    let mut text = format!("{method} {path} HTTP/1.1\r\n");
    if !headers.iter().any(|(name, _)| *name == "host") {
        text += &format!("host: {address}\r\n");
    }
    for (name, value) in headers {
        text += &format!("{name}: {value}\r\n");
    }
    text += &format!("content-length: {}\r\n\r\n", body.len());
    let mut bytes = text.into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// Sends a request as the page does.
pub(crate) fn post(address: SocketAddr, key: &str, path: &str, body: &Value) -> Answer {
    let headers = [
        ("content-type", "application/json"),
        ("x-collimate-key", key),
    ];
    let body = body.to_string();
    send(
        address,
        &request("POST", address, path, &headers, body.as_bytes()),
    )
}

/// Returns the address and the key in a page's URL.
pub(crate) fn parts(url: &str) -> (SocketAddr, String) {
    let rest = url.strip_prefix("http://").unwrap();
    let (address, key) = rest.split_once("/#key=").unwrap();
    (address.parse().unwrap(), key.to_owned())
}
