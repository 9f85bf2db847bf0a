//! What the tools of each format make is recognised as that, and as nothing else.

use std::fs;
use std::sync::Arc;

use driftcheck_agent::source::bytes::{Bytes, FileBytes};
use driftcheck_agent::source::disk::recognise::{Recognised, recognise};

use super::{disk_like, have, run, tool, work};

/// Shell commands that make the file `out`, from nothing, from 300 MiB of nothing in `blank`, or from the
/// directory `tree` with the file `text`.
const MADE: &[(&str, &str, Recognised)] = &[
    ("gzip", "gzip -c tree/text > out", Recognised::Gzip),
    ("xz", "xz -c tree/text > out", Recognised::Xz),
    ("zstd", "zstd -q -c tree/text > out", Recognised::Zstd),
    ("bzip2", "bzip2 -c tree/text > out", Recognised::Bzip2),
    ("bzip2", "bzip2 -c /dev/null > out", Recognised::Bzip2),
    ("tar", "tar --format=gnu -cf out tree", Recognised::Tar),
    ("tar", "tar --format=pax -cf out tree", Recognised::Tar),
    ("tar", "tar --format=ustar -cf out tree", Recognised::Tar),
    ("qemu-img", "qemu-img create -f qcow2 out 300M", Recognised::Qcow2),
    ("qemu-img", "qemu-img create -f qcow out 300M", Recognised::Qcow2),
    ("qemu-img", "qemu-img create -f vmdk out 300M", Recognised::Vmdk),
    (
        "qemu-img",
        "qemu-img create -f vmdk -o subformat=monolithicFlat out 300M",
        Recognised::Vmdk,
    ),
    (
        "qemu-img",
        "qemu-img convert -O vmdk -o subformat=streamOptimized tree/text out",
        Recognised::Vmdk,
    ),
    ("qemu-img", "qemu-img create -f vpc out 300M", Recognised::Vhd),
    (
        "qemu-img",
        "qemu-img create -f vpc -o subformat=fixed out 300M",
        Recognised::Vhd,
    ),
    (
        "qemu-img",
        "mkfs.ext4 -q blank && qemu-img convert -f raw -O vpc -o subformat=fixed blank out",
        Recognised::Vhd,
    ),
    ("qemu-img", "qemu-img create -f vhdx out 300M", Recognised::Vhdx),
    ("qemu-img", "qemu-img create -f vdi out 300M", Recognised::Vdi),
    ("qemu-img", "qemu-img create -f qed out 300M", Recognised::Qed),
    (
        "qemu-img",
        "qemu-img create -f parallels out 300M",
        Recognised::Parallels,
    ),
    ("mkfs.ext2", "mv blank out; mkfs.ext2 -q out", Recognised::Ext),
    (
        "mkfs.ext3",
        "mv blank out; mkfs.ext3 -q -b 1024 out",
        Recognised::Ext,
    ),
    ("mkfs.ext4", "mv blank out; mkfs.ext4 -q out", Recognised::Ext),
    (
        "mkfs.ext4",
        "mv blank out; mkfs.ext4 -q -O bigalloc out",
        Recognised::Ext,
    ),
    ("mkfs.xfs", "mv blank out; mkfs.xfs -q out", Recognised::Xfs),
    ("mkfs.btrfs", "mv blank out; mkfs.btrfs -q out", Recognised::Btrfs),
    ("mkfs.erofs", "mkfs.erofs --quiet out tree", Recognised::Erofs),
    (
        "mksquashfs",
        "mksquashfs tree out -quiet -no-progress",
        Recognised::Squashfs,
    ),
    ("mkfs.f2fs", "mv blank out; mkfs.f2fs -q out", Recognised::F2fs),
    ("mkfs.vfat", "mv blank out; mkfs.vfat -F 32 out", Recognised::Fat),
    ("mkfs.vfat", "mv blank out; mkfs.vfat -F 16 out", Recognised::Fat),
    (
        "mkfs.vfat",
        "truncate -s 4M out; mkfs.vfat -F 12 out",
        Recognised::Fat,
    ),
    ("mkswap", "mv blank out; mkswap -q out", Recognised::Swap),
    (
        "cryptsetup",
        "mv blank out; echo x | cryptsetup -q luksFormat --pbkdf pbkdf2 --pbkdf-force-iterations 1000 out",
        Recognised::Luks,
    ),
    (
        "genisoimage",
        "genisoimage -quiet -R -o out tree",
        Recognised::Iso9660,
    ),
    (
        "sfdisk",
        "mv blank out; echo 'size=1M' | sfdisk -q --label gpt out",
        Recognised::Partitioned,
    ),
    (
        "sfdisk",
        "mv blank out; echo 'size=1M' | sfdisk -q --label dos out",
        Recognised::Partitioned,
    ),
    // What an older use left behind does not count, if the tools take it away.
    (
        "sfdisk",
        "mkfs.ext4 -q blank; mv blank out; echo 'size=1M' | sfdisk -q --wipe always --label dos out",
        Recognised::Partitioned,
    ),
    (
        "mkfs.xfs",
        "mkfs.ext4 -q blank; mv blank out; mkfs.xfs -q -f out",
        Recognised::Xfs,
    ),
    ("mv", "mv blank out", Recognised::Unknown),
    ("cp", "cp tree/text out", Recognised::Unknown),
];

#[test]
fn what_the_tools_make_is_recognised() {
    let tools: Vec<_> = MADE.iter().map(|(tool, _, _)| *tool).collect();
    if !have(&tools) {
        return;
    }
    let work = work("recognise");
    fs::create_dir(work.path("tree")).unwrap();
    fs::write(work.path("tree/text"), disk_like(200_000, 77)).unwrap();
    for (_, script, expected) in MADE {
        fs::File::create(work.path("blank"))
            .unwrap()
            .set_len(300 << 20)
            .unwrap();
        fs::remove_file(work.path("out")).ok();
        let mut shell = tool("sh");
        let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap());
        run(shell
            .current_dir(&work.0)
            .env("PATH", path)
            .args(["-e", "-c", script]));
        let file = fs::File::open(work.path("out")).unwrap();
        let bytes: Bytes = Arc::new(FileBytes::new(file).unwrap());
        assert_eq!(recognise(&*bytes).unwrap(), *expected, "{script}");
    }
}
