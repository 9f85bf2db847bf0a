//! Trees with everything that file systems can hold.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::iter;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FallocateFlags, FileType, Mode, Timespec, Timestamps, XattrFlags};

use super::tools::run;

/// Makes a tree with everything that a file system without special support can hold.
pub(super) fn build_tree(root: &Path) {
    fs::create_dir(root).unwrap();
    let file = |name: &str, content: &[u8]| {
        fs::write(root.join(name), content).unwrap();
        root.join(name)
    };
    file("empty", b"");
    fs::set_permissions(file("setuid", b"#!"), fs::Permissions::from_mode(0o6755)).unwrap();
    fs::set_permissions(file("secret", b"x"), fs::Permissions::from_mode(0o0)).unwrap();
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

/// Makes what only a mounted file system can get. Gives the length of the longest value of an attribute.
pub(super) fn build_with_kernel(root: &Path) -> usize {
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
    let mut longest = 0;
    for length in [900, 3000, 5000, 20_000, 65_536] {
        let path = file(&format!("attribute-{length}"), b"x");
        if try_set(&path, "user.large", &noise(length)) {
            longest = length;
        }
        // The same again, so that inodes of values are shared.
        try_set(
            &file(&format!("attribute-{length}-again"), b"x"),
            "user.large",
            &noise(length),
        );
    }
    assert!(longest > 0);
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
    if root.join("again").exists() {
        fs::remove_file(root.join("length-4097")).unwrap();
        fs::remove_dir_all(root.join("names-5")).unwrap();
        fs::rename(root.join("again"), made.join("renamed")).unwrap();
    }
    longest
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

/// `user::rwx,user:1000:r--,group::r-x,group:70000:rwx,mask::rwx,other::---`
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
