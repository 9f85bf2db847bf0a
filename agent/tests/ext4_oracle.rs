//! ext2, ext3 and ext4 images as mke2fs and the kernel make them, read by driftcheck and by the kernel.
//!
//! A test whose tools are missing says so and passes, unless `DRIFTCHECK_REQUIRE_ORACLES` is set. Mounting needs root
//! and loop devices.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{FileExt as _, PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::{env, iter, thread};

use driftcheck_agent::source::bytes::FileBytes;
use driftcheck_agent::source::ext4::{Ext4, is_ext4};
use driftcheck_agent::source::file_system::{Attributes, FileSystem, Node};
use driftcheck_agent::sys::Kind;
use rustix::fs::{
    AtFlags, CWD, FallocateFlags, FileType, Mode, StatxAttributes, StatxFlags, Timespec, Timestamps,
    XattrFlags,
};

/// What mke2fs is asked for: a name of the case and its arguments.
const CASES: &[(&str, &str)] = &[
    ("ext4", "-t ext4"),
    ("ext4 of 1 KiB", "-t ext4 -b 1024"),
    ("ext4 of 2 KiB", "-t ext4 -b 2048"),
    ("small inodes", "-t ext4 -I 128"),
    ("large inodes", "-t ext4 -I 1024"),
    ("inline data", "-t ext4 -O inline_data -I 256"),
    ("inline data in large inodes", "-t ext4 -O inline_data -I 1024"),
    (
        "inline data without checksums",
        "-t ext4 -O inline_data,^metadata_csum -I 512",
    ),
    ("values in inodes", "-t ext4 -O ea_inode -I 512"),
    (
        "values in inodes, 1 KiB, inline data",
        "-t ext4 -O ea_inode,inline_data -b 1024",
    ),
    ("without checksums", "-t ext4 -O ^metadata_csum"),
    ("with old checksums", "-t ext4 -O ^metadata_csum,^64bit,uninit_bg"),
    (
        "with old checksums and 64 bits",
        "-t ext4 -O ^metadata_csum,uninit_bg,64bit",
    ),
    ("with 32 bits", "-t ext4 -O ^64bit"),
    ("with a seed of its own", "-t ext4 -O metadata_csum_seed"),
    ("block maps with checksums", "-t ext4 -O ^extents,^64bit -b 1024"),
    (
        "descriptors in their groups",
        "-t ext4 -O meta_bg,^resize_inode -b 1024 -g 1024",
    ),
    (
        "descriptors in their groups, 32 bits",
        "-t ext4 -O meta_bg,^resize_inode,^64bit,^metadata_csum -b 2048 -g 2048",
    ),
    ("groups apart", "-t ext4 -O ^flex_bg"),
    ("few copies", "-t ext4 -O sparse_super2,^resize_inode -b 1024"),
    ("clusters", "-t ext4 -O bigalloc -C 16384"),
    ("clusters of small blocks", "-t ext4 -O bigalloc -b 1024 -C 8192"),
    ("large directories", "-t ext4 -O large_dir -b 1024"),
    ("few links", "-t ext4 -O ^dir_nlink"),
    ("types in inodes alone", "-t ext4 -O ^filetype"),
    ("folded names", "-t ext4 -O casefold"),
    ("quotas", "-t ext4 -O quota,project"),
    (
        "protected, verity, encryption unused",
        "-t ext4 -O mmp,verity,encrypt,stable_inodes",
    ),
    ("without journal", "-t ext4 -O ^has_journal"),
    ("with orphan file", "-t ext4 -O orphan_file"),
    ("without orphan file", "-t ext4 -O ^orphan_file"),
    (
        "files of few blocks",
        "-t ext4 -O ^huge_file,^dir_index,^extra_isize",
    ),
    ("fast commits", "-t ext4 -O fast_commit"),
    ("ext3", "-t ext3"),
    ("ext3 of 1 KiB", "-t ext3 -b 1024"),
    ("ext2", "-t ext2"),
    ("ext2 of 1 KiB", "-t ext2 -b 1024 -I 128"),
    ("ext2 of the first revision", "-t ext2 -r 0 -b 1024"),
];

