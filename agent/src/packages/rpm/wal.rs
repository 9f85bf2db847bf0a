//! The write-ahead log of a `SQLite` database, applied in memory.
//!
//! Source: "The SQLite Database File Format", section 4, and `walIndexRecover` in `wal.c`. All numbers are big endian,
//! 32 bits:
//!
//! ```text
//! 0    magic (0x377f0682, or 0x377f0683 if checksums are over big-endian words), version (3007000), page size,
//!      number of the checkpoint, two salts, two checksums over the 24 bytes before
//! 32   frames: page number, size of the database in pages if this ends a transaction else 0, the two salts, two
//!      checksums that go on from the frame before over the first 8 bytes and the page; the page
//! ```
//!
//! A log is reused from its start with other salts, so that frames of an earlier use may follow the current ones.

use super::{LONGEST, Malformed, word};

const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;
const MAGIC: u32 = 0x377f_0682;
const VERSION: u32 = 3_007_000;

/// Applies all whole transactions of `log` to `database`. What follows the last of them has not happened yet and is
/// left out, as in `SQLite`.
///
/// An error leaves the database as it was, but for one case: behind a frame that does not match its checksum stands
/// the end of a transaction of the same use. Then what is before is applied, and what is behind is lost.
pub fn apply(database: &mut Vec<u8>, log: &[u8]) -> Result<(), Malformed> {
    // SQLite, too, takes a log that has no frame, or whose header was never written, as empty.
    if log.len() <= HEADER || log[..HEADER] == [0; HEADER] {
        return Ok(());
    }
    let log = Log::open(log)?;
    if database.len() >= 18 && page_size(database) != Some(log.page_size) {
        return Err(Malformed::new("the log has other pages than the database"));
    }
    let (frames, rest) = log.frames();
    let last = frames.iter().rposition(|frame| frame.pages != 0);
    if let Some(last) = last {
        let pages = usize::try_from(frames[last].pages).unwrap_or(usize::MAX);
        let size = pages
            .checked_mul(log.page_size)
            .filter(|size| *size as u64 <= LONGEST);
        database.resize(
            size.ok_or_else(|| Malformed::new(format!("a log for {pages} pages")))?,
            0,
        );
        for frame in &frames[..=last] {
            let Ok(number) = usize::try_from(frame.number) else {
                continue;
            };
            // Pages behind the end were cut off later in the log. The first page has number 1.
            if let Some(page) = database.chunks_exact_mut(log.page_size).nth(number - 1) {
                page.copy_from_slice(frame.page);
            }
        }
    }
    let behind = rest.chunks_exact(FRAME_HEADER + log.page_size).skip(1);
    if behind
        .map(Frame::of)
        .any(|frame| frame.salts == log.salts && frame.pages != 0)
    {
        return Err(Malformed::new("the log is damaged before its end"));
    }
    Ok(())
}

/// Bytes of a page as the header of a database has it; 1 stands for 65536.
fn page_size(database: &[u8]) -> Option<usize> {
    match u16::from_be_bytes(*database.get(16..)?.first_chunk()?) {
        1 => Some(65536),
        other => Some(usize::from(other)),
    }
}

struct Log<'a> {
    /// Behind the header.
    frames: &'a [u8],
    page_size: usize,
    salts: [[u8; 4]; 2],
    sums: Sums,
}

impl<'a> Log<'a> {
    fn open(log: &'a [u8]) -> Result<Self, Malformed> {
        let bad = || Malformed::new("the log's header is wrong");
        let (header, frames) = log.split_first_chunk::<HEADER>().ok_or_else(bad)?;
        let words = header.as_chunks::<4>().0;
        let number = |nth: usize| u32::from_be_bytes(words[nth]);
        let page_size = usize::try_from(number(2)).map_err(|_| bad())?;
        if number(0) & !1 != MAGIC || !page_size.is_power_of_two() || !(512..=65536).contains(&page_size) {
            return Err(bad());
        }
        if number(1) != VERSION {
            return Err(Malformed::new(format!("a log of unknown version {}", number(1))));
        }
        let mut sums = Sums {
            big_endian: number(0) & 1 == 1,
            first: 0,
            second: 0,
        };
        sums.add(&header[..24]);
        if !sums.are(words[6], words[7]) {
            return Err(bad());
        }
        Ok(Self {
            frames,
            page_size,
            salts: [words[4], words[5]],
            sums,
        })
    }

