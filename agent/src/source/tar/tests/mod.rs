//! Archives made by hand: hostile ones, rare ones, damaged ones.

use std::io::{self, Cursor};
use std::sync::Arc;

use proptest::prelude::*;

use super::header::{BLOCK, Block};
use super::pax::tests::write as record;
use super::*;
use crate::source::bytes::{Bytes, ReadAt as _};

mod refused;
mod sparse;

/// An archive that grows.
#[derive(Clone, Default)]
struct Archive(Vec<u8>);

/// A ustar header, changed by `change` before its checksum is made.
fn header(path: &str, letter: u8, size: usize, change: impl Fn(&mut Block)) -> Block {
    let mut block = [0; BLOCK];
    let mut put = |at: usize, text: &str| block[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, path);
    put(100, "0000644\0");
    put(108, "0001750\0");
    put(116, "0000144\0");
    put(124, &format!("{size:011o}\0"));
    put(136, "14524770000\0");
    put(257, "ustar\x0000");
    put(329, "0000001\0");
    put(337, "0000003\0");
    block[156] = letter;
    change(&mut block);
    seal(&mut block);
    block
}

fn seal(block: &mut Block) {
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

fn gnu(block: &mut Block) {
    block[257..265].copy_from_slice(b"ustar  \0");
    block[345..500].fill(0);
}

fn set(at: usize, bytes: &[u8]) -> impl Fn(&mut Block) {
    move |block| block[at..at + bytes.len()].copy_from_slice(bytes)
}

impl Archive {
    fn block(mut self, block: &Block) -> Self {
        self.0.extend(block);
        self
    }

    fn content(mut self, content: impl AsRef<[u8]>) -> Self {
        self.0.extend(content.as_ref());
        self.0.resize(self.0.len().next_multiple_of(BLOCK), 0);
        self
    }

    fn typed(self, path: &str, letter: u8, content: impl AsRef<[u8]>) -> Self {
        self.block(&header(path, letter, content.as_ref().len(), |_| {}))
            .content(content)
    }

    fn file(self, path: &str, content: impl AsRef<[u8]>) -> Self {
        self.typed(path, b'0', content)
    }

    fn pax(self, records: &[(&str, &[u8])]) -> Self {
        let content: Vec<u8> = records
            .iter()
            .flat_map(|(key, value)| record(key, value))
            .collect();
        self.typed("PaxHeaders/x", b'x', content)
    }

    fn link(self, path: &str, letter: u8, target: &str) -> Self {
        self.block(&header(path, letter, 0, set(157, target.as_bytes())))
    }

    fn end(self) -> Self {
        self.content([0; 2 * BLOCK])
    }
}

type Listing = Vec<(Member, Vec<u8>)>;

/// Everything that an archive says, with the contents.
fn list_from(reader: impl Read, end: End) -> Result<Listing, Fault> {
    let mut reader = TarReader::new(reader, end);
    let mut found = Vec::new();
    while let Some(member) = reader.next_member()? {
        let mut content = Vec::new();
        match reader.read_to_end(&mut content) {
            Ok(size) => assert_eq!(size as u64, member.size),
            Err(why) => {
                // It stays failed.
                assert!(reader.next_member().is_err());
                return Err(Fault::new(why.to_string()));
            }
        }
        found.push((member, content));
    }
    assert_eq!(reader.next_member(), Ok(None));
    assert_eq!(reader.read(&mut [0; 9]).unwrap(), 0);
    Ok(found)
}

/// The listing, the same by the index and by reading without the contents, or a fault of all.
fn list(archive: &[u8], end: End) -> Result<Listing, Fault> {
    let found = list_from(archive, end);
    let bytes: Bytes = Arc::new(archive.to_vec());
    let mut reader = TarReader::new(Drip(Cursor::new(archive)), end);
    let mut skipped = Vec::new();
    let skipped = loop {
        match reader.next_member() {
            Ok(Some(member)) => skipped.push((member, reader.position(), reader.is_sparse())),
            Ok(None) => break Ok(skipped),
            Err(why) => break Err(why),
        }
    };
    let indexed = TarIndex::read(&bytes, end);
    assert_eq!(found.is_ok(), skipped.is_ok());
    assert_eq!(found.is_ok(), indexed.is_ok());
    if let (Ok(found), Ok(skipped), Ok(indexed)) = (&found, &skipped, &indexed) {
        let members = |listing: &Listing| {
            listing
                .iter()
                .map(|(member, _)| member.clone())
                .collect::<Vec<_>>()
        };
        let skipped_members: Vec<_> = skipped.iter().map(|(member, _, _)| member.clone()).collect();
        assert_eq!(members(found), skipped_members);
        assert_eq!(indexed.entries.len(), found.len());
        for ((entry, (member, content)), (_, position, sparse)) in
            indexed.entries.iter().zip(found).zip(skipped)
        {
            assert_eq!(&entry.member, member);
            let mut again = Vec::new();
            entry.open(&bytes).read_to_end(&mut again).unwrap();
            assert_eq!(&again, content);
            let from = usize::try_from(*position).unwrap();
            if *sparse {
                assert!(entry.window(&bytes).is_none());
            } else {
                assert_eq!(archive[from..from + content.len()], content[..]);
                let window = entry.window(&bytes).unwrap();
                assert_eq!(window.size(), member.size);
            }
        }
    }
    found
}

/// Gives a few bytes at a time, and is interrupted in between.
struct Drip<'a>(Cursor<&'a [u8]>);

