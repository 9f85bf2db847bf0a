//! What bytes are: an archive, an image of a disk, a file system, or a disk that is divided.
//!
//! Only what marks a format is looked at, in the places that the format has for it; whether the rest is whole
//! is for its reader to say. Bytes that are several things at once are refused: which of them a boot loader or
//! a kernel would take is a guess, and a polyglot is made to be taken for something else.

use std::path::Path;

use super::{partitions, quoted};
use crate::source::bytes::ReadAt;
use crate::source::file_system::Fault;

/// A format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Recognised {
    Gzip,
    Xz,
    Zstd,
    Bzip2,
    Lz4,
    Tar,
    Zip,
    Qcow2,
    Vmdk,
    Vhd,
    Vhdx,
    Vdi,
    Qed,
    Parallels,
    Iso9660,
    /// A GPT or an MBR with partitions.
    Partitioned,
    /// ext2, ext3 or ext4.
    Ext,
    Xfs,
    Btrfs,
    Erofs,
    Squashfs,
    F2fs,
    Bcachefs,
    Fat,
    Exfat,
    Ntfs,
    Lvm2,
    Luks,
    MdRaid,
    Swap,
    /// No known format, which includes nothing but zeros.
    Unknown,
}

/// What the bytes are.
pub fn recognise(bytes: &dyn ReadAt) -> Result<Recognised, Fault> {
    let mut found = Vec::new();
    for (kind, marks) in MARKS {
        for mark in *marks {
            if mark.is_in(bytes)? && !found.contains(kind) {
                found.push(*kind);
            }
        }
    }
    if is_ext(bytes)? {
        found.push(Recognised::Ext);
    }
    if vhd_footer(bytes)? {
        found.push(Recognised::Vhd);
    }
    if partitions::is_partitioned(bytes)? {
        found.push(Recognised::Partitioned);
    }
    match found[..] {
        [] => Ok(Recognised::Unknown),
        [one] => Ok(one),
        // A fixed one is the disk itself, and 512 bytes at its end.
        [.., Recognised::Vhd] | [.., Recognised::Vhd, Recognised::Partitioned] => Ok(Recognised::Vhd),
        // Such images are made to be written to a disk or a disc.
        [Recognised::Iso9660, Recognised::Partitioned] => Ok(Recognised::Iso9660),
        _ => {
            let names: Vec<_> = found.iter().map(|kind| kind.name()).collect();
            Err(Fault::new(format!(
                "the bytes are several things at once: {}; which of them counts is not clear (`wipefs` on a \
                 copy shows and removes what is left of an older use)",
                names.join(", ")
            )))
        }
    }
}

