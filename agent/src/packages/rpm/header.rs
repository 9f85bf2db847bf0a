//! Header blobs: the records of every rpm database.
//!
//! Source: "RPM v4 package format, header" of the rpm reference manual, and `lib/header.c`. All numbers are big
//! endian:
//!
//! ```text
//! 0   il   number of index entries
//! 4   dl   bytes in the store
//! 8   il entries of 16 bytes: tag, type, offset into the store, count
//! ..  the store, dl bytes
//! ```
//!
//! The first entry usually is a *region*: what was in the package file, its length given by a trailer in the store.
//! Entries after the region were added at installation and replace entries of the same tag in it.

use super::{Malformed, hex, tag, word};

/// Most entries of a header, as in rpm (`HEADER_TAGS_MAX`).
pub const MOST_ENTRIES: usize = 0xffff;

/// Longest store in bytes, as in rpm (`HEADER_DATA_MAX`).
pub const LONGEST_STORE: usize = 0x0fff_ffff;

/// A header whose entries all lie inside its store.
#[derive(Debug)]
pub struct Header<'a> {
    /// By tag, each tag once, without regions.
    entries: Vec<Entry<'a>>,
    /// Bytes of the whole blob.
    length: usize,
    /// What the digest in the header is taken over, where there is an immutable region.
    region: Option<Region<'a>>,
}

#[derive(Clone, Copy, Debug)]
struct Entry<'a> {
    tag: u32,
    kind: Kind,
    count: usize,
    /// Exactly the entry's bytes, terminating zeros of strings included.
    data: &'a [u8],
}

/// The types of entries (`rpmTagType`), with their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Char = 1,
    Int8 = 2,
    Int16 = 3,
    Int32 = 4,
    Int64 = 5,
    String = 6,
    Binary = 7,
    StringArray = 8,
    Translated = 9,
}

#[derive(Debug)]
struct Region<'a> {
    index: &'a [u8],
    store: &'a [u8],
}

/// Reads a header blob: exactly the bytes of one record, from `il` to the end of the store.
///
/// Refuses what rpm refuses: numbers out of bounds, data that reaches out of the store, is misaligned or overlaps
/// the entry before, strings without end; also a tag that appears twice other than by the replacement described
/// above.
pub fn parse(blob: &[u8]) -> Result<Header<'_>, Malformed> {
    let (entries, store) = intro(blob)?;
    let (slots, _) = entries.as_chunks::<ENTRY>();
    let region = region(slots, store)?;
    let in_region = region.as_ref().map_or(slots.len(), |r| r.index.len() / ENTRY);

    let mut found: Vec<(usize, Entry)> = Vec::with_capacity(slots.len());
    let mut end = 0;
    for (at, slot) in slots.iter().enumerate() {
        // Only the first entry can be a region; `entry` refuses others.
        if at > 0 || number(slot, 0) >= FIRST_TAG {
            let entry = entry(slot, store, &mut end)?;
            found.push((at, entry));
        }
    }
    // Stable, so that a replacement stays behind what it replaces.
    found.sort_by_key(|(_, entry)| entry.tag);
    let mut entries: Vec<Entry> = Vec::with_capacity(found.len());
    let mut before = 0;
    for (at, entry) in found {
        match entries.last_mut() {
            Some(last) if last.tag == entry.tag => {
                if before >= in_region || at < in_region {
                    return Err(Malformed::new(format!("tag {} appears twice", entry.tag)));
                }
                *last = entry;
            }
            _ => entries.push(entry),
        }
        before = at;
    }
    let region = region.filter(|_| {
        slots
            .first()
            .is_some_and(|s| number(s, 0) == tag::HEADER_IMMUTABLE)
    });
    Ok(Header {
        entries,
        length: blob.len(),
        region,
    })
}

const ENTRY: usize = 16;

/// Tags below are regions and other marks of the format itself, no facts about the package.
const FIRST_TAG: u32 = 100;

