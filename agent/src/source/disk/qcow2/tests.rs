//! Images made by hand, and damaged.

use proptest::prelude::*;

use super::*;

const CLUSTER: usize = 512;
/// Where things are in [`image`].
const REFCOUNTS: usize = CLUSTER;
const L1: usize = 2 * CLUSTER;
const L2: usize = 3 * CLUSTER;
const DATA: usize = 4 * CLUSTER;
/// 64 clusters are what an L2 table of 512 bytes tells.
const SIZE: u64 = 64 * 512 + 100;

fn put32(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_be_bytes());
}

fn put64(bytes: &mut [u8], at: usize, value: u64) {
    bytes[at..at + 8].copy_from_slice(&value.to_be_bytes());
}

/// Version 3, clusters of 512 bytes: two of data, one of zeros, one compressed, the rest absent.
fn image() -> Vec<u8> {
    let mut bytes = vec![0; 7 * CLUSTER];
    bytes[..4].copy_from_slice(MAGIC);
    for (at, value) in [(4, 3), (20, 9), (36, 2), (56, 1), (96, 4), (100, 112)] {
        put32(&mut bytes, at, value);
    }
    for (at, value) in [(24, SIZE), (40, L1 as u64), (48, REFCOUNTS as u64)] {
        put64(&mut bytes, at, value);
    }
    put64(&mut bytes, L1, COPIED | L2 as u64);
    put64(&mut bytes, L2, COPIED | DATA as u64);
    put64(&mut bytes, L2 + 8, COPIED | (DATA + CLUSTER) as u64);
    put64(&mut bytes, L2 + 16, 1);
    put64(&mut bytes, L2 + 24, COMPRESSED | (DATA + 2 * CLUSTER) as u64);
    bytes[DATA..DATA + CLUSTER].fill(b'a');
    bytes[DATA + CLUSTER..DATA + 2 * CLUSTER].fill(b'b');
    let mut packed = Vec::with_capacity(CLUSTER);
    flate2::Compress::new(flate2::Compression::best(), false)
        .compress_vec(&[b'c'; CLUSTER], &mut packed, flate2::FlushCompress::Finish)
        .unwrap();
    bytes[DATA + 2 * CLUSTER..DATA + 2 * CLUSTER + packed.len()].copy_from_slice(&packed);
    bytes
}

const COPIED: u64 = 1 << 63;
const COMPRESSED: u64 = 1 << 62;

fn no_backing(_: &BackingFile) -> Result<Bytes, Fault> {
    Err(fault("no backing file here"))
}

fn open(bytes: Vec<u8>) -> Result<Qcow2, Fault> {
    Qcow2::open(Arc::new(bytes), &mut no_backing)
}

/// The whole disk, at most 1 MiB of it, or why not.
fn read(bytes: Vec<u8>) -> Result<Vec<u8>, String> {
    let disk = open(bytes).map_err(|why| why.0)?;
    let mut whole = vec![0xaa; usize::try_from(disk.size().min(1 << 20)).unwrap()];
    match disk.read_exact_at(&mut whole, 0) {
        Ok(()) => Ok(whole),
        Err(why) => Err(why.to_string()),
    }
}

fn expected() -> Vec<u8> {
    let mut whole = [[b'a'; CLUSTER], [b'b'; CLUSTER], [0; CLUSTER], [b'c'; CLUSTER]].concat();
    whole.resize(usize::try_from(SIZE).unwrap(), 0);
    whole
}

#[test]
fn every_kind_of_cluster_is_read() {
    assert_eq!(read(image()).unwrap(), expected());
    let disk = open(image()).unwrap();
    let mut part = [0; 700];
    disk.read_exact_at(&mut part, 400).unwrap();
    assert_eq!(part, expected()[400..1100]);
    assert!(disk.read_exact_at(&mut part, SIZE - 699).is_err());
    assert!(disk.read_exact_at(&mut part, u64::MAX).is_err());
}

