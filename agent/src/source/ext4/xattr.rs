//! Extended attributes: after the fields of the inode, in a block that inodes may share, and large values in inodes of
//! their own.
//!
//! Source: `fs/ext4/xattr.h`, `fs/ext4/xattr.c`, `fs/ext4/acl.h` and Documentation/filesystems/ext4/attributes.rst.

use std::sync::Arc;

use super::Volume;
use super::checksum::{crc32c, crc32c_blanking};
use super::content;
use super::field::{At as _, ensure, ensure_checksum, le16, le32, part};
use super::inode::{Inode, VALUE};
use super::superblock::{EA_INODE, METADATA_CSUM};
use crate::source::file_system::{Fault, Xattrs};

/// Names and values of all extended attributes that `listxattr` shows to root, sorted by name.
pub(super) fn list(volume: &Arc<Volume>, inode: &Inode) -> Result<Xattrs, Fault> {
    let mut list = Vec::new();
    let mut total = 0;
    each(volume, inode, &mut |entry| {
        let Some(name) = full_name(entry)? else {
            return Ok(());
        };
        let shown = || format!("attribute {}", name.escape_ascii());
        let value = entry
            .value(volume, inode)
            .map_err(|why| Fault(format!("{}: {why}", shown())))?;
        total += value.len();
        ensure(
            total <= MOST_VALUES,
            format_args!("more than {MOST_VALUES} bytes of extended attributes"),
        )?;
        let value = match entry.index {
            ACL_ACCESS | ACL_DEFAULT => acl(&value).map_err(|why| Fault(format!("{}: {why}", shown())))?,
            _ => value,
        };
        list.push((name, value));
        Ok(())
    })?;
    list.sort_unstable();
    match list.array_windows().find(|[a, b]| a.0 == b.0) {
        Some([twice, _]) => Err(Fault(format!("the attribute {} twice", twice.0.escape_ascii()))),
        None => Ok(list),
    }
}

/// What of an inode's content is kept as an attribute because it does not fit into the map.
pub(super) fn inline_data(volume: &Volume, inode: &Inode) -> Result<Vec<u8>, Fault> {
    let mut found = None;
    in_inode(inode, &mut |entry| {
        if let (SYSTEM, b"data", Place::Here(value)) = (entry.index, entry.name, &entry.place) {
            found = Some(value.to_vec());
        }
        Ok(())
    })?;
    debug_assert!(
        volume.blocks.size >= inode.attribute_area().len(),
        "an inode is smaller than a block"
    );
    found.ok_or_else(|| Fault::new("kept in the inode, but not there"))
}

/// Calls `take` with the inodes that hold values of this one's attributes.
pub(super) fn value_inodes(
    volume: &Volume,
    inode: &Inode,
    take: &mut dyn FnMut(u32) -> Result<(), Fault>,
) -> Result<(), Fault> {
    each(volume, inode, &mut |entry| match entry.place {
        Place::Inode { number, .. } => take(number),
        Place::Here(_) => Ok(()),
    })
}

/// One attribute as it is kept.
struct Entry<'a> {
    /// Stands for the beginning of the name.
    index: u8,
    name: &'a [u8],
    place: Place<'a>,
}

/// Where a value is.
enum Place<'a> {
    Here(&'a [u8]),
    Inode { number: u32, size: u32 },
}

type Take<'a> = dyn FnMut(&Entry<'_>) -> Result<(), Fault> + 'a;

fn each(volume: &Volume, inode: &Inode, take: &mut Take<'_>) -> Result<(), Fault> {
    in_inode(inode, take).at(format_args!("attributes in the inode"))?;
    let place = inode.attribute_block(&volume.superblock)?;
    if place == 0 {
        return Ok(());
    }
    in_block(volume, place, take).at(format_args!("attributes in block {place}"))
}

fn in_inode(inode: &Inode, take: &mut Take<'_>) -> Result<(), Fault> {
    let area = inode.attribute_area();
    match area.split_first_chunk::<4>() {
        // Values are placed from after the magic number on.
        Some((magic, area)) if u32::from_le_bytes(*magic) == MAGIC => entries(area, 0, take),
        _ => Ok(()),
    }
}