#[test]
fn images_equal_what_the_kernel_shows() {
    if let Some(why) = missing(Tools::Mount) {
        return skip(&why);
    }
    let scratch = Scratch::new("kernel");
    let tree = scratch.path("tree");
    build_tree(&tree);
    let mut mounted = 0;
    for (name, options) in CASES {
        println!("{name}");
        let image = scratch.image.clone();
        make_image(&image, options, Some(&tree));
        if options.contains("quota") {
            // mke2fs counts what it copies on nobody's account, which e2fsck mends with an exit code.
            run("e2fsck", &[OsStr::new("-fy"), image.as_os_str()]).ok();
        }
        if !compare_with_kernel(&scratch, &image, name) {
            println!("{name}: not mounted by this kernel: compared with the tree");
            compare(&open(&image), &tree, Against::Tree);
            continue;
        }
        mounted += 1;
        if let Some(mount) = Mount::new(&scratch, &image, "rw") {
            build_with_kernel(&mount.root);
            drop(mount);
            assert!(compare_with_kernel(&scratch, &image, name));
        }
    }
    assert!(mounted > CASES.len() / 2);
}

/// Blocks larger than pages, which many kernels do not mount: against the tree that the image was made of.
#[test]
fn images_of_large_blocks_equal_the_tree() {
    if let Some(why) = missing(Tools::Make) {
        return skip(&why);
    }
    let scratch = Scratch::new("large");
    let tree = scratch.path("tree");
    build_tree(&tree);
    for size in [8192, 65536] {
        for features in [
            "^orphan_file",
            "inline_data",
            "^metadata_csum,^extents,^64bit",
            "ea_inode,^has_journal",
        ] {
            println!("{size}: {features}");
            let image = scratch.image.clone();
            make_image(&image, &format!("-t ext4 -b {size} -O {features}"), Some(&tree));
            compare(&open(&image), &tree, Against::Tree);
        }
    }
}

/// Many threads read one file system at once.
#[test]
fn threads_read_at_once() {
    if let Some(why) = missing(Tools::Make) {
        return skip(&why);
    }
    let scratch = Scratch::new("threads");
    let tree = scratch.path("tree");
    build_tree(&tree);
    let image = scratch.image.clone();
    make_image(&image, "-t ext4", Some(&tree));
    let ext4 = open(&image);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| compare(&ext4, &tree, Against::Tree));
        }
    });
}

/// 70,000 directories in one are more than its link count can tell.
#[test]
fn too_many_links_are_counted_by_names() {
    if let Some(why) = missing(Tools::Mount) {
        return skip(&why);
    }
    let scratch = Scratch::new("links");
    let image = scratch.image.clone();
    make_image(&image, "-t ext4 -b 1024 -N 80000 -O large_dir", None);
    {
        let mount = Mount::new(&scratch, &image, "rw").unwrap();
        for nth in 0..70_000 {
            fs::create_dir(mount.root.join(format!("directory-{nth:06}"))).unwrap();
        }
    }
    let ext4 = open(&image);
    assert_eq!(ext4.attributes(ext4.root()).unwrap().links, 1);
    assert_eq!(ext4.children(ext4.root()).unwrap().len(), 70_001);
    assert_eq!(ext4.expected(), 70_001);
}

/// Compares an image with the kernel's view of it, if the kernel gives one.
fn compare_with_kernel(scratch: &Scratch, image: &Path, name: &str) -> bool {
    let checked = run("e2fsck", &[OsStr::new("-fn"), image.as_os_str()]);
    assert!(checked.is_ok(), "{name}: {checked:?}");
    let Some(mount) = Mount::new(scratch, image, "ro,noload") else {
        return false;
    };
    let ext4 = open(image);
    let names = compare(&ext4, &mount.root, Against::Kernel);
    assert_eq!(ext4.expected(), names);
    true
}

