//! Files with holes: where their segments of data lie, in the four ways to write that down.
//!
//! | format | the map is |
//! |---|---|
//! | old GNU | in the header of type `S` and blocks behind it |
//! | pax 0.0 | pairs of records `GNU.sparse.offset`, `GNU.sparse.numbytes` |
//! | pax 0.1 | one record `GNU.sparse.map` |
//! | pax 1.0 | in blocks before the data: decimal numbers, each on its line, the first of them their count |
//!
//! Source: GNU tar's manual, "Sparse Formats". A map must be in order, inside of the file and exactly as long as what
//! is stored.

use super::header::{self, BLOCK, Block};
use super::path::told;
use super::pax::decimal;
use crate::source::file_system::Fault;

/// Data of a file between holes. Bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    /// Where it is in the file.
    pub(super) offset: u64,
    pub(super) size: u64,
}

/// The most segments that a file may have.
const MOST_SEGMENTS: usize = 1 << 20;

/// Checks that `segments` are in order, end before `size` (the file's), and add up to `stored`. Empty ones, which
/// writers put at the end of a file that ends in a hole, are dropped.
pub(super) fn settle(segments: &mut Vec<Segment>, size: u64, stored: u64) -> Result<(), Fault> {
    let mut end = 0;
    let mut sum = 0_u64;
    for segment in segments.iter() {
        if segment.offset < end {
            return Err(Fault::new("the segments of its sparse map are out of order"));
        }
        end = match segment.offset.checked_add(segment.size) {
            Some(end) if end <= size => end,
            _ => return Err(Fault::new("its sparse map goes beyond its size")),
        };
        // GNU tar stores every segment in blocks of its own, others one right behind the other.
        if segment.size > 0 && !sum.is_multiple_of(BLOCK as u64) {
            return Err(Fault::new("a segment of its sparse map does not fill its blocks"));
        }
        sum += segment.size;
    }
    if sum != stored {
        return Err(Fault::new(format!(
            "its sparse map has {sum} bytes of data where {stored} are stored"
        )));
    }
    segments.retain(|segment| segment.size > 0);
    Ok(())
}

fn push(segments: &mut Vec<Segment>, segment: Segment) -> Result<(), Fault> {
    if segments.len() == MOST_SEGMENTS {
        return Err(Fault::new(format!(
            "its sparse map has more than {MOST_SEGMENTS} segments"
        )));
    }
    segments.push(segment);
    Ok(())
}

/// Reads an old GNU map: pairs of fields of 12 bytes, until one that is empty.
pub(super) struct OldGnuMap<'a> {
    segments: &'a mut Vec<Segment>,
    ended: bool,
}

impl<'a> OldGnuMap<'a> {
    pub(super) const fn new(segments: &'a mut Vec<Segment>) -> Self {
        Self {
            segments,
            ended: false,
        }
    }

    /// Takes the pairs in a header.
    pub(super) fn take(&mut self, pairs: &[u8]) -> Result<(), Fault> {
        for pair in pairs.as_chunks::<24>().0 {
            let (offset, size) = pair.split_at(12);
            self.ended |= size.first() == Some(&0);
            if !self.ended {
                let offset = header::size(offset)?;
                let size = header::size(size)?;
                push(self.segments, Segment { offset, size })?;
            } else if pair.iter().any(|byte| *byte != 0) {
                return Err(Fault::new("its sparse map goes on behind its end"));
            }
        }
        Ok(())
    }

    /// Takes a block of pairs; says whether another follows.
    pub(super) fn take_block(&mut self, block: &Block) -> Result<bool, Fault> {
        let (pairs, rest) = block.split_at(504);
        if self.ended {
            return Err(Fault::new("its sparse map goes on behind its end"));
        }
        self.take(pairs)?;
        Ok(rest.first() != Some(&0))
    }
}

/// What the `GNU.sparse.*` records of a pax header say.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct PaxSparse {
    major: Option<u64>,
    minor: Option<u64>,
    name: Option<Vec<u8>>,
    /// `size` of versions 0.0 and 0.1, `realsize` of 1.0.
    size: Option<u64>,
    real_size: Option<u64>,
    count: Option<u64>,
    map: Option<Vec<Segment>>,
    /// The offset of a segment whose size is not told yet.
    offset: Option<u64>,
    /// Segments told one by one.
    pairs: Vec<Segment>,
}

/// A sparse file as a pax header describes it.
pub(super) struct Described {
    /// Its path, where the one in the header is made up for readers that do not know sparse files.
    pub(super) name: Option<Vec<u8>>,
    /// Its size with its holes. Bytes.
    pub(super) size: u64,
    pub(super) map: Map,
}

pub(super) enum Map {
    /// Here.
    Given(Vec<Segment>),
    /// In front of the data.
    Stored,
}