fn in_block(volume: &Volume, place: u64, take: &mut Take<'_>) -> Result<(), Fault> {
    let block = volume.blocks.block(place)?;
    let [magic, blocks] = [le32(&block, 0)?, le32(&block, 8)?];
    ensure(
        magic == MAGIC && blocks == 1,
        format_args!("not a block of extended attributes"),
    )?;
    if volume.superblock.ro_compat(METADATA_CSUM) {
        let seed = crc32c(volume.superblock.seed, &place.to_le_bytes());
        ensure_checksum(le32(&block, 0x10)?, crc32c_blanking(seed, &block, &[0x10, 0x12]))?;
    }
    entries(&block, BLOCK_HEADER, take)
}

/// Reads the entries from `first` on. Values lie after them, at places counted from the start of `area`.
fn entries(area: &[u8], first: usize, take: &mut Take<'_>) -> Result<(), Fault> {
    let end = last_entry(area, first)?;
    let mut at = first;
    while at < end {
        let [length, index] = le16(area, at)?.to_le_bytes();
        let name = part(area, at + ENTRY..at + ENTRY + usize::from(length))?;
        let [inode, size] = [le32(area, at + 4)?, le32(area, at + 8)?];
        let offset = usize::from(le16(area, at + 2)?);
        let place = if inode != 0 {
            Place::Inode { number: inode, size }
        } else {
            Place::Here(value(area, offset, size, end).at(format_args!("the value of entry {at}"))?)
        };
        take(&Entry { index, name, place })?;
        at += (ENTRY + usize::from(length)).next_multiple_of(4);
    }
    Ok(())
}

/// Where the list of entries ends, which four zeros do.
fn last_entry(area: &[u8], first: usize) -> Result<usize, Fault> {
    let mut at = first;
    while le32(area, at).map_err(|_| Fault::new("a list without an end"))? != 0 {
        let [length, _] = le16(area, at)?.to_le_bytes();
        at += (ENTRY + usize::from(length)).next_multiple_of(4);
    }
    Ok(at)
}

fn value(area: &[u8], offset: usize, size: u32, entries_end: usize) -> Result<&[u8], Fault> {
    if size == 0 {
        return Ok(&[]);
    }
    let end = usize::try_from(size)
        .ok()
        .and_then(|size| offset.checked_add(size));
    end.filter(|_| offset >= entries_end + 4)
        .and_then(|end| area.get(offset..end))
        .ok_or_else(|| Fault(format!("{size} bytes at {offset}, where there is no room")))
}

impl Entry<'_> {
    fn value(&self, volume: &Arc<Volume>, owner: &Inode) -> Result<Vec<u8>, Fault> {
        match self.place {
            Place::Here(value) => Ok(value.to_vec()),
            Place::Inode { number, size } => {
                ensure(
                    volume.superblock.incompat(EA_INODE),
                    format_args!("in an inode, which this file system does not have"),
                )?;
                let inode = volume.inode(number)?;
                value_in(volume, &inode, size, owner).at(format_args!("inode {number}"))
            }
        }
    }
}

/// The value that an inode holds, checked against its own checksum.
fn value_in(volume: &Arc<Volume>, inode: &Inode, size: u32, owner: &Inode) -> Result<Vec<u8>, Fault> {
    ensure(
        inode.has(VALUE) && inode.size == u64::from(size),
        format_args!("does not hold this value"),
    )?;
    let value = content::whole(volume, inode, MOST_VALUE)?;
    let kept = inode.value_checksum()?;
    ensure(
        kept == crc32c(volume.superblock.seed, &value) || inode.belongs_to(owner)?,
        format_args!("checksum does not match"),
    )?;
    Ok(value)
}

