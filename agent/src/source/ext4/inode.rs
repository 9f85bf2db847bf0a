//! Inodes.
//!
//! Source: `struct ext4_inode` and `ext4_inode_csum` in `fs/ext4`, Documentation/filesystems/ext4/inodes.rst.

use std::ops::Range;

use super::Volume;
use super::blocks::Block;
use super::checksum::{crc32c, crc32c_blanking};
use super::field::{At as _, array, ensure, ensure_checksum, joined, le16, le32, part};
use super::superblock::{EA_INODE, HUGE_FILE, LARGE_DIR, METADATA_CSUM, SIXTY_FOUR_BIT, Superblock};
use crate::source::file_system::{Attributes, Fault};
use crate::sys::Kind;

/// One inode, checked against its checksum.
pub(super) struct Inode {
    pub(super) number: u32,
    pub(super) kind: Kind,
    /// Bytes of content.
    pub(super) size: u64,
    pub(super) links: u16,
    flags: u32,
    /// What the checksums of this inode's own blocks start with.
    pub(super) seed: u32,
    /// The block of the inode table that holds it, and where.
    block: Block,
    span: Range<usize>,
    /// Bytes after the first 128 that have a meaning known to who wrote them.
    extra: usize,
}

impl Volume {
    /// The inode with this number.
    pub(super) fn inode(&self, number: u32) -> Result<Inode, Fault> {
        self.find_inode(number).at(format_args!("inode {number}"))
    }

    fn find_inode(&self, number: u32) -> Result<Inode, Fault> {
        let superblock = &self.superblock;
        let none = || Fault::new("there is no such inode");
        let index = number.checked_sub(1).ok_or_else(none)?;
        let (group, within) = (
            index / superblock.inodes_per_group,
            index % superblock.inodes_per_group,
        );
        let group = self.groups.get(group as usize).ok_or_else(none)?;
        let per_block = superblock.block_size / superblock.inode_size;
        let (block, slot) = (within as usize / per_block, within as usize % per_block);
        let block = self.blocks.block(group.inode_table + block as u64)?;
        let start = slot * superblock.inode_size;
        Inode::parse(number, block, start..start + superblock.inode_size, superblock)
    }
}

impl Inode {
    fn parse(number: u32, block: Block, span: Range<usize>, superblock: &Superblock) -> Result<Self, Fault> {
        let raw = part(&block, span.clone())?;
        let extra = if raw.len() > OLD_SIZE {
            usize::from(le16(raw, 0x80)?)
        } else {
            0
        };
        ensure(
            OLD_SIZE + extra <= raw.len() && extra.is_multiple_of(4),
            format_args!("extra size {extra}"),
        )?;
        let generation = le32(raw, 0x64)?;
        let seed = crc32c(
            crc32c(superblock.seed, &number.to_le_bytes()),
            &generation.to_le_bytes(),
        );
        if superblock.ro_compat(METADATA_CSUM) {
            let low = le16(raw, 0x7c)?;
            let (kept, sum) = if extra >= 4 {
                let high = le16(raw, 0x82)?;
                (
                    u32::from(high) << 16 | u32::from(low),
                    crc32c_blanking(seed, raw, &[0x7c, 0x82]),
                )
            } else {
                (u32::from(low), crc32c_blanking(seed, raw, &[0x7c]) & 0xffff)
            };
            ensure_checksum(kept, sum)?;
        }
        let kind = Kind::of_mode(le16(raw, 0)?.into());
        let has_high_size = match kind {
            Kind::File => true,
            Kind::Directory => superblock.incompat(LARGE_DIR),
            _ => false,
        };
        let size = joined(if has_high_size { le32(raw, 0x6c)? } else { 0 }, le32(raw, 4)?);
        ensure(i64::try_from(size).is_ok(), format_args!("{size} bytes"))?;
        Ok(Self {
            number,
            kind,
            size,
            links: le16(raw, 0x1a)?,
            flags: le32(raw, 0x20)?,
            seed,
            span: span.clone(),
            extra,
            block,
        })
    }

    fn raw(&self) -> &[u8] {
        self.block.get(self.span.clone()).unwrap_or_default()
    }

    /// Whether one of these `chattr` flags is set.
    pub(super) const fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    /// What `stat` and `lsattr` would tell.
    pub(super) fn attributes(&self) -> Result<Attributes, Fault> {
        let raw = self.raw();
        let halves = |low: usize, high: usize| -> Result<u32, Fault> {
            Ok(u32::from(le16(raw, high)?) << 16 | u32::from(le16(raw, low)?))
        };
        Ok(Attributes {
            kind: self.kind,
            permissions: le16(raw, 0)? & 0o7777,
            uid: halves(2, 0x78)?,
            gid: halves(0x18, 0x7a)?,
            size: self.size,
            links: self.links.into(),
            mtime: Some(self.mtime()?),
            device: match self.kind {
                Kind::BlockDevice | Kind::CharDevice => device(le32(raw, 0x28)?, le32(raw, 0x2c)?),
                _ => (0, 0),
            },
            immutable: self.has(IMMUTABLE),
            append_only: self.has(APPEND_ONLY),
        })
    }