    /// The frames of this use of the log, and what follows them.
    fn frames(&self) -> (Vec<Frame<'a>>, &'a [u8]) {
        let mut sums = self.sums.clone();
        let mut frames = Vec::new();
        let mut rest = self.frames;
        while let Some((bytes, after)) = rest.split_at_checked(FRAME_HEADER + self.page_size) {
            let frame = Frame::of(bytes);
            sums.add(&bytes[..8]);
            sums.add(frame.page);
            if frame.salts != self.salts || frame.number == 0 || !sums.are(frame.sums[0], frame.sums[1]) {
                break;
            }
            frames.push(frame);
            rest = after;
        }
        (frames, rest)
    }
}

struct Frame<'a> {
    number: u32,
    /// Pages of the database after the transaction that this frame ends, or 0.
    pages: u32,
    salts: [[u8; 4]; 2],
    sums: [[u8; 4]; 2],
    page: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Of a header and a page.
    fn of(bytes: &'a [u8]) -> Self {
        let at = |nth: usize| word(bytes, nth * 4).unwrap_or_default();
        Self {
            number: u32::from_be_bytes(at(0)),
            pages: u32::from_be_bytes(at(1)),
            salts: [at(2), at(3)],
            sums: [at(4), at(5)],
            page: bytes.get(FRAME_HEADER..).unwrap_or_default(),
        }
    }
}

/// The two checksums, over pairs of words.
#[derive(Clone)]
struct Sums {
    big_endian: bool,
    first: u32,
    second: u32,
}

impl Sums {
    fn add(&mut self, bytes: &[u8]) {
        let read = if self.big_endian {
            u32::from_be_bytes
        } else {
            u32::from_le_bytes
        };
        for [first, second] in bytes.as_chunks::<4>().0.as_chunks::<2>().0 {
            self.first = self.first.wrapping_add(read(*first)).wrapping_add(self.second);
            self.second = self.second.wrapping_add(read(*second)).wrapping_add(self.first);
        }
    }

