//! Keeps the key out of the HTTP library's own log.
//!
//! At level TRACE that library logs every byte it writes, headers included. So it is given a
//! stand-in of the same length, and the key takes its place in the buffer that goes to the socket
//! (or into TLS), after the log has seen it.

use ureq::Error;
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, NextTimeout, Transport};

use crate::ApiKey;

const SCHEME: &str = "Bearer ";

/// The value of the header `Authorization` that stands for the key.
pub(crate) fn stand_in(key: &ApiKey) -> String {
    format!("{SCHEME}{}", "*".repeat(key.expose().len()))
}

/// Puts the key in the place of its stand-in.
#[derive(Debug)]
pub(crate) struct Reveal(pub(crate) Option<ApiKey>);

impl<In: Transport> Connector<In> for Reveal {
    type Out = Revealed<In>;

    fn connect(
        &self,
        _: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, Error> {
        Ok(chained.map(|inner| Revealed {
            inner,
            key: self.0.clone(),
        }))
    }
}

/// A connection that sends the key for its stand-in.
#[derive(Debug)]
pub(crate) struct Revealed<In> {
    inner: In,
    key: Option<ApiKey>,
}

impl<In: Transport> Transport for Revealed<In> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        if let Some(key) = &self.key
            && let Some(bytes) = self.inner.buffers().output().get_mut(..amount)
        {
            reveal(bytes, key);
        }
        self.inner.transmit_output(amount, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.inner.await_input(timeout)
    }

    fn is_open(&mut self) -> bool {
        self.inner.is_open()
    }

    fn is_tls(&self) -> bool {
        self.inner.is_tls()
    }
}

/// A line end is part of what is looked for: a JSON body has none between characters, so no prompt
/// can hold it.
fn reveal(bytes: &mut [u8], key: &ApiKey) {
    let wanted = format!("{}\r\n", stand_in(key));
    let found = bytes
        .windows(wanted.len())
        .position(|window| window == wanted.as_bytes());
    if let Some(start) = found.map(|start| start + SCHEME.len())
        && let Some(place) = bytes.get_mut(start..start + key.expose().len())
    {
        place.copy_from_slice(key.expose().as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_header_is_changed() {
        let key = ApiKey::new("sk-1").unwrap();
        let mut bytes =
            b"POST / HTTP/1.1\r\nauthorization: Bearer ****\r\nx: ****\r\n\r\n".to_vec();
        reveal(&mut bytes, &key);
        assert_eq!(
            bytes,
            b"POST / HTTP/1.1\r\nauthorization: Bearer sk-1\r\nx: ****\r\n\r\n"
        );
        let body = br#"{"prompt": "Authorization: Bearer ****\r\n"}"#;
        let mut sent = body.to_vec();
        reveal(&mut sent, &key);
        assert_eq!(sent, body);
        reveal(&mut [], &key);
    }
}
