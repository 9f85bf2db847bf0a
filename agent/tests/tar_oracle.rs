//! The reader of tar archives against the programs that write and extract them: GNU tar, bsdtar and Python.
//!
//! A tree with everything that a file system can hold is archived in every format, extracted, and what the reader says
//! of each member is compared with what was extracted: `lstat`, `getxattr`, SHA-256; nothing missing, nothing extra.
//!
//! Without these programs or without root the tests say `skipped: ...` and pass, unless `DRIFTCHECK_REQUIRE_ORACLES`
//! asks that they run.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, sync::Arc};

use driftcheck_agent::source::bytes::{Bytes, FileBytes};
use driftcheck_agent::source::compression::decompress_recognised;
use driftcheck_agent::source::tar::{End, Member, MemberKind, TarIndex, TarReader};
use sha2::{Digest as _, Sha256};
use tar_tree::{Holds, Odd, furnish, sparse};

mod tar_tree;

/// Whether the tools are there; if not, says so, or fails where oracles are required.
fn have(tools: &[&str]) -> bool {
    let missing = tools.iter().find(|tool| which(tool).is_none());
    let why = match missing {
        Some(tool) => format!("{tool} is missing"),
        // Only root makes devices and other users' files.
        None if fs::metadata("/proc/self").unwrap().uid() != 0 => "not root".into(),
        None => return true,
    };
    assert!(
        env::var_os("DRIFTCHECK_REQUIRE_ORACLES").is_none_or(|v| v.is_empty()),
        "{why}"
    );
    println!("skipped: {why}");
    false
}

fn which(tool: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?)
        .map(|dir| dir.join(tool))
        .find(|path| path.exists())
}

/// A directory of this test's own, empty.
fn work(name: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("tar-oracle-{name}"));
    match fs::remove_dir_all(&dir) {
        Err(why) if why.kind() != ErrorKind::NotFound => panic!("{}: {why}", dir.display()),
        _ => fs::create_dir_all(&dir).unwrap(),
    }
    dir
}

fn run(command: &mut Command) {
    let output = command
        .env("LC_ALL", "C.UTF-8")
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {told}");
}

fn sha256(mut reader: impl Read) -> (u64, [u8; 32]) {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 17];
    let mut size = 0;
    loop {
        let count = reader.read(&mut buffer).unwrap();
        if count == 0 {
            return (size, hasher.finalize().into());
        }
        hasher.update(&buffer[..count]);
        size += count as u64;
    }
}

/// Everything that the reader says, with the contents' digests.
fn read(archive: impl Read + Send) -> Vec<(Member, [u8; 32])> {
    let (_, stream) = decompress_recognised(archive).unwrap();
    let mut reader = TarReader::new(stream, End::Required);
    let mut found = Vec::new();
    while let Some(member) = reader.next_member().unwrap() {
        let (size, digest) = sha256(&mut reader);
        assert_eq!(size, member.size);
        found.push((member, digest));
    }
    found
}

/// What of the extraction is compared.
#[derive(Clone, Copy)]
struct Compare {
    xattrs: bool,
}

