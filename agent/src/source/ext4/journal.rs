//! The journal: changes that are not in their places yet, if it holds any.
//!
//! It is not replayed. What it holds is newer than everything else in the image, so a file system is read only if its
//! journal is empty.
//!
//! Source: Documentation/filesystems/ext4/journal.rst. Unlike all else in the file system, it is big endian.

use super::Volume;
use super::field::{At as _, be32, ensure};
use super::runs::Runs;
use super::superblock::RECOVER;
use crate::source::file_system::Fault;

/// Refuses a file system whose journal holds changes, whether or not the superblock says so.
pub(super) fn ensure_empty(volume: &Volume) -> Result<(), Fault> {
    let marked = volume.superblock.incompat(RECOVER);
    let number = volume.superblock.journal_inode;
    // There is none, or it is on another disk.
    let started = number != 0 && is_started(volume, number).at(format_args!("journal"))?;
    ensure(
        !marked && !started,
        format_args!(
            "the journal has not been replayed: the image was taken from a running or crashed system; \
             run `e2fsck -p` on a copy"
        ),
    )
}

/// Whether it says where its changes begin.
fn is_started(volume: &Volume, number: u32) -> Result<bool, Fault> {
    let inode = volume.inode(number)?;
    let first = Runs::of(volume, &inode)?.next(volume)?;
    let place = first.filter(|run| run.start == 0).and_then(|run| run.physical);
    let place = place.ok_or_else(|| Fault::new("its first block is not there"))?;
    let block = volume.blocks.block(place)?;
    let [magic, kind] = [be32(&block, 0)?, be32(&block, 4)?];
    ensure(
        magic == MAGIC && KINDS.contains(&kind),
        format_args!("does not begin with its superblock"),
    )?;
    Ok(be32(&block, START)? != 0)
}

const MAGIC: u32 = 0xc03b_3998;
/// Superblocks of the first and second version.
const KINDS: [u32; 2] = [3, 4];
/// Where the first block of the first change is; 0 if there is none.
const START: usize = 28;
