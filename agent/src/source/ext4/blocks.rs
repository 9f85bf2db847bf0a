//! Blocks of the image, with a small cache of those that were read last.

use std::sync::{Arc, Mutex, PoisonError};

use super::field::ensure;
use crate::source::bytes::Bytes;
use crate::source::file_system::Fault;

/// What one block holds.
pub(super) type Block = Arc<Vec<u8>>;

type Slot = Mutex<Option<(u64, Block)>>;

/// The blocks of a file system.
pub(super) struct Blocks {
    bytes: Bytes,
    /// Bytes of a block.
    pub(super) size: usize,
    /// The lowest block that may belong to a file, and the first one beyond the file system.
    usable: (u64, u64),
    /// A block's number decides its slot, so that threads seldom wait for each other.
    slots: Box<[Slot]>,
}

impl Blocks {
    /// `count` blocks of `size` bytes. All must lie in `bytes`. Blocks up to `first_data_block` belong to no file.
    pub(super) fn new(bytes: Bytes, size: usize, count: u64, first_data_block: u64) -> Self {
        let slots = (0..CACHE / size).map(|_| Mutex::new(None)).collect();
        Self {
            bytes,
            size,
            usable: (first_data_block + 1, count),
            slots,
        }
    }

    /// Refuses blocks outside of the file system.
    pub(super) fn check(&self, first: u64, count: u64) -> Result<(), Fault> {
        let (low, high) = self.usable;
        let inside = first >= low && first.checked_add(count).is_some_and(|end| end <= high);
        ensure(
            inside,
            format_args!("block {first} and {count} in all: outside of the file system"),
        )
    }

    /// One block, kept for a while: for metadata.
    pub(super) fn block(&self, number: u64) -> Result<Block, Fault> {
        self.check(number, 1)?;
        let slot = usize::try_from(number % self.slots.len().max(1) as u64).unwrap_or(0);
        let slot = self.slots.get(slot);
        if let Some(slot) = slot
            && let Some((kept, block)) = &*slot.lock().unwrap_or_else(PoisonError::into_inner)
            && *kept == number
        {
            return Ok(Arc::clone(block));
        }
        let mut block = vec![0; self.size];
        self.read(&mut block, number, 0)?;
        let block = Arc::new(block);
        if let Some(slot) = slot {
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some((number, Arc::clone(&block)));
        }
        Ok(block)
    }

    /// Fills `buffer` from byte `within` of block `first` on: for content, which is not kept. The caller has checked
    /// the blocks.
    pub(super) fn read(&self, buffer: &mut [u8], first: u64, within: u64) -> Result<(), Fault> {
        first
            .checked_mul(self.size as u64)
            .and_then(|start| start.checked_add(within))
            .ok_or_else(|| Fault(format!("block {first}: beyond the end")))
            .and_then(|offset| {
                self.bytes
                    .read_exact_at(buffer, offset)
                    .map_err(|why| Fault(format!("block {first}: {why}")))
            })
    }
}

/// Bytes of blocks that are kept at most: some tens of thousands of inodes.
const CACHE: usize = 4 << 20;
