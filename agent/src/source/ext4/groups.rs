//! Group descriptors and inode bitmaps: where the inodes are, and which of them are in use.
//!
//! Source: `struct ext4_group_desc` in `fs/ext4/ext4.h`, `descriptor_loc` in `fs/ext4/super.c` and
//! `Documentation/filesystems/ext4/group_descr.rst`.

use super::blocks::Blocks;
use super::checksum::{crc16, crc32c, crc32c_blanking};
use super::field::{At as _, ensure, ensure_checksum, joined, le16, le32, part};
use super::superblock::{GDT_CSUM, METADATA_CSUM, SPARSE_SUPER, SPARSE_SUPER2, Superblock};
use crate::source::file_system::Fault;

/// What this reader needs of a group's descriptor.
pub(super) struct Group {
    inode_bitmap: u64,
    pub(super) inode_table: u64,
    pub(super) free_inodes: u32,
    bitmap_checksum: u32,
    /// None of its inodes was ever used, and its bitmap is not written.
    unused: bool,
}

/// Reads and checks all descriptors.
pub(super) fn read(superblock: &Superblock, blocks: &Blocks) -> Result<Vec<Group>, Fault> {
    let per_block = superblock.block_size / superblock.descriptor_size;
    let mut groups = Vec::new();
    let mut block = vec![0; superblock.block_size];
    for number in 0..superblock.groups {
        let within = number as usize % per_block;
        if within == 0 {
            let place = place(superblock, number, per_block);
            ensure(
                place < superblock.blocks,
                format_args!("group {number}: its descriptor is outside of the file system"),
            )?;
            blocks.read(&mut block, place, 0)?;
        }
        let start = within * superblock.descriptor_size;
        let group = part(&block, start..start + superblock.descriptor_size)
            .and_then(|raw| Group::parse(number, raw, superblock))
            .and_then(|group| group.check(superblock, blocks))
            .at(format_args!("group {number}: descriptor"))?;
        groups.push(group);
    }
    Ok(groups)
}

/// The block with the descriptors of this group and of those after it.
fn place(superblock: &Superblock, first: u32, per_block: usize) -> u64 {
    let nth = u64::from(first) / per_block as u64;
    if nth < superblock.first_meta_group.into() {
        let with_superblock = super::superblock::OFFSET / superblock.block_size as u64;
        return with_superblock + 1 + nth;
    }
    // With blocks of 1 KiB, the first group of a file system with clusters starts one block before the superblock.
    let before = nth == 0 && superblock.block_size == 1024 && superblock.first_data_block == 0;
    u64::from(superblock.first_data_block)
        + u64::from(first) * u64::from(superblock.blocks_per_group)
        + u64::from(has_superblock(superblock, first))
        + u64::from(before)
}

/// Whether a group starts with a copy of the superblock.
fn has_superblock(superblock: &Superblock, group: u32) -> bool {
    if group == 0 {
        return true;
    }
    if superblock.compat(SPARSE_SUPER2) {
        return superblock.backup_groups.contains(&group);
    }
    if group == 1 || !superblock.ro_compat(SPARSE_SUPER) {
        return true;
    }
    is_power_of_3_5_or_7(group)
}

fn is_power_of_3_5_or_7(number: u32) -> bool {
    [3, 5, 7].into_iter().any(|base: u32| {
        std::iter::successors(Some(base), |power| power.checked_mul(base))
            .take_while(|power| *power <= number)
            .any(|power| power == number)
    })
}

impl Group {
    fn parse(number: u32, raw: &[u8], superblock: &Superblock) -> Result<Self, Fault> {
        let high32 = |at: usize| if raw.len() >= 64 { le32(raw, at) } else { Ok(0) };
        let high16 = |at: usize| if raw.len() >= 64 { le16(raw, at) } else { Ok(0) };
        let [kept, flags] = [le16(raw, 0x1e)?, le16(raw, 0x12)?];
        let checksums = superblock.ro_compat(METADATA_CSUM);
        let old_checksums = !checksums && superblock.ro_compat(GDT_CSUM);
        if checksums {
            let seed = crc32c(superblock.seed, &number.to_le_bytes());
            let sum = crc32c_blanking(seed, raw, &[0x1e]);
            ensure_checksum(kept.into(), sum & 0xffff)?;
        } else if old_checksums {
            let seed = crc16(crc16(!0, &superblock.uuid), &number.to_le_bytes());
            let sum = crc16(crc16(seed, part(raw, 0..0x1e)?), part(raw, 0x20..raw.len())?);
            ensure_checksum(kept.into(), sum.into())?;
        }
        Ok(Self {
            inode_bitmap: joined(high32(0x24)?, le32(raw, 4)?),
            inode_table: joined(high32(0x28)?, le32(raw, 8)?),
            free_inodes: u32::from(high16(0x2e)?) << 16 | u32::from(le16(raw, 0xe)?),
            bitmap_checksum: u32::from(high16(0x3a)?) << 16 | u32::from(le16(raw, 0x1a)?),
            // Without checksums the flags mean nothing.
            unused: (checksums || old_checksums) && flags & INODE_UNINIT != 0,
        })
    }

    fn check(self, superblock: &Superblock, blocks: &Blocks) -> Result<Self, Fault> {
        let table = u64::from(superblock.inodes_per_group) * superblock.inode_size as u64;
        let table = table.div_ceil(superblock.block_size as u64);
        blocks
            .check(self.inode_table, table)
            .at(format_args!("inode table"))?;
        blocks
            .check(self.inode_bitmap, 1)
            .at(format_args!("inode bitmap"))?;
        ensure(
            self.free_inodes <= superblock.inodes_per_group,
            format_args!("{} free inodes", self.free_inodes),
        )?;
        Ok(self)
    }

    /// The bits of its inodes, the first in bit 0 of byte 0; 1 for one in use.
    pub(super) fn inode_bitmap(&self, superblock: &Superblock, blocks: &Blocks) -> Result<Vec<u8>, Fault> {
        let mut bitmap = vec![0; superblock.inodes_per_group as usize / 8];
        if self.unused {
            return Ok(bitmap);
        }
        blocks.read(&mut bitmap, self.inode_bitmap, 0)?;
        if superblock.ro_compat(METADATA_CSUM) {
            let whole = superblock.descriptor_size >= 64;
            let mask = if whole { u32::MAX } else { 0xffff };
            ensure_checksum(self.bitmap_checksum, crc32c(superblock.seed, &bitmap) & mask)?;
        }
        Ok(bitmap)
    }
}

const INODE_UNINIT: u16 = 1;

#[cfg(test)]
mod tests {
    /// The groups above 1 that `dumpe2fs` lists with a copy of the superblock in a file system of 400 groups.
    #[test]
    fn groups_with_copies() {
        let found: Vec<u32> = (2..400)
            .filter(|group| super::is_power_of_3_5_or_7(*group))
            .collect();
        assert_eq!(found, [3, 5, 7, 9, 25, 27, 49, 81, 125, 243, 343]);
    }
}
