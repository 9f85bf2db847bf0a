//! rpm's own database format, `Packages.db`, as SUSE has it.
//!
//! Source: `lib/backend/ndb/rpmpkg.c` of rpm. All numbers are little endian, 32 bits.
//!
//! ```text
//! 0    header: "RpmP", version (0), generation, slot pages, next package number, padding to 32 bytes
//! 32   slots of 16 bytes up to the end of the slot pages (4096 bytes each):
//!      "Slot", package number, offset in blocks (0: free), length in blocks; a block has 16 bytes
//! ..   blobs, at block boundaries:
//!      "BlbS", package number, time, length; the blob; zeros to fill the last block;
//!      Adler-32 of all that, length, "BlbE"
//! ```
//!
//! A freed blob is overwritten with zeros, so that a start of a blob which no slot names is a lost package.

use super::{Malformed, Take, word};

const BLOCK: usize = 16;
const SLOT: usize = 16;
const SLOT_PAGE: usize = 4096;
const HEADER: usize = 32;
const BLOB_HEAD: usize = 16;
const BLOB_TAIL: usize = 12;

/// Calls `take` with each blob, in the order of package numbers.
///
/// Checked beyond rpm: that blobs do not overlap, that no number appears twice or is not given out yet, the
/// Adler-32 of every blob, and that between the blobs lies none that no slot names. A blob that is wrong in itself
/// is passed to `take` as such; an error is about the whole and comes before the first call, but for lost blobs.
pub fn records(bytes: &[u8], take: &mut Take) -> Result<(), Malformed> {
    let mut slots = slots(bytes)?;
    check_overlap(&mut slots)?;
    slots.sort_unstable_by_key(|slot| slot.number);
    if let Some([first, _]) = slots.array_windows().find(|[a, b]| a.number == b.number) {
        return Err(Malformed::new(format!(
            "two slots of package number {}",
            first.number
        )));
    }
    for slot in &slots {
        take(slot.number, blob(bytes, slot));
    }
    slots.sort_unstable_by_key(|slot| slot.start);
    check_gaps(bytes, &slots)
}

struct Slot {
    number: u32,
    /// Where the blob with its head and tail lies, in bytes.
    start: usize,
    end: usize,
}

fn slots(bytes: &[u8]) -> Result<Vec<Slot>, Malformed> {
    let [Some(magic), Some(version), Some(pages), Some(next)] = [0, 4, 12, 16].map(|at| number(bytes, at))
    else {
        return Err(Malformed::new("shorter than its header"));
    };
    if magic != u32::from_le_bytes(*b"RpmP") {
        return Err(Malformed::new("not an ndb database"));
    }
    if version != 0 {
        return Err(Malformed::new(format!("unknown version {version}")));
    }
    let area = usize::try_from(pages)
        .ok()
        .and_then(|pages| pages.checked_mul(SLOT_PAGE));
    let Some(area) = area.and_then(|end| bytes.get(HEADER..end)) else {
        return Err(Malformed::new("cut in its slots"));
    };
    if !bytes.len().is_multiple_of(BLOCK) {
        return Err(Malformed::new("cut inside a block"));
    }
    let mut slots = Vec::new();
    for slot in area.as_chunks::<SLOT>().0 {
        let [magic, package, offset, length] = [0, 4, 8, 12].map(|at| number(slot, at).unwrap_or(0));
        if magic != u32::from_le_bytes(*b"Slot") {
            return Err(Malformed::new("a slot that is none"));
        }
        if offset == 0 {
            continue;
        }
        let bad = || Malformed::new(format!("the slot of package number {package} is wrong"));
        if package == 0 || package >= next || length == 0 {
            return Err(bad());
        }
        let start = usize::try_from(offset)
            .ok()
            .and_then(|blocks| blocks.checked_mul(BLOCK))
            .ok_or_else(bad)?;
        let length = usize::try_from(length)
            .ok()
            .and_then(|blocks| blocks.checked_mul(BLOCK))
            .ok_or_else(bad)?;
        let end = start.checked_add(length).ok_or_else(bad)?;
        if start < HEADER + area.len() || end > bytes.len() {
            return Err(bad());
        }
        slots.push(Slot {
            number: package,
            start,
            end,
        });
    }
    Ok(slots)
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    word(bytes, at).map(u32::from_le_bytes)
}