    fn are(&self, first: [u8; 4], second: [u8; 4]) -> bool {
        self.first == u32::from_be_bytes(first) && self.second == u32::from_be_bytes(second)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    const PAGE: usize = 512;

    /// A log of frames: page number, pages at the end of a transaction or 0, and the byte that fills the page.
    fn log(frames: &[(u32, u32, u8)], big_endian: bool) -> Vec<u8> {
        let pages: Vec<_> = frames
            .iter()
            .map(|(number, pages, fill)| (*number, *pages, vec![*fill; PAGE]))
            .collect();
        write(&pages, big_endian)
    }

    /// A log of whole pages.
    pub(crate) fn write(frames: &[(u32, u32, Vec<u8>)], big_endian: bool) -> Vec<u8> {
        let mut sums = Sums {
            big_endian,
            first: 0,
            second: 0,
        };
        let size = u32::try_from(frames.first().map_or(PAGE, |frame| frame.2.len())).unwrap();
        let mut log = Vec::new();
        for word in [MAGIC | u32::from(big_endian), VERSION, size, 0, 17, 18] {
            log.extend(word.to_be_bytes());
        }
        sums.add(&log);
        log.extend([sums.first, sums.second].map(u32::to_be_bytes).concat());
        for (number, pages, page) in frames {
            let start = [number.to_be_bytes(), pages.to_be_bytes()].concat();
            sums.add(&start);
            sums.add(page);
            log.extend(start);
            log.extend([17, 18, sums.first, sums.second].map(u32::to_be_bytes).concat());
            log.extend(page);
        }
        log
    }

    /// A database of pages filled with their number, whose first page says how long they are.
    fn database(pages: u8) -> Vec<u8> {
        let mut database: Vec<u8> = (1..=pages).flat_map(|number| [number; PAGE]).collect();
        database[16..18].copy_from_slice(&[2, 0]);
        database
    }

    fn fills(database: &[u8]) -> Vec<u8> {
        database.chunks(PAGE).map(|page| page[100]).collect()
    }

    #[test]
    fn transactions_are_applied_and_their_rest_is_not() {
        for big_endian in [false, true] {
            let mut found = database(3);
            let frames = [(2, 0, 20), (3, 3, 30), (2, 0, 21), (4, 4, 40), (3, 0, 99)];
            apply(&mut found, &log(&frames, big_endian)).unwrap();
            assert_eq!(fills(&found), [1, 21, 30, 40]);
        }
    }

    #[test]
    fn database_shrinks() {
        let mut found = database(3);
        apply(&mut found, &log(&[(3, 3, 30), (2, 2, 20)], false)).unwrap();
        assert_eq!(fills(&found), [1, 20]);
    }

    #[test]
    fn frames_of_an_earlier_use_are_left_out() {
        let mut bytes = log(&[(2, 3, 20), (3, 3, 30)], false);
        let second = HEADER + FRAME_HEADER + PAGE;
        bytes[second + 11] ^= 1;
        let mut found = database(3);
        apply(&mut found, &bytes).unwrap();
        assert_eq!(fills(&found), [1, 20, 3]);
    }

    #[test]
    fn torn_end_is_left_out() {
        let whole = log(&[(2, 3, 20), (3, 3, 30)], false);
        let mut found = database(3);
        apply(&mut found, &whole[..whole.len() - 1]).unwrap();
        assert_eq!(fills(&found), [1, 20, 3]);

        let mut flipped = whole;
        *flipped.last_mut().unwrap() ^= 1;
        let mut found = database(3);
        apply(&mut found, &flipped).unwrap();
        assert_eq!(fills(&found), [1, 20, 3]);
    }

    #[test]
    fn damage_in_the_middle_is_told() {
        let mut bytes = log(&[(2, 3, 20), (3, 3, 30), (1, 3, 10)], false);
        bytes[HEADER + FRAME_HEADER + PAGE + FRAME_HEADER] ^= 1;
        let mut found = database(3);
        assert_eq!(
            apply(&mut found, &bytes),
            Err(Malformed::new("the log is damaged before its end"))
        );
        assert_eq!(fills(&found), [1, 20, 3]);
    }

    #[test]
    fn wrong_header_is_refused() {
        let whole = log(&[(2, 3, 20)], false);
        for at in [0, 3, 5, 10, 17, 25, 31] {
            let mut bytes = whole.clone();
            bytes[at] ^= 2;
            let mut found = database(3);
            apply(&mut found, &bytes).unwrap_err();
            assert_eq!(fills(&found), [1, 2, 3], "{at}");
        }
        let mut other_pages = database(3);
        other_pages[16] = 4;
        apply(&mut other_pages, &whole).unwrap_err();
        apply(&mut database(3), &log(&[(2, 1 << 30, 20)], false)).unwrap_err();
        for empty in [&[][..], &[0; 4096], &whole[..HEADER]] {
            let mut found = database(3);
            apply(&mut found, empty).unwrap();
            assert_eq!(found, database(3));
        }
    }

    proptest! {
        #[test]
        fn any_log_ends(bytes: Vec<u8>, frames in prop::collection::vec((0_u32..6, 0_u32..6, 0_u8..9), 0..6),
            at: prop::sample::Index, cut: prop::sample::Index, byte: u8) {
            apply(&mut database(3), &bytes).ok();
            let mut mutated = log(&frames, false);
            let at = at.index(mutated.len());
            mutated[at] = byte;
            mutated.truncate(cut.index(mutated.len()));
            let mut found = database(3);
            apply(&mut found, &mutated).ok();
            prop_assert!(found.len() <= 6 * PAGE);
        }
    }
}
