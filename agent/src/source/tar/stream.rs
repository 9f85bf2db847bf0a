//! Where an archive's bytes come from: a stream that passes once, or bytes that can be read at any place.

use std::io::{self, BufRead as _, BufReader, Read};

use crate::source::bytes::Bytes;

/// Bytes read from the beginning to the end, some of them skipped.
pub(super) trait Stream: Read {
    /// Bytes read or skipped so far.
    fn position(&self) -> u64;

    /// Passes over `count` bytes. [`io::ErrorKind::UnexpectedEof`] if fewer are there, all of which were passed over.
    fn skip(&mut self, count: u64) -> io::Result<()>;
}

/// A stream that passes once.
pub(super) struct Streamed<R> {
    reader: BufReader<R>,
    position: u64,
}

impl<R: Read> Streamed<R> {
    pub(super) fn new(reader: R) -> Self {
        Self {
            // Headers and small files are taken from the buffer; what is longer goes past it.
            reader: BufReader::with_capacity(64 << 10, reader),
            position: 0,
        }
    }
}

impl<R: Read> Read for Streamed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        self.position += count as u64;
        Ok(count)
    }
}

impl<R: Read> Stream for Streamed<R> {
    fn position(&self) -> u64 {
        self.position
    }

    fn skip(&mut self, count: u64) -> io::Result<()> {
        let mut left = count;
        while left > 0 {
            let there = match self.reader.fill_buf() {
                Ok([]) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(buffer) => buffer.len(),
                Err(why) if why.kind() == io::ErrorKind::Interrupted => continue,
                Err(why) => return Err(why),
            };
            let passed = there.min(usize::try_from(left).unwrap_or(usize::MAX));
            self.reader.consume(passed);
            self.position += passed as u64;
            left -= passed as u64;
        }
        Ok(())
    }
}

/// Bytes that can be read at any place: skipping costs nothing.
pub(super) struct Placed<'a> {
    bytes: &'a Bytes,
    position: u64,
}

impl<'a> Placed<'a> {
    pub(super) const fn new(bytes: &'a Bytes) -> Self {
        Self { bytes, position: 0 }
    }

    fn left(&self) -> u64 {
        self.bytes.size().saturating_sub(self.position)
    }
}

impl Read for Placed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = buffer
            .len()
            .min(usize::try_from(self.left()).unwrap_or(usize::MAX));
        self.bytes.read_exact_at(&mut buffer[..count], self.position)?;
        self.position += count as u64;
        Ok(count)
    }
}

impl Stream for Placed<'_> {
    fn position(&self) -> u64 {
        self.position
    }

    fn skip(&mut self, count: u64) -> io::Result<()> {
        if count > self.left() {
            self.position += self.left();
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.position += count;
        Ok(())
    }
}
