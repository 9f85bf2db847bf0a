//! GUID partition tables.

use flate2::Crc;

use super::{Guid, Partition, Scheme, Table, Type, fault};
use crate::source::bytes::ReadAt;
use crate::source::file_system::Fault;

/// Whether a header begins where one can.
pub(super) fn is_there(disk: &dyn ReadAt) -> Result<bool, Fault> {
    for sector in SECTORS {
        if has_magic(disk, sector)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Reads the table of a disk that has one. Whether sectors have 512 or 4096 bytes is told by where the header
/// is.
pub(super) fn read(disk: &dyn ReadAt) -> Result<Table, Fault> {
    let mut tables = Vec::new();
    for sector in SECTORS {
        if has_magic(disk, sector)? {
            tables.push(read_with(disk, sector));
        }
    }
    // The table for large sectors may have left its remains on a disk of small ones, and the other way round.
    // Two whole ones are a riddle.
    match (tables.pop(), tables.pop()) {
        (Some(Ok(_)), Some(Ok(_))) => Err(fault("two GPTs, for sectors of 512 and of 4096 bytes")),
        (Some(Ok(table)), _) | (_, Some(Ok(table))) => Ok(table),
        (_, Some(Err(why))) | (Some(Err(why)), None) => Err(why),
        (None, None) => Err(fault("no GPT is there")),
    }
}

fn has_magic(disk: &dyn ReadAt, sector: u64) -> Result<bool, Fault> {
    let mut magic = [0; 8];
    if disk.size() < sector + 92 {
        return Ok(false);
    }
    disk.read_exact_at(&mut magic, sector)
        .map_err(|why| fault(format!("sector 1: {why}")))?;
    Ok(magic == *MAGIC)
}

fn read_with(disk: &dyn ReadAt, sector: u64) -> Result<Table, Fault> {
    let wrong = |why: &str| fault(format!("primary GPT: {why}: `sgdisk -e` on a copy can mend it"));
    let sectors = disk.size() / sector;
    let header = Header::read(disk, sector, 1).map_err(|why| wrong(&why))?;
    if header.alternate >= sectors {
        return Err(fault(format!(
            "the GPT is of a disk of {} sectors, but {sectors} are there: is the image cut?",
            u128::from(header.alternate) + 1
        )));
    }
    if header.first_usable > header.last_usable || header.last_usable >= sectors {
        return Err(wrong("its usable sectors lie outside the disk"));
    }
    let array = header.entries(disk, sector).map_err(|why| wrong(&why))?;
    let mut partitions = Vec::new();
    for (number, entry) in (1..).zip(array.chunks_exact(header.entry_size)) {
        partitions.extend(partition(number, entry, sector)?);
    }
    let table = Table {
        scheme: Scheme::Gpt,
        sector,
        partitions,
        remarks: remarks(disk, sector, &header, &array),
    };
    // Below 2^63 bytes, both: they are less than the sectors that the disk has.
    table.check(header.first_usable * sector..(header.last_usable + 1) * sector)?;
    Ok(table)
}

/// What the backup says of itself. Linux and firmware use the primary as long as it is whole, and so do we.
fn remarks(disk: &dyn ReadAt, sector: u64, primary: &Header, array: &[u8]) -> Vec<String> {
    let told = match Header::read(disk, sector, primary.alternate) {
        Err(why) => Some(format!("the backup GPT is damaged: {why}")),
        Ok(backup) => match backup.entries(disk, sector) {
            Err(why) => Some(format!("the backup GPT is damaged: {why}")),
            Ok(other) if other != array || backup.disk != primary.disk => {
                Some("the backup GPT differs from the primary, which counts".to_owned())
            }
            Ok(_) => None,
        },
    };
    told.into_iter().collect()
}

struct Header {
    alternate: u64,
    first_usable: u64,
    last_usable: u64,
    disk: [u8; 16],
    entries_at: u64,
    entry_size: usize,
    /// Bytes of all entries.
    length: usize,
    entries_sum: u32,
}

impl Header {
    /// Reads and checks the header in the sector `at`.
    fn read(disk: &dyn ReadAt, sector: u64, at: u64) -> Result<Self, String> {
        let mut bytes = vec![0; usize::try_from(sector).map_err(|why| why.to_string())?];
        let place = at.checked_mul(sector).ok_or("its place is beyond all disks")?;
        disk.read_exact_at(&mut bytes, place)
            .map_err(|why| format!("its header: {why}"))?;
        if !bytes.starts_with(MAGIC) {
            return Err("its header is not there".to_owned());
        }
        let cut = || "its header is cut".to_owned();
        let word = |at| le32(&bytes, at).ok_or_else(cut);
        let long = |at| le64(&bytes, at).ok_or_else(cut);
        if word(8)? != REVISION {
            return Err(format!("its revision {:#x} is not known", word(8)?));
        }
        let length = word(12)? as usize;
        let mut summed = bytes
            .get(..length)
            .filter(|_| length >= 92)
            .ok_or_else(|| format!("its header of {length} bytes"))?
            .to_vec();
        // The checksum is made with zeros in its own place.
        summed.iter_mut().skip(16).take(4).for_each(|byte| *byte = 0);
        if word(16)? != crc32(&summed) {
            return Err("its header does not match its checksum".to_owned());
        }
        if long(24)? != at {
            return Err("its header says that it is elsewhere".to_owned());
        }
        let (count, size) = (word(80)?, word(84)?);
        if size < 128 || !size.is_power_of_two() {
            return Err(format!("its entries of {size} bytes"));
        }
        let array = u64::from(count) * u64::from(size);
        if array > MAX_ENTRIES {
            return Err(format!("its {count} entries of {size} bytes"));
        }
        let disk_id = bytes
            .get(56..)
            .and_then(|rest| rest.first_chunk())
            .ok_or_else(cut)?;
        Ok(Self {
            alternate: long(32)?,
            first_usable: long(40)?,
            last_usable: long(48)?,
            disk: *disk_id,
            entries_at: long(72)?,
            entry_size: size as usize,
            length: usize::try_from(array).map_err(|why| why.to_string())?,
            entries_sum: word(88)?,
        })
    }

    /// The entries, which match their checksum and lie where no partition can be.
    fn entries(&self, disk: &dyn ReadAt, sector: u64) -> Result<Vec<u8>, String> {
        let at = self.entries_at.checked_mul(sector);
        let end = at.and_then(|at| at.checked_add(self.length as u64));
        let (Some(at), Some(end)) = (at, end) else {
            return Err("its entries lie outside the disk".to_owned());
        };
        let before = self.entries_at >= 2 && end.div_ceil(sector) <= self.first_usable;
        if !before && self.entries_at <= self.last_usable {
            return Err("its entries lie in its partitions".to_owned());
        }
        let mut array = vec![0; self.length];
        disk.read_exact_at(&mut array, at)
            .map_err(|why| format!("its entries: {why}"))?;
        if crc32(&array) != self.entries_sum {
            return Err("its entries do not match their checksum".to_owned());
        }
        Ok(array)
    }
}

/// Decodes an entry; `None` if it is not used.
fn partition(number: u32, entry: &[u8], sector: u64) -> Result<Option<Partition>, Fault> {
    let wrong = || fault(format!("partition {number}: its entry is wrong"));
    let guid = |at| {
        entry
            .get(at..)
            .and_then(|rest: &[u8]| rest.first_chunk())
            .map(|id| Guid::of(*id))
    };
    let (Some(kind), Some(id)) = (guid(0), guid(16)) else {
        return Err(wrong());
    };
    if kind == Guid::ZERO {
        return Ok(None);
    }
    let [Some(first), Some(last), Some(attributes)] = [32, 40, 48].map(|at| le64(entry, at)) else {
        return Err(wrong());
    };
    let count = last.checked_sub(first).and_then(|count| count.checked_add(1));
    let size = count.and_then(|count| count.checked_mul(sector));
    let (Some(start), Some(size)) = (first.checked_mul(sector), size) else {
        return Err(wrong());
    };
    let units = entry.get(56..128).unwrap_or_default().as_chunks().0.iter();
    let units = units
        .map(|unit| u16::from_le_bytes(*unit))
        .take_while(|unit| *unit != 0);
    let name = char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER));
    Ok(Some(Partition {
        number,
        start,
        size,
        kind: Type::Gpt(kind),
        name: name.collect(),
        id: Some(id),
        attributes,
    }))
}

/// The CRC-32 of RFC 1952 and of UEFI.
pub(super) fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum()
}

pub(super) fn le32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes
        .get(at..)?
        .first_chunk()
        .map(|word| u32::from_le_bytes(*word))
}

fn le64(bytes: &[u8], at: usize) -> Option<u64> {
    bytes
        .get(at..)?
        .first_chunk()
        .map(|long| u64::from_le_bytes(*long))
}

const SECTORS: [u64; 2] = [512, 4096];
const MAGIC: &[u8; 8] = b"EFI PART";
const REVISION: u32 = 0x1_0000;
/// Bytes of entries: 32 times what is usual.
const MAX_ENTRIES: u64 = 512 << 10;