/// Compares what the reader says of an archive with what a program extracted from it.
fn compare(archive: &Path, root: &Path, what: Compare) {
    let listing = read(File::open(archive).unwrap());
    let mut told = BTreeSet::new();
    for (member, digest) in &listing {
        let place = member.path.escape_ascii();
        let path = root.join(OsStr::from_bytes(&member.path));
        let stat = path
            .symlink_metadata()
            .unwrap_or_else(|why| panic!("{place}: {why}"));
        assert!(told.insert(member.path.clone()), "{place} twice");
        let kind = match &member.kind {
            MemberKind::File => stat.is_file(),
            MemberKind::HardLink(target) => {
                let target = root.join(OsStr::from_bytes(target)).symlink_metadata().unwrap();
                (target.dev(), target.ino()) == (stat.dev(), stat.ino())
            }
            MemberKind::Link(target) => fs::read_link(&path).unwrap().as_os_str().as_bytes() == target,
            MemberKind::Directory => stat.is_dir(),
            MemberKind::CharDevice(major, minor) => {
                stat.file_type().is_char_device() && stat.rdev() == rustix::fs::makedev(*major, *minor)
            }
            MemberKind::BlockDevice(major, minor) => {
                stat.file_type().is_block_device() && stat.rdev() == rustix::fs::makedev(*major, *minor)
            }
            MemberKind::Fifo => stat.file_type().is_fifo(),
        };
        assert!(kind, "{place} is no {:?}", member.kind);
        if matches!(member.kind, MemberKind::HardLink(_)) {
            continue;
        }
        // The mask of an access control list takes the group's place; bsdtar leaves that to the extractor.
        let permissions = match mask(member) {
            Some(mask) => member.permissions & !0o70 | mask << 3,
            None => member.permissions,
        };
        assert_eq!(u32::from(permissions), stat.mode() & 0o7777, "{place}");
        assert_eq!((member.uid, member.gid), (stat.uid(), stat.gid()), "{place}");
        // bsdtar leaves the time of a root that is there.
        if !member.path.is_empty() {
            assert_eq!(member.mtime, stat.mtime(), "{place}");
        }
        if let MemberKind::File = member.kind {
            assert_eq!(member.size, stat.len(), "{place}");
            assert_eq!(*digest, sha256(File::open(&path).unwrap()).1, "{place}");
        }
        if what.xattrs {
            let mut found = xattrs(&path);
            // The text of an access control list is another one's to read.
            let access = found.remove("system.posix_acl_access").is_some();
            let default = found.remove("system.posix_acl_default").is_some();
            // GNU tar writes one also where there are permission bits alone.
            assert_eq!(
                (mask(member).is_some(), member.default_acl.is_some()),
                (access, default),
                "{place}"
            );
            let mut told: BTreeMap<_, _> = member.xattrs.iter().map(printable).collect();
            assert_eq!(told.len(), member.xattrs.len());
            // GNU tar writes them twice: as text and as an attribute.
            told.retain(|name, _| !name.starts_with("system.posix_acl_"));
            assert!(member.xattrs.is_sorted());
            assert_eq!(told, found, "{place}");
        }
    }
    let mut there = BTreeSet::new();
    walk(root, Path::new(""), &mut there);
    assert_eq!(told, there);
    assert!(there.len() > 10);
}

/// The mask of a member's access control list.
fn mask(member: &Member) -> Option<u16> {
    let text = String::from_utf8(member.acl.clone()?).unwrap();
    let entry = text
        .split([',', '\n'])
        .find_map(|entry| entry.strip_prefix("mask::"))?;
    let bits = entry.bytes().zip([(b'r', 4), (b'w', 2), (b'x', 1)]);
    Some(
        bits.map(|(byte, (letter, bit))| if byte == letter { bit } else { 0 })
            .sum(),
    )
}

fn walk(root: &Path, below: &Path, found: &mut BTreeSet<Vec<u8>>) {
    found.insert(below.as_os_str().as_bytes().to_vec());
    for entry in fs::read_dir(root.join(below)).unwrap() {
        let entry = entry.unwrap();
        let path = below.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            walk(root, &path, found);
        } else {
            found.insert(path.as_os_str().as_bytes().to_vec());
        }
    }
}

fn xattrs(path: &Path) -> BTreeMap<String, String> {
    let mut names = vec![0; 65536];
    let length = rustix::fs::llistxattr(path, &mut names[..]).unwrap();
    let names = names[..length]
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty());
    names
        .map(|name| {
            let mut value = vec![0; 65536];
            let length = rustix::fs::lgetxattr(path, name, &mut value[..]).unwrap();
            value.truncate(length);
            printable(&(name.to_vec(), value))
        })
        .collect()
}

fn printable((name, value): &(Vec<u8>, Vec<u8>)) -> (String, String) {
    (name.escape_ascii().to_string(), value.escape_ascii().to_string())
}

const GNU_RICH: [&str; 4] = ["--xattrs", "--xattrs-include=*", "--acls", "--selinux"];
const BSD_RICH: [&str; 2] = ["--xattrs", "--acls"];

fn gnu_extract(archive: &Path, root: &Path) {
    fs::create_dir(root).unwrap();
    run(Command::new("tar")
        // Without it, a directory whose files come late keeps the time of the last of them.
        .arg("--delay-directory-restore")
        .args(["--numeric-owner", "--same-owner", "-xpf"])
        .arg(archive)
        .arg("-C")
        .arg(root)
        .args(GNU_RICH));
}

fn bsd_extract(archive: &Path, root: &Path) {
    fs::create_dir(root).unwrap();
    run(Command::new("bsdtar")
        .args(["--numeric-owner", "--same-owner", "-xpf"])
        .arg(archive)
        .arg("-C")
        .arg(root)
        .args(BSD_RICH));
}

/// The index says the same as the reader, and gives the same contents.
fn compare_index(archive: &Path) {
    let bytes: Bytes = Arc::new(FileBytes::new(File::open(archive).unwrap()).unwrap());
    let index = TarIndex::read(&bytes, End::Required).unwrap();
    let listing = read(File::open(archive).unwrap());
    assert_eq!(index.entries.len(), listing.len());
    for (entry, (member, digest)) in index.entries.iter().zip(listing) {
        assert_eq!(entry.member, member);
        assert_eq!(sha256(entry.open(&bytes)), (entry.member.size, digest));
    }
}

