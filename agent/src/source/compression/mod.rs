//! Signatures first.

use std::io::{self, Read};

use super::file_system::Fault;

/// How a stream is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression { /// Not.
    None, /// RFC 1952, any number of members.
    Gzip, /// The .xz format, any number of streams.
    Xz, /// RFC 8878, any number of frames.
    Zstd }

/// How many bytes [`recognise`] wants to see; fewer are enough where the stream has fewer.
pub const MAGIC: usize = 10;

/// How the stream that begins with these bytes is compressed. A fault for a known compression that is not supported.
pub fn recognise(_first: &[u8]) -> Result<Compression, Fault> { Err(Fault::new("not there yet")) }

/// The decompressed bytes. The stream's end is reported only once the compressed stream was read to its own end and
/// all its checksums matched; a cut or damaged stream, or one with something behind it, is an error.
pub fn decompress<'a, R: Read + Send + 'a>(_reader: R, _compression: Compression) -> Result<Box<dyn Read + Send + 'a>, Fault> { Err(Fault::new("not there yet")) }

/// Both at once: looks at the first bytes and decompresses.
pub fn decompress_recognised<'a, R: Read + Send + 'a>(_reader: R) -> Result<(Compression, Box<dyn Read + Send + 'a>), Fault> { Err(Fault::new("not there yet")) }

/// Passes bytes on, and at their end compares their number and SHA-256 with what they should be: the end of a wrong
/// stream is an error. So whoever reads to the end (a decompressor and [`TarReader`](super::tar::TarReader) do) has verified it.
pub struct Verified<R>(R);
impl<R: Read> Verified<R> {
    /// `size` in bytes.
    pub fn new(reader: R, _size: u64, _sha256: [u8; 32]) -> Self { Self(reader) }
}
impl<R: Read> Read for Verified<R> { fn read(&mut self, b: &mut [u8]) -> io::Result<usize> { self.0.read(b) } }

/// Passes bytes on and hashes them.
pub struct Hashed<R>(R);
/// Tells what passed a [`Hashed`] reader, wherever that went.
#[derive(Clone)]
pub struct Passed(());
impl<R: Read> Hashed<R> {
    /// The reader, and what will tell of it.
    pub fn new(reader: R) -> (Self, Passed) { (Self(reader), Passed(())) }
}
impl<R: Read> Read for Hashed<R> { fn read(&mut self, b: &mut [u8]) -> io::Result<usize> { self.0.read(b) } }
impl Passed {
    /// Number of bytes and their SHA-256, once the end of the stream was reached; `None` before.
    pub fn total(&self) -> Option<(u64, [u8; 32])> { None }
}

/// Reads ahead of whoever reads this, on a thread of its own. Dropping it ends the thread after its present read.
pub struct Ahead(Box<dyn Read + Send>);
/// Starts reading.
pub fn ahead<R: Read + Send + 'static>(reader: R) -> Result<Ahead, Fault> { Ok(Ahead(Box::new(reader))) }
impl Read for Ahead { fn read(&mut self, b: &mut [u8]) -> io::Result<usize> { self.0.read(b) } }