fn check_overlap(slots: &mut [Slot]) -> Result<(), Malformed> {
    slots.sort_unstable_by_key(|slot| slot.start);
    match slots.array_windows().find(|[a, b]| a.end > b.start) {
        Some([a, b]) => Err(Malformed::new(format!(
            "package numbers {} and {} overlap",
            a.number, b.number
        ))),
        None => Ok(()),
    }
}

fn blob<'a>(bytes: &'a [u8], slot: &Slot) -> Result<&'a [u8], Malformed> {
    let bad = || Malformed::new("the blob does not match its slot");
    let whole = bytes.get(slot.start..slot.end).ok_or_else(bad)?;
    let (body, tail) = whole
        .split_at_checked(whole.len().saturating_sub(BLOB_TAIL))
        .ok_or_else(bad)?;
    let (head, body) = body.split_at_checked(BLOB_HEAD).ok_or_else(bad)?;
    let length = number(head, 12).ok_or_else(bad)?;
    if !head.starts_with(b"BlbS")
        || number(head, 4) != Some(slot.number)
        || number(tail, 4) != Some(length)
        || !tail.ends_with(b"BlbE")
    {
        return Err(bad());
    }
    let blob = usize::try_from(length)
        .ok()
        .and_then(|length| body.get(..length))
        .ok_or_else(bad)?;
    if body.len() - blob.len() >= BLOCK {
        return Err(bad());
    }
    if number(tail, 0) != Some(adler32(&whole[..whole.len() - BLOB_TAIL])) {
        return Err(Malformed::new("the blob does not match its checksum"));
    }
    Ok(blob)
}

/// RFC 1950, section 8.2.
fn adler32(bytes: &[u8]) -> u32 {
    let (mut a, mut b) = (1_u32, 0_u32);
    // The longest run after which neither sum overflows.
    for run in bytes.chunks(5552) {
        for byte in run {
            a += u32::from(*byte);
            b += a;
        }
        a %= 65521;
        b %= 65521;
    }
    b << 16 | a
}

