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
use std::path::Path;
use std::sync::Arc;
use std::thread;

use driftcheck_agent::source::bytes::FileBytes;
use driftcheck_agent::source::ext4::{Ext4, is_ext4};
use driftcheck_agent::source::file_system::{Attributes, Fault, FileSystem, Node};
use driftcheck_agent::sys::Kind;
use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags};

#[path = "ext4_oracle/tools.rs"]
mod tools;
#[path = "ext4_oracle/trees.rs"]
mod trees;

use tools::{Mount, Scratch, Tools, make_image, missing, run, skip};
use trees::{build_tree, build_with_kernel};

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
            let longest = build_with_kernel(&mount.root);
            assert_eq!(longest == 65_536, options.contains("ea_inode"), "{longest}");
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

/// 70,000 directories in one are more than its link count can tell, and, with such names, make its hash tree as deep
/// as they come.
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
            fs::create_dir(mount.root.join(format!("{nth:0200}"))).unwrap();
        }
    }
    let ext4 = open(&image);
    assert_eq!(ext4.attributes(ext4.root()).unwrap().links, 1);
    assert_eq!(ext4.children(ext4.root()).unwrap().len(), 70_001);
    assert_eq!(ext4.expected(), 70_001);
}

/// The journal of a running system holds changes that are nowhere else yet.
#[test]
fn images_of_running_systems_are_refused() {
    if let Some(why) = missing(Tools::Mount) {
        return skip(&why);
    }
    let scratch = Scratch::new("running");
    make_image(&scratch.image, "-t ext4", None);
    let mount = Mount::new(&scratch, &scratch.image, "rw").unwrap();
    build_with_kernel(&mount.root);
    rustix::fs::syncfs(File::open(&mount.root).unwrap()).unwrap();
    let copy = scratch.path("copy");
    fs::copy(&scratch.image, &copy).unwrap();
    let why = try_open(&copy).map(drop).unwrap_err();
    assert_eq!(
        why.0,
        "the journal has not been replayed: the image was taken from a running or crashed system; \
         run `e2fsck -p` on a copy"
    );
    // The flag alone may have been lost.
    run(
        "debugfs",
        &["-w", "-R", "feature ^needs_recovery"]
            .map(OsStr::new)
            .into_iter()
            .chain([copy.as_os_str()])
            .collect::<Vec<_>>(),
    )
    .unwrap();
    assert_eq!(try_open(&copy).map(drop).unwrap_err(), why);
    fs::copy(&scratch.image, &copy).unwrap();
    // Exit code 1: errors were mended.
    run("e2fsck", &[OsStr::new("-p"), copy.as_os_str()]).ok();
    compare(&open(&copy), &mount.root, Against::Kernel);
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

fn open(image: &Path) -> Ext4 {
    try_open(image).unwrap_or_else(|why| panic!("{}: {why}", image.display()))
}

fn try_open(image: &Path) -> Result<Ext4, Fault> {
    let bytes = FileBytes::new(File::open(image).unwrap()).unwrap();
    assert!(is_ext4(&bytes));
    Ext4::open(Arc::new(bytes))
}
