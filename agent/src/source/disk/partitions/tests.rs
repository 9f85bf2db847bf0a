//! Tables made by hand, and damaged.

use proptest::prelude::*;

use super::*;

const SECTORS: u64 = 2048;

/// A disk of 1 MiB with a GPT of 8 entries, for sectors of this size.
fn gpt(sector: usize, partitions: &[(usize, u128, u64, u64)]) -> Vec<u8> {
    let mut disk = vec![0; 512 * usize::try_from(SECTORS).unwrap()];
    let sectors = disk.len() / sector;
    protect(&mut disk, 0xee, 1);
    let mut array = vec![0; 8 * 128];
    for (index, kind, first, last) in partitions {
        let entry = &mut array[index * 128..][..128];
        entry[..16].copy_from_slice(&mixed(*kind));
        entry[16] = u8::try_from(*index).unwrap() + 1;
        entry[32..40].copy_from_slice(&first.to_le_bytes());
        entry[40..48].copy_from_slice(&last.to_le_bytes());
        entry[48] = 4;
        for (unit, at) in "Würz\u{1f335}".encode_utf16().zip((56..).step_by(2)) {
            entry[at..at + 2].copy_from_slice(&unit.to_le_bytes());
        }
    }
    // The entries fill a sector at most, but 512-byte ones take two.
    let array_sectors = array.len().div_ceil(sector);
    let (first_usable, last) = (2 + array_sectors, sectors - 1);
    for (at, other, array_at) in [(1, last, 2), (last, 1, last - array_sectors)] {
        disk[array_at * sector..][..array.len()].copy_from_slice(&array);
        let header = &mut disk[at * sector..][..92];
        header[..12].copy_from_slice(b"EFI PART\0\0\x01\0");
        for (place, value) in [(12, 92), (80, 8), (84, 128), (88, gpt::crc32(&array))] {
            header[place..place + 4].copy_from_slice(&value.to_le_bytes());
        }
        let last_usable = last - array_sectors - 1;
        for (place, value) in [
            (24, at),
            (32, other),
            (40, first_usable),
            (48, last_usable),
            (72, array_at),
        ] {
            header[place..place + 8].copy_from_slice(&(value as u64).to_le_bytes());
        }
        seal(header);
    }
    disk
}

fn seal(header: &mut [u8]) {
    header[16..20].fill(0);
    let sum = gpt::crc32(&header[..92]);
    header[16..20].copy_from_slice(&sum.to_le_bytes());
}

fn mixed(guid: u128) -> [u8; 16] {
    // Its own inverse.
    Guid::of(guid.to_be_bytes()).0.to_be_bytes()
}

fn protect(disk: &mut [u8], kind: u8, start: u32) {
    disk[510..512].copy_from_slice(b"\x55\xaa");
    entry(disk, 0, 0, kind, start, 2047);
}

fn entry(disk: &mut [u8], sector: usize, slot: usize, kind: u8, start: u32, sectors: u32) {
    let entry = &mut disk[sector * 512 + 446 + slot * 16..][..16];
    entry[4] = kind;
    entry[8..12].copy_from_slice(&start.to_le_bytes());
    entry[12..16].copy_from_slice(&sectors.to_le_bytes());
    disk[sector * 512 + 510..][..2].copy_from_slice(b"\x55\xaa");
}

const X86_64: u128 = 0x4F68_BCE3_E8CD_4DB1_96E7_FBCA_F984_B709;
const ARM64: u128 = 0xB921_B045_1DF0_41C3_AF44_4C6F_280D_3FAE;
const ESP: u128 = 0xC12A_7328_F81F_11D2_BA4B_00A0_C93E_C93B;
const LINUX: u128 = 0x0FC6_3DAF_8483_4772_8E79_3D69_D847_7DE4;

fn refusal(disk: &[u8]) -> String {
    table(&disk.to_vec()).unwrap_err().0
}

#[test]
fn a_gpt_is_read_for_both_sizes_of_sectors() {
    for sector in [512, 4096] {
        let disk = gpt(
            sector,
            &[(0, ESP, 10, 19), (2, X86_64, 20, 20), (7, LINUX, 40, 99)],
        );
        let table = table(&disk).unwrap().unwrap();
        let sector = sector as u64;
        assert_eq!((table.scheme, table.sector), (Scheme::Gpt, sector));
        assert_eq!(table.remarks, [""; 0]);
        let places: Vec<_> = table
            .partitions
            .iter()
            .map(|it| (it.number, it.start / sector, it.size / sector))
            .collect();
        assert_eq!(places, [(1, 10, 10), (3, 20, 1), (8, 40, 60)]);
        let root = table.root(None).unwrap();
        assert_eq!(root.number, 3);
        assert_eq!((root.name.as_str(), root.attributes), ("Würz🌵", 4));
        assert_eq!(
            root.id.unwrap().to_string(),
            "00000003-0000-0000-0000-000000000000"
        );
        assert_eq!(table.root(Some("8")).unwrap().number, 8);
        let bytes = root.of(Arc::new(disk.clone())).unwrap();
        assert_eq!(bytes.size(), sector);
    }
}

