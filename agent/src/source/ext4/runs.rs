//! Where a file's content is: runs of blocks, from an extent tree or from the block map of ext2 and ext3.
//!
//! Source: `fs/ext4/ext4_extents.h`, `__ext4_ext_check` in `fs/ext4/extents.c`, `fs/ext4/indirect.c` and
//! Documentation/filesystems/ext4/{ifork,blockmap}.rst. A tree that the kernel would refuse is refused.

use std::sync::Arc;

use super::Volume;
use super::blocks::Block;
use super::checksum::crc32c;
use super::field::{At as _, ensure, ensure_checksum, joined, le16, le32, part};
use super::inode::{EXTENTS, Inode, MAP};
use super::superblock::METADATA_CSUM;
use crate::source::file_system::Fault;

/// Blocks that follow each other in the file and in the image.
#[derive(Clone, Copy)]
pub(super) struct Run {
    /// The first one's number in the file.
    pub(super) start: u64,
    /// Blocks, at least one.
    pub(super) length: u64,
    /// The first one's number in the image; `None` if all are zeros that nobody wrote.
    pub(super) physical: Option<u64>,
}

/// The runs of a file in order. What lies between them are holes.
pub(super) enum Runs {
    Map(Map),
    Tree(Tree),
}

impl Runs {
    /// Those of an inode whose content is in blocks.
    pub(super) fn of(volume: &Volume, inode: &Inode) -> Result<Self, Fault> {
        if inode.has(EXTENTS) {
            Tree::new(volume, inode)
                .map(Self::Tree)
                .at(format_args!("extent tree"))
        } else {
            Map::new(volume, inode)
                .map(Self::Map)
                .at(format_args!("block map"))
        }
    }

    /// The next run; `None` after the last.
    pub(super) fn next(&mut self, volume: &Volume) -> Result<Option<Run>, Fault> {
        match self {
            Self::Tree(tree) => tree.next(volume).at(format_args!("extent tree")),
            Self::Map(map) => map.next(volume).at(format_args!("block map")),
        }
    }
}

/// A walk through an extent tree.
pub(super) struct Tree {
    /// The nodes from the root to where the walk is.
    path: Vec<Level>,
    /// The lowest block of the file that may come next: keys only ever rise, so the walk ends.
    next: u64,
    seed: u32,
}

struct Level {
    node: Block,
    /// Levels below.
    depth: u16,
    entries: u16,
    at: u16,
}

impl Tree {
    fn new(volume: &Volume, inode: &Inode) -> Result<Self, Fault> {
        let root = Arc::new(inode.map()?.to_vec());
        let root = Level::parse(root, None)?;
        ensure(root.depth <= MAX_DEPTH, format_args!("{} levels", root.depth))?;
        ensure(
            root.entries > 0 || root.depth == 0,
            format_args!("an index without entries"),
        )?;
        let end = inode.size.div_ceil(volume.blocks.size as u64);
        ensure(end <= MOST_BLOCKS, format_args!("{end} blocks"))?;
        Ok(Self {
            path: vec![root],
            next: 0,
            seed: inode.seed,
        })
    }

    fn next(&mut self, volume: &Volume) -> Result<Option<Run>, Fault> {
        while let Some(level) = self.path.last_mut() {
            if level.at == level.entries {
                self.path.pop();
                continue;
            }
            let entry = HEADER + ENTRY * usize::from(level.at);
            let entry = part(&level.node, entry..entry + ENTRY)?;
            level.at += 1;
            let start = u64::from(le32(entry, 0)?);
            ensure(
                start >= self.next,
                format_args!("block {start} of the file out of order"),
            )?;
            if level.depth == 0 {
                let run = extent(start, entry)?;
                if let Some(first) = run.physical {
                    volume.blocks.check(first, run.length)?;
                }
                self.next = start + run.length;
                ensure(self.next <= MOST_BLOCKS, format_args!("beyond 2^32 blocks"))?;
                return Ok(Some(run));
            }
            let place = joined(le16(entry, 8)?, le32(entry, 4)?);
            let above = level.depth;
            let child = self
                .child(volume, place, above, start)
                .at(format_args!("block {place}"))?;
            self.path.push(child);
        }
        Ok(None)
    }

    /// The node in block `place`, which must begin with block `start` of the file.
    fn child(&self, volume: &Volume, place: u64, above: u16, start: u64) -> Result<Level, Fault> {
        let node = volume.blocks.block(place)?;
        let checksum = volume.superblock.ro_compat(METADATA_CSUM).then_some(self.seed);
        let child = Level::parse(node, checksum)?;
        ensure(
            child.depth.checked_add(1) == Some(above),
            format_args!("on the wrong level"),
        )?;
        ensure(child.entries > 0, format_args!("a node without entries"))?;
        ensure(
            u64::from(le32(&child.node, HEADER)?) == start,
            format_args!("does not begin where its parent says"),
        )?;
        Ok(child)
    }
}