#[test]
fn gnu_archives_are_read_as_they_are_extracted() {
    if !have(&["tar", "bsdtar", "setfacl"]) {
        return;
    }
    for (name, holds, options) in [
        ("v7", Holds::V7, &["--format=v7"][..]),
        ("ustar", Holds::Ustar, &["--format=ustar"]),
        ("oldgnu", Holds::Gnu, &["--format=oldgnu", "--sparse"]),
        ("gnu", Holds::Gnu, &["--format=gnu"]),
        ("gnu-sparse", Holds::Gnu, &["--format=gnu", "--sparse"]),
        ("pax", Holds::Pax, &["--format=pax"]),
        (
            "pax-00",
            Holds::Pax,
            &["--format=pax", "--sparse", "--sparse-version=0.0"],
        ),
        (
            "pax-01",
            Holds::Pax,
            &["--format=pax", "--sparse", "--sparse-version=0.1"],
        ),
        (
            "pax-10",
            Holds::Pax,
            &["--format=pax", "--sparse", "--sparse-version=1.0"],
        ),
        ("pax-label", Holds::Pax, &["--format=pax", "--label=a label"]),
        ("gnu-label", Holds::Gnu, &["--format=gnu", "--label=a label"]),
        ("gzip", Holds::Gnu, &["--format=gnu", "--gzip"]),
        ("xz", Holds::Pax, &["--format=pax", "--xz"]),
    ] {
        let dir = work(&format!("gnu-{name}"));
        let tree = dir.join("tree");
        let odd = match name {
            "pax" => Odd::NamesAndTimes,
            _ => Odd::Nothing,
        };
        furnish(&tree, holds, odd);
        let archive = dir.join("archive");
        let mut command = Command::new("tar");
        command.args(options).arg("-cf").arg(&archive);
        if holds >= Holds::Pax {
            command.args(GNU_RICH);
        }
        run(command.arg("-C").arg(&tree).arg("."));
        println!("{name}");
        let what = Compare {
            xattrs: holds >= Holds::Pax,
        };
        compare(&archive, &tree, what);
        gnu_extract(&archive, &dir.join("gnu"));
        compare(&archive, &dir.join("gnu"), what);
        // bsdtar does not extract names that are not UTF-8 and lists with numbers for names as GNU tar writes them.
        if holds < Holds::Pax {
            bsd_extract(&archive, &dir.join("bsd"));
            compare(&archive, &dir.join("bsd"), what);
        }
        if !["gzip", "xz"].contains(&name) {
            compare_index(&archive);
        }
        fs::remove_dir_all(dir).unwrap();
    }
}

#[test]
fn bsdtar_archives_are_read_as_they_are_extracted() {
    if !have(&["tar", "bsdtar", "setfacl"]) {
        return;
    }
    for (name, holds, options) in [
        ("v7", Holds::V7, &["--format=v7"][..]),
        ("ustar", Holds::Ustar, &["--format=ustar"]),
        ("gnutar", Holds::Gnu, &["--format=gnutar"]),
        ("pax", Holds::Pax, &["--format=pax"]),
        ("pax-odd", Holds::Pax, &["--format=pax"]),
        (
            "pax-schily",
            Holds::Pax,
            &["--format=pax", "--options=xattrheader=SCHILY"],
        ),
        (
            "pax-libarchive",
            Holds::Pax,
            &["--format=pax", "--options=xattrheader=LIBARCHIVE"],
        ),
        ("pax-dense", Holds::Pax, &["--format=pax", "--no-read-sparse"]),
        ("zstd", Holds::Pax, &["--format=pax", "--zstd"]),
    ] {
        let dir = work(&format!("bsd-{name}"));
        let tree = dir.join("tree");
        let odd = match name {
            "pax-odd" => Odd::Names,
            _ => Odd::Nothing,
        };
        furnish(&tree, holds, odd);
        let archive = dir.join("archive");
        let mut command = Command::new("bsdtar");
        command.args(options).arg("-cf").arg(&archive);
        if holds >= Holds::Pax {
            command.args(BSD_RICH);
        } else {
            command.args(["--no-xattrs", "--no-acls"]);
        }
        run(command.arg("-C").arg(&tree).arg("."));
        println!("{name}");
        let what = Compare {
            xattrs: holds >= Holds::Pax,
        };
        // Elsewhere it makes times before 1970 those of its beginning.
        if holds >= Holds::Pax {
            compare(&archive, &tree, what);
        }
        if odd == Odd::Nothing {
            bsd_extract(&archive, &dir.join("bsd"));
            compare(&archive, &dir.join("bsd"), what);
        }
        if odd == Odd::Nothing && name != "pax-libarchive" {
            gnu_extract(&archive, &dir.join("gnu"));
            compare(&archive, &dir.join("gnu"), what);
        }
        fs::remove_dir_all(dir).unwrap();
    }
}