/// The bytes of the index and of the store.
fn intro(blob: &[u8]) -> Result<(&[u8], &[u8]), Malformed> {
    let (Some(il), Some(dl)) = (word(blob, 0), word(blob, 4)) else {
        return Err(Malformed::new("shorter than a header's first 8 bytes"));
    };
    let il = usize::try_from(u32::from_be_bytes(il)).unwrap_or(usize::MAX);
    let dl = usize::try_from(u32::from_be_bytes(dl)).unwrap_or(usize::MAX);
    if il == 0 || il > MOST_ENTRIES || dl > LONGEST_STORE {
        return Err(Malformed::new(format!(
            "a header of {il} entries and {dl} bytes is out of bounds"
        )));
    }
    // In bounds, so this cannot overflow.
    let index = il * ENTRY;
    if blob.len() != 8 + index + dl {
        return Err(Malformed::new(format!(
            "{} bytes instead of {}",
            blob.len(),
            8 + index + dl
        )));
    }
    Ok(blob[8..].split_at(index))
}

/// Big-endian number `nth` of an index entry.
fn number(slot: &[u8; ENTRY], nth: usize) -> u32 {
    let (words, _) = slot.as_chunks::<4>();
    u32::from_be_bytes(words[nth])
}

/// The region that the first entry opens, if it is one.
///
/// Its data is a trailer of the shape of an index entry whose offset is minus the length of the region's index in
/// bytes. Very old packages have a region entry without trailer, with an offset of 0.
fn region<'a>(slots: &'a [[u8; ENTRY]], store: &'a [u8]) -> Result<Option<Region<'a>>, Malformed> {
    let Some(first) = slots.first().filter(|s| number(s, 0) < FIRST_TAG) else {
        return Ok(None);
    };
    let bad = || Malformed::new("the region's trailer is wrong");
    let [_, kind, offset, count] = [0, 1, 2, 3].map(|nth| number(first, nth));
    if kind != Kind::Binary as u32 || count != 16 {
        return Err(Malformed::new("the region's entry is wrong"));
    }
    if offset == 0 {
        return Ok(None);
    }
    let offset = usize::try_from(offset).map_err(|_| bad())?;
    let end = offset.checked_add(ENTRY).ok_or_else(bad)?;
    let trailer: &[u8; ENTRY] = store
        .get(offset..end)
        .and_then(|t| t.first_chunk())
        .ok_or_else(bad)?;
    let length = usize::try_from(number(trailer, 2).wrapping_neg()).map_err(|_| bad())?;
    if number(trailer, 1) != kind
        || number(trailer, 3) != count
        || !length.is_multiple_of(ENTRY)
        || length == 0
    {
        return Err(bad());
    }
    let index = slots.as_flattened().get(..length).ok_or_else(bad)?;
    Ok(Some(Region {
        index,
        store: &store[..end],
    }))
}

/// Reads one entry. `end` is where the data before it ended: entries lie in the order of the index, and as none
/// overlap, reading all of them takes no longer than reading the store.
fn entry<'a>(slot: &[u8; ENTRY], store: &'a [u8], end: &mut usize) -> Result<Entry<'a>, Malformed> {
    let [tag, kind, offset, count] = [0, 1, 2, 3].map(|nth| number(slot, nth));
    let bad = |why: &str| Malformed::new(format!("tag {tag}: {why}"));
    if tag < FIRST_TAG {
        return Err(bad("a region where none can be"));
    }
    let kind = Kind::of(kind).ok_or_else(|| bad("unknown type"))?;
    let (Ok(offset), Ok(count)) = (usize::try_from(offset), usize::try_from(count)) else {
        return Err(bad("out of bounds"));
    };
    if count == 0 || count > LONGEST_STORE {
        return Err(bad("a count out of bounds"));
    }
    if offset < *end {
        return Err(bad("data overlaps the entry before"));
    }
    let rest = store
        .get(offset..)
        .ok_or_else(|| bad("data outside of the store"))?;
    let length = match kind.width() {
        Some(width) if !offset.is_multiple_of(width) => return Err(bad("misaligned data")),
        // Both in bounds, so this cannot overflow.
        Some(width) => count * width,
        None if kind == Kind::String && count != 1 => return Err(bad("a string with a count")),
        None => strings_length(rest, count).ok_or_else(|| bad("a string without end"))?,
    };
    let data = rest
        .get(..length)
        .ok_or_else(|| bad("data reaches out of the store"))?;
    *end = offset + length;
    Ok(Entry {
        tag,
        kind,
        count,
        data,
    })
}

/// Bytes that `count` terminated strings take.
fn strings_length(rest: &[u8], count: usize) -> Option<usize> {
    rest.iter()
        .enumerate()
        .filter(|(_, b)| **b == 0)
        .nth(count - 1)
        .map(|(at, _)| at + 1)
}