#[test]
fn the_root_is_chosen_only_if_it_is_clear() {
    let chosen = |partitions: &[_]| {
        let table = table(&gpt(512, partitions)).unwrap().unwrap();
        table.root(None).map(|it| it.number).map_err(|why| why.0)
    };
    assert_eq!(chosen(&[(0, ESP, 10, 19), (1, LINUX, 20, 29)]), Ok(2));
    let two = chosen(&[(0, LINUX, 10, 19), (1, LINUX, 20, 29)]).unwrap_err();
    assert_eq!(
        two,
        "partition table: which partition is the root is not clear: choose one with `--partition N` of 1 \
         (`Würz🌵`, 1 MiB, type 0FC63DAF-8483-4772-8E79-3D69D8477DE4), 2 (`Würz🌵`, 1 MiB, type \
         0FC63DAF-8483-4772-8E79-3D69D8477DE4)"
    );
    assert!(chosen(&[(0, X86_64, 10, 19), (1, ARM64, 20, 29)]).is_err());
    assert!(chosen(&[(0, ESP, 10, 19)]).is_err());
    assert!(chosen(&[]).unwrap_err().ends_with("of none"));
    let table = table(&gpt(512, &[(0, ESP, 10, 19)])).unwrap().unwrap();
    for wanted in ["2", "0", "", "x", "1\n"] {
        let why = table.root(Some(wanted)).unwrap_err().0;
        assert!(why.contains("there is no partition"), "{why}");
    }
}

#[test]
fn a_damaged_gpt_is_told() {
    let whole = || gpt(512, &[(0, ESP, 10, 19), (1, X86_64, 20, 29)]);
    for (at, value, sealed, reason) in [
        (512, &b"X"[..], false, "the MBR protects a GPT, but none is there"),
        (512 + 8, b"\x01", true, "its revision 0x10001 is not known"),
        (512 + 12, b"\x5b", true, "its header of 91 bytes"),
        (512 + 12, b"\x01\x02", true, "its header of 513 bytes"),
        (512 + 24, b"\x02", true, "its header says that it is elsewhere"),
        (
            512 + 32,
            b"\0\x08",
            true,
            "is of a disk of 2049 sectors, but 2048 are there",
        ),
        (
            512 + 32,
            &[0xff; 8],
            true,
            "is of a disk of 18446744073709551616 sectors",
        ),
        (
            512 + 40,
            b"\xff\xff",
            true,
            "its usable sectors lie outside the disk",
        ),
        (
            512 + 40,
            b"\x15",
            true,
            "partition 1 reaches beyond the sectors for partitions",
        ),
        (
            512 + 48,
            b"\xff\xff",
            true,
            "its usable sectors lie outside the disk",
        ),
        (
            512 + 48,
            b"\x19\0",
            true,
            "partition 2 reaches beyond the sectors for partitions",
        ),
        (512 + 72, b"\x03", true, "its entries lie in its partitions"),
        (512 + 72, b"\x01", true, "its entries lie in its partitions"),
        (512 + 72, &[0xff; 8], true, "its entries lie outside the disk"),
        (512 + 80, b"\x07", true, "its entries do not match their checksum"),
        (512 + 80, &[0xff; 4], true, "its 4294967295 entries of 128 bytes"),
        (512 + 84, b"\xc0", true, "its entries of 192 bytes"),
        (512 + 84, b"\x40", true, "its entries of 64 bytes"),
        (512 + 57, b"\x01", false, "its header does not match its checksum"),
        (1024, b"\x01", false, "its entries do not match their checksum"),
        (
            1024 + 900,
            b"\x01",
            false,
            "its entries do not match their checksum",
        ),
    ] {
        let mut disk = whole();
        disk[at..at + value.len()].copy_from_slice(value);
        if sealed {
            seal(&mut disk[512..]);
        }
        let why = refusal(&disk);
        assert!(why.contains(reason), "{reason}: {why}");
    }
    for (partitions, reason) in [
        (
            vec![(0, ESP, 10, 20), (1, ESP, 20, 29)],
            "partitions 1 and 2 overlap",
        ),
        (
            vec![(0, ESP, 20, 20), (1, ESP, 15, 29)],
            "partitions 2 and 1 overlap",
        ),
        (vec![(0, ESP, 10, 9)], "partition 1: its entry is wrong"),
        (vec![(0, ESP, 10, u64::MAX)], "partition 1: its entry is wrong"),
        (
            vec![(0, ESP, 3, 10)],
            "partition 1 reaches beyond the sectors for partitions",
        ),
        (
            vec![(0, ESP, 10, 2047)],
            "partition 1 reaches beyond the sectors for partitions",
        ),
    ] {
        let why = refusal(&gpt(512, &partitions));
        assert!(why.contains(reason), "{reason}: {why}");
    }
}

