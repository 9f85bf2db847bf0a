//! The seeds of the fuzz target, whole, cut and changed. What other programs say of images is in
//! `tests/ext4_oracle.rs`.

use std::fmt::Write as _;
use std::io::Read as _;
use std::sync::Arc;

use proptest::prelude::*;

use super::{Ext4, is_ext4};
use crate::source::file_system::{Fault, FileSystem as _};
use crate::sys::Kind;

macro_rules! seed {
    ($name:literal) => {
        include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/seeds/ext4/", $name))
    };
}

/// All checksums there are; extents; a block of attributes, hashed names.
const CHECKSUMS: &[u8] = seed!("checksums");
/// The same with content in inodes, and a large attribute in an inode of its own.
const INLINE: &[u8] = seed!("inline");
/// The same without checksums.
const INLINE_PLAIN: &[u8] = seed!("inline_plain");
/// Checksums of group descriptors alone.
const OLD_CHECKSUMS: &[u8] = seed!("old_checksums");
/// Block maps.
const PLAIN: &[u8] = seed!("plain");
/// No features at all, not even types in directories.
const FIRST_REVISION: &[u8] = seed!("first_revision");

fn open(image: &[u8]) -> Result<Ext4, Fault> {
    Ext4::open(Arc::new(image.to_vec()))
}

fn fault(image: &[u8]) -> String {
    open(image).map_or_else(|Fault(why)| why, |_| "none".to_owned())
}

/// What is told.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tell {
    /// What is the same in all seeds: no sizes of directories, and no extended attributes, which the first
    /// revision does not have.
    Common,
    /// All that checksums protect, which leaves out content and long targets of links.
    Protected,
}

/// A line for each name, or why not.
fn dump(ext4: &Ext4, tell: Tell) -> Result<String, Fault> {
    let mut text = String::new();
    let mut waiting = vec![(ext4.root(), String::new())];
    while let Some((node, path)) = waiting.pop() {
        let attributes = ext4.attributes(node)?;
        let mode = attributes.permissions;
        write!(
            text,
            "{path} {} {mode:o} {}:{}",
            attributes.kind.name(),
            attributes.uid,
            attributes.gid
        )
        .unwrap();
        if tell == Tell::Protected || attributes.kind != Kind::Directory {
            write!(text, " {} bytes", attributes.size).unwrap();
        }
        if tell == Tell::Protected || !path.is_empty() && path != "/lost+found" {
            write!(text, " at {:?}", attributes.mtime).unwrap();
        }
        write!(text, " {} links {:?}", attributes.links, attributes.device).unwrap();
        let xattrs = ext4.xattrs(node)?;
        if tell == Tell::Protected {
            for (name, value) in xattrs {
                write!(text, " {}={}", name.escape_ascii(), value.escape_ascii()).unwrap();
            }
        }
        match attributes.kind {
            Kind::Directory => {
                for child in ext4.children(node)?.into_iter().rev() {
                    waiting.push((child.node, format!("{path}/{}", child.name.escape_ascii())));
                }
            }
            Kind::Link if tell == Tell::Common || attributes.size < 60 => {
                write!(text, " -> {}", ext4.link(node)?.escape_ascii()).unwrap();
            }
            Kind::File if tell == Tell::Common => {
                let mut content = Vec::new();
                ext4.open(node)?
                    .read_to_end(&mut content)
                    .map_err(|why| Fault(why.to_string()))?;
                content.dedup();
                write!(text, " {}", content.escape_ascii()).unwrap();
            }
            _ => (),
        }
        text.push('\n');
    }
    Ok(text)
}