impl Kind {
    fn of(number: u32) -> Option<Self> {
        use Kind::{Binary, Char, Int8, Int16, Int32, Int64, String, StringArray, Translated};
        [
            Char,
            Int8,
            Int16,
            Int32,
            Int64,
            String,
            Binary,
            StringArray,
            Translated,
        ]
        .into_iter()
        .find(|kind| *kind as u32 == number)
    }

    /// Bytes of one item; `None` for strings.
    const fn width(self) -> Option<usize> {
        match self {
            Self::Char | Self::Int8 | Self::Binary => Some(1),
            Self::Int16 => Some(2),
            Self::Int32 => Some(4),
            Self::Int64 => Some(8),
            Self::String | Self::StringArray | Self::Translated => None,
        }
    }
}

impl<'a> Header<'a> {
    /// Bytes of the whole blob.
    #[must_use]
    pub fn length(&self) -> usize {
        self.length
    }

    /// Whether the tag is there, of whatever type.
    #[must_use]
    pub fn has(&self, tag: u32) -> bool {
        self.find(tag).is_some()
    }

    /// A string; of a translated or array entry the first. `None` where the tag is missing.
    pub fn string(&self, tag: u32) -> Result<Option<&'a [u8]>, Malformed> {
        Ok(self.strings(tag)?.and_then(|mut all| all.next()))
    }

    /// An array of strings; of a translated entry the first is the untranslated one.
    pub fn strings(&self, tag: u32) -> Result<Option<Strings<'a>>, Malformed> {
        let Some(entry) = self.find(tag) else {
            return Ok(None);
        };
        match entry.kind {
            Kind::String | Kind::StringArray | Kind::Translated => Ok(Some(Strings {
                left: entry.count,
                data: entry.data,
            })),
            _ => Err(wrong_type(tag)),
        }
    }

    /// Bytes.
    pub fn bytes(&self, tag: u32) -> Result<Option<&'a [u8]>, Malformed> {
        self.sized(tag, &[Kind::Binary])
    }

    /// Numbers of 8 bits; characters count as such.
    pub fn u8s(&self, tag: u32) -> Result<Option<&'a [u8]>, Malformed> {
        self.sized(tag, &[Kind::Int8, Kind::Char])
    }

    /// Numbers of 16 bits.
    pub fn u16s(&self, tag: u32) -> Result<Option<Vec<u16>>, Malformed> {
        self.numbers(tag, Kind::Int16, u16::from_be_bytes)
    }

    /// Numbers of 32 bits.
    pub fn u32s(&self, tag: u32) -> Result<Option<Vec<u32>>, Malformed> {
        self.numbers(tag, Kind::Int32, u32::from_be_bytes)
    }

    /// Numbers of 64 bits.
    pub fn u64s(&self, tag: u32) -> Result<Option<Vec<u64>>, Malformed> {
        self.numbers(tag, Kind::Int64, u64::from_be_bytes)
    }

    /// Checks the digest that the header carries of its own immutable region; rpm does the same before it uses a
    /// header from a database. Headers without region or digest pass (`gpg-pubkey`).
    pub fn check_digest(&self) -> Result<(), Malformed> {
        let Some(region) = &self.region else { return Ok(()) };
        let digest = if let Some(sha256) = self.string(tag::SHA256HEADER)? {
            (sha256, region.digest::<sha2::Sha256>()?)
        } else if let Some(sha1) = self.string(tag::SHA1HEADER)? {
            (sha1, region.digest::<sha1::Sha1>()?)
        } else {
            return Ok(());
        };
        if digest.0.eq_ignore_ascii_case(digest.1.as_bytes()) {
            Ok(())
        } else {
            Err(Malformed::new("the header does not match its own digest"))
        }
    }

    fn numbers<T, const N: usize>(
        &self,
        tag: u32,
        kind: Kind,
        read: fn([u8; N]) -> T,
    ) -> Result<Option<Vec<T>>, Malformed> {
        let data = self.sized(tag, &[kind])?;
        Ok(data.map(|data| data.as_chunks::<N>().0.iter().map(|chunk| read(*chunk)).collect()))
    }

    fn sized(&self, tag: u32, kinds: &[Kind]) -> Result<Option<&'a [u8]>, Malformed> {
        match self.find(tag) {
            None => Ok(None),
            Some(entry) if kinds.contains(&entry.kind) => Ok(Some(entry.data)),
            Some(_) => Err(wrong_type(tag)),
        }
    }

    fn find(&self, tag: u32) -> Option<&Entry<'a>> {
        let at = self.entries.binary_search_by_key(&tag, |entry| entry.tag).ok()?;
        self.entries.get(at)
    }
}