#[test]
fn a_backup_is_looked_at_but_the_primary_counts() {
    let whole = gpt(512, &[(0, X86_64, 10, 19)]);
    let last = 2047 * 512;
    for (at, remark) in [
        (last, "the backup GPT is damaged: its header is not there"),
        (
            last + 56,
            "the backup GPT is damaged: its header does not match its checksum",
        ),
        (
            last - 1024,
            "the backup GPT is damaged: its entries do not match their checksum",
        ),
    ] {
        let mut disk = whole.clone();
        disk[at] ^= 1;
        let table = table(&disk).unwrap().unwrap();
        assert_eq!(table.remarks, [remark]);
        assert_eq!(table.root(None).unwrap().number, 1);
    }
    let mut disk = whole;
    let other = gpt(512, &[(1, X86_64, 10, 29)]);
    disk[last - 1024..].copy_from_slice(&other[last - 1024..]);
    let table = table(&disk).unwrap().unwrap();
    assert_eq!(
        table.remarks,
        ["the backup GPT differs from the primary, which counts"]
    );
    assert_eq!(table.root(None).unwrap().number, 1);
}

#[test]
fn an_mbr_beside_a_gpt_counts_as_in_linux_or_not_at_all() {
    let mut hybrid = gpt(512, &[(0, X86_64, 10, 19)]);
    entry(&mut hybrid, 0, 1, 0x83, 10, 10);
    let table = table(&hybrid).unwrap().unwrap();
    assert_eq!((table.scheme, table.partitions.len()), (Scheme::Gpt, 1));
    assert!(table.remarks[0].contains("hybrid"));

    for (kind, start) in [(0x83, 1), (0xee, 2)] {
        let mut disk = gpt(512, &[(0, X86_64, 10, 19)]);
        protect(&mut disk, kind, start);
        assert!(refusal(&disk).contains("a GPT that no MBR protects"));
    }
    let mut disk = gpt(512, &[]);
    disk[510] = 0;
    assert!(refusal(&disk).contains("a GPT that no MBR protects"));

    // A small-sector table that is whole, with another in the space of its entries.
    let mut both = gpt(4096, &[(0, X86_64, 10, 19)]);
    let small = gpt(512, &[]);
    both[512..1024].copy_from_slice(&small[512..1024]);
    both[1024..2048].copy_from_slice(&small[1024..2048]);
    assert!(refusal(&both).contains("two GPTs"));
    both[600] ^= 1;
    assert!(
        super::table(&both)
            .unwrap()
            .is_some_and(|table| table.sector == 4096)
    );
}

/// Two primary partitions, and an extended one with two logical ones.
fn mbr() -> Vec<u8> {
    let mut disk = vec![0; 512 * usize::try_from(SECTORS).unwrap()];
    entry(&mut disk, 0, 0, 0x0c, 8, 8);
    entry(&mut disk, 0, 3, 0x83, 16, 16);
    entry(&mut disk, 0, 2, 0x05, 100, 100);
    entry(&mut disk, 100, 0, 0x82, 1, 9);
    entry(&mut disk, 100, 1, 0x05, 50, 20);
    entry(&mut disk, 150, 0, 0x83, 2, 18);
    disk
}

#[test]
fn an_mbr_is_read_with_its_logical_partitions() {
    let found = table(&mbr()).unwrap().unwrap();
    let places: Vec<_> = found
        .partitions
        .iter()
        .map(|it| (it.number, it.start / 512, it.size / 512, it.kind))
        .collect();
    assert_eq!(
        places,
        [
            (1, 8, 8, Type::Mbr(0x0c)),
            (4, 16, 16, Type::Mbr(0x83)),
            (5, 101, 9, Type::Mbr(0x82)),
            (6, 152, 18, Type::Mbr(0x83))
        ]
    );
    assert!(
        found
            .root(None)
            .unwrap_err()
            .0
            .contains("4 (1 MiB, type 0x83), 5 (")
    );
    assert_eq!(found.root(Some("6")).unwrap().start, 152 * 512);
    let mut one = mbr();
    entry(&mut one, 150, 0, 0x82, 2, 18);
    assert_eq!(table(&one).unwrap().unwrap().root(None).unwrap().number, 4);
}