impl PaxSparse {
    /// Takes the record `GNU.sparse.KEY`.
    pub(super) fn take(&mut self, key: &[u8], value: &[u8]) -> Result<(), Fault> {
        let bad = || Fault::new(format!("{} of its sparse map is wrong or given twice", told(key)));
        let set = |slot: &mut Option<u64>| {
            let value = decimal(value).ok_or_else(bad)?;
            slot.replace(value).map_or(Ok(()), |_| Err(bad()))
        };
        match key {
            b"major" => set(&mut self.major),
            b"minor" => set(&mut self.minor),
            b"size" => set(&mut self.size),
            b"realsize" => set(&mut self.real_size),
            b"numblocks" => set(&mut self.count),
            b"offset" => set(&mut self.offset),
            b"numbytes" => {
                let offset = self.offset.take().ok_or_else(bad)?;
                let size = decimal(value).ok_or_else(bad)?;
                push(&mut self.pairs, Segment { offset, size })
            }
            b"map" => {
                let map = map(value)?.ok_or_else(bad)?;
                self.map.replace(map).map_or(Ok(()), |_| Err(bad()))
            }
            b"name" if value.is_empty() => Err(bad()),
            b"name" => self.name.replace(value.to_vec()).map_or(Ok(()), |_| Err(bad())),
            _ => Err(Fault::new(format!(
                "`GNU.sparse.` has no {} that could be read here",
                told(key)
            ))),
        }
    }

    /// The file that the records describe; `None` if there was none of them.
    pub(super) fn settle(self) -> Result<Option<Described>, Fault> {
        if self == Self::default() {
            return Ok(None);
        }
        let incomplete = || Fault::new("the records of its sparse map do not fit together");
        let pairs = !self.pairs.is_empty();
        let described = match (self.major.unwrap_or(0), self.minor, self.map) {
            (1, Some(0), None) if !pairs && self.count.is_none() && self.size.is_none() => Described {
                name: self.name,
                size: self.real_size.ok_or_else(incomplete)?,
                map: Map::Stored,
            },
            (0, None | Some(0 | 1), map) if !(map.is_some() && pairs) && self.real_size.is_none() => {
                let map = map.unwrap_or(self.pairs);
                if self.count != Some(map.len() as u64) {
                    return Err(incomplete());
                }
                Described {
                    name: self.name,
                    size: self.size.ok_or_else(incomplete)?,
                    map: Map::Given(map),
                }
            }
            _ => return Err(incomplete()),
        };
        match self.offset {
            Some(_) => Err(incomplete()),
            None => Ok(Some(described)),
        }
    }
}

/// `offset,size,offset,size...`
fn map(text: &[u8]) -> Result<Option<Vec<Segment>>, Fault> {
    let mut segments = Vec::new();
    let mut numbers = text.split(|byte| *byte == b',').map(decimal);
    // No segment at all, in a file that is one hole.
    if text.is_empty() {
        return Ok(Some(segments));
    }
    while let Some(offset) = numbers.next() {
        let (Some(offset), Some(Some(size))) = (offset, numbers.next()) else {
            return Ok(None);
        };
        push(&mut segments, Segment { offset, size })?;
    }
    Ok(Some(segments))
}

/// Reads a map that is stored in front of the data, block by block.
#[derive(Default)]
pub(super) struct StoredMap {
    /// How many segments there are, once that was read.
    count: Option<u64>,
    offset: Option<u64>,
    number: Option<u64>,
}

impl StoredMap {
    /// Takes one block; says whether another one follows.
    pub(super) fn take_block(&mut self, block: &Block, segments: &mut Vec<Segment>) -> Result<bool, Fault> {
        let bad = || Fault::new("its sparse map is malformed");
        for byte in block {
            if self.is_done(segments) {
                if *byte != 0 {
                    return Err(bad());
                }
            } else if *byte == b'\n' {
                let number = self.number.take().ok_or_else(bad)?;
                self.complete(number, segments)?;
            } else {
                let digit = char::from(*byte).to_digit(10).ok_or_else(bad)?;
                let before = self.number.unwrap_or(0);
                let number = before
                    .checked_mul(10)
                    .and_then(|tens| tens.checked_add(u64::from(digit)));
                self.number = Some(number.ok_or_else(bad)?);
            }
        }
        Ok(!self.is_done(segments))
    }

    fn is_done(&self, segments: &[Segment]) -> bool {
        self.count == Some(segments.len() as u64)
    }