/// Looks for starts of blobs where no slot says that there is one. Slots are in the order of their place.
fn check_gaps(bytes: &[u8], slots: &[Slot]) -> Result<(), Malformed> {
    let pages = number(bytes, 12)
        .and_then(|pages| usize::try_from(pages).ok())
        .unwrap_or(0);
    let mut from = pages.saturating_mul(SLOT_PAGE);
    let ends = slots.iter().map(|slot| (slot.start, slot.end));
    for (start, end) in ends.chain([(bytes.len(), bytes.len())]) {
        let gap = bytes.get(from..start).unwrap_or_default();
        if gap.chunks(BLOCK).any(|block| block.starts_with(b"BlbS")) {
            return Err(Malformed::new("a package that no slot names"));
        }
        from = end;
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Writes a database as rpm does, with each blob under its number and `pages` pages of slots.
    pub(crate) fn write(blobs: &[(u32, &[u8])], pages: usize) -> Vec<u8> {
        let next = blobs.iter().map(|(number, _)| number + 1).max().unwrap_or(1);
        let mut bytes = b"RpmP".to_vec();
        bytes.extend(
            [0, 5, u32::try_from(pages).unwrap(), next, 0, 0, 0]
                .map(u32::to_le_bytes)
                .concat(),
        );
        let mut data = Vec::new();
        for (number, blob) in blobs {
            let start = data.len();
            let length = u32::try_from(blob.len()).unwrap();
            data.extend(b"BlbS");
            data.extend([*number, 1_700_000_000, length].map(u32::to_le_bytes).concat());
            data.extend(*blob);
            let end = (data.len() + BLOB_TAIL).next_multiple_of(BLOCK);
            data.resize(end - BLOB_TAIL, 0);
            let sum = adler32(&data[start..]);
            data.extend([sum, length].map(u32::to_le_bytes).concat());
            data.extend(b"BlbE");
            let offset = u32::try_from((pages * SLOT_PAGE + start) / BLOCK).unwrap();
            let blocks = u32::try_from((data.len() - start) / BLOCK).unwrap();
            bytes.extend(b"Slot");
            bytes.extend([*number, offset, blocks].map(u32::to_le_bytes).concat());
        }
        while bytes.len() < pages * SLOT_PAGE {
            bytes.extend(b"Slot");
            bytes.extend([0; 12]);
        }
        bytes.extend(data);
        bytes
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
        write(&[(3, b"three"), (1, &[1; 1000]), (2, b"two and two")], 1)
    }

    #[test]
    fn blobs_are_read_in_order() {
        let (found, outcome) = read_all(&three());
        outcome.unwrap();
        assert_eq!(
            found,
            [
                (1, Ok(vec![1; 1000])),
                (2, Ok(b"two and two".to_vec())),
                (3, Ok(b"three".to_vec()))
            ]
        );
        let (found, outcome) = read_all(&write(&[], 2));
        outcome.unwrap();
        assert_eq!(found, []);
    }

    #[test]
    fn checksum_is_that_of_the_rfc() {
        assert_eq!(adler32(b"Wikipedia"), 0x11e6_0398);
        let long = vec![255; 100_000];
        assert_eq!(adler32(&long), adler32_slowly(&long));
    }

    fn adler32_slowly(bytes: &[u8]) -> u32 {
        let (a, b) = bytes.iter().fold((1, 0), |(a, b), byte| {
            let a = (a + u32::from(*byte)) % 65521;
            (a, (b + a) % 65521)
        });
        b << 16 | a
    }

    #[test]
    fn changed_blob_is_told_alone() {
        let mut bytes = three();
        let at = bytes.windows(5).position(|w| w == b"three").unwrap();
        bytes[at] ^= 1;
        let (found, outcome) = read_all(&bytes);
        outcome.unwrap();
        assert_eq!(
            found[2],
            (3, Err(Malformed::new("the blob does not match its checksum")))
        );
        assert!(found[0].1.is_ok() && found[1].1.is_ok());
    }

    /// Where field `field` of slot `nth` is.
    fn slot(nth: usize, field: usize) -> usize {
        HEADER + nth * SLOT + field * 4
    }

    #[test]
    fn damage_is_told() {
        for (defect, at, byte) in [
            ("magic", 0, 0),
            ("version", 4, 1),
            ("more slot pages", 12, 9),
            ("no slot pages", 12, 0),
            ("number not given out", 16, 2),
            ("slot magic", slot(0, 0), 0),
            ("empty slot magic", slot(9, 0), 0),
            ("number twice", slot(0, 1), 1),
            ("number of nothing", slot(0, 1), 0),
            ("offset in the slots", slot(1, 2) + 1, 0),
            ("offset outside", slot(0, 2) + 2, 1),
            ("no length", slot(0, 3), 0),
            ("length outside", slot(0, 3) + 1, 1),
            ("overlap", slot(0, 3), 9),
        ] {
            let mut bytes = three();
            bytes[at] = byte;
            let (found, outcome) = read_all(&bytes);
            assert_eq!((found.len(), outcome.is_err()), (0, true), "{defect}");
        }
        for cut in [0, 31, 32, 4095, 5000] {
            assert!(read_all(&three()[..cut]).1.is_err(), "{cut}");
        }
    }

    /// A slot that was wiped leaves its blob behind, at the start, in the middle and at the end.
    #[test]
    fn lost_package_is_told() {
        for nth in 0..3 {
            let mut bytes = three();
            bytes[slot(nth, 1)..slot(nth, 4)].fill(0);
            let (found, outcome) = read_all(&bytes);
            assert_eq!(
                (found.len(), outcome),
                (2, Err(Malformed::new("a package that no slot names"))),
                "{nth}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_bytes_end(bytes: Vec<u8>) {
            read_all(&bytes).1.ok();
        }

        #[test]
        fn mutated_database_is_told(at: prop::sample::Index, bit in 0..8_u8) {
            let whole = three();
            let mut bytes = whole.clone();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            let (found, outcome) = read_all(&bytes);
            // The generation, the number to give out next, what pads the header and what is left in free slots may
            // change without notice; nothing else.
            let told = outcome.is_err() || found.iter().any(|(_, blob)| blob.is_err());
            prop_assert!(told || found == read_all(&whole).0);
        }

        #[test]
        fn written_is_read(blobs in prop::collection::btree_map(1..500_u32, prop::collection::vec(any::<u8>(), 0..99), 0..300)) {
            let blobs: Vec<_> = blobs.iter().map(|(number, blob)| (*number, &blob[..])).collect();
            let (found, outcome) = read_all(&write(&blobs, 2));
            prop_assert_eq!(outcome, Ok(()));
            let found: Vec<_> = found.iter().map(|(number, blob)| (*number, &blob.as_ref().unwrap()[..])).collect();
            prop_assert_eq!(found, blobs);
        }
    }
}
