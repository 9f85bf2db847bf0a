//! Files with holes.

use super::refused::refused;
use super::*;

/// A sparse file with data at 512 and 4096, in every form.
fn sparse_archives() -> Vec<Archive> {
    let data = [[1; 512].as_slice(), b"end"].concat();
    let sized = |block: &mut Block| block[124..136].copy_from_slice(b"00000001003\0");
    let old = |block: &mut Block| {
        gnu(block);
        sized(block);
        block[386..434].copy_from_slice(b"00000001000\x0000000001000\x0000000010000\x0000000000003\0");
        block[434..458].copy_from_slice(b"00000011610\x0000000000000\0");
        block[483..495].copy_from_slice(b"00000011610\0");
    };
    let old_in_blocks = |block: &mut Block| {
        old(block);
        let map = block[386..458].to_vec();
        block[386..482].fill(0);
        block[386..410].copy_from_slice(&map[..24]);
        // Segments of nothing fill the header's part of the map.
        for at in [410, 434, 458] {
            block[at..at + 24].copy_from_slice(b"00000010000\x0000000000000\0");
        }
        block[482] = 1;
    };
    let mut more = [0; BLOCK];
    more[..48].copy_from_slice(b"00000010000\x0000000000003\x0000000011610\x0000000000000\0");
    let stored = [
        b"3\n512\n512\n4096\n3\n5000\n0\n".as_slice(),
        &[0; 512 - 24],
        &data,
    ]
    .concat();
    vec![
        Archive::default()
            .block(&header("s", b'S', 0, old))
            .content(&data),
        Archive::default()
            .block(&header("s", b'S', 0, old_in_blocks))
            .block(&more)
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
