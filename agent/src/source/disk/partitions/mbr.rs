//! Master boot records, and the logical partitions in an extended one.

use super::gpt::le32;
use super::{Partition, Scheme, Table, Type, fault};
use crate::source::bytes::ReadAt;
use crate::source::file_system::Fault;

/// One of the four entries of a boot record. Sectors of 512 bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Entry {
    boot: u8,
    kind: u8,
    start: u32,
    sectors: u32,
}

impl Entry {
    /// Whether Linux takes it for a partition.
    pub(super) const fn is_used(&self) -> bool {
        self.sectors > 0
    }

    /// Whether it says that there is a GPT.
    pub(super) const fn is_of_gpt(&self) -> bool {
        self.kind == 0xee
    }

    /// Whether it says so in a way that Linux believes.
    pub(super) const fn is_protective(&self) -> bool {
        self.is_of_gpt() && self.start == 1
    }

    const fn is_extended(&self) -> bool {
        matches!(self.kind, 0x05 | 0x0f | 0x85)
    }
}

/// The boot record's entries; `None` if it has none. A boot sector of FAT or of a boot loader alone ends in the
/// same two bytes, but has other things where the entries would be: as in Linux, an entry's first byte tells.
pub(super) fn boot_record(disk: &dyn ReadAt) -> Result<Option<[Entry; 4]>, Fault> {
    if disk.size() < SECTOR {
        return Ok(None);
    }
    let entries = entries(disk, 0)?;
    Ok(entries.filter(|entries| entries.iter().all(|entry| matches!(entry.boot, 0 | 0x80))))
}

/// Entries of the record at `at`; `None` if it lacks the signature.
fn entries(disk: &dyn ReadAt, at: u64) -> Result<Option<[Entry; 4]>, Fault> {
    let mut sector = [0; 512];
    disk.read_exact_at(&mut sector, at)
        .map_err(|why| fault(format!("the record at {at}: {why}")))?;
    if !sector.ends_with(&[0x55, 0xaa]) {
        return Ok(None);
    }
    let mut entries = [Entry::default(); 4];
    let raw = sector.get(446..510).unwrap_or_default().as_chunks::<16>().0;
    for (entry, raw) in entries.iter_mut().zip(raw) {
        *entry = Entry {
            boot: raw[0],
            kind: raw[4],
            start: le32(raw, 8).unwrap_or(0),
            sectors: le32(raw, 12).unwrap_or(0),
        };
    }
    Ok(Some(entries))
}

/// Reads the table that begins with these entries.
pub(super) fn read(disk: &dyn ReadAt, entries: &[Entry; 4]) -> Result<Table, Fault> {
    let mut table = Table {
        scheme: Scheme::Mbr,
        sector: SECTOR,
        partitions: Vec::new(),
        remarks: Vec::new(),
    };
    let mut extended = None;
    for (number, entry) in (1..).zip(entries).filter(|(_, entry)| entry.is_used()) {
        if entry.is_extended() && extended.replace(Extent::of(0, entry)).is_some() {
            return Err(fault("two extended partitions"));
        }
        if !entry.is_extended() {
            table.partitions.push(partition(number, entry, 0)?);
        }
    }
    table.check(SECTOR..disk.size())?;
    if let Some(extended) = extended {
        let primary = table.partitions.iter();
        if extended.end > disk.size() {
            return Err(fault(
                "the extended partition lies outside the disk: is the image cut?",
            ));
        }
        if let Some(it) = primary
            .clone()
            .find(|it| extended.meets(&Extent::of_partition(it)))
        {
            let number = it.number;
            return Err(fault(format!(
                "partition {number} and the extended partition overlap"
            )));
        }
        let logical = logical(disk, &extended)?;
        table.partitions.extend(logical);
    }
    Ok(table)
}

/// The logical partitions: a chain of records, each with a partition and the place of the next record.
fn logical(disk: &dyn ReadAt, extended: &Extent) -> Result<Vec<Partition>, Fault> {
    let (mut partitions, mut records) = (Vec::new(), Vec::new());
    let mut next = Some(extended.start);
    while let Some(at) = next {
        let wrong = |why: &str| Err(fault(format!("the record of logical partitions at {at} {why}")));
        let record = Extent {
            start: at,
            end: at + SECTOR,
        };
        if records.contains(&record) {
            return wrong("follows itself");
        }
        if at < extended.start || record.end > extended.end {
            return wrong("lies outside the extended partition");
        }
        if records.len() == MAX_RECORDS {
            return wrong("is one of too many");
        }
        records.push(record);
        let Some([first, second, third, fourth]) = entries(disk, at)? else {
            return wrong("is none");
        };
        if third.is_used() || fourth.is_used() {
            return wrong("has more than two entries");
        }
        let (data, links): (Vec<_>, Vec<_>) = [first, second]
            .into_iter()
            .filter(Entry::is_used)
            .partition(|entry| !entry.is_extended());
        if data.len() > 1 || links.len() > 1 {
            return wrong("has two entries of one kind");
        }
        for entry in &data {
            let number = u32::try_from(5 + partitions.len()).unwrap_or(u32::MAX);
            let partition = partition(number, entry, at)?;
            if Extent::of_partition(&partition).end > extended.end {
                return Err(fault(format!("partition {number} lies outside the extended one")));
            }
            partitions.push(partition);
        }
        next = links.first().map(|link| Extent::of(extended.start, link).start);
    }
    let everything = partitions.iter().map(Extent::of_partition).chain(records);
    let mut everything: Vec<_> = everything.collect();
    everything.sort_unstable_by_key(|it| it.start);
    if everything.array_windows().any(|[a, b]| a.end > b.start) {
        return Err(fault("logical partitions or their records overlap"));
    }
    Ok(partitions)
}

fn partition(number: u32, entry: &Entry, base: u64) -> Result<Partition, Fault> {
    // Linux takes it for a partition, and everything else for an empty entry.
    if entry.kind == 0 {
        return Err(fault(format!("partition {number} has a size, but no type")));
    }
    let Extent { start, end } = Extent::of(base, entry);
    Ok(Partition {
        number,
        start,
        size: end - start,
        kind: Type::Mbr(entry.kind),
        name: String::new(),
        id: None,
        attributes: 0,
    })
}

/// From where to where something reaches. Bytes: far below 2^63, as starts and sizes have 32 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Extent {
    start: u64,
    end: u64,
}

impl Extent {
    fn of(base: u64, entry: &Entry) -> Self {
        let start = base + u64::from(entry.start) * SECTOR;
        let end = start + u64::from(entry.sectors) * SECTOR;
        Self { start, end }
    }

    const fn of_partition(it: &Partition) -> Self {
        Self {
            start: it.start,
            end: it.start + it.size,
        }
    }

    const fn meets(&self, other: &Self) -> bool {
        self.start < other.end && other.start < self.end
    }
}

const SECTOR: u64 = 512;
/// Linux has room for 256 partitions on a disk.
const MAX_RECORDS: usize = 256;
