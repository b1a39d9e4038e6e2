//! Checksums under which a hub stores content.

use std::fmt::Write;

use ring::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY, SHA256};

use crate::listing::Entry;

/// The running checksum of one file: SHA-256 for LFS, else the id of git's object.
#[derive(Clone)]
pub(super) struct Hash(Context);

impl Hash {
    pub(super) fn new(entry: &Entry) -> Self {
        if entry.is_lfs() {
            return Self(Context::new(&SHA256));
        }
        let mut context = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
        context.update(format!("blob {}\0", entry.size()).as_bytes());
        Self(context)
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Returns the checksum in lower-case hexadecimal digits.
    pub(super) fn finish(self) -> String {
        let mut text = String::new();
        for byte in self.0.finish().as_ref() {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_git_and_sha256() {
        let hash = |entry: Entry, bytes: &[u8]| {
            let mut hash = Hash::new(&entry);
            hash.update(bytes);
            hash.finish()
        };
        let id = "0".repeat(40);
        // `printf 'hello\n' | git hash-object --stdin`
        let git = Entry::new(6, id.clone(), None, None).unwrap();
        assert_eq!(
            hash(git, b"hello\n"),
            "ce013625030ba8dba906f756967f9e9ca394464a"
        );
        let lfs = Entry::new(9, id, Some(("0".repeat(64), 3)), None).unwrap();
        // Example of FIPS 180.
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hash(lfs, b"abc"), abc);
    }
}
