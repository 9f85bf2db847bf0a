//! Signatures first; the parser follows.

use std::io::{self, Read};

use super::bytes::{Bytes, Window};
use super::file_system::Fault;

mod member;

pub use member::{Member, MemberKind};

/// Whether an archive must say that it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It must: a stream that stops without an end mark was cut.
    Required,
    /// It may stop after any member, because something else (the digest of an OCI layer) says that it is whole.
    MayBeMissing,
}

/// Reads a tar archive from its beginning to its end, once.
pub struct TarReader<R: Read>(R);

impl<R: Read> TarReader<R> {
    /// Reads the (decompressed) archive from `reader`, which needs no buffer of its own.
    pub fn new(reader: R, _end: End) -> Self {
        Self(reader)
    }

    /// The next member; what is left of the present one's content is skipped. `None` after the end mark, once the
    /// reader has been read to its end. After a fault, the same fault again.
    pub fn next_member(&mut self) -> Result<Option<Member>, Fault> {
        Err(Fault::new("not there yet"))
    }

    /// Where the present member's stored content begins: bytes from the beginning of the (decompressed) archive. Of
    /// a sparse file this is where its first segment is stored.
    pub fn position(&self) -> u64 {
        0
    }
}

/// The content of the present member: exactly [`Member::size`] bytes, holes as zeros. An archive cut inside of it is
/// an error of the kind [`io::ErrorKind::UnexpectedEof`], never an end.
impl<R: Read> Read for TarReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

/// The members of an uncompressed archive and where their content lies, for reading it in any order.
pub struct TarIndex {
    /// In the archive's order.
    pub entries: Vec<IndexEntry>,
}

/// A member and where its content lies.
pub struct IndexEntry {
    /// What the archive says of it.
    pub member: Member,
}

impl TarIndex {
    /// Lists the members, without reading what they contain.
    pub fn read(_archive: &Bytes, _end: End) -> Result<Self, Fault> {
        Err(Fault::new("not there yet"))
    }
}

impl IndexEntry {
    /// The content, read from its beginning to its end; holes as zeros.
    pub fn open(&self, _archive: &Bytes) -> Box<dyn Read + Send> {
        Box::new(io::empty())
    }

    /// The content as bytes that can be read at any place; `None` for a sparse file.
    pub fn window(&self, _archive: &Bytes) -> Option<Window> {
        None
    }
}