impl Recognised {
    /// What to call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Xz => "xz",
            Self::Zstd => "zstd",
            Self::Bzip2 => "bzip2",
            Self::Lz4 => "lz4",
            Self::Tar => "tar",
            Self::Zip => "zip",
            Self::Qcow2 => "qcow2",
            Self::Vmdk => "vmdk",
            Self::Vhd => "vhd",
            Self::Vhdx => "vhdx",
            Self::Vdi => "vdi",
            Self::Qed => "qed",
            Self::Parallels => "parallels",
            Self::Iso9660 => "iso9660",
            Self::Partitioned => "partition table",
            Self::Ext => "ext2, ext3 or ext4",
            Self::Xfs => "xfs",
            Self::Btrfs => "btrfs",
            Self::Erofs => "erofs",
            Self::Squashfs => "squashfs",
            Self::F2fs => "f2fs",
            Self::Bcachefs => "bcachefs",
            Self::Fat => "fat",
            Self::Exfat => "exfat",
            Self::Ntfs => "ntfs",
            Self::Lvm2 => "LVM2",
            Self::Luks => "LUKS",
            Self::MdRaid => "RAID member",
            Self::Swap => "swap",
            Self::Unknown => "unknown",
        }
    }

    /// Whether it is a file system that the kernel is asked to read, if the operator wants that.
    #[must_use]
    pub const fn is_mountable(self) -> bool {
        matches!(
            self,
            Self::Xfs | Self::Btrfs | Self::Erofs | Self::Squashfs | Self::Ext
        )
    }

    /// For what is not read here: why not, and what to do instead, as a lower-case fragment. `path` is the file
    /// that the bytes are (a part) of. `None` for what is read here.
    #[must_use]
    pub fn way_out(self, path: &Path) -> Option<String> {
        let name = self.name();
        let file = quoted(path);
        let convert = || {
            let mut out = path.with_extension("qcow2");
            if out == path {
                out = path.with_extension("converted.qcow2");
            }
            let out = quoted(&out);
            Some(format!(
                "images of the format {name} are not read: convert it with `qemu-img convert -O qcow2 {file} {out}`"
            ))
        };
        match self {
            Self::Gzip
            | Self::Xz
            | Self::Zstd
            | Self::Bzip2
            | Self::Lz4
            | Self::Tar
            | Self::Qcow2
            | Self::Partitioned
            | Self::Ext => None,
            Self::Vmdk | Self::Vhd | Self::Vhdx | Self::Vdi | Self::Qed | Self::Parallels => convert(),
            Self::Xfs | Self::Btrfs | Self::Erofs | Self::Squashfs => Some(format!(
                "{name} is read through the kernel only: add `--mount`, as root on Linux"
            )),
            Self::Iso9660 | Self::F2fs | Self::Bcachefs | Self::Fat | Self::Exfat | Self::Ntfs => Some(format!(
                "{name} is not read: mount it read-only, and take that directory"
            )),
            Self::Lvm2 => Some(format!(
                "it is an LVM2 physical volume: attach it as root (`losetup -r -f --show {file}`, with `-P` if it \
                 is a partition), activate its volumes (`vgchange -ay --readonly`), and take the logical \
                 volume's device /dev/VG/LV"
            )),
            Self::Luks => Some(
                "it is encrypted (LUKS): open it as root (`cryptsetup open --readonly DEVICE NAME`), and take the \
                 device /dev/mapper/NAME or the directory where it is mounted"
                    .to_owned(),
            ),
            Self::MdRaid => Some(
                "it is a member of a RAID: assemble it read-only (`mdadm --assemble --readonly`), and take the \
                 device"
                    .to_owned(),
            ),
            Self::Swap => Some("it is swap space, which has no files".to_owned()),
            Self::Zip => Some("zip archives are not read: unpack it, and take the image in it".to_owned()),
            Self::Unknown => Some(
                "no known archive, image or file system begins here (is it encrypted, damaged, or the wrong file?)"
                    .to_owned(),
            ),
        }
    }
}

/// Bytes at a place.
struct Mark {
    at: u64,
    bytes: &'static [u8],
}

impl Mark {
    fn is_in(&self, bytes: &dyn ReadAt) -> Result<bool, Fault> {
        let mut found = [0; 32];
        let Some(found) = found.get_mut(..self.bytes.len()) else {
            return Ok(false);
        };
        if bytes.size() < self.at + self.bytes.len() as u64 {
            return Ok(false);
        }
        bytes
            .read_exact_at(found, self.at)
            .map_err(|why| Fault::new(format!("the bytes at {}: {why}", self.at)))?;
        Ok(found == self.bytes)
    }
}

const fn mark(at: u64, bytes: &'static [u8]) -> Mark {
    Mark { at, bytes }
}