/// What an image is compared with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Against {
    /// The kernel's view of it.
    Kernel,
    /// The tree that it was made of, which has other inode numbers and sizes of directories.
    Tree,
}

/// Compares all that the reader tells with what is below `root`. Gives the number of names.
fn compare(ext4: &Ext4, root: &Path, against: Against) -> u64 {
    let mut names = 0;
    let mut waiting = vec![(ext4.root(), root.to_owned())];
    while let Some((node, path)) = waiting.pop() {
        compare_node(ext4, node, &path, against);
        if ext4.attributes(node).unwrap().kind != Kind::Directory {
            continue;
        }
        let mut theirs: Vec<_> = fs::read_dir(&path)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_vec())
            .collect();
        theirs.sort_unstable();
        let mut ours = ext4.children(node).unwrap();
        if against == Against::Tree {
            ours.retain(|child| child.name != b"lost+found");
        }
        let our_names: Vec<_> = ours.iter().map(|child| child.name.clone()).collect();
        assert_eq!(our_names, theirs, "{}", path.display());
        names += ours.len() as u64;
        for child in ours {
            assert_eq!(child.kind, ext4.attributes(child.node).unwrap().kind);
            waiting.push((child.node, path.join(OsStr::from_bytes(&child.name))));
        }
    }
    names
}

fn compare_node(ext4: &Ext4, node: Node, path: &Path, against: Against) {
    let ours = ext4.attributes(node).unwrap();
    let (theirs, inode) = kernel_attributes(path);
    let theirs = match (against, ours.kind) {
        (Against::Kernel, _) => {
            assert_eq!(node, inode, "{}", path.display());
            theirs
        }
        (Against::Tree, Kind::Directory) => Attributes {
            size: ours.size,
            links: ours.links,
            mtime: ours.mtime,
            ..theirs
        },
        // mke2fs writes the lower 32 bits of times alone.
        (Against::Tree, _) => {
            let low = |time: Option<i64>| time.unwrap() & 0xffff_ffff;
            assert_eq!(low(ours.mtime), low(theirs.mtime), "{}", path.display());
            Attributes {
                mtime: ours.mtime,
                ..theirs
            }
        }
    };
    assert_eq!(ours, theirs, "{}", path.display());
    let expected = kernel_xattrs(path);
    let found: BTreeMap<_, _> = ext4.xattrs(node).unwrap().into_iter().collect();
    assert!(
        found == expected,
        "{}: {:?}",
        path.display(),
        (found.keys(), expected.keys())
    );
    match ours.kind {
        Kind::Link => assert_eq!(
            OsString::from_vec(ext4.link(node).unwrap()),
            fs::read_link(path).unwrap(),
            "{}",
            path.display()
        ),
        Kind::File => compare_content(ext4.open(node).unwrap(), path),
        _ => assert!(ext4.open(node).is_err() && ext4.link(node).is_err()),
    }
}

fn kernel_attributes(path: &Path) -> (Attributes, u64) {
    let stat = rustix::fs::statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::BASIC_STATS).unwrap();
    let attributes = Attributes {
        kind: Kind::of_mode(stat.stx_mode.into()),
        permissions: stat.stx_mode & 0o7777,
        uid: stat.stx_uid,
        gid: stat.stx_gid,
        size: stat.stx_size,
        links: stat.stx_nlink,
        mtime: Some(stat.stx_mtime.tv_sec),
        device: (stat.stx_rdev_major, stat.stx_rdev_minor),
        immutable: stat.stx_attributes.contains(StatxAttributes::IMMUTABLE),
        append_only: stat.stx_attributes.contains(StatxAttributes::APPEND),
    };
    (attributes, stat.stx_ino)
}

