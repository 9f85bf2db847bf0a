//! Archives that are kept uncompressed in a file: their members can be read in any order.

use std::io::{self, Read};
use std::sync::Arc;

use super::End;
use super::member::Member;
use super::parser::Parser;
use super::sparse::Segment;
use super::stream::Placed;
use crate::source::bytes::{Bytes, Window};
use crate::source::file_system::Fault;

/// The most members, and the most segments of sparse files, that an index lists: an archive of an image's blobs has
/// hundreds.
const MOST: usize = 1 << 20;

/// The members of an uncompressed archive, and where their content is.
#[derive(Debug)]
pub struct TarIndex {
    /// In the archive's order. A path may come twice.
    pub entries: Vec<IndexEntry>,
}

/// A member of an indexed archive.
#[derive(Debug)]
pub struct IndexEntry {
    /// What the archive says of it.
    pub member: Member,
    /// Where its stored content begins. Bytes from the beginning of the archive.
    position: u64,
    /// The segments of a sparse file.
    segments: Option<Arc<[Segment]>>,
}

impl TarIndex {
    /// Lists the members. What they contain is passed over, so that this is quick for a large archive; everything
    /// else is as with [`TarReader`](super::TarReader).
    pub fn read(archive: &Bytes, end: End) -> Result<Self, Fault> {
        let mut parser = Parser::new(Placed::new(archive), end);
        let mut entries = Vec::new();
        let mut segments = 0;
        while let Some(member) = parser.next_member()? {
            let content = parser.content();
            if content.is_sparse() {
                segments += content.segments().len();
            }
            if entries.len() == MOST || segments > MOST {
                return Err(Fault::new(format!(
                    "an archive of archives with more than {MOST} members"
                )));
            }
            entries.push(IndexEntry {
                member,
                position: content.position(),
                segments: content.is_sparse().then(|| content.segments().into()),
            });
        }
        Ok(Self { entries })
    }
}

impl IndexEntry {
    /// The content as bytes that can be read at any place; `None` for a sparse file.
    #[must_use]
    pub fn window(&self, archive: &Bytes) -> Option<Window> {
        match self.segments {
            Some(_) => None,
            None => Window::new(Arc::clone(archive), self.position, self.member.size),
        }
    }

    /// The content from its beginning to its end, holes as zeros. `archive` is the one that was indexed.
    #[must_use]
    pub fn open(&self, archive: &Bytes) -> Box<dyn Read + Send> {
        let whole = [Segment {
            offset: 0,
            size: self.member.size,
        }];
        Box::new(Laid {
            archive: Arc::clone(archive),
            segments: self.segments.clone().unwrap_or_else(|| whole.into()),
            segment: 0,
            position: self.position,
            size: self.member.size,
            at: 0,
        })
    }
}

/// Reads a file that is stored in segments, one behind the other.
struct Laid {
    archive: Bytes,
    segments: Arc<[Segment]>,
    /// The first that is not read to its end.
    segment: usize,
    /// Where the next stored byte is in the archive.
    position: u64,
    size: u64,
    /// Where the next byte is in the file.
    at: u64,
}

impl Read for Laid {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let segment = self.segments.get(self.segment);
        let data = segment.map_or(self.size, |segment| segment.offset);
        let end = segment.map_or(self.size, |segment| segment.offset + segment.size);
        let until = if self.at < data { data } else { end };
        let left = usize::try_from(until - self.at).unwrap_or(usize::MAX);
        let count = buffer.len().min(left);
        let buffer = &mut buffer[..count];
        if self.at < data {
            buffer.fill(0);
        } else {
            self.archive.read_exact_at(buffer, self.position)?;
            self.position += count as u64;
        }
        self.at += count as u64;
        if self.at == end {
            self.segment += 1;
        }
        Ok(count)
    }
}
