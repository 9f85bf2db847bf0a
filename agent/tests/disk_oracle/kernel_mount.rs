//! File systems that mkfs and the kernel wrote, seen through a hidden mount, against the tree that they were
//! made of.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use driftcheck_agent::source::disk::recognise::{Recognised, recognise};
use driftcheck_agent::source::disk::{file, partitions};
use driftcheck_agent::source::kernel_mount::KernelMount;
use driftcheck_agent::sys::{Directory, Kind, Opened};
use rustix::io::Errno;
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};

use super::{Work, disk_like, have, have_root, run, run_with_input, tool, work};

/// By path: what is there.
type Listing = BTreeMap<Vec<u8>, String>;

fn tree(at: &Path) {
    fs::create_dir_all(at.join("etc/deep/deeper")).unwrap();
    for (name, length) in [("empty", 0), ("small", 10), ("page", 4096), ("large", 700_001)] {
        fs::write(at.join("etc").join(name), disk_like(length, 40)).unwrap();
    }
    for number in 0..500 {
        fs::write(at.join(format!("etc/deep/file{number}")), number.to_string()).unwrap();
    }
    symlink("etc/small", at.join("link")).unwrap();
    symlink("x".repeat(200), at.join("long link")).unwrap();
    fs::hard_link(at.join("etc/small"), at.join("etc/deep/deeper/other name")).unwrap();
    fs::set_permissions(at.join("etc/page"), fs::Permissions::from_mode(0o4755)).unwrap();
    std::os::unix::fs::chown(at.join("etc/large"), Some(70_000), Some(4)).unwrap();
    let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    let large = fs::File::options()
        .write(true)
        .open(at.join("etc/large"))
        .unwrap();
    large.set_modified(old).unwrap();
}

