//! A directory that goes away with the test, whatever the test did in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A directory of one test.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// Makes an empty directory. `name` must be unique among the tests; what an aborted run left is removed.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let path = directory().join(name);
        remove(&path);
        fs::create_dir_all(&path).expect("a scratch directory can be made");
        Self { path }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A path in it.
    #[must_use]
    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        remove(&self.path);
        assert!(
            std::thread::panicking() || !self.path.exists(),
            "{} stays behind",
            self.path.display()
        );
    }
}

/// `CARGO_TARGET_TMPDIR`, which cargo tells only while it builds: `tmp` beside the profile of this program.
fn directory() -> PathBuf {
    let own = std::env::current_exe().expect("a program knows its own path");
    own.ancestors()
        .nth(3)
        .expect("cargo puts tests into target/PROFILE/deps")
        .join("tmp")
        .join("e2e")
}

/// Removes a tree, also what refuses to go: immutable files and directories that nobody may enter.
fn remove(path: &Path) {
    if fs::symlink_metadata(path).is_err() || fs::remove_dir_all(path).is_ok() {
        return;
    }
    for (program, arguments) in [
        ("chattr", &["-R", "-f", "-i", "-a"][..]),
        ("chmod", &["-R", "u+rwx"]),
    ] {
        // Either may be missing or fail on parts; what counts is whether the tree goes afterwards.
        Command::new(program)
            .args(arguments)
            .arg(path)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .ok();
    }
    fs::remove_dir_all(path).ok();
}
