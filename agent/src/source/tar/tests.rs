//! Archives made by hand: hostile ones, rare ones, damaged ones.

use std::io::{self, Cursor};
use std::sync::Arc;

use proptest::prelude::*;

use super::header::{BLOCK, Block};
use super::pax::tests::write as record;
use super::*;
use crate::source::bytes::Bytes;

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
    fn block(mut self, block: Block) -> Self {
        self.0.extend(block);
        self
    }

    fn content(mut self, content: impl AsRef<[u8]>) -> Self {
        self.0.extend(content.as_ref());
        self.0.resize(self.0.len().next_multiple_of(BLOCK), 0);
        self
    }

    fn typed(self, path: &str, letter: u8, content: impl AsRef<[u8]>) -> Self {
        self.block(header(path, letter, content.as_ref().len(), |_| {}))
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
        self.block(header(path, letter, 0, set(157, target.as_bytes())))
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
                assert_eq!(crate::source::bytes::ReadAt::size(&window), member.size);
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
        .block(header("./", b'5', 0, set(100, b"0040755\0")))
        .pax(&[
            ("path", b"etc/a name\nthat is long"),
            ("mtime", b"-3.25"),
            ("SCHILY.xattr.user.x", b"\n\0="),
        ])
        .file("etc/short", "content")
        .typed("././@LongLink", b'L', "gnu/long\0")
        .block(header("gnu/lo", b'0', 3, gnu))
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
            assert!(list(&whole[..cut], End::MayBeMissing).is_err(), "{cut}");
        }
    }
}

/// Where a header begins in the sample, every byte of it counts, but for what no reader looks at; so do the records
/// of an extended header.
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

fn refused(archive: Archive, why: &str) {
    let told = whole(archive).unwrap_err().0;
    assert!(told.contains(why), "{told:?} is not about {why:?}");
}

#[test]
fn paths_that_leave_the_archive_are_refused() {
    for path in ["../etc/passwd", "a/../../b", "/..", "a/.."] {
        refused(Archive::default().file(path, ""), "leaves the archive by `..`");
        refused(
            Archive::default().pax(&[("path", path.as_bytes())]).file("a", ""),
            "leaves the archive by `..`",
        );
        refused(
            Archive::default().typed("l", b'L', path).file("a", ""),
            "leaves the archive by `..`",
        );
        refused(
            Archive::default().link("a", b'1', path),
            "member `a`: its target has a path that leaves the archive by `..`",
        );
    }
    refused(
        Archive::default().pax(&[("path", b"a\0b")]).file("a", ""),
        "a NUL in a path",
    );
    refused(
        Archive::default().typed("l", b'L', "a\0b").file("a", ""),
        "a NUL inside of a long name",
    );
    refused(
        Archive::default()
            .pax(&[("linkpath", b"a\0b")])
            .link("l", b'2', "t"),
        "a NUL in a symbolic link's target",
    );
    refused(
        Archive::default()
            .pax(&[("linkpath", &[b'a'; 4096])])
            .link("l", b'2', "t"),
        "more than 4095 bytes",
    );
    refused(
        Archive::default().pax(&[("path", &[b'a'; 256])]).file("a", ""),
        "255 bytes",
    );
    refused(Archive::default().file("", ""), "an empty path");
    refused(
        Archive::default().file(".", ""),
        "only a directory can be the root",
    );
    refused(
        Archive::default().link("a", b'1', "./"),
        "a hard link to the root",
    );
    refused(Archive::default().link("a", b'2', ""), "without a target");
    // What an extractor may follow is told as it stands.
    let found = whole(Archive::default().link("a", b'2', "/../../x").file("/b", "")).unwrap();
    assert_eq!(found[0].0.kind, MemberKind::Link(b"/../../x".into()));
    assert_eq!(found[1].0.path, b"b");
}