    fn complete(&mut self, number: u64, segments: &mut Vec<Segment>) -> Result<(), Fault> {
        if self.count.is_none() {
            self.count = Some(number);
        } else if let Some(offset) = self.offset.take() {
            let size = number;
            push(segments, Segment { offset, size })?;
        } else {
            self.offset = Some(number);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn segments(pairs: &[(u64, u64)]) -> Vec<Segment> {
        pairs
            .iter()
            .map(|(offset, size)| Segment {
                offset: *offset,
                size: *size,
            })
            .collect()
    }

    #[test]
    fn maps_must_add_up() {
        for (pairs, size, stored, fits) in [
            (&[(0, 512), (1024, 100)][..], 2000, 612, true),
            (&[(0, 512), (2000, 0)], 2000, 512, true),
            (&[], 10, 0, true),
            (&[(0, 512), (512, 1)], 513, 513, true),
            (&[(1024, 512), (0, 512)], 2000, 1024, false),
            (&[(0, 512), (511, 512)], 2000, 1024, false),
            (&[(0, 512)], 511, 512, false),
            (&[(0, 512)], 2000, 511, false),
            (&[(0, 512)], 2000, 513, false),
            (&[(0, 100), (1024, 100)], 2000, 200, false),
            (&[(u64::MAX, 2)], u64::MAX, 2, false),
            (&[(2001, 0)], 2000, 0, false),
        ] {
            assert_eq!(
                settle(&mut segments(pairs), size, stored).is_ok(),
                fits,
                "{pairs:?}"
            );
        }
    }

    #[test]
    fn records_must_fit_together() {
        let settled = |records: &[(&str, &str)]| {
            let mut sparse = PaxSparse::default();
            for (key, value) in records {
                sparse.take(key.as_bytes(), value.as_bytes())?;
            }
            sparse.settle()
        };
        let given = [
            ("size", "9"),
            ("numblocks", "1"),
            ("offset", "0"),
            ("numbytes", "1"),
        ];
        let map = [("size", "9"), ("numblocks", "1"), ("map", "0,1"), ("name", "n")];
        let stored = [("major", "1"), ("minor", "0"), ("realsize", "9"), ("name", "n")];
        for records in [given, map, stored] {
            assert!(settled(&records).unwrap().is_some(), "{records:?}");
        }
        assert!(settled(&[]).unwrap().is_none());
        for records in [
            &[][..],
            &[("numblocks", "1")],
            &[("size", "10")],
            &[("realsize", "10")],
            &[("map", "0,1")],
            &[("offset", "0")],
            &[("numbytes", "1")],
            &[("minor", "3")],
            &[("major", "2")],
            &[("major", "1"), ("minor", "0")],
            &[("frobnicate", "0")],
        ] {
            let all = [&given[..], records].concat();
            assert_eq!(settled(&all).is_err(), !records.is_empty(), "{all:?}");
        }
        for record in [
            ("map", "0"),
            ("map", "0,"),
            ("map", "0,x"),
            ("map", "0,1,2"),
            ("name", ""),
            ("size", ""),
        ] {
            assert!(settled(&[record]).is_err(), "{record:?}");
        }
        for missing in 0..3 {
            for mut records in [given.to_vec(), map.to_vec(), stored.to_vec()] {
                records.remove(missing);
                assert!(settled(&records).is_err(), "{records:?}");
            }
        }
    }

    fn stored(text: &[u8]) -> Result<Vec<Segment>, Fault> {
        let mut found = Vec::new();
        let mut map = StoredMap::default();
        for chunk in text.chunks(BLOCK) {
            let mut block = [0; BLOCK];
            block[..chunk.len()].copy_from_slice(chunk);
            if !map.take_block(&block, &mut found)? {
                return Ok(found);
            }
        }
        Err(Fault::new("goes on"))
    }

    #[test]
    fn stored_maps_are_lines_of_numbers() {
        assert_eq!(
            stored(b"2\n0\n512\n4096\n1\n").unwrap(),
            segments(&[(0, 512), (4096, 1)])
        );
        assert_eq!(stored(b"0\n").unwrap(), []);
        for text in [
            &b"1\n0\n1"[..],
            b"\n",
            b"1\n\n0\n",
            b"1\n0\n1\nx",
            b"-1\n",
            b"1\n0\n99999999999999999999\n",
        ] {
            assert!(stored(text).is_err(), "{}", text.escape_ascii());
        }
    }

    #[test]
    fn segments_are_bounded() {
        let text = format!("{}\n{}", u64::MAX, "0\n0\n".repeat(MOST_SEGMENTS + 1));
        let why = format!("its sparse map has more than {MOST_SEGMENTS} segments");
        assert_eq!(stored(text.as_bytes()), Err(Fault::new(why)));
    }

    proptest! {
        #[test]
        fn stored_maps_come_back(pairs in prop::collection::vec((any::<u64>(), any::<u64>()), 0..200)) {
            let lines: Vec<_> = pairs.iter().map(|(offset, size)| format!("{offset}\n{size}\n")).collect();
            let text = format!("{}\n{}", pairs.len(), lines.concat());
            prop_assert_eq!(stored(text.as_bytes()), Ok(segments(&pairs)));
        }

        #[test]
        fn any_map_ends(text: Vec<u8>, pairs in prop::collection::vec(any::<[u8; 24]>(), 0..9)) {
            stored(&text).ok();
            map(&text).ok();
            OldGnuMap::new(&mut Vec::new()).take(&pairs.concat()).ok();
        }
    }
}