#[test]
fn all_forms_tell_the_same() {
    let first = open(CHECKSUMS).unwrap();
    let uuid = [0, 0, 0, 0, 0, 0, 0x40, 0, 0x80, 0, 0, 0, 0, 0, 0, 2];
    assert_eq!((first.uuid(), first.label()), (uuid, &b""[..]));
    let told = dump(&first, Tell::Common).unwrap();
    for (name, image) in [
        ("inline", INLINE),
        ("inline, plain", INLINE_PLAIN),
        ("old checksums", OLD_CHECKSUMS),
        ("plain", PLAIN),
        ("first revision", FIRST_REVISION),
    ] {
        assert!(is_ext4(&image.to_vec()));
        let ext4 = open(image).unwrap();
        assert_eq!(dump(&ext4, Tell::Common).unwrap(), told, "{name}");
        assert_eq!(ext4.expected() + 1, told.lines().count() as u64);
    }
    let long = "long".repeat(25);
    for line in [
        "/etc/empty file 644 0:0 0 bytes at Some(-7) 1 links (0, 0)",
        "/etc/null char-device 644 0:0 0 bytes at Some(1700000000) 1 links (1, 3)\n",
        &format!("/etc/long symlink 777 0:0 100 bytes at Some(1700000000) 1 links (0, 0) -> {long}\n"),
        "/etc/tool file 6755 0:0 2 bytes at Some(1700000000) 1 links (0, 0) #!\n",
        "/etc/sparse file 644 0:0 20480 bytes at Some(1700000000) 1 links (0, 0) A\\x00C\\x00E\\x00G\\x00N\\x00T\\x00\n",
        "/many/first file 644 0:0 0 bytes at Some(1700000000) 31 links",
    ] {
        assert!(told.contains(line), "{line}\n{told}");
    }
}

#[test]
fn attributes_are_found_wherever_they_are() {
    for (name, image, large) in [
        ("checksums", CHECKSUMS, false),
        ("inline", INLINE, true),
        ("inline, plain", INLINE_PLAIN, true),
        ("old checksums", OLD_CHECKSUMS, false),
        ("plain", PLAIN, false),
    ] {
        let told = dump(&open(image).unwrap(), Tell::Protected).unwrap();
        for (shown, attribute) in [
            (true, " security.capability=\\x01\\x00\\x00\\x02\\x00 "),
            (true, &format!(" user.big={}\n", "v".repeat(700))),
            (large, " user.huge=\\x00\\x01\\x02"),
            (true, &format!(" user.note={}\n", "n".repeat(30))),
            (
                true,
                " system.posix_acl_access=\\x02\\x00\\x00\\x00\\x01\\x00\\x06\\x00\\xff",
            ),
        ] {
            assert_eq!(told.contains(attribute), shown, "{name}: {attribute}");
        }
    }
}

/// No change of one bit is told as another tree: it is either refused, or of no consequence.
#[test]
fn changed_bits_never_change_the_listing() {
    for image in [CHECKSUMS, INLINE] {
        let whole = dump(&open(image).unwrap(), Tell::Protected).unwrap();
        let mut refused = 0;
        for bit in (0..image.len() * 8).step_by(STRIDE) {
            let mut image = image.to_vec();
            image[bit / 8] ^= 1 << (bit % 8);
            match open(&image).and_then(|ext4| dump(&ext4, Tell::Protected)) {
                Ok(told) => assert!(told == whole, "byte {}, bit {}", bit / 8, bit % 8),
                Err(_) => refused += 1,
            }
        }
        assert!(refused > 10_000 / STRIDE, "{refused}");
    }
}

/// Odd, so that all bits of bytes come by.
const STRIDE: usize = 61;

#[test]
fn cut_images_are_refused() {
    for image in [CHECKSUMS, INLINE, OLD_CHECKSUMS, PLAIN, FIRST_REVISION] {
        for end in (0..image.len()).step_by(511).chain([image.len() - 1]) {
            assert!(open(&image[..end]).is_err(), "{end}");
        }
    }
    assert_eq!(
        fault(&PLAIN[..60_000]),
        "superblock: the image is cut: 60000 of 65536 bytes are there"
    );
}

/// An image with this byte of the superblock changed.
fn with_superblock(image: &[u8], at: usize, byte: u8) -> Vec<u8> {
    let mut image = image.to_vec();
    image[1024 + at] = byte;
    image
}

