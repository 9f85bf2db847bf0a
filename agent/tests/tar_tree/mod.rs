//! Trees with everything that an archive can hold.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use rustix::fs::{AtFlags, CWD, FileType, Mode, Timespec, Timestamps, XattrFlags};

use super::run;

/// What a format can hold; each holds what the ones before it hold.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Holds {
    /// Short names, plain files.
    V7,
    /// Devices, paths of 255 bytes.
    Ustar,
    /// Names of any length, large numbers, negative times.
    Gnu,
    /// Extended attributes.
    Pax,
}

/// What not every program reads as every other writes it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Odd {
    Nothing,
    /// `%` and `=` in names of extended attributes.
    Names,
    /// Fractions of seconds before 1970, which bsdtar counts upwards.
    NamesAndTimes,
}

/// A tree with everything that a format holds.
pub(crate) fn furnish(root: &Path, holds: Holds, odd: Odd) {
    let put = |name: &[u8], content: &[u8]| {
        let path = root.join(OsStr::from_bytes(name));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    };
    let chown = |path: &Path, uid, gid| std::os::unix::fs::lchown(path, Some(uid), Some(gid)).unwrap();
    let setuid = put(b"bin/setuid", &vec![7; 100_000]);
    chown(&setuid, 12, 34);
    fs::set_permissions(&setuid, PermissionsExt::from_mode(0o6755)).unwrap();
    put(b"empty", b"");
    put(b"one block", &[1; 512]);
    put(b"one more", &[1; 513]);
    put(b"new\nline \x1b caf\xff", b"odd name");
    fs::hard_link(root.join("empty"), root.join("bin/hard")).unwrap();
    symlink("../empty/../nowhere", root.join("bin/soft")).unwrap();
    chown(&root.join("bin/soft"), 5, 6);
    fs::hard_link(root.join("bin/soft"), root.join("zz hard soft")).unwrap();
    fs::create_dir(root.join("sticky")).unwrap();
    fs::set_permissions(root.join("sticky"), PermissionsExt::from_mode(0o1777)).unwrap();
    put(b"dir/below", b"x");
    if holds >= Holds::Ustar {
        put(&[&b"p/".repeat(70)[..], b"name"].concat(), b"prefix");
        for (name, kind, major, minor) in [
            ("char", FileType::CharacterDevice, 1, 3),
            ("block", FileType::BlockDevice, 259, 70_000),
            ("fifo", FileType::Fifo, 0, 0),
        ] {
            let device = rustix::fs::makedev(major, minor);
            rustix::fs::mknodat(CWD, root.join(name), kind, Mode::from_raw_mode(0o640), device).unwrap();
        }
    }
    if holds >= Holds::Gnu {
        let long = put(
            &[&b"d".repeat(200)[..], b"/", &b"n".repeat(255)].concat(),
            b"long",
        );
        let prefix = root.join("p/".repeat(70));
        symlink(long.strip_prefix(root).unwrap(), prefix.join("to long")).unwrap();
        fs::hard_link(&long, prefix.join(format!("hard {}", "h".repeat(200)))).unwrap();
        symlink("t/".repeat(2047), root.join("longest target")).unwrap();
        let large = put(b"large ids", b"");
        chown(&large, 3_000_000_000, 4_294_967_294);
    }
    if holds >= Holds::Pax {
        let rich = put(b"rich", b"rich");
        // VFS_CAP_REVISION_2 with CAP_NET_RAW, effective.
        let mut capability = [0; 20];
        capability[..6].copy_from_slice(&[1, 0, 0, 2, 0, 0x20]);
        let mut xattrs = vec![
            ("security.capability", &capability[..]),
            ("security.selinux", b"system_u:object_r:bin_t:s0\0"),
            ("user.binary", b"\n12 a=b\n\0\xff="),
            ("user.empty", b""),
            ("user.long", &[b'v'; 300]),
        ];
        if odd >= Odd::Names {
            xattrs.push(("user.a%b=c", b"odd"));
            xattrs.push(("user.a%25b", b"odder"));
        }
        for (name, value) in xattrs {
            rustix::fs::setxattr(&rich, name, value, XattrFlags::empty()).unwrap();
        }
        for path in ["bin/soft", "fifo", "dir"] {
            rustix::fs::lsetxattr(root.join(path), "trusted.t", b"t", XattrFlags::empty()).unwrap();
        }
        run(Command::new("setfacl")
            .args(["-m", "u:nobody:rwx,g:12345:r"])
            .arg(&rich));
        run(Command::new("setfacl")
            .args(["-d", "-m", "u:nobody:rwx"])
            .arg(root.join("dir")));
    }
    sparse(
        &root.join("sparse"),
        1 << 20,
        &[(0, b"begin"), (1 << 16, &[3; 5000]), (1 << 19, b"end")],
    );
    sparse(&root.join("hole at the end"), 3 << 20, &[(1 << 20, b"middle")]);
    sparse(&root.join("hole"), 1 << 20, &[]);
    let many: Vec<_> = (0..200_u64).map(|i| (i << 14, &b"segment"[..])).collect();
    sparse(&root.join("many holes"), 200 << 14, &many);
    let times: &[(&str, i64, i64)] = match holds {
        Holds::V7 | Holds::Ustar => &[("empty", 0, 0), ("dir", 8_000_000_000, 0)],
        _ => &[
            ("empty", -1, 0),
            ("bin/setuid", -2, 500_000_000),
            ("bin/soft", -2_000_000_000, 1),
            ("dir", 12_000_000_000, 500_000_000),
        ],
    };
    for (path, seconds, nanoseconds) in times {
        let fraction = *seconds > 0 || odd >= Odd::NamesAndTimes;
        let time = Timespec {
            tv_sec: *seconds,
            tv_nsec: if fraction { *nanoseconds } else { 0 },
        };
        let times = Timestamps {
            last_access: time,
            last_modification: time,
        };
        rustix::fs::utimensat(CWD, root.join(path), &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
    }
}

/// A file of `size` bytes with data at some places.
pub(crate) fn sparse(path: &Path, size: u64, data: &[(u64, &[u8])]) {
    let mut file = File::create(path).unwrap();
    file.set_len(size).unwrap();
    for (offset, bytes) in data {
        file.seek(SeekFrom::Start(*offset)).unwrap();
        file.write_all(bytes).unwrap();
    }
    file.sync_all().unwrap();
}