#[test]
fn what_readers_take_differently_is_refused() {
    // Two sizes: the pax one rules where the next header is.
    let inner = Archive::default().file("smuggled", "").0;
    let found = whole(
        Archive::default()
            .pax(&[("size", b"512")])
            .block(header("outer", b'0', 0, |_| {}))
            .content(&inner),
    )
    .unwrap();
    assert_eq!(found, [(member("outer", MemberKind::File, 512), inner.clone())]);
    // The same with a long name between: the size is the file's, not the name's.
    let found = whole(
        Archive::default()
            .pax(&[("size", b"512")])
            .typed("l", b'L', "long\0")
            .block(header("outer", b'0', 0, |_| {}))
            .content(&inner),
    )
    .unwrap();
    assert_eq!(found, [(member("long", MemberKind::File, 512), inner)]);
    // Content of what has none.
    for letter in [b'1', b'2', b'3', b'4', b'5', b'6'] {
        let with_target = |size| {
            move |block: &mut Block| {
                set(157, b"t")(block);
                set(124, size)(block);
            }
        };
        refused(
            Archive::default()
                .block(header("a", letter, 0, with_target(b"00000001000\0")))
                .file("smuggled", ""),
            "512 bytes of content, which its type has not",
        );
        refused(
            Archive::default()
                .pax(&[("size", b"512")])
                .block(header("a", letter, 0, with_target(b"00000000000\0")))
                .file("smuggled", ""),
            "512 bytes of content, which its type has not",
        );
    }
    refused(Archive::default().file("a/", ""), "its type is another");
    refused(Archive::default().typed("a/", b'7', ""), "its type is another");
    refused(Archive::default().link("a/.", b'2', "t"), "its type is another");
    refused(Archive::default().typed("a/", 0, "x"), "1 bytes of content");
    refused(
        Archive::default().pax(&[]).pax(&[("path", b"a")]).file("b", ""),
        "a second extended header",
    );
    refused(
        Archive::default()
            .typed("l", b'L', "a\0")
            .typed("l", b'L', "a\0")
            .file("b", ""),
        "a second long name",
    );
    refused(
        Archive::default()
            .typed("l", b'K', "a\0")
            .typed("l", b'K', "a\0")
            .link("b", b'2', "a"),
        "a second long link",
    );
    refused(
        Archive::default()
            .typed("l", b'L', "a\0")
            .pax(&[("path", b"a")])
            .file("b", ""),
        "GNU tar and pax both say",
    );
    refused(
        Archive::default()
            .typed("l", b'K', "a\0")
            .pax(&[("linkpath", b"a")])
            .link("b", b'2', "a"),
        "GNU tar and pax both say",
    );
    refused(
        Archive::default()
            .pax(&[("path", b"a"), ("path", b"b")])
            .file("b", ""),
        "two `path`",
    );
    refused(
        Archive::default()
            .typed("g", b'g', record("uid", "0"))
            .file("b", ""),
        "a global header sets `uid` of all members",
    );
    refused(
        Archive::default()
            .pax(&[("path", b"a")])
            .typed("g", b'g', "")
            .file("b", ""),
        "an extension header before it has no member",
    );
    refused(
        Archive::default()
            .pax(&[("path", b"a")])
            .typed("v", b'V', "")
            .file("b", ""),
        "an extension header before it has no member",
    );
}

#[test]
fn harmless_extensions_are_passed_over() {
    let archive = Archive::default()
        .typed("label", b'V', "")
        .typed("pax_global_header", b'g', record("comment", "0123456789abcdef"))
        .typed("solaris", b'X', record("path", "renamed"))
        .file("a", "b");
    let expected = member("renamed", MemberKind::File, 1);
    assert_eq!(whole(archive).unwrap(), [(expected, b"b".to_vec())]);
}

#[test]
fn unknown_and_partial_types_are_refused() {
    for letter in *b"8ANEIZab\x01\xff" {
        refused(
            Archive::default().typed("odd", letter, ""),
            "member `odd`: the type `",
        );
    }
    refused(
        Archive::default().typed("part", b'M', ""),
        "member `part`: a part of a file",
    );
    refused(Archive::default().typed("dump/", b'D', ""), "incremental dump");
}