fn wrong_type(tag: u32) -> Malformed {
    Malformed::new(format!("tag {tag}: another type than it should have"))
}

impl Region<'_> {
    /// In hexadecimal, over what the package file has as its header: magic, lengths, index and store.
    fn digest<D: sha1::Digest>(&self) -> Result<String, Malformed> {
        let (Ok(entries), Ok(bytes)) = (
            u32::try_from(self.index.len() / ENTRY),
            u32::try_from(self.store.len()),
        ) else {
            return Err(Malformed::new("a region out of bounds"));
        };
        let mut digest = D::new();
        digest.update([0x8e, 0xad, 0xe8, 1, 0, 0, 0, 0]);
        digest.update(entries.to_be_bytes());
        digest.update(bytes.to_be_bytes());
        digest.update(self.index);
        digest.update(self.store);
        Ok(hex(&digest.finalize()))
    }
}

/// The strings of an entry, in order.
#[derive(Clone, Debug)]
pub struct Strings<'a> {
    left: usize,
    data: &'a [u8],
}

impl<'a> Iterator for Strings<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        self.left = self.left.checked_sub(1)?;
        let end = self.data.iter().position(|b| *b == 0)?;
        let (string, rest) = self.data.split_at(end);
        self.data = rest.get(1..)?;
        Some(string)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

