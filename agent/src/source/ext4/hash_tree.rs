//! The hash tree of a directory: checked to lead to each block of names once.
//!
//! Source: `struct dx_root`, `dx_node` and `dx_tail` in `fs/ext4/namei.c`. What of it has names on the way is read as
//! any other block: a tree's nodes look like blocks whose only entry is deleted.

use super::Volume;
use super::checksum::crc32c;
use super::field::{At as _, array, ensure, ensure_checksum, le16, le32, part};
use super::superblock::{LARGE_DIR, METADATA_CSUM};
use crate::source::file_system::Fault;

/// Checks the tree of a directory that consists of these blocks.
pub(super) fn check(volume: &Volume, places: &[u64]) -> Result<(), Fault> {
    let levels = {
        let root = volume.blocks.block(places.first().copied().unwrap_or(0))?;
        let [_, length, levels, _] = array(&root, ROOT_INFO + 4)?;
        ensure(
            le32(&root, ROOT_INFO)? == 0 && usize::from(length) == ROOT - ROOT_INFO,
            format_args!("a root of another form"),
        )?;
        levels
    };
    let most = if volume.superblock.incompat(LARGE_DIR) {
        3
    } else {
        2
    };
    ensure(levels < most, format_args!("{levels} levels"))?;
    let mut reached = vec![false; places.len()];
    let mut nodes = vec![0_u32];
    for level in 0..=levels {
        let mut below = Vec::new();
        for node in nodes {
            let place = *places
                .get(node as usize)
                .ok_or_else(|| Fault::new("beyond the directory"))?;
            let block = volume.blocks.block(place)?;
            let at = if level == 0 { ROOT } else { NODE };
            ensure(
                level == 0 || looks_like_node(&block),
                format_args!("block {node} is not a node"),
            )?;
            for child in children(volume, &block, at).at(format_args!("block {node}"))? {
                match reached.get_mut(child as usize) {
                    Some(reached) if child != 0 && !*reached => *reached = true,
                    _ => return Err(Fault(format!("block {child}: reached twice, or not there"))),
                }
                below.push(child);
            }
        }
        nodes = below;
    }
    match reached.iter().skip(1).position(|reached| !reached) {
        Some(lost) => Err(Fault(format!("block {}: not reached", lost + 1))),
        None => Ok(()),
    }
}

/// The blocks that a node leads to.
fn children(volume: &Volume, block: &[u8], at: usize) -> Result<Vec<u32>, Fault> {
    let [room, count] = [le16(block, at)?, le16(block, at + 2)?].map(usize::from);
    let tail = if volume.superblock.ro_compat(METADATA_CSUM) {
        TAIL
    } else {
        0
    };
    ensure(
        count > 0 && count <= room && at + room * ENTRY + tail <= block.len(),
        format_args!("{count} entries where {room} have room"),
    )?;
    // The first entry has the count in place of a hash.
    (0..count)
        .map(|nth| Ok(le32(block, at + nth * ENTRY + 4)? & BLOCK_MASK))
        .collect()
}

/// Whether this is a node, or a block of which all names were deleted.
pub(super) fn looks_like_node(block: &[u8]) -> bool {
    let length = match block.len() {
        0x1_0000 => 0xffff,
        length => u16::try_from(length).unwrap_or(0),
    };
    let kept = le16(block, 4).unwrap_or(0);
    block.starts_with(&[0; 4]) && (kept == length || (block.len() == 0x1_0000 && kept == 0))
}

/// Checks the sum of a root or node.
pub(super) fn check_sum(seed: u32, block: &[u8]) -> Result<(), Fault> {
    let at = if looks_like_node(block) { NODE } else { ROOT };
    let [room, count] = [le16(block, at)?, le16(block, at + 2)?].map(usize::from);
    let tail = at + room * ENTRY;
    ensure(
        count <= room && tail + TAIL <= block.len(),
        format_args!("{count} entries where {room} have room"),
    )?;
    let sum = crc32c(seed, part(block, 0..at + count * ENTRY)?);
    let sum = crc32c(sum, part(block, tail..tail + 4)?);
    ensure_checksum(le32(block, tail + 4)?, crc32c(sum, &[0; 4]))
}

/// Where a root says what it is: after `.` and `..`.
const ROOT_INFO: usize = 24;
/// Where the entries of a root begin.
const ROOT: usize = 32;
/// Where the entries of another node begin: after an entry that spans the block.
const NODE: usize = 8;
const ENTRY: usize = 8;
const TAIL: usize = 8;
/// The upper four bits of a block's number are kept for something that never came.
const BLOCK_MASK: u32 = 0x0fff_ffff;
