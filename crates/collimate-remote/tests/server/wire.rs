//! HTTP/1.1 as far as the tests need it, and ways to break it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use super::{Reply, Request};

/// Reads a request except its last byte. Closing the socket with an unread byte resets the
/// connection.
pub(super) fn read(input: &mut BufReader<TcpStream>) -> Option<(Request, u64)> {
    let mut line = String::new();
    input.read_line(&mut line).ok()?;
    let path = line.split(' ').nth(1)?.to_owned();
    let (mut length, mut authorization) = (0, None);
    loop {
        let mut line = String::new();
        input.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        match name.to_lowercase().as_str() {
            "content-length" => length = value.parse().ok()?,
            "authorization" => authorization = Some(value.to_owned()),
            _ => {}
        }
    }
    let mut body = vec![0; length - 1];
    input.read_exact(&mut body).ok()?;
    body.push(b'}');
    let hash = body.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    });
    let request = Request {
        path,
        authorization,
        body: serde_json::from_slice(&body).ok()?,
        asked: 0,
        number: 0,
    };
    Some((request, hash))
}

/// Sends the reply and returns true if the connection stays open.
pub(super) fn answer(
    input: &mut BufReader<TcpStream>,
    output: &mut TcpStream,
    reply: Reply,
) -> bool {
    let head = |status: u16, headers: &[(&str, String)], length: usize| {
        let mut head = format!("HTTP/1.1 {status} Any\r\nContent-Length: {length}\r\n");
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        head + "\r\n"
    };
    if let Reply::Reset(body) = reply {
        let text = head(200, &[], body.len()) + &body[..body.len() / 2];
        let _ = output.write_all(text.as_bytes());
        // The body needs time to arrive before the reset.
        thread::sleep(Duration::from_millis(5));
        return false;
    }
    let mut last = [0];
    if input.read_exact(&mut last).is_err() {
        return false;
    }
    match reply {
        Reply::Send(status, headers, body) => {
            let text = head(status, &headers, body.len()) + &body;
            output.write_all(text.as_bytes()).is_ok()
        }
        Reply::Cut(body) => {
            let text = head(200, &[], body.len()) + &body[..body.len() / 2];
            let _ = output.write_all(text.as_bytes());
            false
        }
        Reply::Hang => {
            let _ = input.read(&mut last);
            false
        }
        Reply::Drip(body, every) => {
            let _ = output.write_all(head(200, &[], body.len()).as_bytes());
            for byte in body.bytes() {
                thread::sleep(every);
                if output.write_all(&[byte]).is_err() {
                    return false;
                }
            }
            true
        }
        Reply::Reset(_) | Reply::Late(..) => false,
    }
}