impl Read for Drip<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = buffer.len().min(700);
        self.0.read(&mut buffer[..count])
    }
}

fn whole(archive: Archive) -> Result<Listing, Fault> {
    list(&archive.end().0, End::Required)
}

fn member(path: &str, kind: MemberKind, size: u64) -> Member {
    Member {
        path: path.into(),
        kind,
        permissions: 0o644,
        uid: 1000,
        gid: 100,
        size,
        mtime: 0o14_524_770_000,
        xattrs: Vec::new(),
        acl: None,
        default_acl: None,
        immutable: false,
        append_only: false,
    }
}

/// One member of every kind.
fn sample() -> Archive {
    Archive::default()
        .block(&header("./", b'5', 0, set(100, b"0040755\0")))
        .pax(&[
            ("path", b"etc/a name\nthat is long"),
            ("mtime", b"-3.25"),
            ("SCHILY.xattr.user.x", b"\n\0="),
        ])
        .file("etc/short", "content")
        .typed("././@LongLink", b'L', "gnu/long\0")
        .block(&header("gnu/lo", b'0', 3, gnu))
        .content("abc")
        .link("etc/hard", b'1', "./gnu/long")
        .link("etc/soft", b'2', "../nowhere")
        .typed("dev/null", b'3', "")
        .typed("dev/disk", b'4', "")
        .typed("fifo", b'6', "")
        .typed("old/", 0, "")
        .typed("old/file", 0, "x")
        .typed("contiguous", b'7', [7; 1025])
        .end()
}

fn sample_listing() -> Listing {
    let file = |path: &str, content: &[u8]| {
        (
            member(path, MemberKind::File, content.len() as u64),
            content.to_vec(),
        )
    };
    let other = |path: &str, kind: MemberKind| (member(path, kind, 0), Vec::new());
    let mut listing = vec![
        other("", MemberKind::Directory),
        file("etc/a name\nthat is long", b"content"),
        file("gnu/long", b"abc"),
        other("etc/hard", MemberKind::HardLink(b"gnu/long".into())),
        other("etc/soft", MemberKind::Link(b"../nowhere".into())),
        other("dev/null", MemberKind::CharDevice(1, 3)),
        other("dev/disk", MemberKind::BlockDevice(1, 3)),
        other("fifo", MemberKind::Fifo),
        other("old", MemberKind::Directory),
        file("old/file", b"x"),
        file("contiguous", &[7; 1025]),
    ];
    listing[0].0.permissions = 0o755;
    listing[1].0.mtime = -4;
    listing[1].0.xattrs = vec![(b"user.x".into(), b"\n\0=".into())];
    listing
}