impl Level {
    fn parse(node: Block, checksum: Option<u32>) -> Result<Self, Fault> {
        let [magic, entries, room, depth] =
            [le16(&node, 0)?, le16(&node, 2)?, le16(&node, 4)?, le16(&node, 6)?];
        ensure(magic == MAGIC, format_args!("not a node"))?;
        let end = HEADER + ENTRY * usize::from(room);
        ensure(
            room > 0 && entries <= room && end <= node.len(),
            format_args!("{entries} entries where {room} have room"),
        )?;
        if let Some(seed) = checksum {
            ensure_checksum(le32(&node, end)?, crc32c(seed, part(&node, 0..end)?))?;
        }
        Ok(Self {
            node,
            depth,
            entries,
            at: 0,
        })
    }
}

fn extent(start: u64, entry: &[u8]) -> Result<Run, Fault> {
    let length = le16(entry, 4)?;
    ensure(length > 0, format_args!("an empty extent"))?;
    let written = length <= UNWRITTEN;
    Ok(Run {
        start,
        length: u64::from(if written { length } else { length - UNWRITTEN }),
        physical: written.then_some(joined(le16(entry, 6)?, le32(entry, 8)?)),
    })
}

/// A walk through a block map.
pub(super) struct Map {
    /// 12 blocks, and the roots of trees of one, two and three levels.
    roots: [u8; MAP],
    next: u64,
    /// Blocks of the file.
    end: u64,
}

impl Map {
    fn new(volume: &Volume, inode: &Inode) -> Result<Self, Fault> {
        let per_node = volume.blocks.size as u64 / 4;
        let room = DIRECT + per_node + per_node.pow(2) + per_node.pow(3);
        let end = inode.size.div_ceil(volume.blocks.size as u64);
        ensure(end <= room, format_args!("{end} blocks"))?;
        Ok(Self {
            roots: inode.map()?,
            next: 0,
            end,
        })
    }

    fn next(&mut self, volume: &Volume) -> Result<Option<Run>, Fault> {
        while self.next < self.end {
            let (start, run) = (self.next, self.find(volume, self.next)?);
            self.next += run.length.max(1);
            if let Some(first) = run.physical {
                volume.blocks.check(first, run.length)?;
                return Ok(Some(Run { start, ..run }));
            }
        }
        Ok(None)
    }

    /// The run at `block` as far as one node tells, or the hole.
    fn find(&self, volume: &Volume, block: u64) -> Result<Run, Fault> {
        if block < DIRECT {
            return run(part(&self.roots, 0..48)?, block);
        }
        let per_node = volume.blocks.size as u64 / 4;
        let mut within = block - DIRECT;
        // What one entry stands for, from the root of this tree down.
        let mut each = per_node;
        let mut root = 48;
        while within >= each {
            within -= each;
            each *= per_node;
            root += 4;
        }
        let mut place = le32(&self.roots, root)?;
        loop {
            if place == 0 {
                return Ok(Run {
                    start: block,
                    length: each - within % each,
                    physical: None,
                });
            }
            let node = volume.blocks.block(place.into())?;
            each /= per_node;
            if each == 1 {
                return run(&node, within % per_node);
            }
            let entry = usize::try_from(within / each % per_node).unwrap_or(usize::MAX);
            place = le32(&node, entry.saturating_mul(4))?;
        }
    }
}

/// The run or the hole at entry `at` of a node that names blocks of the file.
fn run(node: &[u8], at: u64) -> Result<Run, Fault> {
    let (entries, _) = node.as_chunks::<4>();
    let at = usize::try_from(at).unwrap_or(usize::MAX);
    let mut blocks = entries
        .get(at..)
        .unwrap_or_default()
        .iter()
        .map(|entry| u32::from_le_bytes(*entry));
    let first = blocks.next().ok_or_else(|| Fault::new("cut short"))?;
    let mut last = first;
    let mut length = 1;
    for block in blocks {
        let follows = if first == 0 {
            block == 0
        } else {
            last.checked_add(1) == Some(block)
        };
        if !follows {
            break;
        }
        (last, length) = (block, length + 1);
    }
    Ok(Run {
        start: at as u64,
        length,
        physical: (first != 0).then_some(first.into()),
    })
}

const MAGIC: u16 = 0xf30a;
const HEADER: usize = 12;
const ENTRY: usize = 12;
/// Blocks of a file that a tree can name.
const MOST_BLOCKS: u64 = 1 << 32;
/// Levels below the root.
const MAX_DEPTH: u16 = 5;
/// Longer extents are this much shorter, and not yet written.
const UNWRITTEN: u16 = 0x8000;
/// Blocks that the inode itself names.
const DIRECT: u64 = 12;
