//! Directories: linear, with a hash tree, or kept in the inode.
//!
//! Read as a list, block by block; the hash tree is no more than a second way to the same names, which hides in
//! entries that look deleted. It is checked to lead to every block once, because the kernel lists what it leads to.
//!
//! Source: `fs/ext4/dir.c`, `fs/ext4/namei.c`, Documentation/filesystems/ext4/directory.rst.

use std::sync::Arc;

use super::Volume;
use super::checksum::crc32c;
use super::content;
use super::field::{At as _, array, ensure, ensure_checksum, le32, part};
use super::hash_tree;
use super::inode::{INDEX, INLINE, Inode};
use super::runs::Runs;
use super::superblock::{DIR_INDEX, FILETYPE, METADATA_CSUM};
use crate::source::file_system::Fault;
use crate::sys::Kind;

/// What a directory holds.
pub(super) struct Listing {
    /// Sorted by name, each name once, without `.` and `..`.
    pub(super) entries: Vec<Entry>,
    /// What `..` names.
    pub(super) parent: u32,
}

/// One name.
pub(super) struct Entry {
    pub(super) name: Vec<u8>,
    pub(super) inode: u32,
    /// `None` where the file system keeps the type in the inode alone.
    pub(super) kind: Option<Kind>,
}

/// Reads a directory whole. Each block that it consists of is given to `claim`, which may object.
pub(super) fn list(
    volume: &Arc<Volume>,
    inode: &Inode,
    claim: &mut dyn FnMut(u64) -> Result<(), Fault>,
) -> Result<Listing, Fault> {
    ensure(inode.kind == Kind::Directory, format_args!("not a directory"))?;
    inode.ensure_readable()?;
    let mut entries = Vec::new();
    let parent = if inode.has(INLINE) {
        let data = content::inline(volume, inode)?;
        ensure(
            data.len() as u64 == inode.size && data.len() >= INLINE_FIRST.end,
            format_args!("{} bytes of names, and {} kept", inode.size, data.len()),
        )?;
        read_entries(volume, part(&data, INLINE_FIRST)?, &mut entries)?;
        read_entries(volume, part(&data, INLINE_FIRST.end..data.len())?, &mut entries)?;
        le32(&data, 0)?
    } else {
        read_blocks(volume, inode, claim, &mut entries)?;
        take_dots(inode, &mut entries)?
    };
    entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    for entry in &entries {
        check_name(&entry.name)?;
    }
    if let Some([twice, _]) = entries.array_windows().find(|[a, b]| a.name == b.name) {
        return Err(Fault(format!("the name {} twice", twice.name.escape_ascii())));
    }
    Ok(Listing { entries, parent })
}

fn read_blocks(
    volume: &Arc<Volume>,
    inode: &Inode,
    claim: &mut dyn FnMut(u64) -> Result<(), Fault>,
    entries: &mut Vec<Entry>,
) -> Result<(), Fault> {
    let size = volume.blocks.size as u64;
    ensure(
        inode.size > 0 && inode.size.is_multiple_of(size),
        format_args!("{} bytes in blocks of {size}", inode.size),
    )?;
    let end = inode.size / size;
    let indexed = inode.has(INDEX);
    ensure(
        !indexed || volume.superblock.compat(DIR_INDEX),
        format_args!("a hash tree, which this file system does not have"),
    )?;
    let mut places = Vec::new();
    let mut runs = Runs::of(volume, inode)?;
    while (places.len() as u64) < end {
        let nth = places.len() as u64;
        let run = runs.next(volume)?.filter(|run| run.start == nth);
        let Some((run, first)) = run.and_then(|run| Some((run, run.physical?))) else {
            return Err(Fault(format!("block {nth} of {end} is not there")));
        };
        for place in (first..first + run.length).take(usize::try_from(end - nth).unwrap_or(usize::MAX)) {
            claim(place)?;
            let nth = places.len();
            places.push(place);
            let block = volume.blocks.block(place)?;
            let names = names_of(volume, inode, nth, &block).at(format_args!("block {nth}"))?;
            read_entries(volume, names, entries).at(format_args!("block {nth}"))?;
        }
    }
    if indexed {
        hash_tree::check(volume, &places).at(format_args!("hash tree"))?;
    }
    Ok(())
}

