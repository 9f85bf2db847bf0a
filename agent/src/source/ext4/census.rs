//! The census: shows before the first listing that nothing is missing from it.
//!
//! The file system says twice what it holds: the directories name inodes, and the inode bitmaps say which are in use.
//! Both must say the same, inode by inode. So must link counts and names, `..` and the directory above, types in
//! directories and in inodes. All of that `e2fsck` would ensure, so what fails here was damaged or made up.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::Volume;
use super::checksum::crc32c;
use super::directory::{self, Entry};
use super::field::{At as _, ensure, ensure_checksum, le32, part};
use super::inode::{Inode, VALUE};
use super::runs::Runs;
use super::superblock::{DIR_NLINK, EA_INODE, METADATA_CSUM};
use super::xattr;
use crate::source::file_system::Fault;
use crate::sys::Kind;

/// Whether the superblock's number of free inodes must be right. It is written when a file system is unmounted or
/// checked; after a crash only those of the groups are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Total {
    Exact,
    Stale,
}

/// Takes the census. Gives the number of names.
pub(super) fn take(volume: &Arc<Volume>, total: Total) -> Result<u64, Fault> {
    let mut census = Census {
        volume,
        named: Bits::new(volume.superblock.inodes),
        values: HashSet::new(),
        unfinished: HashMap::new(),
        blocks: HashSet::new(),
        orphans: HashSet::new(),
        names: 0,
    };
    census
        .walk()
        .and_then(|()| census.find_orphans())
        .and_then(|()| census.compare(total))
        .map_err(|Fault(why)| Fault(format!("{why}: run `e2fsck -fn` to see")))?;
    Ok(census.names)
}

struct Census<'a> {
    volume: &'a Arc<Volume>,
    /// Inodes that a directory names.
    named: Bits,
    /// Inodes that hold values of extended attributes.
    values: HashSet<u32>,
    /// Inodes of which not all names came by, and how many are left.
    unfinished: HashMap<u32, u16>,
    /// Blocks of directories.
    blocks: HashSet<u64>,
    /// Inodes that were to be deleted or cut.
    orphans: HashSet<u32>,
    names: u64,
}