#[test]
fn damage_is_told() {
    let l2 = |index: usize| L2 + index * 8;
    for (at, value, reason) in [
        (
            0,
            0x5146_49fa_0000_0003,
            "it does not begin as a qcow2 image does",
        ),
        (0, 0x5146_49fb_0000_0004, "version 4 of the format is not known"),
        (16, 8, "clusters of 2^8 bytes"),
        (16, 22, "clusters of 2^22 bytes"),
        (32, 0x2_0000_0002, "it is encrypted (LUKS)"),
        (32, 0x9_0000_0002, "it is encrypted (method 9)"),
        (
            24,
            u64::MAX,
            "the L1 table has 2 entries, but 18446744073709551615 bytes need",
        ),
        (32, 0x1_0000_0002, "it is encrypted (AES)"),
        (32, 0xffff_ffff, "an L1 table of 4294967295 entries"),
        (32, 1, "the L1 table has 1 entries, but 32868 bytes need 2"),
        (40, 0, "the L1 table lies at 0, where none can"),
        (40, 520, "the L1 table lies at 520, where none can"),
        (40, 1 << 40, "the L1 table lies beyond the end of the file"),
        (40, u64::MAX - 511, "the L1 table lies beyond the end of the file"),
        (48, L1 as u64, "its tables overlap"),
        (48, 1 << 60, "the refcount table lies beyond the end of the file"),
        (
            56,
            0xffff_ffff_0000_0000,
            "a refcount table of 4294967295 clusters",
        ),
        (72, 2, "it is marked as corrupt"),
        (72, 4, "its data is in another file"),
        (72, 8, "unknown compression type 0"),
        (72, 16, "it has extended L2 entries"),
        (72, 1 << 63, "unknown incompatible features 0x8000000000000000"),
        (96, 0x7_0000_0070, "reference counts of 2^7 bits"),
        (96, 0x4_0000_0048, "a header of 72 bytes"),
        (96, 0x4_0000_0400, "a header of 1024 bytes"),
        (96, 0x4_0000_006c, "a header of 108 bytes"),
        (104, 1 << 56, "unknown compression type 1"),
        (
            112,
            0x1234_5678_0000_0200,
            "the header extension 0x12345678 is cut",
        ),
        (112, 0x4441_5441_0000_0000, "it names an external data file"),
        (8, 256, "the name of its backing file is wrong"),
        (8, u64::MAX, "the name of its backing file is wrong"),
        (L1, 0x1ff, "L1 entry 0: its table has bits that are not known"),
        (
            L1,
            1 << 62 | 2048,
            "L1 entry 0: its table has bits that are not known",
        ),
        (
            L1,
            1 << 40,
            "L1 entry 0: its table lies beyond the end of the file",
        ),
        (
            L1 + 8,
            REFCOUNTS as u64,
            "L1 entry 1: its table lies in another table",
        ),
        (l2(0), L1 as u64, "cluster 0 lies in a table of the image"),
        (l2(1), 7 << 9, "cluster 1 lies beyond the end of the file"),
        (
            l2(1),
            2 << 1,
            "cluster 1 has bits that this version does not know",
        ),
        (
            l2(3),
            COMPRESSED | 1 << 40,
            "cluster 3 lies beyond the end of the file",
        ),
        (l2(3), COMPRESSED | 0x14, "cluster 3 lies in a table of the image"),
        (l2(3), COMPRESSED | DATA as u64, "compressed cluster 3: "),
    ] {
        let mut bytes = image();
        put64(&mut bytes, at, value);
        let why = read(bytes).unwrap_err();
        assert!(
            why.starts_with("qcow2: ") && why.contains(reason),
            "{reason}: {why}"
        );
    }
    let mut old = image();
    put32(&mut old, 4, 1);
    assert!(read(old).unwrap_err().starts_with("qcow: version 1 is not read"));
}

