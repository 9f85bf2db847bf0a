//! Bytes that are hashed, or checked against their digest, on their way to somebody else.

use std::io::{self, Read};
use std::sync::{Arc, OnceLock};

use sha2::{Digest as _, Sha256};

/// Passes bytes on and, when all have passed, checks that they were the right ones: the end of a wrong stream is an
/// error. Whoever reads to the end has verified the stream; decompressors and
/// [`TarReader`](crate::source::tar::TarReader) do so before they tell their own end.
pub struct Verified<R> {
    reader: Counted<R>,
    size: u64,
    sha256: [u8; 32],
    ended: bool,
}

impl<R: Read> Verified<R> {
    /// Expects `size` bytes with this digest.
    pub fn new(reader: R, size: u64, sha256: [u8; 32]) -> Self {
        Self {
            reader: Counted::new(reader),
            size,
            sha256,
            ended: false,
        }
    }
}

impl<R: Read> Read for Verified<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.ended || buffer.is_empty() {
            return Ok(0);
        }
        let count = self.reader.read(buffer)?;
        let Counted { count: passed, .. } = self.reader;
        if passed > self.size {
            let why = format!("there are more than the {} bytes that there should be", self.size);
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        if count == 0 {
            if passed != self.size {
                let why = format!("there are {passed} bytes instead of {}", self.size);
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, why));
            }
            if self.reader.digest() != self.sha256 {
                let why = "the bytes do not match their digest";
                return Err(io::Error::new(io::ErrorKind::InvalidData, why));
            }
            self.ended = true;
        }
        Ok(count)
    }
}

/// Passes bytes on and hashes them.
pub struct Hashed<R> {
    reader: Counted<R>,
    passed: Passed,
}

/// Tells what passed a [`Hashed`] reader, wherever that one went.
#[derive(Clone, Debug, Default)]
pub struct Passed(Arc<OnceLock<(u64, [u8; 32])>>);

impl Passed {
    /// How many bytes there were, and their SHA-256, once the end was reached; `None` before.
    #[must_use]
    pub fn total(&self) -> Option<(u64, [u8; 32])> {
        self.0.get().copied()
    }
}

impl<R: Read> Hashed<R> {
    /// The reader, and what will tell of it.
    pub fn new(reader: R) -> (Self, Passed) {
        let passed = Passed::default();
        let hashed = Self {
            reader: Counted::new(reader),
            passed: passed.clone(),
        };
        (hashed, passed)
    }
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let count = self.reader.read(buffer)?;
        if count == 0 {
            let reader = &self.reader;
            self.passed.0.get_or_init(|| (reader.count, reader.digest()));
        }
        Ok(count)
    }
}

struct Counted<R> {
    reader: R,
    hasher: Sha256,
    count: u64,
}

impl<R: Read> Counted<R> {
    fn new(reader: R) -> Self {
        Self {
            reader,
            hasher: Sha256::new(),
            count: 0,
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        self.count += count as u64;
        Ok(count)
    }

    fn digest(&self) -> [u8; 32] {
        self.hasher.clone().finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(mut reader: impl Read) -> io::Result<u64> {
        io::copy(&mut reader, &mut io::sink())
    }

    #[test]
    fn only_the_right_bytes_have_an_end() {
        let bytes = vec![7; 100_000];
        let digest = Sha256::digest(&bytes).into();
        assert_eq!(
            drain(Verified::new(&bytes[..], 100_000, digest)).unwrap(),
            100_000
        );
        let mut other = bytes.clone();
        other[99_999] ^= 1;
        for (bytes, why) in [
            (&bytes[1..], "there are 99999 bytes instead of 100000"),
            (
                &[&bytes[..], b"x"].concat(),
                "there are more than the 100000 bytes that there should be",
            ),
            (&other, "the bytes do not match their digest"),
            (b"", "there are 0 bytes instead of 100000"),
        ] {
            let told = drain(Verified::new(bytes, 100_000, digest)).unwrap_err();
            assert_eq!(told.to_string(), why);
        }
    }

    #[test]
    fn digest_is_told_at_the_end() {
        let (mut hashed, passed) = Hashed::new(&b"abc"[..]);
        hashed.read_exact(&mut [0; 3]).unwrap();
        assert_eq!(hashed.read(&mut []).unwrap(), 0);
        assert_eq!(passed.total(), None);
        assert_eq!(drain(hashed).unwrap(), 0);
        assert_eq!(passed.total(), Some((3, Sha256::digest(b"abc").into())));
    }
}