fn kernel_xattrs(path: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut names = vec![0_u8; 1 << 13];
    let length = rustix::fs::llistxattr(path, &mut names[..]).unwrap();
    names.truncate(length);
    let names = names.split(|byte| *byte == 0).filter(|name| !name.is_empty());
    names
        .map(|name| {
            let mut value = vec![0_u8; 1 << 16];
            let length = rustix::fs::lgetxattr(path, OsStr::from_bytes(name), &mut value[..]).unwrap();
            value.truncate(length);
            (name.to_vec(), value)
        })
        .collect()
}

fn compare_content(mut ours: Box<dyn Read + Send>, path: &Path) {
    let mut theirs = File::open(path).unwrap();
    let [mut a, mut b] = [vec![0; 1 << 16], vec![0; 1 << 16]];
    let mut at = 0;
    loop {
        let lengths = [fill(&mut *ours, &mut a), fill(&mut theirs, &mut b)];
        assert_eq!(lengths[0], lengths[1], "{} from {at}", path.display());
        assert!(a[..lengths[0]] == b[..lengths[0]], "{} from {at}", path.display());
        if lengths[0] == 0 {
            return;
        }
        at += lengths[0];
    }
}

fn fill(from: &mut dyn Read, buffer: &mut [u8]) -> usize {
    let mut length = 0;
    loop {
        match from.read(&mut buffer[length..]).unwrap() {
            0 => return length,
            more => length += more,
        }
    }
}