#[test]
fn every_kind_is_read() {
    assert_eq!(list(&sample().0, End::Required), Ok(sample_listing()));
}

#[test]
fn ends_are_told_from_cuts() {
    let file = || Archive::default().file("a", "b");
    let listed = |archive: Archive, end| list(&archive.0, end).map(|listing| listing.len());
    for (archive, with_mark, without) in [
        (Archive::default(), false, Some(0)),
        (Archive::default().end(), true, Some(0)),
        (file(), false, Some(1)),
        (file().content([0; BLOCK]), true, Some(1)),
        (file().end(), true, Some(1)),
        (Archive(file().0[..=BLOCK].to_vec()), false, Some(1)),
        (Archive(file().0[..BLOCK + 2].to_vec()), false, None),
        (file().end().content([0; 10240]), true, Some(1)),
        (file().end().file("c", "d"), false, None),
        (file().content([0; BLOCK]).file("c", "d"), false, None),
        (file().pax(&[("path", b"c")]), false, None),
        (file().pax(&[("path", b"c")]).end(), false, None),
        (file().typed("l", b'L', "c\0").end(), false, None),
    ] {
        assert_eq!(listed(archive.clone(), End::Required).is_ok(), with_mark);
        assert_eq!(listed(archive, End::MayBeMissing).ok(), without);
    }
    let mut one_byte = file().end().0;
    one_byte.extend([0; 99]);
    assert!(list(&one_byte, End::Required).is_ok());
    one_byte.push(1);
    let why = list(&one_byte, End::Required).unwrap_err().0;
    assert!(why.starts_with("data after the end of the archive"), "{why}");
    let why = list(&file().0, End::Required).unwrap_err().0;
    assert_eq!(why, "the archive was cut: it has no end mark at byte 1024");
}

#[test]
fn zeros_behind_the_end_are_bounded() {
    let file = Archive::default().file("a", "b").end().0;
    let mut padded = TarReader::new(file[..].chain(io::repeat(0).take(1 << 24)), End::Required);
    assert!(padded.next_member().unwrap().is_some());
    assert_eq!(padded.next_member(), Ok(None));
    let mut endless = TarReader::new(file[..].chain(io::repeat(0)), End::Required);
    assert!(endless.next_member().unwrap().is_some());
    let why = endless.next_member().unwrap_err().0;
    assert_eq!(why, "more than 1 GiB of zeros after the end of the archive");
}

/// Whatever is left of a cut archive, it never is a shorter listing.
#[test]
fn cut_anywhere_is_told() {
    let whole = sample().0;
    let marked = whole.len() - 2 * BLOCK;
    for cut in 0..whole.len() {
        let listed = list(&whole[..cut], End::Required);
        if cut < marked + BLOCK {
            let why = listed.unwrap_err().0;
            assert!(why.contains("cut"), "{cut}: {why}");
        } else {
            assert_eq!(listed, Ok(sample_listing()), "{cut}");
        }
        if !cut.is_multiple_of(BLOCK) && cut < marked {
            // At most the zeros that fill up the last block may be missing.
            let missing = &whole[cut..cut.next_multiple_of(BLOCK)];
            if let Ok(listing) = list(&whole[..cut], End::MayBeMissing) {
                assert!(missing.iter().all(|byte| *byte == 0), "{cut}");
                assert!(sample_listing().starts_with(&listing), "{cut}");
            }
        }
    }
}

