// The server of the examples in the documentation, which include this file.

/// Starts a server that gives the same answer to every request. Returns the address.
pub(crate) fn serve(answer: &'static str) -> std::io::Result<String> {
    use std::io::{BufRead, BufReader, Read, Write};

    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}/v1", listener.local_addr()?);
    std::thread::spawn(move || -> std::io::Result<()> {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream?);
            let mut length = 0;
            loop {
                let mut line = String::new();
                stream.read_line(&mut line)?;
                match line.split_once(':') {
                    Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                        length = value.trim().parse().unwrap_or(0);
                    }
                    _ if line.trim().is_empty() => break,
                    _ => {}
                }
            }
            std::io::copy(&mut stream.by_ref().take(length), &mut std::io::sink())?;
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close";
            let size = answer.len();
            write!(stream.get_mut(), "{head}\r\nContent-Length: {size}\r\n\r\n{answer}")?;
        }
        Ok(())
    });
    Ok(url)
}