/// Makes a tree with everything that a file system without special support can hold.
fn build_tree(root: &Path) {
    fs::create_dir(root).unwrap();
    let file = |name: &str, content: &[u8]| {
        fs::write(root.join(name), content).unwrap();
        root.join(name)
    };
    file("empty", b"");
    fs::set_permissions(file("setuid", b"#!"), fs::Permissions::from_mode(0o6755)).unwrap();
    fs::set_permissions(file("secret", b"x"), fs::Permissions::from_mode(0)).unwrap();
    for length in [
        1, 59, 60, 61, 100, 150, 156, 200, 500, 1023, 1024, 4096, 4097, 70_000, 3_000_000,
    ] {
        file(&format!("length-{length}"), &noise(length));
    }
    fs::hard_link(root.join("setuid"), root.join("same")).unwrap();
    fs::hard_link(root.join("setuid"), root.join("again")).unwrap();
    let owned = file("owned", b"owned");
    std::os::unix::fs::chown(&owned, Some(70_000), Some(4_000_000_000)).unwrap();
    for (name, seconds) in [
        ("early", -1_000_000),
        ("first", -1),
        ("late", 3_000_000_000),
        ("last", 15_000_000_000),
    ] {
        set_time(&file(name, b"time"), seconds);
    }
    for (length, name) in [30, 59, 60, 61, 100, 200, 1000].into_iter().zip(0..) {
        symlink("t".repeat(length), root.join(format!("link-{name}"))).unwrap();
    }
    make_special(root, "fifo", FileType::Fifo, (0, 0));
    make_special(root, "null", FileType::CharacterDevice, (1, 3));
    make_special(root, "disk", FileType::BlockDevice, (259, 0x1_2345));
    make_special(root, "large", FileType::CharacterDevice, (4000, 0xf_ffff));
    drop(UnixListener::bind(root.join("socket")).unwrap());
    let name = OsStr::from_bytes(b"not \xff utf-8 \n\x1b");
    fs::write(root.join(name), b"name").unwrap();
    fs::write(root.join("n".repeat(255)), b"name").unwrap();

    set(
        &file("capable", b"x"),
        "security.capability",
        &[1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    );
    set(
        &file("labelled", b"x"),
        "security.selinux",
        b"system_u:object_r:etc_t:s0\0",
    );
    set(&file("trusted", b"x"), "trusted.overlay.opaque", b"y");
    set(&file("listed", b"x"), "system.posix_acl_access", &acl());
    fs::create_dir(root.join("directory")).unwrap();
    set(&root.join("directory"), "system.posix_acl_default", &acl());
    set(&root.join("directory"), "system.posix_acl_access", &acl());
    let attributes = file("attributes", b"x");
    set(&attributes, "user.empty", b"");
    for nth in 0..8 {
        set(&attributes, &format!("user.attribute-{nth}"), &noise(nth * 3));
    }
    // As much as one block of 1 KiB and a small inode hold beside the rest.
    set(&file("long-attribute", b"x"), "user.long", &noise(600));
    set(
        &file("attribute-and-content", &noise(100)),
        "user.some",
        &noise(40),
    );

    let sparse = File::create(root.join("sparse")).unwrap();
    sparse.set_len(70 << 20).unwrap();
    for at in [0, 300_000, 33 << 20, (70 << 20) - 9000] {
        sparse.write_all_at(&noise(9000), at).unwrap();
    }
    strided(&root.join("strided"), 1000);
    let hole = File::create(root.join("hole")).unwrap();
    hole.set_len(123_457).unwrap();

    let mut deep = root.join("deep");
    for nth in 0..40 {
        fs::create_dir(&deep).unwrap();
        deep = deep.join(format!("level-{nth}"));
    }
    for nth in 0..6 {
        let directory = root.join(format!("names-{nth}"));
        fs::create_dir(&directory).unwrap();
        for file in 0..nth * 2 {
            fs::write(directory.join(format!("name-{file}")), []).unwrap();
        }
    }
    fill_directory(&root.join("many"), 1500);
}

/// Makes what only a mounted file system can get.
fn build_with_kernel(root: &Path) {
    fs::create_dir(root.join("made")).unwrap();
    let made = root.join("made");
    let file = |name: &str, content: &[u8]| {
        fs::write(made.join(name), content).unwrap();
        made.join(name)
    };
    fill_directory(&made.join("hashed"), 3000);
    for nth in (0..3000).step_by(3) {
        fs::remove_file(made.join("hashed").join(long_name(nth))).unwrap();
    }
    fill_directory(&made.join("emptied"), 400);
    for nth in 0..400 {
        fs::remove_file(made.join("emptied").join(long_name(nth))).unwrap();
    }
    for nth in 0..8 {
        fs::create_dir(made.join(format!("few-{nth}"))).unwrap();
        for name in 0..nth {
            fs::create_dir(made.join(format!("few-{nth}/name-{name}"))).unwrap();
        }
        if nth > 3 {
            fs::remove_dir(made.join(format!("few-{nth}/name-1"))).unwrap();
        }
    }
    strided(&made.join("strided"), 5000);
    for (length, nth) in [20, 59, 60, 100, 150, 900].into_iter().zip(0..) {
        symlink("k".repeat(length), made.join(format!("link-{nth}"))).unwrap();
    }
    // Blocks that were asked for and never written, and content beyond the end.
    let reserved = File::create(made.join("reserved")).unwrap();
    let reserve = |flags, at, length| rustix::fs::fallocate(&reserved, flags, at, length).is_ok();
    if reserve(FallocateFlags::empty(), 0, 300_000) {
        reserved.write_all_at(&noise(5000), 100_000).unwrap();
        assert!(reserve(FallocateFlags::KEEP_SIZE, 300_000, 500_000));
    }
    // Longer than what was written, so that a file in an inode ends in zeros.
    for length in [10, 70] {
        let path = file(&format!("extended-{length}"), &noise(length));
        File::options()
            .write(true)
            .open(path)
            .unwrap()
            .set_len(length as u64 + 60)
            .unwrap();
        let path = file(&format!("cut-{length}"), &noise(length));
        File::options()
            .write(true)
            .open(path)
            .unwrap()
            .set_len(length as u64 - 5)
            .unwrap();
    }
    // Attributes until the file system has no room: in inodes, in a block, in inodes of their own.
    let many = file("many-attributes", &noise(30));
    for nth in 0..200 {
        if !try_set(&many, &format!("user.number-{nth}"), &noise(nth)) {
            break;
        }
    }
    let mut large = Vec::new();
    for length in [900, 3000, 5000, 20_000, 65_536] {
        let path = file(&format!("attribute-{length}"), b"x");
        if try_set(&path, "user.large", &noise(length)) {
            large.push(length);
        }
        // The same again, so that inodes of values are shared.
        try_set(
            &file(&format!("attribute-{length}-again"), b"x"),
            "user.large",
            &noise(length),
        );
    }
    assert!(!large.is_empty());
    try_set(&made.join("many-attributes"), "system.posix_acl_access", &acl());
    try_set(&made.join("few-2"), "system.posix_acl_default", &acl());
    fs::write(made.join("few-2").join("inherits"), []).unwrap();
    fs::create_dir(made.join("few-2").join("inherits-too")).unwrap();

    let [sealed, log] = [file("sealed", b"sealed"), file("log", b"log")];
    run("chattr", &[OsStr::new("+i"), sealed.as_os_str()]).unwrap();
    run("chattr", &[OsStr::new("+a"), log.as_os_str()]).unwrap();
    fs::create_dir(made.join("sealed-directory")).unwrap();
    run(
        "chattr",
        &[OsStr::new("+i"), made.join("sealed-directory").as_os_str()],
    )
    .unwrap();
    // Only where names are folded.
    fs::create_dir(made.join("folded")).unwrap();
    if run("chattr", &[OsStr::new("+F"), made.join("folded").as_os_str()]).is_ok() {
        fs::write(made.join("folded/Gr\u{f6}\u{df}e"), []).unwrap();
        assert!(made.join("folded/GR\u{d6}SSE").exists());
        fill_directory(&made.join("folded/many"), 500);
    }
    set_time(&file("before", b"x"), -1_000_000_000);
    set_time(&file("after", b"x"), 9_000_000_000);
    make_special(&made, "old", FileType::BlockDevice, (8, 17));
    make_special(&made, "new", FileType::BlockDevice, (300, 300));
    fs::remove_file(root.join("length-4097")).unwrap();
    fs::remove_dir_all(root.join("names-5")).unwrap();
    fs::rename(root.join("again"), made.join("renamed")).unwrap();
}

fn fill_directory(path: &Path, names: usize) {
    fs::create_dir(path).unwrap();
    for nth in 0..names {
        fs::write(path.join(long_name(nth)), []).unwrap();
    }
}

fn long_name(nth: usize) -> String {
    format!(
        "a-name-that-is-long-enough-to-need-many-blocks-{nth:08}{}",
        "x".repeat(nth % 100)
    )
}

/// A file of many short runs, so that the tree of its extents has levels.
fn strided(path: &Path, runs: u64) {
    let file = File::create(path).unwrap();
    for nth in 0..runs {
        file.write_all_at(&nth.to_le_bytes(), nth * 8192 + 100).unwrap();
    }
}

/// The same bytes every time, none of them like their neighbours.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 1_u64;
    iter::repeat_with(|| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    })
    .take(length)
    .collect()
}

