//! Facts about a path as its entry's canonical line.

use std::collections::HashMap;

use baseline_format::{Entry, LineBuilder, MOUNT, OsText, Value};

use super::inspect::Facts;
use crate::sys::{Identity, Kind};

/// The section.
pub const FILES: &str = "files";

/// Names of users and groups, from the files of the root that is looked at, never from the machine's own
/// name service: a root may be an image, and the service may ask the network.
#[derive(Clone, Debug, Default)]
pub struct Owners {
    /// Name by uid.
    pub users: HashMap<u32, Vec<u8>>,
    /// Name by gid.
    pub groups: HashMap<u32, Vec<u8>>,
}

/// Appends the line of one path, without its line end. `hardlink` is the first path of the same file.
pub(super) fn encode(
    path: &[u8],
    facts: &Facts,
    hardlink: Option<&[u8]>,
    owners: &Owners,
    out: &mut Vec<u8>,
) {
    let (Some(metadata), true) = (facts.metadata, is_plain(facts) && hardlink.is_none()) else {
        return encode_rare(path, facts, hardlink, owners, out);
    };
    let mut line = LineBuilder::begin_bytes(FILES, path, out);
    if let Some(digest) = &facts.digest {
        let (label, bytes) = digest.parts();
        line.digest("digest", label, bytes);
    }
    line.integer("gid", metadata.gid.into());
    if let Some(name) = owners.groups.get(&metadata.gid) {
        line.text("group", name);
    }
    if let Some(target) = &facts.link {
        line.text("link", target);
    }
    // A link's permissions mean nothing and are always the same.
    if facts.kind != Kind::Link {
        line.text("mode", &octal(metadata.permissions()));
    }
    if let Some(mtime) = metadata.mtime {
        line.integer("mtime", mtime);
    }
    if facts.kind == Kind::File {
        line.integer("size", i64::try_from(metadata.size).unwrap_or(i64::MAX));
    }
    line.text("type", facts.kind.name().as_bytes());
    line.integer("uid", metadata.uid.into());
    if let Some(name) = owners.users.get(&metadata.uid) {
        line.text("user", name);
    }
    line.end();
}

/// Whether the facts have none of the attributes that only few files have.
fn is_plain(facts: &Facts) -> bool {
    let rare = |m: &crate::sys::Metadata| m.immutable || m.append_only;
    facts.extended.is_empty()
        && facts.unseen.is_empty()
        && facts.mount.is_none()
        && matches!(facts.kind, Kind::File | Kind::Directory | Kind::Link)
        && !facts.metadata.as_ref().is_some_and(rare)
        && !is_linked(facts)
}

/// Whether the file has more names than this one.
pub(super) fn is_linked(facts: &Facts) -> bool {
    facts.kind != Kind::Directory && facts.metadata.is_some_and(|metadata| metadata.links > 1)
}

/// The same for any facts. One place builds the plain lines and one the others; a test holds them together.
fn encode_rare(path: &[u8], facts: &Facts, hardlink: Option<&[u8]>, owners: &Owners, out: &mut Vec<u8>) {
    let mut entry = Entry::new(FILES, OsText::new(path));
    if facts.kind != Kind::Unknown {
        entry.set("type", facts.kind.name());
    }
    if let Some(kind) = &facts.mount {
        entry.set(MOUNT, kind.as_str());
        return entry.encode(out);
    }
    if let Some(metadata) = facts.metadata {
        entry.set("gid", metadata.gid);
        entry.set("uid", metadata.uid);
        entry = entry
            .with_some(
                "group",
                owners.groups.get(&metadata.gid).map(|name| Value::bytes(name)),
            )
            .with_some(
                "user",
                owners.users.get(&metadata.uid).map(|name| Value::bytes(name)),
            );
        if facts.kind != Kind::Link {
            entry.set("mode", Value::bytes(&octal(metadata.permissions())));
        }
        entry = entry.with_some("mtime", metadata.mtime);
        if facts.kind == Kind::File {
            entry.set("size", i64::try_from(metadata.size).unwrap_or(i64::MAX));
        }
        if matches!(facts.kind, Kind::BlockDevice | Kind::CharDevice) {
            let (major, minor) = metadata.device;
            entry.set("device", format!("{major}:{minor}"));
        }
        let flags = [
            ("append-only", metadata.append_only),
            ("immutable", metadata.immutable),
        ];
        if flags.iter().any(|(_, set)| *set) {
            entry.set(
                "flags",
                Value::list(flags.into_iter().filter(|(_, set)| *set).map(|(name, _)| name)),
            );
        }
        if is_linked(facts) {
            entry.set("nlink", metadata.links);
        }
    }
    if let Some(digest) = &facts.digest {
        let (label, bytes) = digest.parts();
        let mut text = format!("{label}:").into_bytes();
        baseline_format::push_hex(bytes, &mut text);
        entry.set("digest", Value::bytes(&text));
    }
    entry = entry
        .with_some("hardlink", hardlink.map(Value::bytes))
        .with_some("link", facts.link.as_deref().map(Value::bytes));
    for (name, value) in &facts.extended {
        entry.set(name.clone(), value.clone());
    }
    for note in &facts.unseen {
        let (what, why) = note.split_once(": ").unwrap_or(("all", note));
        entry = entry.unseen(what, why);
    }
    entry.encode(out);
}

/// Four octal digits.
fn octal(permissions: u16) -> [u8; 4] {
    [9, 6, 3, 0].map(|shift| b'0' + u8::try_from(permissions >> shift & 7).unwrap_or(0))
}

/// The first name of each file that has several. A file's group is told by the path that comes first in THE
/// order, which is the same on every machine, as inode numbers are not.
#[derive(Debug, Default)]
pub(super) struct HardLinks {
    first: HashMap<Identity, (Vec<u8>, u32)>,
    bytes: usize,
}

/// Memory that the first names may take; a host can make any number of links.
const BUDGET: usize = 6 << 20;

/// What is known about a name of a file with several names.
pub(super) enum Group {
    /// It is the first.
    First,
    /// It is another name of this one.
    Same(Vec<u8>),
    /// There are too many to remember.
    Unknown,
}

impl HardLinks {
    pub(super) fn name(&mut self, identity: Identity, links: u32, path: &[u8]) -> Group {
        if let Some((first, left)) = self.first.get_mut(&identity) {
            let first_path = first.clone();
            *left -= 1;
            if *left == 0 {
                self.bytes -= cost(&first_path);
                self.first.remove(&identity);
            }
            return Group::Same(first_path);
        }
        if self.bytes + cost(path) > BUDGET {
            return Group::Unknown;
        }
        self.bytes += cost(path);
        self.first
            .insert(identity, (path.to_vec(), links.saturating_sub(1).max(1)));
        Group::First
    }
}

fn cost(path: &[u8]) -> usize {
    path.len() + 80
}