#[test]
fn unknown_and_unsound_file_systems_are_refused() {
    let incompat = PLAIN[1024 + 0x60];
    for (at, byte, why) in [
        (0x38, 0, "superblock: not an ext2, ext3 or ext4"),
        (0x4c, 2, "superblock: unknown revision 2"),
        (
            0x60,
            incompat | 9,
            "superblock: incompat features that this reader does not know: compression, journal_dev",
        ),
        (
            0x63,
            0x40,
            "superblock: incompat features that this reader does not know: 0x40000000",
        ),
        (
            0x67,
            1,
            "superblock: ro_compat features that this reader does not know: 0x1000000",
        ),
        (
            0x60,
            incompat | 4,
            "the journal has not been replayed: the image was taken from a running or crashed system; \
             run `e2fsck -p` on a copy",
        ),
        (0x48, 1, "superblock: made for the Hurd"),
        (
            0x3a,
            3,
            "superblock: marked as having errors: run `e2fsck -f` on a copy",
        ),
        (
            0x3a,
            0,
            "superblock: it was not unmounted: the image was taken from a running or crashed system; \
             run `e2fsck -p` on a copy",
        ),
        (0x18, 7, "superblock: blocks of 2^17 bytes"),
        (0x58, 0x81, "superblock: inode size: not as mke2fs makes it"),
        (0x14, 0, "superblock: first data block: not as mke2fs makes it"),
        (0x28, 0x18, "superblock: 32 inodes in 1 groups of 24"),
        (
            4,
            65,
            "superblock: the image is cut: 65536 of 66560 bytes are there",
        ),
        (0x10, 200, "9 inodes are free, not 200: run `e2fsck -fn` to see"),
    ] {
        let image = with_superblock(PLAIN, at, byte);
        assert_eq!(fault(&image), why, "{at:#x}");
    }
    assert_eq!(
        fault(&with_superblock(CHECKSUMS, 0x40, 1)),
        "superblock: checksum does not match"
    );
}

/// Where the entry with this name is.
fn entry(image: &[u8], name: &str) -> usize {
    let length = u8::try_from(name.len()).unwrap();
    let found = image
        .windows(name.len())
        .enumerate()
        .find(|(at, bytes)| *bytes == name.as_bytes() && image[at - 2] == length && image[at - 1] < 8);
    found.unwrap().0 - 8
}

/// Where the inode is that the entry with this name names.
fn inode(image: &[u8], name: &str) -> usize {
    let volume = open(image).unwrap().volume;
    let table = usize::try_from(volume.groups[0].inode_table).unwrap() * volume.blocks.size;
    table + (usize::from(image[entry(image, name)]) - 1) * volume.superblock.inode_size
}

