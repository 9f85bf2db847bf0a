//! Roots to be recorded and audited.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{AtFlags, CWD, FileType, Mode, Timespec, Timestamps};

/// A root in the making.
#[derive(Debug)]
pub struct Tree {
    path: PathBuf,
}

impl Tree {
    /// A root that is there already.
    #[must_use]
    pub const fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// An empty root.
    #[must_use]
    pub fn empty(path: PathBuf) -> Self {
        fs::create_dir_all(&path).unwrap();
        set_mode(&path, 0o755);
        Self { path }
    }

    /// A small system: accounts, programs, settings, data, a package database.
    #[must_use]
    pub fn small(path: PathBuf) -> Self {
        let tree = Self::empty(path);
        tree.file("etc/passwd", PASSWD, 0o644);
        tree.file("etc/group", GROUP, 0o644);
        tree.file("etc/shadow", SHADOW, 0o600);
        tree.file("etc/sudoers", SUDOERS, 0o440);
        tree.file("etc/hostname", "made\n", 0o644);
        tree.file("etc/motd", "be good\n", 0o644);
        tree.link("etc/motd.link", "motd");
        tree.file("usr/bin/tool", "#!/bin/sh\nexit 0\n", 0o755);
        tree.file("srv/data/a", "a\n", 0o644);
        tree.file("srv/data/sub/b", "b\n", 0o644);
        tree.file("var/lib/dpkg/status", STATUS, 0o644);
        tree.directory("dev");
        tree.directory("root");
        tree
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A path in it.
    #[must_use]
    pub fn join(&self, path: impl AsRef<Path>) -> PathBuf {
        self.path.join(path)
    }

    /// Makes a directory, and those above it.
    pub fn directory(&self, path: impl AsRef<Path>) {
        let mut made = self.path.clone();
        for part in path.as_ref().components() {
            made.push(part);
            if !made.exists() {
                fs::create_dir(&made).unwrap();
                set_mode(&made, 0o755);
            }
        }
    }

    /// Makes or replaces a file.
    pub fn file(&self, path: impl AsRef<Path>, content: impl AsRef<[u8]>, mode: u32) {
        self.directory(path.as_ref().parent().expect("a file has a directory"));
        let path = self.join(path);
        fs::write(&path, content).unwrap();
        set_mode(&path, mode);
    }

    /// Makes a symbolic link.
    pub fn link(&self, path: impl AsRef<Path>, target: impl AsRef<Path>) {
        self.directory(path.as_ref().parent().expect("a link has a directory"));
        symlink(target, self.join(path)).unwrap();
    }

    /// Changes permissions.
    pub fn mode(&self, path: impl AsRef<Path>, mode: u32) {
        set_mode(&self.join(path), mode);
    }

    /// Replaces a part of a file's text, which must be there once.
    pub fn edit(&self, path: impl AsRef<Path>, from: &str, to: &str) {
        let path = self.join(path);
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.matches(from).count(), 1, "{from:?} in {}", path.display());
        fs::write(&path, text.replace(from, to)).unwrap();
    }
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Makes a FIFO or a device node.
pub fn make_node(path: &Path, kind: FileType, (major, minor): (u32, u32)) {
    let device = rustix::fs::makedev(major, minor);
    rustix::fs::mknodat(CWD, path, kind, Mode::from_raw_mode(0o644), device).unwrap();
    // Whatever the umask made of it.
    set_mode(path, 0o644);
}

/// Sets access and modification time. Seconds since 1970.
pub fn set_times(path: &Path, access: i64, modification: i64) {
    let time = |tv_sec| Timespec { tv_sec, tv_nsec: 0 };
    let times = Timestamps {
        last_access: time(access),
        last_modification: time(modification),
    };
    rustix::fs::utimensat(CWD, path, &times, AtFlags::empty()).unwrap();
}

/// Runs a tool, which must succeed.
pub fn tool<A: AsRef<std::ffi::OsStr>>(name: &str, arguments: impl IntoIterator<Item = A>) -> String {
    let output = Command::new(name)
        .args(arguments)
        .env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        )
        .output();
    let output = output.unwrap_or_else(|why| panic!("{name}: {why}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}: {errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Whether a tool is there and succeeds.
pub(crate) fn succeeds(name: &str, arguments: &[&str]) -> bool {
    let quiet = Command::new(name)
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    quiet.is_ok_and(|status| status.success())
}

/// A digest as a report writes it, from another program than the one under test.
#[must_use]
pub fn sha256(content: impl AsRef<[u8]>) -> String {
    let mut child = Command::new("sha256sum")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("sha256sum is there");
    let mut stdin = child.stdin.take().expect("it is piped");
    stdin.write_all(content.as_ref()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    format!("sha256:{}", text.split(' ').next().unwrap_or_default())
}

const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nbob:x:1000:1000:Bob:/home/bob:/bin/sh\n";
const GROUP: &str = "root:x:0:\nsudo:x:27:\nstaff:x:50:bob\nbob:x:1000:\n";
const SHADOW: &str = "root:*:19000:0:99999:7:::\nbob:!:19000:0:99999:7:::\n";
const SUDOERS: &str = "Defaults env_reset\nroot ALL=(ALL:ALL) ALL\n";
const STATUS: &str = "\
Package: libsmall
Status: install ok installed
Architecture: amd64
Version: 1:2.0-3
Description: one

Package: tool
Status: install ok installed
Architecture: amd64
Version: 1.10-1
Description: two

";
