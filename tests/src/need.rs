//! What a test needs of the machine that it runs on.

use std::path::{Path, PathBuf};

/// Something that not every machine has.
#[derive(Clone, Copy, Debug)]
pub enum Need {
    /// The rights of root.
    Root,
    /// A program in `PATH`.
    Tool(&'static str),
    /// A module of the system's Python.
    PythonModule(&'static str),
    /// The right to make a private mount namespace.
    MountNamespace,
    /// One root packed as every kind of image; see [`images`].
    Images,
}

/// Whether all needs are met. If not, says so and the test passes as skipped; where everything is required
/// (`DRIFTCHECK_REQUIRE_ORACLES=1`), the test fails instead, so that a build service cannot skip in silence.
#[must_use]
pub fn met(needs: &[Need]) -> bool {
    let Some(missing) = needs.iter().find_map(|need| need.missing()) else {
        return true;
    };
    let required = std::env::var_os("DRIFTCHECK_REQUIRE_ORACLES").is_some_and(|value| value == "1");
    assert!(
        !required,
        "{missing}, and DRIFTCHECK_REQUIRE_ORACLES=1 requires it"
    );
    println!("skipped: {missing}");
    false
}

impl Need {
    fn missing(self) -> Option<String> {
        match self {
            Self::Root if rustix::process::geteuid().is_root() => None,
            Self::Root => Some("needs the rights of root".to_owned()),
            Self::Tool(name) if in_path(name) => None,
            Self::Tool(name) => Some(format!("needs the program `{name}`")),
            Self::PythonModule(name) => {
                let script = format!("import {name}");
                let found = crate::root::succeeds("python3", &["-W", "ignore", "-c", &script]);
                (!found).then(|| format!("needs python3 with the module `{name}`"))
            }
            Self::Images => {
                let found = images().join("complete").exists();
                (!found).then(|| "needs the images that tests/setup/images.sh makes".to_owned())
            }
            Self::MountNamespace => {
                let found = crate::root::succeeds("unshare", &["-m", "true"]);
                (!found).then(|| "needs the right to make a mount namespace".to_owned())
            }
        }
    }
}

/// Where `tests/setup/images.sh` puts its images.
#[must_use]
pub fn images() -> PathBuf {
    let cache = std::env::var_os("DRIFTCHECK_CACHE");
    cache
        .map_or_else(|| PathBuf::from("/var/tmp/driftcheck-cache"), PathBuf::from)
        .join("images-3")
}

fn in_path(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain([Path::new("/usr/sbin").to_owned(), Path::new("/sbin").to_owned()])
        .any(|directory| directory.join(name).is_file())
}