#[test]
fn headers_must_be_sound() {
    let with = |at, bytes: &'static [u8]| Archive::default().block(header("a", b'0', 0, set(at, bytes)));
    refused(with(257, b"ustar \x00 "), "neither of v7, ustar, pax nor GNU tar");
    refused(with(257, b"USTAR\x0000"), "neither of v7, ustar, pax nor GNU tar");
    refused(with(124, b"           \0"), "its size");
    refused(with(124, b"0000000000x\0"), "its size");
    refused(
        with(124, b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
        "its size",
    );
    refused(with(124, b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff"), "cut");
    refused(with(108, b"\xff\xff\xff\xff\xff\xff\xff\xff"), "its owner");
    refused(with(116, b"\x80\0\0\x01\0\0\0\0"), "its group");
    refused(with(100, b"-000644\0"), "its mode");
    refused(with(136, b"0x000000000\0"), "its time");
    let mut wrong = header("a", b'0', 0, |_| {});
    wrong[0] = b'b';
    refused(
        Archive::default().file("0", "").block(wrong),
        "the header at byte 512: its checksum does not match",
    );
    refused(
        Archive::default().block(header("d", b'3', 0, set(329, b"\0\0\0\0\0\0\0\0"))),
        "a device without numbers",
    );
    refused(
        Archive::default().block(header("d", b'3', 0, set(257, &[0; 8]))),
        "a device without numbers",
    );
    let found = whole(Archive::default().block(header("a", b'0', 0, set(136, &[0; 12])))).unwrap();
    assert_eq!(found[0].0.mtime, 0);
    let found = whole(Archive::default().block(header("name", b'0', 0, set(345, b"some/prefix")))).unwrap();
    assert_eq!(found[0].0.path, b"some/prefix/name");
}

/// Some old writers summed signed bytes.
#[test]
fn signed_checksums_are_taken() {
    let mut block = header("caf\u{e9}", b'0', 0, |_| {});
    let sum: i32 = (0..BLOCK)
        .map(|at| {
            if (148..156).contains(&at) {
                32
            } else {
                i32::from(block[at].cast_signed())
            }
        })
        .sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    assert_eq!(whole(Archive::default().block(block)).unwrap().len(), 1);
    block[148..156].copy_from_slice(format!("{:06o}\0 ", sum + 1).as_bytes());
    refused(Archive::default().block(block), "checksum");
}

#[test]
fn extension_headers_are_bounded() {
    for letter in *b"xgLKV" {
        refused(
            Archive::default().block(header("l", letter, (1 << 20) + 1, |_| {})),
            "more than 1048576",
        );
        // As long as is allowed, but not there: told without waiting for it.
        refused(
            Archive::default().block(header("l", letter, 1 << 20, |_| {})),
            "cut",
        );
    }
}

/// A sparse file with data at 512 and 4096, in every form.
fn sparse_archives() -> Vec<Archive> {
    let data = [[1; 512].as_slice(), b"end"].concat();
    let sized = |block: &mut Block| block[124..136].copy_from_slice(b"00000001003\0");
    let old = |block: &mut Block| {
        gnu(block);
        sized(block);
        block[386..434].copy_from_slice(b"00000001000\000000001000\000000010000\000000000003\0");
        block[434..458].copy_from_slice(b"00000011610\000000000000\0");
        block[483..495].copy_from_slice(b"00000011610\0");
    };
    let old_in_blocks = |block: &mut Block| {
        old(block);
        let map = block[386..458].to_vec();
        block[386..482].fill(0);
        block[386..410].copy_from_slice(&map[..24]);
        // Segments of nothing fill the header's part of the map.
        for at in [410, 434, 458] {
            block[at..at + 24].copy_from_slice(b"00000010000\000000000000\0");
        }
        block[482] = 1;
    };
    let mut more = [0; BLOCK];
    more[..48].copy_from_slice(b"00000010000\000000000003\000000011610\000000000000\0");
    let stored = [
        b"3\n512\n512\n4096\n3\n5000\n0\n".as_slice(),
        &[0; 512 - 24],
        &data,
    ]
    .concat();
    vec![
        Archive::default().block(header("s", b'S', 0, old)).content(&data),
        Archive::default()
            .block(header("s", b'S', 0, old_in_blocks))
            .block(more)
            .content(&data),
        Archive::default()
            .pax(&[
                ("GNU.sparse.size", b"5000"),
                ("GNU.sparse.numblocks", b"3"),
                ("GNU.sparse.offset", b"512"),
                ("GNU.sparse.numbytes", b"512"),
                ("GNU.sparse.offset", b"4096"),
                ("GNU.sparse.numbytes", b"3"),
                ("GNU.sparse.offset", b"5000"),
                ("GNU.sparse.numbytes", b"0"),
            ])
            .file("s", &data),
        Archive::default()
            .pax(&[
                ("GNU.sparse.size", b"5000"),
                ("GNU.sparse.numblocks", b"3"),
                ("GNU.sparse.name", b"s"),
                ("GNU.sparse.map", b"512,512,4096,3,5000,0"),
            ])
            .file("GNUSparseFile.1/s", &data),
        Archive::default()
            .pax(&[
                ("GNU.sparse.major", b"1"),
                ("GNU.sparse.minor", b"0"),
                ("GNU.sparse.name", b"s"),
                ("GNU.sparse.realsize", b"5000"),
            ])
            .file("GNUSparseFile.1/s", stored),
    ]
}

#[test]
fn sparse_files_have_their_holes() {
    let mut expected = vec![0; 5000];
    expected[512..1024].fill(1);
    expected[4096..4099].copy_from_slice(b"end");
    for archive in sparse_archives() {
        let found = whole(archive.file("next", "x")).unwrap();
        assert_eq!(found[0], (member("s", MemberKind::File, 5000), expected.clone()));
        assert_eq!(found[1], (member("next", MemberKind::File, 1), b"x".to_vec()));
    }
}

#[test]
fn sparse_maps_that_do_not_fit_are_refused() {
    for archive in sparse_archives() {
        let bytes = &archive.0;
        for cut in (0..bytes.len()).step_by(BLOCK) {
            assert!(list(&bytes[..cut], End::Required).is_err());
        }
        // One more block is stored than the map tells.
        let header = bytes.len() - 3 * BLOCK;
        let mut longer = bytes.clone();
        if bytes[header + 257] == b'u' {
            longer[header + 124..header + 136].copy_from_slice(b"00000002003\0");
            let mut block = *longer[header..].first_chunk().unwrap();
            seal(&mut block);
            longer[header..header + BLOCK].copy_from_slice(&block);
            longer.extend([0; BLOCK]);
            refused(
                Archive(longer),
                "sparse map has 515 bytes of data where 1027 are stored",
            );
        }
    }
    let stored = |content: &[u8]| {
        Archive::default()
            .pax(&[
                ("GNU.sparse.major", b"1"),
                ("GNU.sparse.minor", b"0"),
                ("GNU.sparse.realsize", b"5000"),
            ])
            .file("s", content)
    };
    refused(stored(b""), "longer than what is stored");
    refused(stored(&[b"9\n".as_slice(), &[0; 510]].concat()), "malformed");
    refused(
        stored(&[b"1\n0\n0\n".as_slice(), &[1; 506]].concat()),
        "malformed",
    );
    refused(
        Archive::default()
            .pax(&[("GNU.sparse.size", b"1"), ("GNU.sparse.numblocks", b"0")])
            .link("l", b'2', "t"),
        "a sparse map of what is no plain file",
    );
    refused(
        Archive::default().typed("s", b'S', ""),
        "an old GNU sparse file in an archive of another format",
    );
    let mut old = sparse_archives().remove(0);
    let with_size = Archive::default().pax(&[("size", b"515")]).0;
    old.0.splice(0..0, with_size);
    refused(old, "an old GNU sparse file with a pax size");
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

/// A file can be longer than any memory, as one hole.
#[test]
fn huge_holes_cost_nothing() {
    let archive = Archive::default()
        .pax(&[
            ("GNU.sparse.size", b"9223372036854775807"),
            ("GNU.sparse.numblocks", b"0"),
            ("GNU.sparse.map", b""),
        ])
        .file("s", "")
        .file("next", "x")
        .end();
    let mut reader = TarReader::new(&archive.0[..], End::Required);
    assert_eq!(reader.next_member().unwrap().unwrap().size, i64::MAX as u64);
    assert_eq!(reader.read(&mut [1; 99]).unwrap(), 99);
    assert_eq!(reader.next_member().unwrap().unwrap().path, b"next");
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
            archive = archive.block(block).content(&bytes.repeat(2)[..size * BLOCK]);
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