#[test]
fn contradictions_are_refused() {
    let at = |name: &str| entry(PLAIN, name);
    let number = |name: &str| PLAIN[at(name)];
    let [etc, passwd, tool, first] = ["etc", "passwd", "tool", "first"].map(number);
    // An empty directory has its own entry and that of its parent, which is the last of its block.
    let deep = usize::from(PLAIN[inode(PLAIN, "deep") + 0x28]) * 1024;
    let bitmap = PLAIN[2048 + 4] as usize * 1024 + 1;
    for (at, byte, why) in [
        (
            at("passwd"),
            tool,
            format!("inode {etc}: the name tool: inode {tool}: has more names than links"),
        ),
        (
            at("passwd"),
            0,
            format!("inode {passwd}: is in use, but has no name"),
        ),
        (
            at("passwd"),
            30,
            format!("inode {etc}: the name passwd: inode 30: is of no known type"),
        ),
        (
            at("passwd"),
            33,
            format!("inode {etc}: the name passwd: inode 33: there is no such inode"),
        ),
        (
            at("passwd"),
            5,
            format!("inode {etc}: the name passwd: inode 5: is the file system's own"),
        ),
        (
            at("passwd") + 7,
            2,
            format!("inode {etc}: the name passwd: inode {passwd}: is of another type than its name says"),
        ),
        (
            at("passwd") + 7,
            9,
            format!("inode {etc}: block 0: byte 88: the unknown type 9"),
        ),
        (
            at("passwd") + 8,
            b'/',
            format!("inode {etc}: \"/asswd\" is no name"),
        ),
        (
            at("passwd") + 8,
            0,
            format!("inode {etc}: \"\\\\x00asswd\" is no name"),
        ),
        (at("passwd") + 6, 0, format!("inode {etc}: \"\" is no name")),
        (
            at("passwd") + 4,
            6,
            format!("inode {etc}: block 0: byte 88: an entry with a wrong length"),
        ),
        (
            at("passwd") + 5,
            9,
            format!("inode {etc}: block 0: byte 88: an entry that is too long"),
        ),
        (
            at("deep"),
            etc,
            format!("inode {etc}: the name deep: inode {etc}: is a directory with two names"),
        ),
        (
            deep,
            2,
            format!(
                "inode {}: does not begin with itself and its parent",
                number("deep")
            ),
        ),
        (
            deep + 12,
            2,
            format!("inode {}: says that it is in 2, and is in {etc}", number("deep")),
        ),
        (
            inode(PLAIN, "etc") + 0x1a,
            4,
            format!("inode {etc}: has 4 links and 1 directories in it"),
        ),
        (inode(PLAIN, "etc") + 0x1a, 1, "none".to_owned()),
        (
            inode(PLAIN, "first") + 0x1a,
            30,
            format!("inode {}: the name first", number("many")),
        ),
        (
            inode(PLAIN, "first") + 0x1a,
            32,
            format!("inode {first}: has 1 names fewer than links"),
        ),
        (
            inode(PLAIN, "tool") + 0x1a,
            0,
            format!("inode {etc}: the name tool: inode {tool}: has no links, but a name"),
        ),
        (
            inode(PLAIN, "tool") + 0x21,
            8,
            format!("inode {etc}: the name tool: inode {tool}: encrypted"),
        ),
        (
            inode(PLAIN, "deep") + 0x28,
            PLAIN[inode(PLAIN, "etc") + 0x28],
            "belongs to two directories".to_owned(),
        ),
        (
            inode(PLAIN, "deep") + 0x2a,
            1,
            "outside of the file system".to_owned(),
        ),
        (
            inode(PLAIN, "deep") + 0x28,
            0,
            "block 0 of 1 is not there".to_owned(),
        ),
        (
            bitmap,
            PLAIN[bitmap] ^ 0x80,
            format!("group 0: {} inodes are free, not 9", 9 + 1),
        ),
    ] {
        let mut image = PLAIN.to_vec();
        assert_ne!(image[at], byte, "{why}");
        image[at] = byte;
        let found = fault(&image);
        assert!(found.contains(&why), "{found}, not {why}");
        assert_eq!(why != "none", found.ends_with(": run `e2fsck -fn` to see"));
    }
    // Two bits, so that the number of free inodes is still right.
    let mut image = PLAIN.to_vec();
    let last = usize::from(first.max(passwd).max(tool));
    assert!(last < 24, "{last}");
    image[bitmap - 1 + (usize::from(passwd) - 1) / 8] ^= 1 << ((passwd - 1) % 8);
    image[bitmap + 2] ^= 0x80;
    assert_eq!(
        fault(&image),
        format!("inode {passwd}: has a name, but is not in use: run `e2fsck -fn` to see")
    );
    image[bitmap - 1 + (usize::from(passwd) - 1) / 8] ^= 1 << ((passwd - 1) % 8);
    image[2048 + 14] -= 1;
    image[1024 + 16] -= 1;
    assert_eq!(
        fault(&image),
        "inode 32: is in use, but has no name: run `e2fsck -fn` to see"
    );
    // Unless it is an orphan: deleted, and not yet gone.
    image[1024 + 0xe8] = 32;
    assert_eq!(fault(&image), "none");
    let table = inode(PLAIN, "tool") + (32 - usize::from(tool)) * 128;
    image[table + 0x14] = 32;
    assert_eq!(
        fault(&image),
        "inode 32: is an orphan twice: run `e2fsck -fn` to see"
    );
}

proptest! {
    #[test]
    fn any_bytes_end(bytes: Vec<u8>) {
        open(&bytes).map(drop).ok();
    }

    /// Without checksums, what is changed comes through to every check.
    #[test]
    fn changed_images_end(
        changes in prop::collection::vec((1024..45_000_usize, any::<u8>()), 1..6),
        which in 0..4_usize,
    ) {
        let mut image = [PLAIN, OLD_CHECKSUMS, FIRST_REVISION, INLINE_PLAIN][which].to_vec();
        for (at, byte) in changes {
            image[at] = byte;
        }
        if let Ok(ext4) = open(&image) {
            dump(&ext4, Tell::Protected).ok();
        }
    }
}
