//! rpm's database in Berkeley DB, `Packages`, as RHEL up to 8 has it: a hash file.
//!
//! Source: `src/dbinc/db_page.h` of Berkeley DB 5.3 and `lib/backend/bdb_ro.c` of rpm. Numbers are in the byte order
//! of the machine that wrote the file, which the magic number shows. Offsets of the first page:
//!
//! ```text
//! 12   magic 0x00061561     20  page size         26  flags (1: pages have checksums)   48  flags (2: subdatabases)
//! 16   version 8 to 10      24  encryption        32  last page                         72  last bucket
//!                           25  page type (8)     36  partitions                        88  number of keys
//! 96   for each power of two of buckets: what to add to a bucket's number to get its page
//! ```
//!
//! and of the others:
//!
//! ```text
//! 8    page number          16  next page         20  number of items                   24  level
//! 12   previous page                              22  bytes on an overflow page         25  page type
//! 26   offsets of the items, 16 bits each; each item reaches from its offset to that of the one before
//! ```
//!
//! Items are keys and values in turn. Their first byte is their type: 1, the data follow; 3, after three bytes of
//! nothing come the number of the first of a chain of overflow pages and the length in all. rpm's keys are package
//! numbers, 4 bytes in the byte order of the file; the value of key 0 is the last number given out.

use super::{Malformed, Take, header, word};

const PAGE_HEADER: usize = 26;
const HASH: u8 = 13;
/// Hash pages written before Berkeley DB 4.6; their items are in no order.
const HASH_UNSORTED: u8 = 2;
const OVERFLOW: u8 = 7;
const HASH_META: u8 = 8;
const MAGIC: u32 = 0x0006_1561;

/// Calls `take` with each blob, in the order of package numbers.
///
/// Checked beyond rpm: that no page is used twice, that the first page counts as many keys as there are, and that no
/// page with items or data is left that no bucket leads to. What is wrong with one blob's overflow pages is passed to
/// `take` in its place. An error is about the whole; the packages that could be reached are read nevertheless.
pub fn records(bytes: &[u8], take: &mut Take) -> Result<(), Malformed> {
    let file = File::open(bytes)?;
    let mut seen = vec![false; file.pages.len()];
    seen[0] = true;
    let mut outcome = Ok(());
    let mut found = Vec::new();
    for bucket in 0..=file.last_bucket {
        outcome = outcome.and(file.bucket(bucket, &mut seen, &mut found));
    }
    let keys = found.len();
    found.sort_by_key(|(number, _)| *number);
    if let Some([first, _]) = found.array_windows().find(|[a, b]| a.0 == b.0) {
        outcome = outcome.and(Err(Malformed::new(format!(
            "two records of package number {}",
            first.0
        ))));
    }
    for (number, value) in found {
        let whole = match value {
            Value::Here(data) => Ok(data.to_vec()),
            Value::Overflow { page, length } => file.overflow(page, length, &mut seen),
        };
        if number != 0 {
            take(number, whole.as_deref().map_err(Clone::clone));
        }
    }
    outcome
        .and_then(|()| file.check_count(keys))
        .and_then(|()| file.check_unseen(&seen))
}

struct File<'a> {
    pages: Vec<Page<'a>>,
    last_bucket: u32,
    spares: [u32; 32],
    keys: u32,
}

enum Value<'a> {
    Here(&'a [u8]),
    Overflow { page: u32, length: u32 },
}

