//! Programs, mounts and places for tests.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, thread};

/// Makes a file system of 160 MiB, most of it a hole.
pub(super) fn make_image(image: &Path, options: &str, tree: Option<&Path>) {
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
pub(super) struct Mount {
    pub(super) root: PathBuf,
}

impl Mount {
    /// `None` if the kernel refuses.
    pub(super) fn new(scratch: &Scratch, image: &Path, options: &str) -> Option<Self> {
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
pub(super) struct Scratch {
    directory: PathBuf,
    /// In memory where that is possible: file systems are written out whenever they are unmounted.
    pub(super) image: PathBuf,
}

impl Scratch {
    pub(super) fn new(name: &str) -> Self {
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

    pub(super) fn path(&self, name: &str) -> PathBuf {
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
pub(super) enum Tools {
    /// e2fsprogs, and root for devices and owners.
    Make,
    /// These, and loop devices.
    Mount,
}

/// What of it is missing.
pub(super) fn missing(tools: Tools) -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("not root".to_owned());
    }
    let version = |program: &str| Command::new(program).arg("-V").output().is_err();
    if let Some(program) = ["mke2fs", "e2fsck"].into_iter().find(|program| version(program)) {
        return Some(format!("{program} is missing"));
    }
    (tools == Tools::Mount && !Path::new("/dev/loop-control").exists()).then(|| "no loop devices".to_owned())
}

pub(super) fn skip(why: &str) {
    assert!(
        env::var_os("DRIFTCHECK_REQUIRE_ORACLES").is_none_or(|set| set.is_empty()),
        "{why}, and oracles are required"
    );
    println!("skipped: {why}");
}

/// Runs a program; what it says if it fails.
pub(super) fn run(program: &str, arguments: &[&OsStr]) -> Result<Vec<u8>, String> {
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
