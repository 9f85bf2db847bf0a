//! Where the tar streams of an archive come from.

use std::io::{self, Read};
use std::sync::{Mutex, PoisonError};

use crate::source::bytes::{Bytes, Sequential};
use crate::source::compression::{Compression, ahead, decompress_recognised};
use crate::source::file_system::Fault;
use crate::source::tar::End;

/// The tar streams that make up one file system, in the order in which they are applied.
pub trait Streams: Send + Sync {
    /// How many there are.
    fn count(&self) -> usize;

    /// What a stream is called in messages, such as `layer 2 (sha256:...)`; empty if it needs no name.
    fn name(&self, at: usize) -> String;

    /// Opens a stream at its beginning, decompressed; as often as asked, or a fault that says why not.
    fn open(&self, at: usize) -> Result<Stream, Fault>;

    /// The stream as bytes that can be read at any place, if it is stored like that.
    fn bytes(&self, _at: usize) -> Option<Bytes> {
        None
    }
}

/// A tar stream, opened.
pub struct Stream {
    /// Its bytes, decompressed.
    pub reader: Box<dyn Read + Send>,
    /// Whether it must have an end mark.
    pub end: End,
    /// Tells, once the stream was read to its end, whether it was what it should be.
    pub check: Box<dyn FnOnce() -> Result<(), Fault> + Send>,
}

impl Stream {
    /// A stream that only its own end mark and checksums vouch for.
    #[must_use]
    pub fn unchecked(reader: Box<dyn Read + Send>) -> Self {
        Self {
            reader,
            end: End::Required,
            check: Box::new(|| Ok(())),
        }
    }
}

/// A file that holds one tar archive, compressed or not.
pub(super) struct OneFile {
    file: Bytes,
    compression: Compression,
}

impl OneFile {
    pub(super) fn new(file: Bytes) -> Result<Self, Fault> {
        let (compression, _) = decompress_recognised(Sequential::new(file.clone()))?;
        Ok(Self { file, compression })
    }
}

impl Streams for OneFile {
    fn count(&self) -> usize {
        1
    }

    fn name(&self, _at: usize) -> String {
        String::new()
    }

    fn open(&self, _at: usize) -> Result<Stream, Fault> {
        let (compression, reader) = decompress_recognised(Sequential::new(self.file.clone()))?;
        Ok(Stream::unchecked(match compression {
            // Nothing to do ahead but copying.
            Compression::None => reader,
            _ => Box::new(ahead(reader)?),
        }))
    }

    fn bytes(&self, _at: usize) -> Option<Bytes> {
        (self.compression == Compression::None).then(|| self.file.clone())
    }
}

/// One tar archive that comes through a pipe, compressed or not, once.
pub(super) struct Pipe(Mutex<Option<Box<dyn Read + Send>>>);

impl Pipe {
    pub(super) fn new(reader: Box<dyn Read + Send>) -> Self {
        Self(Mutex::new(Some(reader)))
    }
}

impl Streams for Pipe {
    fn count(&self) -> usize {
        1
    }

    fn name(&self, _at: usize) -> String {
        String::new()
    }

    fn open(&self, _at: usize) -> Result<Stream, Fault> {
        let reader = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(reader) = reader else {
            return Err(Fault::new(
                "what comes through a pipe cannot be read again: save it to a file",
            ));
        };
        let (compression, reader) = decompress_recognised(reader)?;
        Ok(Stream::unchecked(match compression {
            Compression::None => reader,
            _ => Box::new(ahead(reader)?),
        }))
    }
}

/// Ends in an error where a stream does not end.
pub(in crate::source) struct Bounded<R> {
    inner: R,
    left: u64,
}

impl<R> Bounded<R> {
    pub(in crate::source) const fn new(inner: R) -> Self {
        Self { inner, left: STREAM }
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.left = self.left.checked_sub(read as u64).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::FileTooLarge,
                format!("more than {} GiB when decompressed", STREAM >> 30),
            )
        })?;
        Ok(read)
    }
}

/// Longest stream, decompressed. Bytes.
const STREAM: u64 = 1 << 40;