impl<'a> File<'a> {
    fn open(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let Some(meta) = bytes.get(..512) else {
            return Err(Malformed::new("shorter than its first page"));
        };
        let big_endian = match word(meta, 12) {
            Some(magic) if u32::from_le_bytes(magic) == MAGIC => false,
            Some(magic) if u32::from_be_bytes(magic) == MAGIC => true,
            _ => return Err(Malformed::new("not a hash file of Berkeley DB")),
        };
        let meta = Page {
            bytes: meta,
            big_endian,
        };
        let version = meta.long(16);
        if !(8..=10).contains(&version) || meta.kind() != HASH_META {
            return Err(Malformed::new(format!("unknown version {version}")));
        }
        let (encryption, checksums, partitions) = (meta.bytes[24], meta.bytes[26], meta.long(36));
        if encryption != 0 || checksums != 0 || partitions != 0 || meta.long(48) & 2 != 0 {
            return Err(Malformed::new(
                "encryption, checksums, partitions or subdatabases, which rpm does not use",
            ));
        }
        let size = usize::try_from(meta.long(20)).unwrap_or(0);
        if !size.is_power_of_two() || !(512..=65536).contains(&size) || !bytes.len().is_multiple_of(size) {
            return Err(Malformed::new(format!("cut, or a page size of {size}")));
        }
        let pages: Vec<_> = bytes
            .chunks_exact(size)
            .map(|bytes| Page { bytes, big_endian })
            .collect();
        let (last_page, last_bucket) = (meta.long(32), meta.long(72));
        let is_there = |number: u32| usize::try_from(number).is_ok_and(|number| number < pages.len());
        if !is_there(last_page) || !is_there(last_bucket) {
            return Err(Malformed::new("cut: pages are missing"));
        }
        let mut spares = [0; 32];
        for (nth, spare) in spares.iter_mut().enumerate() {
            *spare = meta.long(96 + nth * 4);
        }
        Ok(Self {
            keys: meta.long(88),
            pages,
            last_bucket,
            spares,
        })
    }

    /// A page that was not used yet. `None` for a page of zeros, which was never written.
    fn page(&self, number: u32, seen: &mut [bool]) -> Result<Option<Page<'a>>, Malformed> {
        let at = usize::try_from(number).unwrap_or(usize::MAX);
        let (Some(page), Some(seen)) = (self.pages.get(at), seen.get_mut(at)) else {
            return Err(Malformed::new(format!("page {number} is missing")));
        };
        if std::mem::replace(seen, true) {
            return Err(Malformed::new(format!("page {number} is used twice")));
        }
        if page.bytes.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        if page.long(8) != number {
            return Err(Malformed::new(format!("page {number} is another one")));
        }
        Ok(Some(*page))
    }

    /// Finds the records of a bucket, in its own page and those chained to it.
    fn bucket(
        &self,
        bucket: u32,
        seen: &mut [bool],
        found: &mut Vec<(u32, Value<'a>)>,
    ) -> Result<(), Malformed> {
        // Buckets are added in groups of powers of two, each a run of pages.
        let group = usize::try_from(u32::BITS - bucket.leading_zeros()).unwrap_or(usize::MAX);
        let spare = self.spares.get(group).copied().unwrap_or(u32::MAX);
        let mut number = bucket.saturating_add(spare);
        loop {
            // Berkeley DB does not write the page of a bucket before something is in it.
            let Some(page) = self.page(number, seen)? else {
                return Ok(());
            };
            if !matches!(page.kind(), HASH | HASH_UNSORTED) {
                return Err(Malformed::new(format!("page {number} is no hash page")));
            }
            page.records(found)
                .ok_or_else(|| Malformed::new(format!("the items of page {number} are wrong")))?;
            number = page.long(16);
            if number == 0 {
                return Ok(());
            }
        }
    }

    /// Puts together what is on a chain of overflow pages.
    fn overflow(&self, mut number: u32, length: u32, seen: &mut [bool]) -> Result<Vec<u8>, Malformed> {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > LONGEST_BLOB {
            return Err(Malformed::new(format!("a blob of {length} bytes")));
        }
        let mut data = Vec::new();
        while number != 0 {
            let page = self.page(number, seen)?.filter(|page| page.kind() == OVERFLOW);
            let Some(page) = page else {
                return Err(Malformed::new(format!("page {number} is no overflow page")));
            };
            let part = page.bytes[PAGE_HEADER..].get(..usize::from(page.short(22)));
            data.extend_from_slice(part.ok_or_else(|| Malformed::new(format!("page {number} is overfull")))?);
            number = page.long(16);
        }
        if data.len() != length {
            return Err(Malformed::new(format!("{} bytes of {length}", data.len())));
        }
        Ok(data)
    }

    fn check_count(&self, found: usize) -> Result<(), Malformed> {
        if usize::try_from(self.keys) == Ok(found) {
            return Ok(());
        }
        Err(Malformed::new(format!(
            "{found} records were found of {}",
            self.keys
        )))
    }

    /// Freed pages get another type, so that what is left has been lost.
    fn check_unseen(&self, seen: &[bool]) -> Result<(), Malformed> {
        let lost = self
            .pages
            .iter()
            .zip(seen)
            .zip(0_u32..)
            .find(|((page, seen), _)| {
                !**seen
                    && match page.kind() {
                        HASH | HASH_UNSORTED => page.short(20) != 0,
                        OVERFLOW => true,
                        _ => false,
                    }
            });
        match lost {
            Some((_, number)) => Err(Malformed::new(format!("no record leads to page {number}"))),
            None => Ok(()),
        }
    }
}

