//! Tar archives, read from their beginning to their end: what every member is, and its content.
//!
//! Read are v7, ustar, GNU (long names, base-256 numbers, sparse files) and pax archives, as GNU tar, bsdtar, star and
//! the tools that make container images write them. Sources: POSIX.1-2017, `pax`, "ustar Interchange Format" and
//! "pax Extended Header"; "Basic Tar Format" and "Sparse Formats" in GNU tar's manual; tar(5) of libarchive.
//!
//! An archive that two readers could take for two different trees is how files are smuggled past a scanner. So what
//! is not spelled as some writer spells it is refused, with the member and the reason, instead of guessed:
//!
//! * a header whose checksum, magic or numbers are not right, or an extension that is malformed, given twice, said in
//!   two ways or without its member;
//! * a path or hard link that leaves the tree by `..`, has a NUL or a component no file system holds;
//! * content where a type has none, and a file whose path says that it is a directory;
//! * members of types that only some readers know (volumes, incremental dumps, vendors' own);
//! * a global header that changes what members say, which half of the readers apply;
//! * a sparse map that is not in order or does not add up;
//! * an archive without an end mark (unless [`End::MayBeMissing`]), and anything but zeros behind it.
//!
//! Owners' names are not read: the numbers rule. Access and change times are not read either.

use std::io::{self, Read};

use super::file_system::Fault;
use parser::Parser;
use stream::Streamed;

mod header;
mod index;
mod member;
mod parser;
mod path;
mod pax;
mod sparse;
mod stream;
#[cfg(test)]
mod tests;

pub use index::{IndexEntry, TarIndex};
pub use member::{Member, MemberKind};

/// Whether an archive must say that it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It must, by a block of zeros: a stream that stops without one was cut.
    Required,
    /// It may stop after any member, also without the zeros that fill up its last block, because something else (the
    /// digest of an OCI layer) says that it is whole.
    MayBeMissing,
}

/// Reads an archive once, member by member.
pub struct TarReader<R: Read>(Parser<Streamed<R>>);

impl<R: Read> TarReader<R> {
    /// Reads the archive, which is not compressed any more, from `reader`; that needs no buffer of its own.
    pub fn new(reader: R, end: End) -> Self {
        Self(Parser::new(Streamed::new(reader), end))
    }

    /// The next member; what is left of the present one's content is skipped. `None` at the end, once `reader` was
    /// read to its own end and held nothing but zeros behind the end mark. After a fault, the same fault again.
    pub fn next_member(&mut self) -> Result<Option<Member>, Fault> {
        self.0.next_member()
    }

    /// Where the stored content of the present member begins: bytes from the beginning of the archive. Of a sparse
    /// file, this is where the first of its segments is stored.
    #[must_use]
    pub const fn position(&self) -> u64 {
        self.0.content().position()
    }

    /// Whether the present member's content is stored in segments, so that what lies from [`Self::position`] on is
    /// not the content itself.
    #[must_use]
    pub const fn is_sparse(&self) -> bool {
        self.0.content().is_sparse()
    }
}

/// The content of the present member: exactly [`Member::size`] bytes, holes as zeros. An archive cut inside of it is
/// an error of the kind [`io::ErrorKind::UnexpectedEof`], never an end.
impl<R: Read> Read for TarReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}
