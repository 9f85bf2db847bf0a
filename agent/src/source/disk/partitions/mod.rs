//! What a disk is divided into: a GPT or an MBR, read as Linux reads them, but nothing is made up for what is
//! damaged.
//!
//! Sources: UEFI 2.10, chapter 5; `block/partitions/{efi,msdos}.c` of Linux; for the root partition, the UAPI
//! group's Discoverable Partitions Specification.
//!
//! As in Linux, a GPT counts if the MBR has a protective entry (type EE that starts at sector 1), also if the
//! MBR names further partitions. Refused, where Linux guesses or stays silent: a primary GPT that does not
//! match its checksums (also if the backup does), a GPT beside an MBR that does not protect it, partitions that
//! overlap or lie outside the disk, and links between logical partitions that lead out of the extended one or
//! in a circle.

mod gpt;
mod guid;
mod mbr;
#[cfg(test)]
mod tests;

use std::fmt;
use std::fmt::Write as _;
use std::sync::Arc;

pub use guid::Guid;

use crate::source::bytes::{Bytes, ReadAt, Window};
use crate::source::file_system::Fault;

/// The table of a disk; `None` if it has none.
pub fn table(disk: &dyn ReadAt) -> Result<Option<Table>, Fault> {
    let mbr = mbr::boot_record(disk)?;
    let has_gpt = gpt::is_there(disk)?;
    let entries = mbr.unwrap_or_default();
    let mut table = if has_gpt {
        if !entries.iter().any(mbr::Entry::is_protective) {
            return Err(fault(
                "a GPT that no MBR protects, which Linux does not look at: `gdisk` on a copy can make it whole, or \
                 `wipefs` can take it away",
            ));
        }
        gpt::read(disk)?
    } else if entries.iter().any(mbr::Entry::is_of_gpt) {
        return Err(fault(
            "the MBR protects a GPT, but none is there: the start of the disk is damaged, or its sectors are \
             neither of 512 nor of 4096 bytes",
        ));
    } else if entries.iter().any(mbr::Entry::is_used) {
        mbr::read(disk, &entries)?
    } else {
        return Ok(None);
    };
    if has_gpt && entries.iter().any(|entry| entry.is_used() && !entry.is_of_gpt()) {
        let remark = "the MBR names partitions beside the protective entry (hybrid); they do not count";
        table.remarks.push(remark.to_owned());
    }
    Ok(Some(table))
}

/// Whether a disk has something of a table, whole or not.
pub(super) fn is_partitioned(disk: &dyn ReadAt) -> Result<bool, Fault> {
    let entries = mbr::boot_record(disk)?.unwrap_or_default();
    Ok(entries.iter().any(mbr::Entry::is_used) || gpt::is_there(disk)?)
}

/// The table of a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// What kind of table.
    pub scheme: Scheme,
    /// Bytes of a sector: 512 or 4096. An MBR does not say; it is taken for 512, as for a loop device.
    pub sector: u64,
    /// In the order of their numbers.
    pub partitions: Vec<Partition>,
    /// What is odd about the table without making it wrong, as lower-case fragments.
    pub remarks: Vec<String>,
}

/// Kinds of tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// GUID partition table.
    Gpt,
    /// Master boot record.
    Mbr,
}

/// A part of a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// The number that Linux gives it: 1 for `sda1`.
    pub number: u32,
    /// Where it starts. Bytes.
    pub start: u64,
    /// Its length. Bytes.
    pub size: u64,
    /// What it is said to be for.
    pub kind: Type,
    /// The name in a GPT, which may be any text; empty in an MBR.
    pub name: String,
    /// The partition's own GUID in a GPT.
    pub id: Option<Guid>,
    /// The attribute bits in a GPT; 0 in an MBR.
    pub attributes: u64,
}

/// What a partition is said to be for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// In a GPT.
    Gpt(Guid),
    /// In an MBR.
    Mbr(u8),
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gpt(guid) => guid.fmt(f),
            Self::Mbr(kind) => write!(f, "0x{kind:02x}"),
        }
    }
}

impl Type {
    /// Whether it says: the root file system, of whatever architecture.
    fn is_root(self) -> bool {
        matches!(self, Self::Gpt(guid) if guid::ROOTS.contains(&guid))
    }

    /// Whether it says: some Linux file system.
    fn is_linux(self) -> bool {
        self == Self::Gpt(guid::LINUX) || self == Self::Mbr(0x83)
    }
}

impl Table {
    /// The partition of the root file system: the one with the number `wanted` (the value of `--partition`);
    /// else the only one whose type says so; else, if none does, the only one of a Linux file system.
    pub fn root(&self, wanted: Option<&str>) -> Result<&Partition, Fault> {
        if let Some(wanted) = wanted {
            let found = self.partitions.iter().find(|it| wanted.parse() == Ok(it.number));
            return found.ok_or_else(|| {
                let wanted = wanted.escape_debug();
                fault(format!(
                    "there is no partition `{wanted}`; there are {}",
                    self.list()
                ))
            });
        }
        let select = |is: fn(Type) -> bool| self.partitions.iter().filter(move |it| is(it.kind));
        let candidates: Vec<_> = match select(Type::is_root).collect::<Vec<_>>() {
            roots if roots.is_empty() => select(Type::is_linux).collect(),
            roots => roots,
        };
        match candidates[..] {
            [one] => Ok(one),
            _ => Err(fault(format!(
                "which partition is the root is not clear: choose one with `--partition N` of {}",
                self.list()
            ))),
        }
    }

    /// The partitions in a line.
    fn list(&self) -> String {
        let mut list = String::new();
        for (shown, it) in self.partitions.iter().enumerate() {
            if shown == MAX_LISTED {
                // A table may have a thousand; nobody reads them.
                write!(list, ", and {} more", self.partitions.len() - shown).ok();
                break;
            }
            let separator = if shown > 0 { ", " } else { "" };
            write!(list, "{separator}{it}").ok();
        }
        if list.is_empty() { "none".to_owned() } else { list }
    }

    /// Refuses partitions that share a sector, or that lie outside `range` (bytes).
    fn check(&self, range: std::ops::Range<u64>) -> Result<(), Fault> {
        let mut by_start: Vec<_> = self.partitions.iter().collect();
        by_start.sort_unstable_by_key(|it| it.start);
        for it in &by_start {
            if it.start < range.start || it.start.checked_add(it.size).is_none_or(|end| end > range.end) {
                return Err(fault(format!(
                    "partition {} reaches beyond the sectors for partitions: is the image cut?",
                    it.number
                )));
            }
        }
        for [a, b] in by_start.array_windows() {
            if a.start + a.size > b.start {
                return Err(fault(format!("partitions {} and {} overlap", a.number, b.number)));
            }
        }
        Ok(())
    }
}

impl Partition {
    /// The partition's bytes of the disk that has it.
    pub fn of(&self, disk: Bytes) -> Result<Bytes, Fault> {
        let window = Window::new(disk, self.start, self.size);
        let window =
            window.ok_or_else(|| fault(format!("partition {} lies outside the disk", self.number)))?;
        Ok(Arc::new(window))
    }
}

impl fmt::Display for Partition {
    /// `2 (Linux root, 10.0 GiB, type ..)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (", self.number)?;
        if !self.name.is_empty() {
            write!(f, "`{}`, ", self.name.escape_debug())?;
        }
        write!(f, "{} MiB, type {})", self.size.div_ceil(1 << 20), self.kind)
    }
}

fn fault(why: impl fmt::Display) -> Fault {
    Fault::new(format!("partition table: {why}"))
}

const MAX_LISTED: usize = 32;