/// The longest blob that can be a header.
const LONGEST_BLOB: usize = 8 + header::MOST_ENTRIES * 16 + header::LONGEST_STORE;

#[derive(Clone, Copy)]
struct Page<'a> {
    /// At least 512.
    bytes: &'a [u8],
    big_endian: bool,
}

impl<'a> Page<'a> {
    fn kind(&self) -> u8 {
        self.bytes[25]
    }

    /// 0 outside of the page.
    fn short(&self, at: usize) -> u16 {
        let bytes = self
            .bytes
            .get(at..)
            .and_then(|rest| rest.first_chunk())
            .copied()
            .unwrap_or_default();
        if self.big_endian {
            u16::from_be_bytes(bytes)
        } else {
            u16::from_le_bytes(bytes)
        }
    }

    /// 0 outside of the page.
    fn long(&self, at: usize) -> u32 {
        self.number(word(self.bytes, at).unwrap_or_default())
    }

    fn number(&self, bytes: [u8; 4]) -> u32 {
        if self.big_endian {
            u32::from_be_bytes(bytes)
        } else {
            u32::from_le_bytes(bytes)
        }
    }

    /// The records of a hash page.
    fn records(&self, found: &mut Vec<(u32, Value<'a>)>) -> Option<()> {
        let count = usize::from(self.short(20));
        let first = PAGE_HEADER + count * 2;
        if count % 2 != 0 || first > self.bytes.len() {
            return None;
        }
        let mut end = self.bytes.len();
        let mut key = None;
        for nth in 0..count {
            let start = usize::from(self.short(PAGE_HEADER + nth * 2));
            let item = self.bytes.get(start..end).filter(|_| start >= first)?;
            end = start;
            let value = match item {
                [1, data @ ..] => Value::Here(data),
                [3, _, _, _, rest @ ..] if rest.len() == 8 => Value::Overflow {
                    page: self.number(word(rest, 0)?),
                    length: self.number(word(rest, 4)?),
                },
                _ => return None,
            };
            match (key.take(), value) {
                (None, Value::Here(data)) => key = Some(self.number(data.try_into().ok()?)),
                (None, Value::Overflow { .. }) => return None,
                (Some(number), value) => found.push((number, value)),
            }
        }
        Some(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    const SIZE: usize = 512;

    /// Writes a file of two buckets, odd and even numbers, with each blob on overflow pages.
    pub(crate) fn write(blobs: &[(u32, &[u8])], big_endian: bool) -> Vec<u8> {
        let long = |n: u32| {
            if big_endian {
                n.to_be_bytes()
            } else {
                n.to_le_bytes()
            }
        };
        let short = |n: usize| {
            let n = u16::try_from(n).unwrap();
            if big_endian {
                n.to_be_bytes()
            } else {
                n.to_le_bytes()
            }
        };
        let number = |n: usize| u32::try_from(n).unwrap();
        let mut pages = vec![vec![0; SIZE]; 3];
        for (bucket, page) in [(0, 1), (1, 2)] {
            let mut items = Vec::new();
            let mut all: Vec<_> = blobs.iter().filter(|(n, _)| n % 2 == bucket).copied().collect();
            if bucket == 0 {
                all.push((0, &[9, 9, 9, 9]));
            }
            for (key, blob) in all {
                items.push([&[1][..], &long(key)].concat());
                if key == 0 {
                    items.push([&[1][..], blob].concat());
                    continue;
                }
                items.push(
                    [
                        &[3, 0, 0, 0],
                        &long(number(pages.len()))[..],
                        &long(number(blob.len())),
                    ]
                    .concat(),
                );
                let parts = blob.chunks(SIZE - PAGE_HEADER).count();
                for (nth, part) in blob.chunks(SIZE - PAGE_HEADER).enumerate() {
                    let mut overflow = vec![0; SIZE];
                    overflow[8..12].copy_from_slice(&long(number(pages.len())));
                    let next = if nth + 1 < parts { pages.len() + 1 } else { 0 };
                    overflow[16..20].copy_from_slice(&long(number(next)));
                    overflow[22..24].copy_from_slice(&short(part.len()));
                    overflow[25] = OVERFLOW;
                    overflow[PAGE_HEADER..PAGE_HEADER + part.len()].copy_from_slice(part);
                    pages.push(overflow);
                }
            }
            let mut end = SIZE;
            let target = &mut pages[page];
            for (nth, item) in items.iter().enumerate() {
                target[end - item.len()..end].copy_from_slice(item);
                end -= item.len();
                target[PAGE_HEADER + nth * 2..][..2].copy_from_slice(&short(end));
            }
            target[8..12].copy_from_slice(&long(number(page)));
            target[20..22].copy_from_slice(&short(items.len()));
            target[25] = HASH;
        }
        let last = number(pages.len() - 1);
        let keys = number(blobs.len() + 1);
        for (at, value) in [
            (12, MAGIC),
            (16, 9),
            (20, number(SIZE)),
            (32, last),
            (72, 1),
            (88, keys),
            (96, 1),
            (100, 1),
        ] {
            pages[0][at..at + 4].copy_from_slice(&long(value));
        }
        pages[0][25] = HASH_META;
        pages.concat()
    }

    type Found = Vec<(u32, Result<Vec<u8>, Malformed>)>;

    fn read_all(bytes: &[u8]) -> (Found, Result<(), Malformed>) {
        let mut found = Vec::new();
        let outcome = records(bytes, &mut |number, blob| {
            found.push((number, blob.map(<[u8]>::to_vec)));
        });
        (found, outcome)
    }

    fn three() -> Vec<u8> {
        write(&[(1, b"one"), (2, &[2; 1000]), (3, &[3; 600])], false)
    }

    #[test]
    fn blobs_are_read_in_either_byte_order() {
        for big_endian in [false, true] {
            let bytes = write(&[(3, b"three"), (0x0102, &[2; 1000]), (1, b"one")], big_endian);
            let (found, outcome) = read_all(&bytes);
            outcome.unwrap();
            assert_eq!(
                found,
                [
                    (1, Ok(b"one".to_vec())),
                    (3, Ok(b"three".to_vec())),
                    (0x0102, Ok(vec![2; 1000]))
                ]
            );
        }
        let (found, outcome) = read_all(&write(&[], false));
        outcome.unwrap();
        assert_eq!(found, []);
    }

    #[test]
    fn broken_chain_is_told_alone() {
        // Blob 2 has pages 3 to 5, then come those of 1 and 3.
        for (defect, at, byte) in [
            ("loop", 4 * SIZE + 16, 3),
            ("another's page", 4 * SIZE + 16, 6),
            ("early end", 4 * SIZE + 16, 0),
            ("missing page", 4 * SIZE + 16, 200),
            ("overfull", 4 * SIZE + 23, 2),
            ("type", 4 * SIZE + 25, 0),
            ("number", 4 * SIZE + 8, 9),
        ] {
            let mut bytes = three();
            bytes[at] = byte;
            let (found, _) = read_all(&bytes);
            assert_eq!(found.len(), 3, "{defect}");
            assert!(found[0].1.is_ok() && found[1].1.is_err(), "{defect}: {found:?}");
        }
    }

    #[test]
    fn damage_is_told() {
        for (defect, at, byte) in [
            ("magic", 12, 0),
            ("version", 16, 7),
            ("page size", 21, 3),
            ("encryption", 24, 1),
            ("meta type", 25, 9),
            ("checksums", 26, 1),
            ("last page", 32, 200),
            ("partitions", 36, 1),
            ("subdatabases", 48, 2),
            ("fewer buckets", 72, 0),
            ("more buckets", 72, 2),
            ("bucket twice", 100, 0),
            ("fewer keys", 88, 3),
            ("more keys", 88, 5),
            ("hash type", SIZE + 25, 5),
            ("page number", SIZE + 8, 2),
            ("next page", SIZE + 16, 1),
            ("odd items", SIZE + 20, 3),
            ("fewer items", SIZE + 20, 2),
            ("offset in the table", SIZE + 27, 0),
            ("offset outside", SIZE + 27, 2),
        ] {
            let mut bytes = three();
            bytes[at] = byte;
            assert!(read_all(&bytes).1.is_err(), "{defect}");
        }
        for cut in [0, 511, 512, 1000, three().len() - SIZE] {
            assert!(read_all(&three()[..cut]).1.is_err(), "{cut}");
        }
        assert!(read_all(&write(&[(1, b"a"), (1, b"b")], false)).1.is_err());
    }

    /// A bucket whose page was wiped is empty, but then the keys are too few.
    #[test]
    fn lost_bucket_is_told() {
        let mut bytes = three();
        bytes[2 * SIZE..3 * SIZE].fill(0);
        let (found, outcome) = read_all(&bytes);
        assert_eq!(
            (found.len(), outcome),
            (1, Err(Malformed::new("2 records were found of 4")))
        );
        bytes[88] = 2;
        assert_eq!(
            read_all(&bytes).1,
            Err(Malformed::new("no record leads to page 6"))
        );
    }

    proptest! {
        #[test]
        fn any_bytes_end(bytes: Vec<u8>) {
            read_all(&bytes).1.ok();
        }

        #[test]
        fn mutated_database_ends(at: prop::sample::Index, byte: u8, also: prop::sample::Index, value: u8) {
            let mut bytes = three();
            let (at, also) = (at.index(bytes.len()), also.index(8 * SIZE));
            bytes[at] = byte;
            bytes[also] = value;
            let (found, _) = read_all(&bytes);
            prop_assert!(found.iter().flat_map(|(_, blob)| blob).map(Vec::len).sum::<usize>() <= bytes.len());
        }

        #[test]
        fn written_is_read(
            blobs in prop::collection::btree_map(1..500_u32, prop::collection::vec(any::<u8>(), 1..2000), 0..20),
            big_endian: bool,
        ) {
            let blobs: Vec<_> = blobs.iter().map(|(number, blob)| (*number, &blob[..])).collect();
            let (found, outcome) = read_all(&write(&blobs, big_endian));
            prop_assert_eq!(outcome, Ok(()));
            let found: Vec<_> = found.iter().map(|(number, blob)| (*number, &blob.as_ref().unwrap()[..])).collect();
            prop_assert_eq!(found, blobs);
        }
    }
}
