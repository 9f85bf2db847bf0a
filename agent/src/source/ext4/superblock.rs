//! The superblock: what the file system consists of, and whether this reader knows all of it.
//!
//! Source: `struct ext4_super_block` in the kernel's `fs/ext4/ext4.h` and
//! Documentation/filesystems/ext4/super.rst.

use super::checksum::crc32c;
use super::field::{array, ensure, ensure_checksum, joined, le16, le32, part};
use crate::source::bytes::ReadAt;
use crate::source::file_system::Fault;

/// What the superblock says. Sizes are checked against each other and against the image.
pub(super) struct Superblock {
    pub(super) uuid: [u8; 16],
    pub(super) label: Vec<u8>,
    compat: u32,
    incompat: u32,
    ro_compat: u32,
    /// Bytes.
    pub(super) block_size: usize,
    pub(super) blocks: u64,
    /// Bytes: what is given out at once, one block or some.
    pub(super) cluster_size: u64,
    pub(super) first_data_block: u32,
    pub(super) blocks_per_group: u32,
    pub(super) groups: u32,
    pub(super) inodes: u32,
    pub(super) free_inodes: u32,
    pub(super) inodes_per_group: u32,
    /// Bytes.
    pub(super) inode_size: usize,
    /// Inodes below it are the file system's own, and in use whether or not they are.
    pub(super) first_inode: u32,
    /// Bytes.
    pub(super) descriptor_size: usize,
    /// Descriptor blocks from this one on lie in their own groups (`meta_bg`).
    pub(super) first_meta_group: u32,
    pub(super) backup_groups: [u32; 2],
    /// First of the inodes that are to be deleted or cut, or 0.
    pub(super) last_orphan: u32,
    /// Holds more of these, or 0.
    pub(super) orphan_file: u32,
    /// Inodes of quotas and the like, some above `first_inode`, that have no name; or 0.
    pub(super) unnamed: [u32; 5],
    pub(super) journal_inode: u32,
    /// What all checksums of metadata start with.
    pub(super) seed: u32,
}

impl Superblock {
    /// Reads and checks it.
    pub(super) fn read(bytes: &dyn ReadAt) -> Result<Self, Fault> {
        let mut raw = [0; SIZE];
        bytes
            .read_exact_at(&mut raw, OFFSET)
            .map_err(|why| Fault(why.to_string()))?;
        let raw = &raw[..];
        ensure(
            le16(raw, 0x38)? == MAGIC,
            format_args!("not an ext2, ext3 or ext4"),
        )?;
        // The first revision had neither features nor a choice of sizes.
        let revision = le32(raw, 0x4c)?;
        ensure(revision <= 1, format_args!("unknown revision {revision}"))?;
        let [compat, incompat, ro_compat] = match revision {
            0 => [0; 3],
            _ => [le32(raw, 0x5c)?, le32(raw, 0x60)?, le32(raw, 0x64)?],
        };
        check_features("incompat", incompat, KNOWN_INCOMPAT, INCOMPAT)?;
        check_features("ro_compat", ro_compat, KNOWN_RO_COMPAT, RO_COMPAT)?;
        if ro_compat & METADATA_CSUM != 0 {
            let kind = array::<1>(raw, 0x175)?;
            ensure(kind == [1], format_args!("unknown kind of checksum {}", kind[0]))?;
            ensure_checksum(le32(raw, 0x3fc)?, crc32c(!0, part(raw, 0..0x3fc)?))?;
        }
        let creator = le32(raw, 0x48)?;
        ensure(creator != HURD, format_args!("made for the Hurd"))?;

        let log_block_size = le32(raw, 0x18)?;
        ensure(
            log_block_size <= 6,
            format_args!("blocks of 2^{} bytes", u64::from(log_block_size) + 10),
        )?;
        let log_cluster_size = le32(raw, 0x1c)?;
        let ratio = match ro_compat & BIGALLOC {
            0 => 1_u32,
            _ => log_cluster_size
                .checked_sub(log_block_size)
                .and_then(|shift| 1_u32.checked_shl(shift))
                .ok_or_else(|| {
                    Fault(format!(
                        "clusters of 2^{} bytes",
                        u64::from(log_cluster_size) + 10
                    ))
                })?,
        };
        let uuid = array(raw, 0x68)?;
        let label = array::<16>(raw, 0x78)?;
        let wide = incompat & SIXTY_FOUR_BIT != 0;
        let this = Self {
            uuid,
            label: label.split(|byte| *byte == 0).next().unwrap_or_default().to_vec(),
            compat,
            incompat,
            ro_compat,
            block_size: 1024 << log_block_size,
            blocks: joined(if wide { le32(raw, 0x150)? } else { 0 }, le32(raw, 4)?),
            cluster_size: u64::from(ratio) * (1024 << log_block_size),
            first_data_block: le32(raw, 0x14)?,
            blocks_per_group: le32(raw, 0x20)?,
            groups: 0,
            inodes: le32(raw, 0)?,
            free_inodes: le32(raw, 0x10)?,
            inodes_per_group: le32(raw, 0x28)?,
            inode_size: if revision == 0 {
                128
            } else {
                le16(raw, 0x58)?.into()
            },
            first_inode: if revision == 0 { 11 } else { le32(raw, 0x54)? },
            descriptor_size: if wide { le16(raw, 0xfe)?.into() } else { 32 },
            first_meta_group: if incompat & META_BG == 0 {
                u32::MAX
            } else {
                le32(raw, 0x104)?
            },
            backup_groups: [le32(raw, 0x24c)?, le32(raw, 0x250)?],
            last_orphan: le32(raw, 0xe8)?,
            orphan_file: if compat & ORPHAN_FILE == 0 {
                0
            } else {
                le32(raw, 0x280)?
            },
            unnamed: [
                if compat & HAS_JOURNAL == 0 {
                    0
                } else {
                    le32(raw, 0xe0)?
                },
                if ro_compat & QUOTA == 0 {
                    0
                } else {
                    le32(raw, 0x240)?
                },
                if ro_compat & QUOTA == 0 {
                    0
                } else {
                    le32(raw, 0x244)?
                },
                if ro_compat & QUOTA == 0 {
                    0
                } else {
                    le32(raw, 0x26c)?
                },
                if compat & ORPHAN_FILE == 0 {
                    0
                } else {
                    le32(raw, 0x280)?
                },
            ],
            journal_inode: if compat & HAS_JOURNAL == 0 {
                0
            } else {
                le32(raw, 0xe0)?
            },
            seed: match incompat & CSUM_SEED {
                0 => crc32c(!0, &uuid),
                _ => le32(raw, 0x270)?,
            },
        };
        check_state(le16(raw, 0x3a)?)?;
        this.with_groups(bytes.size(), ratio, le32(raw, 0x24)?)
    }

