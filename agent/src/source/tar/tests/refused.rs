//! What is refused, and with which reason.

use super::*;

pub(super) fn refused(archive: Archive, why: &str) {
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
            .block(&header("outer", b'0', 0, |_| {}))
            .content(&inner),
    )
    .unwrap();
    assert_eq!(found, [(member("outer", MemberKind::File, 512), inner.clone())]);
    // The same with a long name between: the size is the file's, not the name's.
    let found = whole(
        Archive::default()
            .pax(&[("size", b"512")])
            .typed("l", b'L', "long\0")
            .block(&header("outer", b'0', 0, |_| {}))
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
                .block(&header("a", letter, 0, with_target(b"00000001000\0")))
                .file("smuggled", ""),
            "512 bytes of content, which its type has not",
        );
        refused(
            Archive::default()
                .pax(&[("size", b"512")])
                .block(&header("a", letter, 0, with_target(b"00000000000\0")))
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
        .block(&header("GNU label", b'V', 0, set(124, &[0; 12])))
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
    let with = |at, bytes: &'static [u8]| Archive::default().block(&header("a", b'0', 0, set(at, bytes)));
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
        Archive::default().file("0", "").block(&wrong),
        "the header at byte 512: its checksum does not match",
    );
    refused(
        Archive::default().block(&header("d", b'3', 0, set(329, b"\0\0\0\0\0\0\0\0"))),
        "a device without numbers",
    );
    refused(
        Archive::default().block(&header("d", b'3', 0, set(257, &[0; 8]))),
        "a device without numbers",
    );
    let found = whole(Archive::default().block(&header("a", b'0', 0, set(136, &[0; 12])))).unwrap();
    assert_eq!(found[0].0.mtime, 0);
    let found = whole(Archive::default().block(&header("name", b'0', 0, set(345, b"some/prefix")))).unwrap();
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
    assert_eq!(whole(Archive::default().block(&block)).unwrap().len(), 1);
    block[148..156].copy_from_slice(format!("{:06o}\0 ", sum + 1).as_bytes());
    refused(Archive::default().block(&block), "checksum");
}

#[test]
fn extension_headers_are_bounded() {
    for letter in *b"xgLKV" {
        refused(
            Archive::default().block(&header("l", letter, (1 << 20) + 1, |_| {})),
            "more than 1048576",
        );
        // As long as is allowed, but not there: told without waiting for it.
        refused(
            Archive::default().block(&header("l", letter, 1 << 20, |_| {})),
            "cut",
        );
    }
}