/// The part of a block that is filled with entries, checked against the checksum after it.
fn names_of<'a>(volume: &Volume, inode: &Inode, nth: usize, block: &'a [u8]) -> Result<&'a [u8], Fault> {
    if !volume.superblock.ro_compat(METADATA_CSUM) {
        return Ok(block);
    }
    if inode.has(INDEX) && (nth == 0 || hash_tree::looks_like_node(block)) {
        hash_tree::check_sum(inode.seed, block)?;
        return Ok(block);
    }
    let (names, tail) = block
        .split_at_checked(block.len() - TAIL)
        .ok_or_else(|| Fault::new("cut short"))?;
    ensure(
        tail.starts_with(&TAIL_HEAD),
        format_args!("no checksum after the names"),
    )?;
    ensure_checksum(le32(tail, 8)?, crc32c(inode.seed, names))?;
    Ok(names)
}

/// Reads a chain of entries that must fill `area`, deleted ones left out.
fn read_entries(volume: &Volume, area: &[u8], entries: &mut Vec<Entry>) -> Result<(), Fault> {
    let mut at = 0;
    while at < area.len() {
        let bad = |what: &str| Fault(format!("byte {at}: {what}"));
        let head: [u8; HEAD] = array(area, at).map_err(|_| bad("an entry that is cut"))?;
        let [a, b, c, d, low, high, name_length, kind] = head;
        let inode = u32::from_le_bytes([a, b, c, d]);
        let length = entry_length(u16::from_le_bytes([low, high]), volume.blocks.size);
        let name_end = HEAD + usize::from(name_length);
        if length < MIN_LENGTH || !length.is_multiple_of(4) || length < name_end.next_multiple_of(4) {
            return Err(bad("an entry with a wrong length"));
        }
        let entry = area
            .get(at..at + length)
            .ok_or_else(|| bad("an entry that is too long"))?;
        if inode != 0 {
            let kind = if volume.superblock.incompat(FILETYPE) {
                kind_of(kind).at(format_args!("byte {at}"))?
            } else {
                None
            };
            entries.push(Entry {
                name: part(entry, HEAD..name_end)?.to_vec(),
                inode,
                kind,
            });
        }
        at += length;
    }
    Ok(())
}

/// The length of an entry. With the largest blocks, 16 bits do not hold a multiple of four so long, and the two bits
/// that are free then do.
fn entry_length(kept: u16, block_size: usize) -> usize {
    let kept = usize::from(kept);
    match (block_size, kept) {
        (0x1_0000, 0 | 0xffff) => block_size,
        (0x1_0000, _) => kept & 0xfffc | (kept & 3) << 16,
        _ => kept,
    }
}

/// The type in an entry; `None` if it does not say.
fn kind_of(kind: u8) -> Result<Option<Kind>, Fault> {
    Ok(Some(match kind {
        0 => return Ok(None),
        1 => Kind::File,
        2 => Kind::Directory,
        3 => Kind::CharDevice,
        4 => Kind::BlockDevice,
        5 => Kind::Fifo,
        6 => Kind::Socket,
        7 => Kind::Link,
        _ => return Err(Fault(format!("the unknown type {kind}"))),
    }))
}

/// Takes `.` and `..` out, which come first, and tells what `..` names.
fn take_dots(inode: &Inode, entries: &mut Vec<Entry>) -> Result<u32, Fault> {
    let parent = match entries.get(..2) {
        Some([this, above]) if this.name == b"." && above.name == b".." && this.inode == inode.number => {
            above.inode
        }
        _ => return Err(Fault::new("does not begin with itself and its parent")),
    };
    entries.drain(..2);
    Ok(parent)
}

fn check_name(name: &[u8]) -> Result<(), Fault> {
    let bad = name.is_empty() || name == b"." || name == b".." || name.contains(&b'/') || name.contains(&0);
    ensure(
        !bad,
        format_args!("{:?} is no name", name.escape_ascii().to_string()),
    )
}

/// Bytes before a name.
const HEAD: usize = 8;
/// Bytes of the shortest entry, with a name of one byte.
const MIN_LENGTH: usize = 12;
/// Bytes of the entry without a name that holds a block's checksum.
const TAIL: usize = 12;
/// What that entry begins with: no inode, its length, no name, a type of its own.
const TAIL_HEAD: [u8; 8] = [0, 0, 0, 0, 12, 0, 0, 0xde];
/// Where the first entries are in what an inode keeps: after the number of the parent, up to the end of the map.
const INLINE_FIRST: std::ops::Range<usize> = 4..60;