/// The magic number of ext2 to ext4 has two bytes, which one in 65,536 archives has there by chance: the
/// smallest fields of the superblock (`Documentation/filesystems/ext4/super.rst` of Linux) must be possible
/// too.
fn is_ext(bytes: &dyn ReadAt) -> Result<bool, Fault> {
    if !mark(1080, b"\x53\xef").is_in(bytes)? {
        return Ok(false);
    }
    // First block, sizes of blocks and clusters as logarithms, revision.
    for (at, most) in [(1044, 1), (1048, 6), (1052, 31), (1100, 1)] {
        let mut field = [0; 4];
        if bytes.size() < at + 4 {
            return Ok(false);
        }
        bytes
            .read_exact_at(&mut field, at)
            .map_err(|why| Fault::new(format!("the bytes at {at}: {why}")))?;
        if u32::from_le_bytes(field) > most {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A VHD ends with its footer; one made by old versions of Virtual PC is a byte shorter.
fn vhd_footer(bytes: &dyn ReadAt) -> Result<bool, Fault> {
    for length in [512, 511] {
        if let Some(at) = bytes.size().checked_sub(length)
            && mark(at, VHD).is_in(bytes)?
        {
            return Ok(true);
        }
    }
    Ok(false)
}

const VHD: &[u8] = b"conectix";

/// What marks a format: any of its marks. Sources: each format's specification, and `libblkid/src/superblocks`
/// of util-linux.
const MARKS: &[(Recognised, &[Mark])] = &[
    (Recognised::Gzip, &[mark(0, b"\x1f\x8b\x08")]),
    (Recognised::Xz, &[mark(0, b"\xfd7zXZ\0")]),
    (Recognised::Zstd, &[mark(0, b"\x28\xb5\x2f\xfd")]),
    (
        Recognised::Bzip2,
        // After the size of blocks, a digit: the first block, or the end of an empty stream.
        &[
            mark(4, b"\x31\x41\x59\x26\x53\x59"),
            mark(4, b"\x17\x72\x45\x38\x50\x90"),
        ],
    ),
    (Recognised::Lz4, &[mark(0, b"\x04\x22\x4d\x18")]),
    (Recognised::Tar, &[mark(257, b"ustar\0"), mark(257, b"ustar ")]),
    (Recognised::Zip, &[mark(0, b"PK\x03\x04"), mark(0, b"PK\x05\x06")]),
    (Recognised::Qcow2, &[mark(0, b"QFI\xfb")]),
    (
        Recognised::Vmdk,
        &[
            mark(0, b"KDMV"),
            mark(0, b"COWD"),
            mark(0, b"# Disk DescriptorFile"),
        ],
    ),
    (Recognised::Vhdx, &[mark(0, b"vhdxfile")]),
    (Recognised::Vdi, &[mark(64, b"\x7f\x10\xda\xbe")]),
    (Recognised::Qed, &[mark(0, b"QED\0")]),
    (
        Recognised::Parallels,
        &[mark(0, b"WithoutFreeSpace"), mark(0, b"WithouFreSpacExt")],
    ),
    (Recognised::Xfs, &[mark(0, b"XFSB")]),
    (Recognised::Btrfs, &[mark(65_600, b"_BHRfS_M")]),
    (Recognised::Erofs, &[mark(1024, b"\xe2\xe1\xf5\xe0")]),
    (Recognised::Squashfs, &[mark(0, b"hsqs")]),
    (Recognised::F2fs, &[mark(1024, b"\x10\x20\xf5\xf2")]),
    (
        Recognised::Bcachefs,
        &[
            mark(
                4120,
                b"\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf5\x7f\x48\xba\x6d\x81",
            ),
            mark(
                4120,
                b"\xc6\x85\x73\xf6\x66\xce\x90\xa9\xd9\x6a\x60\xcf\x80\x3d\xf7\xef",
            ),
        ],
    ),
    (
        Recognised::Fat,
        &[
            mark(54, b"FAT12   "),
            mark(54, b"FAT16   "),
            mark(82, b"FAT32   "),
        ],
    ),
    (Recognised::Exfat, &[mark(3, b"EXFAT   ")]),
    (Recognised::Ntfs, &[mark(3, b"NTFS    ")]),
    (
        Recognised::Lvm2,
        // In any of the first four sectors.
        &[
            mark(0, b"LABELONE"),
            mark(512, b"LABELONE"),
            mark(1024, b"LABELONE"),
            mark(1536, b"LABELONE"),
        ],
    ),
    (Recognised::Luks, &[mark(0, b"LUKS\xba\xbe")]),
    (
        Recognised::MdRaid,
        // Metadata 1.1 and 1.2; 1.0 and 0.90 lie at the end, where they do not keep the start from being read.
        &[mark(0, b"\xfc\x4e\x2b\xa9"), mark(4096, b"\xfc\x4e\x2b\xa9")],
    ),
    (
        Recognised::Swap,
        // At the end of a page, of whatever size the machine has.
        &[
            mark(4086, b"SWAPSPACE2"),
            mark(8182, b"SWAPSPACE2"),
            mark(16_374, b"SWAPSPACE2"),
            mark(65_526, b"SWAPSPACE2"),
        ],
    ),
    (Recognised::Iso9660, &[mark(32_769, b"CD001")]),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn with(marks: &[(usize, &[u8])]) -> Vec<u8> {
        let mut bytes = vec![0; 70_000];
        for (at, mark) in marks {
            bytes[*at..at + mark.len()].copy_from_slice(mark);
        }
        bytes
    }

    const PARTITION: (usize, &[u8]) = (450, b"\x83\0\0\0\x08\0\0\0\x08\0\0\0");
    const BOOT: (usize, &[u8]) = (510, b"\x55\xaa");

    #[test]
    fn every_mark_is_known() {
        for (kind, marks) in MARKS {
            for mark in *marks {
                let bytes = with(&[(usize::try_from(mark.at).unwrap(), mark.bytes)]);
                assert_eq!(recognise(&bytes).unwrap(), *kind, "{}", mark.at);
                let cut = bytes[..usize::try_from(mark.at).unwrap() + mark.bytes.len() - 1].to_vec();
                assert_eq!(recognise(&cut).unwrap(), Recognised::Unknown, "{kind:?}");
            }
        }
        let mut ext = with(&[(1080, b"\x53\xef")]);
        assert_eq!(recognise(&ext).unwrap(), Recognised::Ext);
        ext[1048] = 7;
        assert_eq!(recognise(&ext).unwrap(), Recognised::Unknown);
        assert_eq!(recognise(&ext[..1103].to_vec()).unwrap(), Recognised::Unknown);
        assert_eq!(recognise(&Vec::new()).unwrap(), Recognised::Unknown);
        assert_eq!(recognise(&with(&[BOOT])).unwrap(), Recognised::Unknown);
        assert_eq!(
            recognise(&with(&[BOOT, PARTITION])).unwrap(),
            Recognised::Partitioned
        );
    }

    #[test]
    fn several_things_at_once_are_refused_but_for_those_that_are_meant_so() {
        let iso = (32_769, &b"CD001"[..]);
        let vhd = (70_000 - 512, VHD);
        for (marks, expected) in [
            (&[iso, BOOT, PARTITION][..], Recognised::Iso9660),
            (&[vhd, BOOT, PARTITION], Recognised::Vhd),
            (&[(1080, b"\x53\xef"), vhd], Recognised::Vhd),
        ] {
            assert_eq!(recognise(&with(marks)).unwrap(), expected);
        }
        for (marks, names) in [
            (
                &[(1080, &b"\x53\xef"[..]), BOOT, PARTITION][..],
                "ext2, ext3 or ext4, partition table",
            ),
            (&[(0, b"XFSB"), iso], "xfs, iso9660"),
            (
                &[(1080, b"\x53\xef"), (65_600, b"_BHRfS_M")],
                "btrfs, ext2, ext3 or ext4",
            ),
        ] {
            let why = recognise(&with(marks)).unwrap_err().0;
            assert!(
                why.starts_with(&format!("the bytes are several things at once: {names}; ")),
                "{why}"
            );
        }
    }

    #[test]
    fn a_way_out_can_be_pasted() {
        for (path, expected) in [
            (
                "a/disk.vmdk",
                "`qemu-img convert -O qcow2 a/disk.vmdk a/disk.qcow2`",
            ),
            ("x.qcow2", "`qemu-img convert -O qcow2 x.qcow2 x.converted.qcow2`"),
            ("my disk", "`qemu-img convert -O qcow2 'my disk' 'my disk.qcow2'`"),
            ("-x.vmdk", "`qemu-img convert -O qcow2 './-x.vmdk' './-x.qcow2'`"),
            (
                "it's\u{1b}[0m",
                r"`qemu-img convert -O qcow2 'it'\''s?[0m' 'it'\''s?[0m.qcow2'`",
            ),
        ] {
            let told = Recognised::Vmdk.way_out(Path::new(path)).unwrap();
            assert!(told.ends_with(expected), "{told}");
        }
        assert_eq!(Recognised::Ext.way_out(Path::new("x")), None);
    }
}