/// user::rwx, user:1000:r--, group::r-x, group:70000:rwx, mask::rwx, other::---
fn acl() -> Vec<u8> {
    let none = u32::MAX;
    let entries = [
        (1, 7, none),
        (2, 4, 1000),
        (4, 5, none),
        (8, 7, 70_000),
        (0x10, 7, none),
        (0x20, 0, none),
    ];
    let mut value = 2_u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries {
        value.extend([u16::to_le_bytes(tag), u16::to_le_bytes(permissions)].concat());
        value.extend(u32::to_le_bytes(id));
    }
    value
}

fn set(path: &Path, name: &str, value: &[u8]) {
    assert!(try_set(path, name, value), "{}: {name}", path.display());
}

fn try_set(path: &Path, name: &str, value: &[u8]) -> bool {
    rustix::fs::lsetxattr(path, name, value, XattrFlags::empty()).is_ok()
}

fn set_time(path: &Path, seconds: i64) {
    let time = Timespec {
        tv_sec: seconds,
        tv_nsec: 999_999_999,
    };
    let times = Timestamps {
        last_access: time,
        last_modification: time,
    };
    rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

fn make_special(root: &Path, name: &str, kind: FileType, (major, minor): (u32, u32)) {
    let device = rustix::fs::makedev(major, minor);
    rustix::fs::mknodat(CWD, root.join(name), kind, Mode::from_raw_mode(0o640), device).unwrap();
}

fn open(image: &Path) -> Ext4 {
    let bytes = FileBytes::new(File::open(image).unwrap()).unwrap();
    assert!(is_ext4(&bytes));
    Ext4::open(Arc::new(bytes)).unwrap_or_else(|why| panic!("{}: {why}", image.display()))
}

/// Makes a file system of 160 MiB, most of it a hole.
fn make_image(image: &Path, options: &str, tree: Option<&Path>) {
    File::create(image).unwrap().set_len(160 << 20).unwrap();
    let mut arguments: Vec<&OsStr> = ["-q", "-F", "-E", "hash_seed=00000000-0000-4000-8000-000000000001"]
        .map(OsStr::new)
        .to_vec();
    arguments.extend(options.split(' ').map(OsStr::new));
    if let Some(tree) = tree {
        arguments.extend([OsStr::new("-d"), tree.as_os_str()]);
    }
    arguments.push(image.as_os_str());
    run("mke2fs", &arguments).unwrap();
}

/// An image mounted until the end of the block.
struct Mount {
    root: PathBuf,
}

impl Mount {
    /// `None` if the kernel refuses.
    fn new(scratch: &Scratch, image: &Path, options: &str) -> Option<Self> {
        let root = scratch.path("mount");
        fs::create_dir_all(&root).unwrap();
        let options = format!("loop,{options}");
        let arguments = ["-t", "ext4", "-o", &options].map(OsStr::new);
        let arguments = [&arguments[..], &[image.as_os_str(), root.as_os_str()]].concat();
        run("mount", &arguments).ok().map(|_| Self { root })
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let unmounted = run("umount", &[self.root.as_os_str()]);
        assert!(unmounted.is_ok() || thread::panicking(), "{unmounted:?}");
    }
}

/// A directory and an image that are gone after the test.
struct Scratch {
    directory: PathBuf,
    /// In memory where that is possible: file systems are written out whenever they are unmounted.
    image: PathBuf,
}

impl Scratch {
    fn new(name: &str) -> Self {
        let name = format!("driftcheck-ext4-{name}-{}", std::process::id());
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(&name);
        fs::create_dir_all(&directory).unwrap();
        let memory = Path::new("/dev/shm").join(name);
        let image = match File::create(&memory) {
            Ok(_) => memory,
            Err(_) => directory.join("image"),
        };
        Self { directory, image }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(fs::remove_file(&self.image));
        drop(fs::remove_dir_all(&self.directory));
    }
}

/// What a test needs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tools {
    /// e2fsprogs, and root for devices and owners.
    Make,
    /// These, and loop devices.
    Mount,
}

/// What of it is missing.
fn missing(tools: Tools) -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("not root".to_owned());
    }
    let version = |program: &str| Command::new(program).arg("-V").output().is_err();
    if let Some(program) = ["mke2fs", "e2fsck"].into_iter().find(|program| version(program)) {
        return Some(format!("{program} is missing"));
    }
    (tools == Tools::Mount && !Path::new("/dev/loop-control").exists()).then(|| "no loop devices".to_owned())
}

fn skip(why: &str) {
    assert!(
        env::var_os("DRIFTCHECK_REQUIRE_ORACLES").is_none_or(|set| set.is_empty()),
        "{why}, and oracles are required"
    );
    println!("skipped: {why}");
}

/// Runs a program; what it says if it fails.
fn run(program: &str, arguments: &[&OsStr]) -> Result<Vec<u8>, String> {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .map_err(|why| format!("{program}: {why}"))?;
    let said = [&output.stdout[..], &output.stderr]
        .map(String::from_utf8_lossy)
        .concat();
    if output.status.success() {
        return Ok(output.stdout);
    }
    Err(format!("{program} {arguments:?}: {said}"))
}