#[test]
fn what_is_no_table_is_none() {
    for disk in [vec![], vec![0; 511], vec![0; 4096], vec![0xff; 1 << 16]] {
        assert_eq!(table(&disk).unwrap(), None);
    }
    let mut empty = vec![0; 4096];
    empty[510..512].copy_from_slice(b"\x55\xaa");
    assert_eq!(table(&empty).unwrap(), None);
    // Code where the entries would be: a boot sector.
    let mut boot = mbr();
    boot[446] = 0x33;
    assert_eq!(table(&boot).unwrap(), None);
}

#[test]
fn a_damaged_mbr_is_told() {
    type Change = fn(&mut Vec<u8>);
    let changes: [(Change, &str); 14] = [
        (
            |it| it.truncate(180 * 512),
            "the extended partition lies outside the disk",
        ),
        (
            |it| it.truncate(20 * 512),
            "partition 4 reaches beyond the sectors for partitions",
        ),
        (|it| entry(it, 0, 0, 0x0c, 8, 9), "partitions 1 and 4 overlap"),
        (
            |it| entry(it, 0, 0, 0x0c, 0, 9),
            "partition 1 reaches beyond the sectors for partitions",
        ),
        (
            |it| entry(it, 0, 0, 0x00, 8, 8),
            "partition 1 has a size, but no type",
        ),
        (
            |it| entry(it, 0, 0, 0x83, 90, 11),
            "partition 1 and the extended partition overlap",
        ),
        (|it| entry(it, 0, 1, 0x0f, 300, 9), "two extended partitions"),
        (|it| entry(it, 100, 1, 0x05, 0, 20), "at 51200 follows itself"),
        (
            |it| entry(it, 100, 1, 0x05, 100, 20),
            "lies outside the extended partition",
        ),
        (|it| entry(it, 100, 2, 0x83, 70, 1), "has more than two entries"),
        (|it| entry(it, 100, 1, 0x83, 70, 1), "has two entries of one kind"),
        (|it| it[150 * 512 + 510] = 0, "at 76800 is none"),
        (
            |it| entry(it, 150, 0, 0x83, 2, 50),
            "partition 6 lies outside the extended one",
        ),
        (|it| entry(it, 100, 0, 0x82, 1, 50), "or their records overlap"),
    ];
    for (change, reason) in changes {
        let mut disk = mbr();
        change(&mut disk);
        let why = refusal(&disk);
        assert!(why.contains(reason), "{reason}: {why}");
    }
    // Records without end: every sector leads to the next.
    let mut long = mbr();
    entry(&mut long, 0, 2, 0x05, 100, 1000);
    for sector in 100..1000 {
        entry(&mut long, sector, 0, 0, 0, 0);
        entry(&mut long, sector, 1, 0x05, u32::try_from(sector - 99).unwrap(), 1);
    }
    assert!(refusal(&long).contains("is one of too many"));
}

proptest! {
    #[test]
    fn any_bytes_end(mut bytes in prop::collection::vec(any::<u8>(), 512..9000)) {
        bytes[510..512].copy_from_slice(b"\x55\xaa");
        table(&bytes).ok();
        for boot in [446, 462, 478, 494] {
            bytes[boot] &= 0x80;
        }
        table(&bytes).ok();
    }

    /// A changed bit of a table and its backup is told, or changes nothing that counts.
    #[test]
    fn a_changed_bit_changes_nothing_silently(at in 512..2048_usize, bit in 0..8_u8) {
        let whole = gpt(512, &[(0, ESP, 10, 19), (1, X86_64, 20, 29)]);
        let expected = table(&whole).unwrap().unwrap();
        let mut disk = whole;
        disk[at] ^= 1 << bit;
        if let Ok(found) = table(&disk) {
            // What follows the header in its sector means nothing.
            prop_assert!((604..1024).contains(&at) && found == Some(expected));
        }
    }

    #[test]
    fn changed_records_end(changes in prop::collection::vec((0..3_usize, 446..512_usize, any::<u8>()), 1..6)) {
        let mut disk = mbr();
        for (record, at, value) in changes {
            disk[[0, 100, 150][record] * 512 + at] = value;
        }
        if let Ok(Some(table)) = table(&disk) {
            for it in &table.partitions {
                prop_assert!(it.start >= 512 && it.start + it.size <= disk.len() as u64);
            }
        }
    }
}