/// Every bit of a header counts. (Nothing tells of a flipped bit in content, an extension header's included.)
#[test]
fn flipped_headers_are_told() {
    let whole = sample().0;
    let mut at = 0;
    while whole[at] != 0 {
        let size =
            usize::from_str_radix(std::str::from_utf8(&whole[at + 124..at + 135]).unwrap(), 8).unwrap();
        for byte in at..at + BLOCK {
            for bit in 0..8 {
                let mut bytes = whole.clone();
                bytes[byte] ^= 1 << bit;
                if let Ok(listing) = list(&bytes, End::Required) {
                    // The checksum's own blanks may be others.
                    assert!((at + 148..at + 156).contains(&byte), "byte {byte}");
                    assert_eq!(listing, sample_listing());
                }
            }
        }
        at += BLOCK + size.next_multiple_of(BLOCK);
    }
    assert_eq!(at, whole.len() - 2 * BLOCK);
}

/// The error of a reader is passed on, not taken for an end.
#[test]
fn errors_of_the_reader_are_told() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the stream is damaged",
            ))
        }
    }
    let whole = sample().0;
    for cut in (0..=whole.len()).step_by(BLOCK) {
        let why = list_from((&whole[..cut]).chain(Broken), End::MayBeMissing)
            .unwrap_err()
            .0;
        assert!(why.contains("the stream is damaged"), "{cut}: {why}");
    }
}

/// More than the 33 bits of size that fit into octal digits.
#[test]
fn files_longer_than_8_gib_are_passed_over() {
    const SIZE: u64 = 9 << 30;
    let binary = |block: &mut Block| {
        block[124..136].fill(0);
        block[124] = 0x80;
        block[128..136].copy_from_slice(&SIZE.to_be_bytes());
    };
    let by_header = Archive::default().block(&header("long", b'0', 0, binary));
    let by_record = Archive::default()
        .pax(&[("size", SIZE.to_string().as_bytes())])
        .file("long", "");
    for start in [by_header, by_record] {
        let end = Archive::default().file("next", "x").end();
        let content = io::repeat(0).take(SIZE);
        let mut reader = TarReader::new(start.0[..].chain(content).chain(&end.0[..]), End::Required);
        assert_eq!(reader.next_member().unwrap().unwrap().size, SIZE);
        assert_eq!(reader.next_member().unwrap().unwrap().path, b"next");
        assert_eq!(reader.next_member(), Ok(None));
    }
}

proptest! {
    #[test]
    fn any_bytes_end(blocks in prop::collection::vec(any::<u8>(), 0..2000)) {
        list(&blocks, End::MayBeMissing).ok();
    }

    /// Headers with the right checksum and anything else.
    #[test]
    fn any_headers_end(parts in prop::collection::vec((prop::collection::vec(any::<u8>(), BLOCK), prop::sample::select(b"\x000123456789SLKxgVMD".to_vec()), 0..3_usize, any::<bool>()), 1..6)) {
        let mut archive = Archive::default();
        for (bytes, letter, size, plain) in parts {
            let block = header("a", letter, size * BLOCK, |block| {
                if plain {
                    block[345..].copy_from_slice(&bytes[345..]);
                    if letter == b'S' {
                        gnu(block);
                    }
                } else {
                    block[..124].copy_from_slice(&bytes[..124]);
                }
            });
            archive = archive.block(&block).content(&bytes.repeat(2)[..size * BLOCK]);
        }
        list(&archive.end().0, End::Required).ok();
    }

    #[test]
    fn files_come_back(files in prop::collection::vec(("[a-z]{1,99}", prop::collection::vec(any::<u8>(), 0..1500)), 0..9)) {
        let mut archive = Archive::default();
        for (path, content) in &files {
            archive = archive.file(path, content);
        }
        let expected: Listing = files.iter().map(|(path, content)| (member(path, MemberKind::File, content.len() as u64), content.clone())).collect();
        prop_assert_eq!(whole(archive), Ok(expected));
    }
}