/// The whole name; `None` of what the file system keeps for itself.
fn full_name(entry: &Entry<'_>) -> Result<Option<Vec<u8>>, Fault> {
    let (prefix, whole): (&[u8], _) = match entry.index {
        1 => (b"user.", false),
        ACL_ACCESS => (b"system.posix_acl_access", true),
        ACL_DEFAULT => (b"system.posix_acl_default", true),
        4 => (b"trusted.", false),
        6 => (b"security.", false),
        SYSTEM if entry.name == b"data" => return Ok(None),
        SYSTEM => (b"system.", false),
        8 => (b"system.richacl", true),
        10 => (b"gnu.", false),
        // Where the hashes of a file with fs-verity are.
        11 => return Ok(None),
        other => return Err(Fault(format!("an attribute of the unknown kind {other}"))),
    };
    ensure(
        entry.name.is_empty() == whole && !entry.name.contains(&0),
        format_args!(
            "an attribute with the name {:?}",
            entry.name.escape_ascii().to_string()
        ),
    )?;
    Ok(Some([prefix, entry.name].concat()))
}

/// An access control list in the kernel's form, `linux/posix_acl_xattr.h`, from that of `fs/ext4/acl.h`, which leaves
/// out the ids that say nothing.
fn acl(kept: &[u8]) -> Result<Vec<u8>, Fault> {
    ensure(le32(kept, 0)? == 1, format_args!("unknown version"))?;
    let mut shown = 2_u32.to_le_bytes().to_vec();
    let mut at = 4;
    while at < kept.len() {
        let [tag, permissions] = [le16(kept, at)?, le16(kept, at + 2)?];
        at += 4;
        let id = match tag {
            ACL_USER | ACL_GROUP => {
                at += 4;
                le32(kept, at - 4)?
            }
            ACL_USER_OBJ | ACL_GROUP_OBJ | ACL_MASK | ACL_OTHER => u32::MAX,
            _ => return Err(Fault(format!("an entry of the unknown kind {tag:#x}"))),
        };
        shown.extend(tag.to_le_bytes());
        shown.extend(permissions.to_le_bytes());
        shown.extend(id.to_le_bytes());
    }
    ensure(shown.len() > 4, format_args!("empty"))?;
    Ok(shown)
}

const MAGIC: u32 = 0xea02_0000;
/// Bytes of an entry before its name.
const ENTRY: usize = 16;
/// Bytes before the first entry of a block.
const BLOCK_HEADER: usize = 32;
/// What the kernel gives at most.
const MOST_VALUE: u64 = 1 << 16;
/// Bytes of one inode's values: more than fit into any block that mke2fs makes by default.
const MOST_VALUES: usize = 32 << 20;

const ACL_ACCESS: u8 = 2;
const ACL_DEFAULT: u8 = 3;
const SYSTEM: u8 = 7;

const ACL_USER_OBJ: u16 = 1;
const ACL_USER: u16 = 2;
const ACL_GROUP_OBJ: u16 = 4;
const ACL_GROUP: u16 = 8;
const ACL_MASK: u16 = 0x10;
const ACL_OTHER: u16 = 0x20;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words(words: &[u16]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    #[test]
    fn lists_are_told_in_the_kernels_form() {
        // user::rw-, user:1000:r--, group::r--, mask::r--, other::---
        let kept = words(&[1, 0, 1, 6, 2, 4, 1000, 0, 4, 4, 0x10, 4, 0x20, 0]);
        let none = u16::MAX;
        let shown = words(&[
            2, 0, 1, 6, none, none, 2, 4, 1000, 0, 4, 4, none, none, 0x10, 4, none, none, 0x20, 0, none, none,
        ]);
        assert_eq!(acl(&kept).unwrap(), shown);
        for wrong in [
            &words(&[2, 0, 1, 6])[..],
            &words(&[1, 0]),
            &words(&[1, 0, 3, 6]),
            &words(&[1, 0, 2, 6]),
            &words(&[1, 0, 1]),
        ] {
            assert!(acl(wrong).is_err(), "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn any_area_ends(area: Vec<u8>, first in 0..40_usize) {
            entries(&area, first, &mut |entry| full_name(entry).map(drop)).ok();
            acl(&area).ok();
        }
    }
}
