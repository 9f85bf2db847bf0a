//! One pass over a tar stream: members go to the tree, contents are hashed and, where they are wanted, kept.

use std::io::Read;
use std::sync::atomic::Ordering;

use baseline_format::OsText;

use super::Options;
use super::path::split;
use super::store::{Part, Store};
use super::tree::{Body, ROOT, Stored, Tree};
use super::weak::{WeakDigests, WeakHasher};
use crate::scan::lanes::{Hasher, digest_all};
use crate::source::file_system::Fault;
use crate::source::tar::{Member, TarReader};

/// What a pass adds to.
pub(super) struct Intake<'a> {
    tree: &'a mut Tree,
    store: &'a mut Store,
    weak: Option<&'a mut WeakDigests>,
    options: &'a Options<'a>,
    batch: Batch,
    buffer: Vec<u8>,
    /// Bytes of content that were hashed. A sparse file has more of them than its archive.
    hashed: u64,
}

/// Small contents that wait to be hashed together.
#[derive(Default)]
struct Batch {
    contents: Vec<u8>,
    waiting: Vec<Waiting>,
    digests: Vec<[u8; 32]>,
}

struct Waiting {
    inode: u32,
    /// In `contents`.
    start: usize,
    end: usize,
    keep: bool,
}

impl<'a> Intake<'a> {
    pub(super) fn new(
        tree: &'a mut Tree,
        store: &'a mut Store,
        weak: Option<&'a mut WeakDigests>,
        options: &'a Options<'a>,
    ) -> Self {
        Self {
            tree,
            store,
            weak,
            options,
            batch: Batch::default(),
            buffer: vec![0; PIECE],
            hashed: 0,
        }
    }

    /// Takes in a stream, from its first member to its end.
    pub(super) fn stream<R: Read>(&mut self, reader: &mut TarReader<R>) -> Result<(), Fault> {
        self.tree.next_layer()?;
        while let Some(member) = reader.next_member()? {
            self.member(&member, reader)
                .map_err(|why| at_path(&member.path, &why))?;
        }
        self.hash_batch();
        Ok(())
    }

    fn member<R: Read>(&mut self, member: &Member, reader: &mut TarReader<R>) -> Result<(), Fault> {
        let stored = Stored {
            position: reader.position(),
            sparse: reader.is_sparse(),
        };
        if let Some(progress) = self.options.progress {
            progress.entries.fetch_add(1, Ordering::Relaxed);
            progress.bytes.fetch_add(member.size, Ordering::Relaxed);
        }
        let Some(inode) = self.tree.apply(member, stored)? else {
            return Ok(());
        };
        if member.size > self.options.size_limit {
            return Ok(());
        }
        self.hashed = self.hashed.saturating_add(member.size);
        if self.hashed > CONTENTS {
            return Err(Fault::new(format!(
                "with it, contents are longer than {} GiB in all",
                CONTENTS >> 30
            )));
        }
        let keep = self.is_wanted(inode, member)?;
        match usize::try_from(member.size) {
            Ok(size) if size <= SMALL => self.small(inode, size, keep, reader),
            _ => self.large(inode, member.size, keep, reader),
        }
    }

    /// Asks for the name that the file has in the tree, which is another than the member's where links are followed.
    fn is_wanted(&self, inode: u32, member: &Member) -> Result<bool, Fault> {
        let Body::File(place) = self.tree.inode(inode)?.body else {
            return Ok(false);
        };
        if place.directory == ROOT && !member.path.contains(&b'/') {
            return Ok(self.options.wants(&member.path, member.size));
        }
        let path = self.tree.path_of(place.directory, split(&member.path).1);
        Ok(self.options.wants(&path, member.size))
    }

    fn small(&mut self, inode: u32, size: usize, keep: bool, reader: &mut impl Read) -> Result<(), Fault> {
        let batch = &mut self.batch;
        let start = batch.contents.len();
        let end = start + size;
        batch.contents.resize(end, 0);
        if let Some(content) = batch.contents.get_mut(start..) {
            reader.read_exact(content).map_err(|why| content_fault(&why))?;
        }
        batch.waiting.push(Waiting {
            inode,
            start,
            end,
            keep,
        });
        if end >= BATCH || batch.waiting.len() >= WAITING {
            self.hash_batch();
        }
        Ok(())
    }

    fn hash_batch(&mut self) {
        let batch = &mut self.batch;
        let content = |waiting: &Waiting| batch.contents.get(waiting.start..waiting.end).unwrap_or_default();
        let messages: Vec<&[u8]> = batch.waiting.iter().map(content).collect();
        digest_all(&messages, &mut batch.digests);
        for ((waiting, content), digest) in batch.waiting.iter().zip(messages).zip(&batch.digests) {
            self.tree.set_digest(waiting.inode, *digest);
            if waiting.keep {
                self.store.keep(*digest, content);
            }
            if let Some(weak) = &mut self.weak {
                weak.add(*digest, content);
            }
        }
        batch.contents.clear();
        batch.waiting.clear();
    }

    fn large(&mut self, inode: u32, size: u64, keep: bool, reader: &mut impl Read) -> Result<(), Fault> {
        let keep = keep.then_some(&mut *self.store);
        let digest = copy(reader, size, &mut self.buffer, keep, self.weak.as_deref_mut())?;
        self.tree.set_digest(inode, digest);
        Ok(())
    }
}

/// Reads a content of this size and hashes it; keeps it where a store is given.
pub(super) fn copy(
    reader: &mut impl Read,
    size: u64,
    buffer: &mut [u8],
    mut keep: Option<&mut Store>,
    weak: Option<&mut WeakDigests>,
) -> Result<[u8; 32], Fault> {
    let mut hasher = Hasher::new();
    let mut part = Part::default();
    let mut weak = weak.map(|digests| (digests, WeakHasher::default()));
    let mut left = size;
    while left > 0 {
        let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let piece = buffer.get_mut(..wanted).unwrap_or_default();
        reader.read_exact(piece).map_err(|why| content_fault(&why))?;
        hasher.update(piece);
        if let Some((_, hasher)) = &mut weak {
            hasher.update(piece);
        }
        if let Some(store) = &mut keep {
            store.add(&mut part, piece);
        }
        left -= wanted as u64;
    }
    let digest = hasher.finish();
    if let Some(store) = keep {
        store.finish(&part, digest);
    }
    if let Some((digests, hasher)) = weak {
        digests.finish(digest, hasher);
    }
    Ok(digest)
}

fn content_fault(why: &std::io::Error) -> Fault {
    Fault::new(format!("its content: {why}"))
}

/// A fault with the path that it is about.
pub(super) fn at_path(path: &[u8], why: &Fault) -> Fault {
    let path = if path.is_empty() { b"." } else { path };
    Fault::new(format!("`{}`: {why}", OsText::new(path)))
}

/// Contents up to this length wait for others of their kind. Bytes.
const SMALL: usize = 48 << 10;
/// Bytes that wait at most, but for the last content.
const BATCH: usize = 1 << 20;
/// Contents that wait at most.
const WAITING: usize = 4096;
/// Longer contents are read in pieces of this length. Bytes.
pub(super) const PIECE: usize = 256 << 10;
/// Most bytes of content that are hashed in one stream.
const CONTENTS: u64 = 1 << 40;