/// In version 2, nothing beyond 72 bytes is a header.
#[test]
fn version_2_knows_no_zeros() {
    let mut bytes = image();
    put32(&mut bytes, 4, 2);
    bytes[72..CLUSTER].fill(0);
    assert!(read(bytes.clone()).unwrap_err().contains("cluster 2 has bits"));
    put64(&mut bytes, L2 + 16, 0);
    assert_eq!(read(bytes).unwrap(), expected());
}

#[test]
fn a_backing_file_shows_where_nothing_is_and_may_be_shorter() {
    let mut bytes = image();
    put64(&mut bytes, 8, 300);
    put32(&mut bytes, 16, 4);
    bytes[300..304].copy_from_slice(b"base");
    put32(&mut bytes, 112, 0xe279_2aca);
    put32(&mut bytes, 116, 3);
    bytes[120..123].copy_from_slice(b"raw");
    let base: Bytes = Arc::new(vec![b'z'; 5 * CLUSTER + 7]);
    let mut named = None;
    let disk = Qcow2::open(Arc::new(bytes.clone()), &mut |file| {
        named = Some(file.clone());
        Ok(Arc::clone(&base))
    })
    .unwrap();
    assert_eq!(
        named,
        Some(BackingFile {
            name: b"base".to_vec(),
            format: Some(Format::Raw)
        })
    );
    let mut whole = vec![0xaa; usize::try_from(SIZE).unwrap()];
    disk.read_exact_at(&mut whole, 0).unwrap();
    let mut with_base = expected();
    with_base[4 * CLUSTER..5 * CLUSTER + 7].fill(b'z');
    assert_eq!(whole, with_base);

    for (at, text, reason) in [
        (120, &b"vmd"[..], "its backing file has the format `vmd`"),
        (300, b"b\0se", "the name of its backing file is wrong"),
        (16, &[0, 0, 0, 0], "the name of its backing file is wrong"),
        (16, &[0, 0, 4, 0], "the name of its backing file is wrong"),
    ] {
        let mut bytes = bytes.clone();
        bytes[at..at + text.len()].copy_from_slice(text);
        let why = open(bytes).err().unwrap().0;
        assert!(why.contains(reason), "{why}");
    }
    assert_eq!(read(bytes).unwrap_err(), "qcow2: no backing file here");
}

#[test]
fn what_is_cut_is_told() {
    let whole = image();
    let end = DATA + 2 * CLUSTER;
    for cut in 0..whole.len() {
        match read(whole[..cut].to_vec()) {
            // Only what pads the last sector is gone.
            Ok(disk) => assert!(cut > end && disk == expected(), "{cut}"),
            Err(why) => assert!(why.starts_with("qcow2: "), "{why}"),
        }
    }
}

#[test]
fn dirty_counts_do_not_matter() {
    let mut bytes = image();
    put64(&mut bytes, 72, 1);
    put64(&mut bytes, 80, 1);
    bytes[REFCOUNTS..L1].fill(0xff);
    assert_eq!(read(bytes).unwrap(), expected());
}

proptest! {
    #[test]
    fn any_bytes_end(bytes: Vec<u8>) {
        read([MAGIC, &bytes[..]].concat()).ok();
        read([MAGIC, &[0, 0, 0, 3], &bytes[..]].concat()).ok();
    }

    #[test]
    fn changed_images_end(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..9)) {
        let mut bytes = image();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        read(bytes).ok();
    }

    /// Only where the header and the tables are.
    #[test]
    fn changed_tables_end(changes in prop::collection::vec((0..DATA, any::<u8>()), 1..9)) {
        let mut bytes = image();
        for (at, value) in changes {
            bytes[at] = value;
        }
        read(bytes).ok();
    }

    #[test]
    fn any_part_is_that_part(offset in 0..SIZE, length in 0..5000_usize) {
        let disk = open(image()).unwrap();
        let length = length.min(usize::try_from(SIZE - offset).unwrap());
        let mut part = vec![0xaa; length];
        disk.read_exact_at(&mut part, offset).unwrap();
        let offset = usize::try_from(offset).unwrap();
        prop_assert_eq!(&part[..], &expected()[offset..offset + length]);
    }
}