// `parse` has counted the strings.
impl ExactSizeIterator for Strings<'_> {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::{Builder, Value, hand_made};
    use super::*;

    #[test]
    fn golden_header_is_read() {
        let blob = hand_made();
        let header = parse(&blob).unwrap();
        assert_eq!(header.string(tag::NAME).unwrap(), Some(&b"demo"[..]));
        assert_eq!(header.u32s(tag::EPOCH).unwrap(), Some(vec![2]));
        let names: Vec<_> = header.strings(tag::BASENAMES).unwrap().unwrap().collect();
        assert_eq!(names, [&b"a"[..], b"b"]);
        assert_eq!(
            header.u16s(tag::FILEMODES).unwrap(),
            Some(vec![0o100_644, 0o40_755])
        );
        assert!(!header.has(tag::VENDOR));
        assert_eq!(header.string(tag::VENDOR).unwrap(), None);
        header.string(tag::EPOCH).unwrap_err();
        header.u32s(tag::NAME).unwrap_err();
    }

    #[test]
    fn region_is_digested_and_replaced() {
        let mut builder = Builder::default();
        builder
            .add(tag::NAME, Value::Text("demo"))
            .add(tag::VENDOR, Value::Text("old"));
        let blob = builder.sealed(&[(tag::VENDOR, Value::Text("new"))]);
        let header = parse(&blob).unwrap();
        assert_eq!(header.string(tag::VENDOR).unwrap(), Some(&b"new"[..]));
        header.check_digest().unwrap();

        let at = blob.windows(4).position(|w| w == b"demo").unwrap();
        let mut changed = blob.clone();
        changed[at] = b'D';
        let header = parse(&changed).unwrap();
        assert_eq!(
            header.check_digest(),
            Err(Malformed::new("the header does not match its own digest"))
        );
    }

    #[test]
    fn double_tag_is_refused() {
        let mut builder = Builder::default();
        builder
            .add(tag::NAME, Value::Text("one"))
            .add(tag::NAME, Value::Text("two"));
        assert_eq!(
            parse(&builder.plain()).unwrap_err(),
            Malformed::new("tag 1000 appears twice")
        );
        parse(&builder.sealed(&[])).unwrap_err();
        let mut builder = Builder::default();
        builder.add(tag::NAME, Value::Text("one"));
        parse(&builder.sealed(&[(tag::NAME, Value::Text("two")), (tag::NAME, Value::Text("three"))]))
            .unwrap_err();
    }

    /// One entry, written by hand so that each field can be wrong.
    fn one(kind: u32, offset: u32, count: u32, store: &[u8]) -> Vec<u8> {
        let length = u32::try_from(store.len()).unwrap();
        let words = [1, length, tag::NAME, kind, offset, count];
        words
            .iter()
            .flat_map(|w| w.to_be_bytes())
            .chain(store.iter().copied())
            .collect()
    }

    #[test]
    fn out_of_bounds_is_refused() {
        parse(&one(6, 0, 1, b"name\0")).unwrap();
        for (defect, blob) in [
            ("empty", vec![]),
            ("no entries", vec![0; 8]),
            ("too many entries", [[0xff; 4], [0; 4]].concat()),
            ("huge store", [[0, 0, 0, 1], [0x7f, 0xff, 0xff, 0xff]].concat()),
            ("cut", one(6, 0, 1, b"name\0")[..28].to_vec()),
            ("long", [one(6, 0, 1, b"name\0"), vec![0]].concat()),
            ("unknown type", one(10, 0, 1, b"name\0")),
            ("null type", one(0, 0, 1, b"name\0")),
            ("string without end", one(6, 0, 1, b"name")),
            ("string with a count", one(6, 0, 2, b"a\0b\0")),
            ("too few strings", one(8, 0, 3, b"a\0b\0")),
            ("offset outside", one(6, 9, 1, b"name\0")),
            ("offset negative", one(6, 0xffff_fff0, 1, b"name\0")),
            ("count of nothing", one(8, 0, 0, b"name\0")),
            ("count negative", one(7, 0, 0xffff_ffff, b"name\0")),
            ("count outside", one(4, 0, 2, b"1234")),
            ("misaligned", one(4, 2, 1, b"12345678")),
        ] {
            assert!(parse(&blob).is_err(), "{defect}");
        }
    }

    #[test]
    fn overlap_is_refused() {
        let mut builder = Builder::default();
        builder
            .add(tag::NAME, Value::Text("one"))
            .add(tag::VERSION, Value::Text("two"));
        let mut blob = builder.plain();
        let offset = 8 + ENTRY + 8;
        assert_eq!(blob[offset..offset + 4], 4_u32.to_be_bytes());
        blob[offset + 3] = 0;
        assert_eq!(
            parse(&blob).unwrap_err(),
            Malformed::new("tag 1001: data overlaps the entry before")
        );
    }

    #[test]
    fn wrong_region_is_refused() {
        let mut builder = Builder::default();
        builder.add(tag::NAME, Value::Text("demo"));
        let blob = builder.sealed(&[]);
        parse(&blob).unwrap();
        // Type, offset and count of the region's own entry; then a field of the trailer.
        let offset = u32::from_be_bytes(word(&blob, 16).unwrap());
        let store = 8 + ENTRY * usize::try_from(u32::from_be_bytes(word(&blob, 0).unwrap())).unwrap();
        let trailer = store + usize::try_from(offset).unwrap();
        for at in [
            15,
            16,
            18,
            23,
            trailer + 7,
            trailer + 8,
            trailer + 11,
            trailer + 15,
        ] {
            let mut changed = blob.clone();
            changed[at] ^= 0x11;
            assert!(parse(&changed).is_err(), "{at}");
        }
    }

    /// Asks a header for everything in every way.
    fn exhaust(blob: &[u8]) {
        let Ok(header) = parse(blob) else { return };
        for tag in header.entries.iter().map(|entry| entry.tag) {
            if let Ok(Some(strings)) = header.strings(tag) {
                let promised = strings.len();
                assert_eq!(strings.count(), promised);
            }
            let read = header.u8s(tag).is_ok() || header.u16s(tag).is_ok() || header.u32s(tag).is_ok();
            assert!(
                read || header.u64s(tag).is_ok() || header.bytes(tag).is_ok() || header.string(tag).is_ok()
            );
        }
        header.check_digest().ok();
    }

    proptest! {
        #[test]
        fn any_bytes_end(blob: Vec<u8>) {
            exhaust(&blob);
        }

        #[test]
        fn any_index_ends(words in prop::collection::vec(prop_oneof![0_u32..12, any::<u32>()], 0..64)) {
            let entries = u32::try_from(words.len() / 4).unwrap();
            let rest = u32::try_from(words.len() % 4 * 4).unwrap();
            exhaust(&[entries, rest].iter().chain(&words).flat_map(|w| w.to_be_bytes()).collect::<Vec<_>>());
        }

        #[test]
        fn mutated_header_ends(at: prop::sample::Index, byte: u8, sealed: bool) {
            let mut builder = Builder::default();
            builder.add(tag::NAME, Value::Text("demo")).add(tag::BASENAMES, Value::Texts(&["a", "b"]));
            let mut blob = if sealed { builder.sealed(&[]) } else { hand_made() };
            let at = at.index(blob.len());
            blob[at] = byte;
            exhaust(&blob);
        }
    }
}