impl Census<'_> {
    /// Reads every directory once.
    fn walk(&mut self) -> Result<(), Fault> {
        self.named.insert(ROOT);
        let mut waiting = vec![(ROOT, ROOT)];
        while let Some((number, parent)) = waiting.pop() {
            let inode = self.volume.inode(number)?;
            self.look_into(&inode, parent, &mut waiting)
                .at(format_args!("inode {number}"))?;
        }
        if let Some((number, left)) = self.unfinished.iter().min() {
            return Err(Fault(format!(
                "inode {number}: has {left} names fewer than links"
            )));
        }
        Ok(())
    }

    fn look_into(&mut self, inode: &Inode, parent: u32, waiting: &mut Vec<(u32, u32)>) -> Result<(), Fault> {
        let blocks = &mut self.blocks;
        let listing = directory::list(self.volume, inode, &mut |block| {
            ensure(
                blocks.insert(block),
                format_args!("block {block}: belongs to two directories"),
            )
        })?;
        ensure(
            listing.parent == parent,
            format_args!("says that it is in {}, and is in {parent}", listing.parent),
        )?;
        self.find_values(inode)?;
        let mut directories = 0_u64;
        for entry in &listing.entries {
            let child = self
                .check_entry(entry)
                .at(format_args!("the name {}", entry.name.escape_ascii()))?;
            if child.kind == Kind::Directory {
                waiting.push((child.number, inode.number));
                directories += 1;
            }
        }
        self.names += listing.entries.len() as u64;
        // Once there were too many for 16 bits, the count says 1 for good.
        let uncounted = inode.links == 1 && self.volume.superblock.ro_compat(DIR_NLINK);
        ensure(
            uncounted || u64::from(inode.links) == directories + 2,
            format_args!("has {} links and {directories} directories in it", inode.links),
        )
    }

    fn check_entry(&mut self, entry: &Entry) -> Result<Inode, Fault> {
        let inode = self.volume.inode(entry.inode)?;
        let number = inode.number;
        let fault = |what: &str| Err(Fault(format!("inode {number}: {what}")));
        if number < self.volume.superblock.first_inode {
            return fault("is the file system's own");
        }
        if inode.kind == Kind::Unknown {
            return fault("is of no known type");
        }
        if entry.kind.is_some_and(|kind| kind != inode.kind) {
            return fault("is of another type than its name says");
        }
        if inode.has(VALUE) {
            return fault("holds the value of an extended attribute");
        }
        inode.ensure_readable().at(format_args!("inode {number}"))?;
        let first = self.named.insert(number);
        if inode.kind == Kind::Directory {
            if !first {
                return fault("is a directory with two names");
            }
            return Ok(inode);
        }
        if first {
            self.find_values(&inode).at(format_args!("inode {number}"))?;
            match inode.links {
                0 => return fault("has no links, but a name"),
                1 => (),
                links => drop(self.unfinished.insert(number, links - 1)),
            }
            return Ok(inode);
        }
        match self.unfinished.get_mut(&number) {
            None => return fault("has more names than links"),
            Some(1) => drop(self.unfinished.remove(&number)),
            Some(left) => *left -= 1,
        }
        Ok(inode)
    }

    /// Notes the inodes that hold values of this one's extended attributes.
    fn find_values(&mut self, inode: &Inode) -> Result<(), Fault> {
        if !self.volume.superblock.incompat(EA_INODE) {
            return Ok(());
        }
        let values = &mut self.values;
        xattr::value_inodes(self.volume, inode, &mut |number| {
            values.insert(number);
            Ok(())
        })
    }

    /// Notes the inodes that were to be deleted when they were last used, or only to be cut: these have names.
    fn find_orphans(&mut self) -> Result<(), Fault> {
        let mut next = self.volume.superblock.last_orphan;
        while next != 0 {
            let inode = self.add_orphan(next)?;
            next = inode.next_orphan()?;
        }
        match self.volume.superblock.orphan_file {
            0 => Ok(()),
            file => self.read_orphan_file(file).at(format_args!("orphan file")),
        }
    }

    fn add_orphan(&mut self, number: u32) -> Result<Inode, Fault> {
        let inode = self.volume.inode(number)?;
        ensure(
            self.orphans.insert(number),
            format_args!("inode {number}: is an orphan twice"),
        )?;
        self.find_values(&inode).at(format_args!("inode {number}"))?;
        Ok(inode)
    }

    /// Each of its blocks ends with a magic number and a checksum.
    fn read_orphan_file(&mut self, file: u32) -> Result<(), Fault> {
        let inode = self.volume.inode(file)?;
        let size = self.volume.blocks.size;
        let end = inode.size / size as u64;
        let mut runs = Runs::of(self.volume, &inode)?;
        while let Some(run) = runs.next(self.volume)? {
            let Some(first) = run.physical else {
                return Err(Fault(format!("block {}: was never written", run.start)));
            };
            for place in first..first + run.length.min(end.saturating_sub(run.start)) {
                let block = self.volume.blocks.block(place)?;
                let (numbers, tail) = block
                    .split_at_checked(size - ORPHAN_TAIL)
                    .ok_or_else(|| Fault::new("cut short"))?;
                ensure(
                    le32(tail, 0)? == ORPHAN_MAGIC,
                    format_args!("block {place}: not of orphans"),
                )?;
                if self.volume.superblock.ro_compat(METADATA_CSUM) {
                    let seed = crc32c(inode.seed, &place.to_le_bytes());
                    ensure_checksum(le32(tail, 4)?, crc32c(seed, numbers))
                        .at(format_args!("block {place}"))?;
                }
                for number in numbers.as_chunks().0 {
                    match u32::from_le_bytes(*number) {
                        0 => (),
                        number => drop(self.add_orphan(number)?),
                    }
                }
            }
        }
        Ok(())
    }

    /// Compares what was found with the inode bitmaps.
    fn compare(&self, total: Total) -> Result<(), Fault> {
        let superblock = &self.volume.superblock;
        let mut all_free = 0;
        for (nth, group) in (0..).zip(&self.volume.groups) {
            let bitmap = group
                .inode_bitmap(superblock, &self.volume.blocks)
                .at(format_args!("group {nth}: inode bitmap"))?;
            let used: u32 = bitmap.iter().map(|byte| byte.count_ones()).sum();
            let free = superblock.inodes_per_group - used;
            ensure(
                free == group.free_inodes,
                format_args!("group {nth}: {free} inodes are free, not {}", group.free_inodes),
            )?;
            all_free += u64::from(free);
            let named = self.named.of_group(nth, superblock.inodes_per_group);
            let first = nth * superblock.inodes_per_group + 1;
            for (at, (used, named)) in (0..).zip(bitmap.iter().zip(part(named, 0..bitmap.len())?)) {
                let mut differ = used ^ named;
                while differ != 0 {
                    let bit = differ.trailing_zeros();
                    differ &= differ - 1;
                    self.explain(first + 8 * at + bit, used >> bit & 1 == 1)?;
                }
            }
        }
        ensure(
            total == Total::Stale || all_free == u64::from(superblock.free_inodes),
            format_args!("{all_free} inodes are free, not {}", superblock.free_inodes),
        )
    }

    /// Says why an inode is either in use or named, but not both, or that it must not be.
    fn explain(&self, number: u32, used: bool) -> Result<(), Fault> {
        let superblock = &self.volume.superblock;
        ensure(
            used,
            format_args!("inode {number}: has a name, but is not in use"),
        )?;
        if number < superblock.first_inode
            || superblock.unnamed.contains(&number)
            || self.values.contains(&number)
        {
            return Ok(());
        }
        let deleted = self.orphans.contains(&number) && self.volume.inode(number)?.links == 0;
        ensure(
            deleted,
            format_args!("inode {number}: is in use, but has no name"),
        )
    }
}

/// One bit for each inode. Memory is taken only where bits are set.
struct Bits(Vec<u8>);

impl Bits {
    fn new(inodes: u32) -> Self {
        Self(vec![0; (inodes as usize).div_ceil(8)])
    }

    /// Sets the bit of an inode. Whether it was not set before.
    fn insert(&mut self, number: u32) -> bool {
        let index = number.wrapping_sub(1);
        let Some(byte) = self.0.get_mut(index as usize / 8) else {
            return false;
        };
        let bit = 1 << (index % 8);
        let new = *byte & bit == 0;
        *byte |= bit;
        new
    }

    /// Those of one group, a multiple of 8.
    fn of_group(&self, group: u32, inodes_per_group: u32) -> &[u8] {
        let length = inodes_per_group as usize / 8;
        let start = group as usize * length;
        self.0.get(start..start + length).unwrap_or_default()
    }
}

/// The root directory's inode.
pub(super) const ROOT: u32 = 2;
const ORPHAN_TAIL: usize = 8;
const ORPHAN_MAGIC: u32 = 0x0b10_ca04;