    /// Seconds since 1970. The lowest two bits of the extra field count the times that the 32 bits overflowed; what
    /// is above them are nanoseconds, which only ever add.
    fn mtime(&self) -> Result<i64, Fault> {
        let raw = self.raw();
        let seconds = i64::from(le32(raw, 0x10)?.cast_signed());
        let overflows = if self.extra >= 0x8c - OLD_SIZE {
            le32(raw, 0x88)? & 3
        } else {
            0
        };
        Ok(seconds + (i64::from(overflows) << 32))
    }

    /// The 60 bytes that say where the content is, or are it.
    pub(super) fn map(&self) -> Result<[u8; MAP], Fault> {
        array(self.raw(), 0x28)
    }

    /// The part that extended attributes may use, from after the known fields to the end.
    pub(super) fn attribute_area(&self) -> &[u8] {
        match self.extra {
            // Who wrote this knew of no fields, and so of no attributes after them.
            0 => &[],
            extra => self.raw().get(OLD_SIZE + extra..).unwrap_or_default(),
        }
    }

    /// The block with more extended attributes, or 0.
    pub(super) fn attribute_block(&self, superblock: &Superblock) -> Result<u64, Fault> {
        let raw = self.raw();
        let high = if superblock.incompat(SIXTY_FOUR_BIT) {
            le16(raw, 0x76)?
        } else {
            0
        };
        Ok(joined(high, le32(raw, 0x68)?))
    }

    /// The number of the next orphan, which deleted inodes have in the place of the time of their deletion.
    pub(super) fn next_orphan(&self) -> Result<u32, Fault> {
        le32(self.raw(), 0x14)
    }

    /// Of an inode that holds the value of an extended attribute: its checksum.
    pub(super) fn value_checksum(&self) -> Result<u32, Fault> {
        le32(self.raw(), 8)
    }

    /// Whether this inode holds a value for `owner` alone, as Lustre wrote it.
    pub(super) fn belongs_to(&self, owner: &Self) -> Result<bool, Fault> {
        Ok(le32(self.raw(), 0x10)? == owner.number && le32(self.raw(), 0x64)? == le32(owner.raw(), 0x64)?)
    }

    /// Whether the target of a symbolic link is kept in place of the map. As the kernel decides it.
    pub(super) fn link_in_map(&self, superblock: &Superblock) -> Result<bool, Fault> {
        if superblock.incompat(EA_INODE) {
            return Ok(self.size < MAP as u64);
        }
        let raw = self.raw();
        let high = if superblock.ro_compat(HUGE_FILE) {
            le16(raw, 0x74)?
        } else {
            0
        };
        // In units of 512 bytes, or of blocks; what matters is whether any is left for the content.
        let used = joined(high, le32(raw, 0x1c)?);
        let by_attributes = match self.attribute_block(superblock)? {
            0 => 0,
            _ => superblock.cluster_size >> 9,
        };
        Ok(used == by_attributes && self.size < MAP as u64)
    }

    /// Refuses what only a key can tell.
    pub(super) fn ensure_readable(&self) -> Result<(), Fault> {
        ensure(
            !self.has(ENCRYPTED),
            format_args!("encrypted: its names and content cannot be told without the key"),
        )
    }
}

/// Major and minor number, in the old form of 16 bits if there is one, else in the new one
/// (`include/linux/kdev_t.h`).
const fn device(old: u32, new: u32) -> (u32, u32) {
    if old != 0 {
        return (old >> 8 & 0xff, old & 0xff);
    }
    ((new & 0xf_ff00) >> 8, (new & 0xff) | (new >> 12 & 0xf_ff00))
}

/// Bytes of an inode before fields were added.
const OLD_SIZE: usize = 128;
/// Bytes of the map.
pub(super) const MAP: usize = 60;

const IMMUTABLE: u32 = 0x10;
const APPEND_ONLY: u32 = 0x20;
const ENCRYPTED: u32 = 0x800;
pub(super) const INDEX: u32 = 0x1000;
pub(super) const EXTENTS: u32 = 0x8_0000;
pub(super) const VALUE: u32 = 0x20_0000;
pub(super) const INLINE: u32 = 0x1000_0000;

#[cfg(test)]
mod tests {
    #[test]
    fn devices_in_both_forms() {
        assert_eq!(super::device(0x0103, 0), (1, 3));
        // makedev(259, 0x12345): minor's low byte, major, rest of minor.
        assert_eq!(super::device(0, 0x45 | 259 << 8 | 0x123 << 20), (259, 0x12345));
        assert_eq!(super::device(0, 0), (0, 0));
    }
}
