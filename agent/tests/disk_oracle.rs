//! The readers of disks against what nobody here wrote: qemu-img, sfdisk, sgdisk, and the kernel's own mounts.
//!
//! Without the tools, or root where it is needed, these tests say `skipped: ...` and pass, unless
//! `DRIFTCHECK_REQUIRE_ORACLES` asks that they run.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

#[path = "disk_oracle/kernel_mount.rs"]
mod kernel_mount;
#[path = "disk_oracle/partitions.rs"]
mod partitions;
#[path = "disk_oracle/qcow2.rs"]
mod qcow2;
#[path = "disk_oracle/recognise.rs"]
mod recognise;

/// Whether the tools are there; if not, says so, or fails where oracles are required.
fn have(tools: &[&str]) -> bool {
    match tools.iter().find(|tool| which(tool).is_none()) {
        Some(tool) => skip(&format!("{tool} is missing")),
        None => true,
    }
}

/// Whether this is root.
fn have_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    fs::metadata("/proc/self").unwrap().uid() == 0 || skip("not root")
}

fn skip(why: &str) -> bool {
    assert!(
        env::var_os("DRIFTCHECK_REQUIRE_ORACLES").is_none_or(|value| value.is_empty()),
        "{why}"
    );
    println!("skipped: {why}");
    false
}

fn which(tool: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .map(|dir| dir.join(tool))
        .find(|path| path.exists())
}

/// A directory of this test's own, empty; it is gone when the test has passed.
struct Work(PathBuf);

fn work(name: &str) -> Work {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("disk-oracle-{name}"));
    match fs::remove_dir_all(&dir) {
        Err(why) if why.kind() != ErrorKind::NotFound => panic!("{}: {why}", dir.display()),
        _ => fs::create_dir_all(&dir).unwrap(),
    }
    Work(fs::canonicalize(dir).unwrap())
}

impl Work {
    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }
}

/// A tool, wherever it is.
fn tool(name: &str) -> Command {
    Command::new(which(name).unwrap())
}

fn run(command: &mut Command) -> String {
    let output = command.stderr(Stdio::piped()).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {told}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn run_with_input(command: &mut Command, input: &str) {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success(), "{command:?}");
}

/// Numbers that look random and are the same each time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        // xorshift64.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// Bytes as disks have them: runs of zeros, of text, and of noise.
fn disk_like(length: usize, seed: u64) -> Vec<u8> {
    let mut random = Random(seed);
    let mut bytes = Vec::with_capacity(length + (1 << 20));
    while bytes.len() < length {
        let run = 1 + usize::try_from(random.below(300_000)).unwrap();
        match random.below(4) {
            0 => bytes.resize(bytes.len() + run, 0),
            1 => bytes.extend((0..run).map(|_| random.next().to_le_bytes()[3])),
            _ => bytes.extend(
                b"all work and no play makes jack a dull boy\n"
                    .iter()
                    .cycle()
                    .take(run),
            ),
        }
    }
    bytes.truncate(length);
    bytes
}
