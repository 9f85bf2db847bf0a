//! What a root says of itself: name, system, owners.

use std::collections::HashMap;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use baseline_format::OsText;
use baseline_format::report::{Host, HostImage};

use crate::scan::Owners;
use crate::source::Source;
use crate::stamp;
use crate::tree::Tree;

/// Files that say who and what a host is are short. Bytes.
const SHORT: u64 = 64 << 10;
/// Account files. Bytes.
const ACCOUNTS: u64 = 64 << 20;

/// Describes the host whose root `source` is.
#[must_use]
pub fn describe(source: &Source) -> Host {
    let tree = source.tree();
    let first_line = |path: &str| {
        let bytes = tree.read(path.as_bytes(), SHORT).ok()?;
        let line = bytes.split(|byte| *byte == b'\n').next()?.trim_ascii();
        (!line.is_empty()).then(|| OsText::new(line))
    };
    let running = || {
        let name = rustix::system::uname();
        source
            .is_running_system()
            .then(|| OsText::new(name.nodename().to_bytes()))
    };
    Host {
        root: source.name.clone(),
        name: running().or_else(|| first_line("/etc/hostname")),
        machine_id: first_line("/etc/machine-id"),
        os: system(tree),
        image: image(tree),
    }
}

/// What the root's stamp says. One that cannot be read is told by the `image` section.
fn image(tree: &dyn Tree) -> Option<HostImage> {
    let identity = stamp::read(tree).ok()??.identity;
    Some(HostImage {
        name: identity.name,
        version: identity.version,
    })
}

/// `ID` and `VERSION_ID` of os-release(5), e.g. `debian 12`.
pub(crate) fn system(tree: &dyn Tree) -> Option<OsText> {
    let text = tree
        .read(b"/etc/os-release", SHORT)
        .or_else(|_| tree.read(b"/usr/lib/os-release", SHORT))
        .ok()?;
    let value = |name: &[u8]| {
        text.split(|byte| *byte == b'\n')
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(b"="))
            .map(|value| value.trim_ascii().trim_prefix_quotes())
    };
    let id = value(b"ID")?;
    let version = value(b"VERSION_ID").unwrap_or_default();
    Some(OsText::new([id, version].join(&b' ').trim_ascii()))
}

/// Values in os-release may be quoted.
trait Quoted {
    fn trim_prefix_quotes(&self) -> &[u8];
}

impl Quoted for [u8] {
    fn trim_prefix_quotes(&self) -> &[u8] {
        for quote in [b"\"", b"'"] {
            if let Some(inner) = self.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote)) {
                return inner;
            }
        }
        self
    }
}

/// Names of users and groups from the root's own files. Without them entries have numbers only.
#[must_use]
pub fn owners(tree: &dyn Tree) -> Owners {
    let names = |path: &[u8]| {
        let mut names = HashMap::new();
        let text = tree.read(path, ACCOUNTS).unwrap_or_default();
        for line in text.split(|byte| *byte == b'\n') {
            let mut fields = line.split(|byte| *byte == b':');
            let (Some(name), Some(id)) = (fields.next(), fields.nth(1)) else {
                continue;
            };
            if let Some(id) = std::str::from_utf8(id).ok().and_then(|id| id.parse().ok()) {
                // The first name of a number is the one that programs show.
                names.entry(id).or_insert_with(|| name.to_vec());
            }
        }
        names
    };
    Owners {
        users: names(b"/etc/passwd"),
        groups: names(b"/etc/group"),
    }
}

/// Bytes as a path of this machine.
#[must_use]
pub fn as_path(bytes: &[u8]) -> &Path {
    Path::new(std::ffi::OsStr::from_bytes(bytes))
}

/// Where `file`, a path of this machine, is below `root`; `None` if it is not below it or does not exist.
#[must_use]
pub fn path_below(root: &[u8], file: &[u8]) -> Option<Vec<u8>> {
    let canonical = |path: &[u8]| std::fs::canonicalize(as_path(path)).ok();
    // The file may not be there yet; its directory is.
    let path = as_path(file);
    let file = canonical(file).or_else(|| {
        let parent = path
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        Some(std::fs::canonicalize(parent).ok()?.join(path.file_name()?))
    })?;
    let below = file.strip_prefix(canonical(root)?).ok()?;
    Some([b"/", below.as_os_str().as_bytes()].concat())
}