/// `chattr +i` and `+a`, which bsdtar alone writes.
#[test]
fn flags_are_read_as_they_are_extracted() {
    if !have(&["bsdtar", "chattr", "lsattr"]) {
        return;
    }
    let dir = work("flags");
    let tree = dir.join("tree");
    fs::create_dir(&tree).unwrap();
    for (name, flags) in [
        ("immutable", "+i"),
        ("append", "+a"),
        ("both", "+ia"),
        ("none", "+d"),
    ] {
        let path = tree.join(name);
        fs::write(&path, name).unwrap();
        run(Command::new("chattr").arg(flags).arg(&path));
    }
    let archive = dir.join("archive");
    run(Command::new("bsdtar")
        .args(["--format=pax", "--fflags", "-cf"])
        .arg(&archive)
        .arg("-C")
        .arg(&tree)
        .arg("."));
    let flags: BTreeMap<_, _> = read(File::open(&archive).unwrap())
        .into_iter()
        .map(|(member, _)| (member.path, (member.immutable, member.append_only)))
        .collect();
    run(Command::new("chattr").args(["-R", "-i", "-a"]).arg(&tree));
    for (name, expected) in [
        ("immutable", (true, false)),
        ("append", (false, true)),
        ("both", (true, true)),
        ("none", (false, false)),
        ("", (false, false)),
    ] {
        assert_eq!(flags[name.as_bytes()], expected, "{name}");
    }
}

/// Python's `tarfile`, which has its own ideas of padding, numbers and records.
#[test]
fn archives_of_python_are_read_as_they_are_extracted() {
    if !have(&["python3", "tar", "setfacl"]) {
        return;
    }
    for (name, holds) in [("USTAR", Holds::Ustar), ("GNU", Holds::Gnu), ("PAX", Holds::Gnu)] {
        let dir = work(&format!("python-{name}"));
        let tree = dir.join("tree");
        furnish(&tree, holds, Odd::Nothing);
        let archive = dir.join("archive");
        let program = format!(
            "import sys, tarfile\n\
             archive = tarfile.open(sys.argv[1], 'w', format=tarfile.{name}_FORMAT)\n\
             archive.add(sys.argv[2], '.')\n\
             archive.close()"
        );
        run(Command::new("python3")
            .args(["-c", &program])
            .arg(&archive)
            .arg(&tree));
        println!("{name}");
        compare(&archive, &tree, Compare { xattrs: false });
        gnu_extract(&archive, &dir.join("gnu"));
        compare(&archive, &dir.join("gnu"), Compare { xattrs: false });
        compare_index(&archive);
        fs::remove_dir_all(dir).unwrap();
    }
}

/// More than the 33 bits that octal digits have room for. Bytes.
const SIZE: u64 = 9 << 30;

#[test]
fn sparse_file_of_nine_gibibytes_is_read() {
    if !have(&["tar", "bsdtar"]) {
        return;
    }
    let dir = work("huge");
    let place = SIZE - (1 << 20) - 4096;
    sparse(&dir.join("huge"), SIZE, &[(place, b"needle")]);
    for (program, options) in [
        ("tar", &["--format=gnu", "--sparse"][..]),
        ("tar", &["--format=pax", "--sparse"]),
        ("bsdtar", &["--format=pax"]),
    ] {
        let archive = dir.join("archive");
        run(Command::new(program)
            .args(options)
            .arg("-cf")
            .arg(&archive)
            .arg("-C")
            .arg(&dir)
            .arg("huge"));
        let mut reader = TarReader::new(File::open(&archive).unwrap(), End::Required);
        let member = reader.next_member().unwrap().unwrap();
        assert_eq!((member.size, &member.path[..]), (SIZE, &b"huge"[..]));
        let mut buffer = vec![0; 1 << 20];
        let mut at = 0;
        let mut found = Vec::new();
        loop {
            let count = reader.read(&mut buffer).unwrap();
            if count == 0 {
                break;
            }
            if let Some(there) = buffer[..count].iter().position(|byte| *byte != 0) {
                found.push(at + there as u64);
                assert_eq!(&buffer[there..there + 6], b"needle");
            }
            at += count as u64;
        }
        assert_eq!((at, found), (SIZE, vec![place]));
        assert_eq!(reader.next_member().unwrap(), None);
    }
    fs::remove_dir_all(dir).unwrap();
}