    /// Checks the sizes against each other and against those of the image, as the kernel does, and counts groups.
    fn with_groups(mut self, image: u64, ratio: u32, clusters_per_group: u32) -> Result<Self, Fault> {
        let (size, inode) = (self.block_size, self.inode_size);
        let bits = u32::try_from(size).unwrap_or(u32::MAX).saturating_mul(8);
        let wrong = |what: &str| Err(Fault(format!("{what}: not as mke2fs makes it")));
        if !inode.is_power_of_two() || inode < 128 || inode > size {
            return wrong("inode size");
        }
        let (low, high) = if self.incompat & SIXTY_FOUR_BIT == 0 {
            (32, 32)
        } else {
            (64, size)
        };
        if !self.descriptor_size.is_power_of_two() || !(low..=high).contains(&self.descriptor_size) {
            return wrong("size of group descriptors");
        }
        // With blocks of 1 KiB the superblock is in the second one, which then usually begins the first group.
        let first = self.first_data_block;
        if first > u32::from(size == 1024) || (first == 0 && size == 1024 && ratio == 1) {
            return wrong("first data block");
        }
        // Cluster bitmaps are one block. Without `bigalloc` old systems left the number of clusters empty.
        let per_group = self.blocks_per_group;
        if per_group == 0
            || per_group / ratio > bits
            || !per_group.is_multiple_of(ratio)
            || (ratio > 1 && per_group / ratio != clusters_per_group)
        {
            return wrong("blocks per group");
        }
        let inodes = self.inodes_per_group;
        let inodes_per_block = u32::try_from(size / inode).unwrap_or(u32::MAX);
        if inodes < inodes_per_block || inodes > bits || !inodes.is_multiple_of(8) {
            return wrong("inodes per group");
        }
        if self.first_inode < 11 || self.first_inode > self.inodes {
            return wrong("first inode");
        }
        let Some(data) = self.blocks.checked_sub(first.into()).filter(|blocks| *blocks > 0) else {
            return wrong("number of blocks");
        };
        let groups = data.div_ceil(per_group.into());
        ensure(
            groups <= MAX_GROUPS,
            format_args!("{groups} block groups: more than this reader takes"),
        )?;
        ensure(
            groups * u64::from(inodes) == u64::from(self.inodes),
            format_args!("{} inodes in {groups} groups of {inodes}", self.inodes),
        )?;
        self.groups = u32::try_from(groups).unwrap_or(u32::MAX);
        let end = u128::from(self.blocks) * size as u128;
        ensure(
            end <= image.into(),
            format_args!("the image is cut: {image} of {end} bytes are there"),
        )?;
        Ok(self)
    }