fn of_host(root: &Path) -> Listing {
    let mut listing = Listing::new();
    let mut left = vec![root.to_owned()];
    while let Some(path) = left.pop() {
        let metadata = fs::symlink_metadata(&path).unwrap();
        let mut line = format!("{:o} {}:{}", metadata.mode(), metadata.uid(), metadata.gid());
        if metadata.is_dir() {
            left.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if metadata.is_symlink() {
            write!(line, " -> {}", fs::read_link(&path).unwrap().display()).unwrap();
        } else {
            let content = sum(&fs::read(&path).unwrap());
            write!(line, " {} {} {content}", metadata.nlink(), metadata.mtime()).unwrap();
        }
        let name = path.strip_prefix(root).unwrap().as_os_str().as_bytes().to_vec();
        listing.insert(name, line);
    }
    listing
}

fn of_mount(mount: &KernelMount) -> Listing {
    try_of_mount(mount).unwrap()
}

fn try_of_mount(mount: &KernelMount) -> Result<Listing, Errno> {
    let mut listing = Listing::new();
    descend(&mount.root().unwrap(), &[], &mut listing)?;
    // What mkfs.ext4 makes by itself.
    listing.remove(&b"lost+found"[..]);
    Ok(listing)
}

fn descend(directory: &Directory, path: &[u8], listing: &mut Listing) -> Result<(), Errno> {
    let metadata = directory.metadata()?;
    let line = format!("{:o} {}:{}", metadata.mode, metadata.uid, metadata.gid);
    listing.insert(path.to_vec(), line);
    let (names, failure) = directory.names();
    if let Some(why) = failure {
        return Err(why);
    }
    for (name, _) in (0..names.len()).filter_map(|at| names.get(at)) {
        let below = [path, if path.is_empty() { b"" } else { b"/" }, name].concat();
        if let Opened::Directory(child) = directory.descend(name) {
            descend(&child, &below, listing)?;
            continue;
        }
        let handle = directory.handle(name)?;
        let metadata = handle.metadata()?;
        let mut line = format!("{:o} {}:{}", metadata.mode, metadata.uid, metadata.gid);
        if metadata.kind() == Kind::Link {
            let target = handle.read_link()?;
            write!(line, " -> {}", OsStr::from_bytes(&target).display()).unwrap();
        } else {
            // As the scan of a private view does.
            let mut content = directory.open_file(name).unwrap()?;
            assert!(content.keeps_atime());
            let mut bytes = Vec::new();
            let mut piece = vec![0; 100_000];
            loop {
                match content.read(&mut piece)? {
                    0 => break,
                    read => bytes.extend_from_slice(&piece[..read]),
                }
            }
            write!(
                line,
                " {} {} {}",
                metadata.links,
                metadata.mtime.unwrap(),
                sum(&bytes)
            )
            .unwrap();
        }
        listing.insert(below, line);
    }
    Ok(())
}

/// FNV-1a, and the length.
fn sum(bytes: &[u8]) -> String {
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{} {hash:x}", bytes.len())
}

fn blank(path: &Path) {
    fs::File::create(path).unwrap().set_len(320 << 20).unwrap();
}

/// Mounts an image at `at` the usual way, and runs something there.
fn mounted<T>(image: &Path, at: &Path, act: impl FnOnce() -> T + std::panic::UnwindSafe) -> T {
    fs::create_dir_all(at).unwrap();
    run(tool("mount").args(["-o", "loop"]).args([image, at]));
    let result = std::panic::catch_unwind(act);
    run(tool("umount").arg(at));
    result.unwrap()
}

/// Makes an image of the tree; false if the kernel does not know the file system.
fn make(work: &Work, kind: Recognised, image: &Path) -> bool {
    let tree = work.path("tree");
    let known = fs::read_to_string("/proc/filesystems").unwrap();
    let name = if kind == Recognised::Ext {
        "ext4"
    } else {
        kind.name()
    };
    if !known.lines().any(|line| line.trim() == name) {
        return super::skip(&format!("this kernel has no {name}"));
    }
    match kind {
        Recognised::Erofs => run(tool("mkfs.erofs").args(["--quiet", "-zlz4"]).args([image, &tree])),
        Recognised::Squashfs => run(tool("mksquashfs")
            .args([&tree, image])
            .args(["-quiet", "-no-progress"])),
        _ => {
            blank(image);
            run(tool(&format!("mkfs.{name}")).arg("-q").arg(image));
            mounted(image, &work.path("mnt"), || {
                run(tool("cp").arg("-a").arg(tree.join(".")).arg(work.path("mnt")))
            })
        }
    };
    true
}

const KINDS: [Recognised; 5] = [
    Recognised::Xfs,
    Recognised::Btrfs,
    Recognised::Erofs,
    Recognised::Squashfs,
    Recognised::Ext,
];

fn ready() -> bool {
    let tools = [
        "mkfs.xfs",
        "mkfs.btrfs",
        "mkfs.erofs",
        "mksquashfs",
        "mkfs.ext4",
        "mount",
        "sfdisk",
    ];
    have(&tools)
        && have_root()
        && (Path::new("/dev/loop-control").exists() || super::skip("there are no loop devices"))
}

/// The loop devices that have this file.
fn devices(image: &Path) -> Vec<String> {
    let has_it = |device: &PathBuf| {
        let file = fs::read_to_string(device.join("loop/backing_file"));
        file.is_ok_and(|file| Path::new(file.trim_end()) == image)
    };
    let all = fs::read_dir("/sys/block")
        .unwrap()
        .map(|device| device.unwrap().path());
    all.filter(has_it)
        .map(|device| format!("/dev/{}", device.file_name().unwrap().display()))
        .collect()
}

/// Whether a loop device still has this file; the kernel takes it apart a little later.
fn is_attached(image: &Path) -> bool {
    let end = Instant::now() + Duration::from_secs(10);
    while !devices(image).is_empty() {
        if Instant::now() > end {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    false
}

#[test]
fn a_hidden_mount_shows_the_tree_and_leaves_nothing_behind() {
    if !ready() {
        return;
    }
    let work = work("mount");
    tree(&work.path("tree"));
    let expected = of_host(&work.path("tree"));
    for kind in KINDS {
        let image = work.path("image");
        fs::remove_file(&image).ok();
        if !make(&work, kind, &image) {
            continue;
        }
        let before = fs::read(&image).unwrap();
        let bytes = file::open(&image).unwrap();
        assert_eq!(recognise(&*bytes).unwrap(), kind);
        let mount = KernelMount::new(&image, 0, bytes.size(), kind).unwrap();
        assert_eq!(of_mount(&mount), expected, "{kind:?}");
        // Two of the same at once: the host may run on what an image was made of.
        let other = KernelMount::new(&image, 0, bytes.size(), kind);
        match (&other, kind) {
            (Ok(other), _) => assert_eq!(of_mount(other), expected, "{kind:?}"),
            // btrfs knows a file system by its id, wherever it is.
            (Err(why), Recognised::Btrfs) => println!("the same btrfs twice: {why}"),
            (Err(why), _) => panic!("{kind:?}: {why}"),
        }
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let devices = devices(&image);
        assert!(!devices.is_empty(), "{kind:?}");
        for device in devices {
            assert!(!mounts.contains(&format!(" {device} ")), "{kind:?}: {mounts}");
        }
        // Nothing can be written, and no device opened.
        let root = mount.root().unwrap();
        let flags = rustix::fs::OFlags::WRONLY | rustix::fs::OFlags::CREATE;
        let write = rustix::fs::openat(&root, "new", flags, rustix::fs::Mode::RWXU);
        assert_eq!(write.err(), Some(Errno::ROFS));
        drop((root, mount, other));
        assert!(!is_attached(&image), "{kind:?}");
        assert!(
            fs::read(&image).unwrap() == before,
            "{kind:?}: the image was written to"
        );
    }
}

#[test]
fn a_partition_is_mounted_where_it_is() {
    if !ready() {
        return;
    }
    let work = work("mount-part");
    tree(&work.path("tree"));
    let (image, disk) = (work.path("image"), work.path("disk"));
    if !make(&work, Recognised::Xfs, &image) {
        return;
    }
    fs::File::create(&disk).unwrap().set_len(400 << 20).unwrap();
    run_with_input(
        tool("sfdisk").arg("-q").arg(&disk),
        "label: gpt\nsize=9M, type=uefi\nsize=320M\n",
    );
    let table = partitions::table(&*file::open(&disk).unwrap()).unwrap().unwrap();
    let root = table.root(None).unwrap();
    let dd = [
        format!("if={}", image.display()),
        format!("of={}", disk.display()),
        format!("seek={}", root.start),
    ];
    run(tool("dd")
        .args(dd)
        .args(["bs=1M", "oflag=seek_bytes", "conv=notrunc,sparse", "status=none"]));
    let mount = KernelMount::new(&disk, root.start, root.size, Recognised::Xfs).unwrap();
    assert_eq!(of_mount(&mount), of_host(&work.path("tree")));
    // Not all of it: the kernel says so.
    let why = KernelMount::new(&disk, root.start, root.size / 2, Recognised::Xfs).unwrap_err();
    assert!(why.0.starts_with("xfs: the kernel does not mount it: "), "{why}");
    let why = KernelMount::new(&disk, 100, root.size, Recognised::Xfs).unwrap_err();
    assert!(why.0.contains("no multiple of 512"), "{why}");
    let why = KernelMount::new(&disk, 0, root.size, Recognised::Xfs).unwrap_err();
    println!("no file system: {why}");
    assert!(why.0.starts_with("xfs: the kernel does not mount it: "), "{why}");
}

/// What was copied from under a running system: on disk it is an old state, and the log is what makes it whole.
#[test]
fn a_file_system_that_was_in_use_is_refused() {
    if !ready() {
        return;
    }
    let work = work("mount-dirty");
    tree(&work.path("tree"));
    for kind in [Recognised::Xfs, Recognised::Btrfs, Recognised::Ext] {
        let (image, copy, mnt) = (work.path("image"), work.path("copy"), work.path("mnt"));
        if !make(&work, kind, &image) {
            continue;
        }
        mounted(&image, &mnt, || {
            fs::write(mnt.join("etc/small"), "changed").unwrap();
            fs::File::open(mnt.join("etc/small")).unwrap().sync_all().unwrap();
            run(tool("cp").arg("--sparse=always").args([&image, &copy]));
        });
        let size = fs::metadata(&copy).unwrap().len();
        let why = KernelMount::new(&copy, 0, size, kind).err();
        let why = why.unwrap_or_else(|| panic!("{kind:?} was mounted"));
        assert!(why.0.contains("its log has not been replayed"), "{kind:?}: {why}");
        assert!(!is_attached(&copy), "{kind:?}");
        // The way out that is named.
        mounted(&copy, &mnt, || ());
        let mount = KernelMount::new(&copy, 0, size, kind).unwrap();
        assert!(
            of_mount(&mount)[&b"etc/small"[..]].contains(&sum(b"changed")),
            "{kind:?}"
        );
    }
}

/// Subvolumes are entered like directories, and one of them can be the root.
#[test]
fn btrfs_subvolumes_are_seen() {
    if !ready() || !have(&["btrfs"]) {
        return;
    }
    let work = work("mount-subvolume");
    let (image, mnt) = (work.path("image"), work.path("mnt"));
    blank(&image);
    run(tool("mkfs.btrfs").arg("-q").arg(&image));
    mounted(&image, &mnt, || {
        run(tool("btrfs")
            .args(["-q", "subvolume", "create"])
            .arg(mnt.join("@root")));
        tree(&mnt.join("@root"));
        run(tool("btrfs")
            .args(["-q", "subvolume", "create"])
            .arg(mnt.join("@root/var")));
        fs::write(mnt.join("@root/var/inside"), "x").unwrap();
    });
    let size = fs::metadata(&image).unwrap().len();
    let whole = of_mount(&KernelMount::new(&image, 0, size, Recognised::Btrfs).unwrap());
    assert!(whole.contains_key(&b"@root/etc/large"[..]) && whole.contains_key(&b"@root/var/inside"[..]));
    assert!(!is_attached(&image));
    let root = of_mount(&KernelMount::of_subvolume(&image, 0, size, "@root").unwrap());
    assert_eq!(root.len() + 1, whole.len());
    assert_eq!(root[&b"var/inside"[..]], whole[&b"@root/var/inside"[..]]);
    let why = KernelMount::of_subvolume(&image, 0, size, "@none").unwrap_err();
    assert!(
        why.0
            .starts_with("btrfs: the kernel does not mount it: not found"),
        "{why}"
    );
}

/// An image that is cut is refused, or its files cannot be read; they are never short.
#[test]
fn a_cut_image_does_not_shrink_files() {
    if !ready() {
        return;
    }
    let work = work("mount-cut");
    tree(&work.path("tree"));
    for kind in KINDS {
        let image = work.path("image");
        fs::remove_file(&image).ok();
        if !make(&work, kind, &image) {
            continue;
        }
        let size = fs::metadata(&image).unwrap().len();
        for part in [2, 3, 8] {
            let cut = (size - size / part) & !4095;
            let Ok(mount) = KernelMount::new(&image, 0, cut, kind) else {
                continue;
            };
            // The kernel did not notice; what it reads of the missing part fails.
            let told = try_of_mount(&mount).map(|listing| listing.len());
            assert!(told.is_err(), "{kind:?}: {told:?} of {cut} of {size} bytes");
        }
    }
}

#[test]
fn without_the_capability_it_is_said() {
    if !ready() {
        return;
    }
    let work = work("mount-rights");
    let image = work.path("image");
    blank(&image);
    let refusal = std::thread::spawn(move || {
        // Of this thread alone.
        let none = CapabilitySet::empty();
        set_capabilities(
            None,
            CapabilitySets {
                effective: none,
                permitted: none,
                inheritable: none,
            },
        )
        .unwrap();
        KernelMount::new(&image, 0, 320 << 20, Recognised::Xfs)
            .unwrap_err()
            .0
    });
    assert_eq!(
        refusal.join().unwrap(),
        "xfs: only root (CAP_SYS_ADMIN) may have the kernel read it"
    );
}

/// A block device is read like a file, unless somebody has it.
#[test]
fn a_block_device_is_a_disk() {
    if !ready() || !have(&["losetup"]) {
        return;
    }
    let work = work("mount-device");
    tree(&work.path("tree"));
    let image = work.path("image");
    if !make(&work, Recognised::Xfs, &image) {
        return;
    }
    let device = run(tool("losetup")
        .args(["--find", "--show", "--read-only"])
        .arg(&image));
    let device = PathBuf::from(device.trim());
    let seen = std::panic::catch_unwind(|| {
        let bytes = file::open(&device).unwrap();
        assert_eq!(bytes.size(), 320 << 20);
        let mut piece = vec![0; 1 << 20];
        bytes.read_exact_at(&mut piece, 0).unwrap();
        assert!(piece == fs::read(&image).unwrap()[..1 << 20]);
        assert!(bytes.read_exact_at(&mut piece, 320 << 20).is_err());
        let mount = KernelMount::new(&device, 0, bytes.size(), Recognised::Xfs).unwrap();
        assert_eq!(of_mount(&mount), of_host(&work.path("tree")));
        drop(mount);
        let mnt = work.path("mnt");
        run(tool("mount").args(["-o", "ro"]).args([&device, &mnt]));
        let why = file::open(&device).err();
        run(tool("umount").arg(&mnt));
        assert!(why.unwrap().0.contains("the device is in use"));
        file::open(&device).unwrap();
    });
    run(tool("losetup").arg("--detach").arg(&device));
    seen.unwrap();
    assert!(!is_attached(&image));
}