    /// Whether a feature of the group `compat` is on.
    pub(super) const fn compat(&self, feature: u32) -> bool {
        self.compat & feature != 0
    }

    /// Whether a feature of the group `incompat` is on.
    pub(super) const fn incompat(&self, feature: u32) -> bool {
        self.incompat & feature != 0
    }

    /// Whether a feature of the group `ro_compat` is on.
    pub(super) const fn ro_compat(&self, feature: u32) -> bool {
        self.ro_compat & feature != 0
    }
}

/// Whether there is an ext2, ext3 or ext4, sound or not.
pub(super) fn is_there(bytes: &dyn ReadAt) -> bool {
    let mut magic = [0; 2];
    bytes.read_exact_at(&mut magic, OFFSET + 0x38).is_ok() && u16::from_le_bytes(magic) == MAGIC
}

/// Refuses features of which this reader cannot say what they change, by name where they have one.
fn check_features(group: &str, found: u32, known: u32, names: &[(u32, &str)]) -> Result<(), Fault> {
    let mut unknown = found & !known;
    let mut list = Vec::new();
    for (bit, name) in names {
        if unknown & bit != 0 {
            unknown &= !bit;
            list.push((*name).to_owned());
        }
    }
    if unknown != 0 {
        list.push(format!("{unknown:#x}"));
    }
    ensure(
        list.is_empty(),
        format_args!(
            "{group} features that this reader does not know: {}",
            list.join(", ")
        ),
    )
}

fn check_state(state: u16) -> Result<(), Fault> {
    ensure(
        state & ERRORS == 0,
        format_args!("marked as having errors: run `e2fsck -f` on a copy"),
    )?;
    ensure(
        state & CLEAN != 0,
        format_args!(
            "it was not unmounted: the image was taken from a running or crashed system; run `e2fsck -p` on a copy"
        ),
    )
}

/// Where it is, in bytes, whatever the size of blocks.
pub(super) const OFFSET: u64 = 1024;
const SIZE: usize = 1024;
const MAGIC: u16 = 0xef53;
const HURD: u32 = 1;
const CLEAN: u16 = 1;
const ERRORS: u16 = 2;

/// 128 TiB with blocks of 4 KiB; their table takes 24 bytes each.
const MAX_GROUPS: u64 = 1 << 20;

pub(super) const HAS_JOURNAL: u32 = 0x4;
pub(super) const DIR_INDEX: u32 = 0x20;
pub(super) const SPARSE_SUPER2: u32 = 0x200;
const ORPHAN_FILE: u32 = 0x1000;

pub(super) const FILETYPE: u32 = 0x2;
pub(super) const RECOVER: u32 = 0x4;
const META_BG: u32 = 0x10;
pub(super) const SIXTY_FOUR_BIT: u32 = 0x80;
pub(super) const EA_INODE: u32 = 0x400;
const CSUM_SEED: u32 = 0x2000;
pub(super) const LARGE_DIR: u32 = 0x4000;

pub(super) const SPARSE_SUPER: u32 = 0x1;
pub(super) const HUGE_FILE: u32 = 0x8;
pub(super) const GDT_CSUM: u32 = 0x10;
pub(super) const DIR_NLINK: u32 = 0x20;
const QUOTA: u32 = 0x100;
const BIGALLOC: u32 = 0x200;
pub(super) const METADATA_CSUM: u32 = 0x400;

/// filetype, recover, `meta_bg`, extents, 64bit, mmp, `flex_bg`, `ea_inode`, `csum_seed`, largedir, `inline_data`,
/// encrypt (where no inode is) and casefold.
const KNOWN_INCOMPAT: u32 = 0x3_e7d6;
/// All up to orphan file in use, but for snapshots and replicas, which never came to Linux.
const KNOWN_RO_COMPAT: u32 = 0x1_f77f;

const INCOMPAT: &[(u32, &str)] = &[(0x1, "compression"), (0x8, "journal_dev"), (0x1000, "dirdata")];
const RO_COMPAT: &[(u32, &str)] = &[(0x80, "has_snapshot"), (0x800, "replica")];
