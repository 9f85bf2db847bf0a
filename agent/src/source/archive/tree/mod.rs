//! The tree that members leave behind when they are applied in order, as an extraction would leave it on a disk.
//!
//! Two sets of [`Rules`]: a root file system in one archive, where every path comes once and nothing is written
//! through a link; and the layers of a container image (OCI image specification, `layer.md`), where a later layer
//! replaces and removes what an earlier one left, and links on the way to a name are followed inside the image, as
//! umoci, containerd and Docker do.
//!
//! What one layer says must not depend on the order in which it says it: a name that comes twice in one layer is
//! refused, but for a directory that is told twice in the same way.
//!
//! Memory is bounded by [`MEMBERS`] and [`MEMORY`]; names below more than [`DEPTH`] directories are refused.

mod view;
mod walk;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use baseline_format::OsText;

use super::extended::{Extended, Lists};
use super::path::{Mark, split};
use crate::source::file_system::Fault;
use crate::source::tar::{Member, MemberKind};
use crate::sys::Kind;

/// By which rules members are applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rules {
    /// One archive that holds a root file system: whiteouts are ordinary names, links are not followed.
    RootFileSystem,
    /// The layers of a container image. Access control lists as text and inode flags, which no container runtime
    /// applies, are left out; lists as `SCHILY.xattr.system.posix_acl_access` are attributes like others.
    Layers,
}

/// The merged tree.
pub(super) struct Tree {
    inodes: Vec<Inode>,
    directories: Vec<Directory>,
    digests: Vec<[u8; 32]>,
    lists: Lists,
    rules: Rules,
    /// The layer that is being applied, from 1; 0 before the first.
    layer: u16,
    members: u64,
    memory: u64,
}

/// What a node is, however many names it has.
pub(super) struct Inode {
    pub(super) body: Body,
    pub(super) mtime: Option<i64>,
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Names in the finished tree.
    pub(super) names: u32,
    /// Its extended attributes, in `Tree::lists`.
    pub(super) extended: u32,
    pub(super) permissions: u16,
    pub(super) immutable: bool,
    pub(super) append_only: bool,
}

/// What only nodes of one type have.
pub(super) enum Body {
    Directory(u32),
    File(Place),
    Link(Box<[u8]>),
    CharDevice(u32, u32),
    BlockDevice(u32, u32),
    Fifo,
}

/// Where a file's content came by.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) size: u64,
    /// Where it is stored in its stream: bytes from the beginning. No two members have the same.
    pub(super) position: u64,
    /// The directory that got the first name.
    pub(super) directory: u32,
    digest: u32,
    /// Number of the stream, from 0.
    pub(super) stream: u16,
    /// Whether it is stored in segments.
    pub(super) sparse: bool,
}

/// How a member's content is stored in its stream.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Stored {
    /// Bytes from the beginning of the stream.
    pub(super) position: u64,
    /// Whether it is stored in segments.
    pub(super) sparse: bool,
}

struct Directory {
    children: BTreeMap<Box<[u8]>, Entry>,
    name: Box<[u8]>,
    parent: u32,
    depth: u16,
    /// The last layer that has a member here or below.
    touched: u16,
    /// The last layer that has this directory itself as a member.
    named: u16,
}

#[derive(Clone, Copy)]
struct Entry {
    inode: u32,
    /// The layer that made this name. Where the inode is a directory, that directory's `touched` counts.
    layer: u16,
}

impl Tree {
    /// An empty root.
    pub(super) fn new(rules: Rules) -> Self {
        Self {
            inodes: vec![Inode::implied(ROOT)],
            directories: vec![Directory {
                children: BTreeMap::new(),
                name: Box::default(),
                parent: ROOT,
                depth: 0,
                touched: 0,
                named: 0,
            }],
            digests: Vec::new(),
            lists: Lists::default(),
            rules,
            layer: 0,
            members: 0,
            memory: 0,
        }
    }

    /// The members that follow are of the next layer.
    pub(super) fn next_layer(&mut self) -> Result<(), Fault> {
        let next = self.layer.checked_add(1);
        self.layer = next.ok_or_else(|| Fault::new("more than 65535 layers"))?;
        Ok(())
    }

    /// Applies a member. Gives the inode whose content follows if it is a regular file.
    pub(super) fn apply(&mut self, member: &Member, at: Stored) -> Result<Option<u32>, Fault> {
        self.members += 1;
        if self.members > MEMBERS {
            return Err(Fault::new(format!("more than {MEMBERS} members")));
        }
        match self.rules {
            Rules::RootFileSystem => self.place(member, at),
            Rules::Layers => match Mark::of(&member.path)? {
                Mark::None => self.place(member, at),
                Mark::Whiteout(directory, name) => {
                    if let Some(directory) = self.look_for(directory, self.rules)? {
                        self.remove_lower(directory, name);
                    }
                    Ok(None)
                }
                Mark::Opaque(directory) => {
                    if let Some(directory) = self.look_for(directory, self.rules)? {
                        self.remove_lower_children(directory);
                    }
                    Ok(None)
                }
                Mark::OfTheUnion => Ok(None),
            },
        }
    }

    /// Puts a member at its path.
    fn place(&mut self, member: &Member, at: Stored) -> Result<Option<u32>, Fault> {
        let extended = Extended::of(member, self.rules);
        let extended = self.lists.add(extended, &mut self.memory);
        let (above, name) = split(&member.path);
        if name.is_empty() {
            if member.kind != MemberKind::Directory {
                return Err(Fault::new("the root is not a directory"));
            }
            self.touch(ROOT);
            return self.name_directory(ROOT, member, extended).map(|()| None);
        }
        let directory = self.make_way(above)?;
        // Before the name is taken from who had it: the target may be that one.
        let target = match &member.kind {
            MemberKind::HardLink(target) => Some(self.link_target(directory, name, target)?),
            _ => None,
        };
        self.touch(directory);
        if let Some(entry) = self.child(directory, name) {
            let inode = self.inode(entry.inode)?;
            match inode.body {
                Body::Directory(below) if member.kind == MemberKind::Directory => {
                    self.touch(below);
                    return self.name_directory(below, member, extended).map(|()| None);
                }
                Body::Directory(below) if self.directory(below)?.touched == self.layer => {
                    return Err(Fault::new(if self.directory(below)?.named == self.layer {
                        "a second member of this path, which was a directory"
                    } else {
                        "not a directory, but other members of the same archive are below it"
                    }));
                }
                Body::Directory(_) => {}
                _ if entry.layer == self.layer => {
                    return Err(Fault::new(
                        "a second member of the same path: extractors differ in which of the two they keep",
                    ));
                }
                _ => {}
            }
        }
        match (&member.kind, target) {
            (MemberKind::Directory, _) => {
                let below = self.make_directory(directory, name)?;
                self.touch(below);
                self.name_directory(below, member, extended)?;
                Ok(None)
            }
            (_, Some(target)) => {
                self.enter(directory, name, target)?;
                Ok(None)
            }
            (kind, None) => {
                let body = self.body(kind, member.size, at, directory);
                let is_file = matches!(body, Body::File(_));
                let inode = self.add_inode(Inode {
                    body,
                    mtime: Some(member.mtime),
                    uid: member.uid,
                    gid: member.gid,
                    names: 0,
                    extended,
                    permissions: permissions_of(member),
                    immutable: member.immutable && self.rules == Rules::RootFileSystem,
                    append_only: member.append_only && self.rules == Rules::RootFileSystem,
                })?;
                self.enter(directory, name, inode)?;
                Ok(is_file.then_some(inode))
            }
        }
    }

    fn body(&mut self, kind: &MemberKind, size: u64, at: Stored, directory: u32) -> Body {
        match kind {
            MemberKind::Link(target) => {
                self.memory += target.len() as u64;
                Body::Link(target.as_slice().into())
            }
            MemberKind::CharDevice(major, minor) => Body::CharDevice(*major, *minor),
            MemberKind::BlockDevice(major, minor) => Body::BlockDevice(*major, *minor),
            MemberKind::Fifo => Body::Fifo,
            // Directories and hard links have no body of their own.
            MemberKind::File | MemberKind::Directory | MemberKind::HardLink(_) => Body::File(Place {
                size,
                position: at.position,
                sparse: at.sparse,
                directory,
                digest: UNKNOWN,
                stream: self.layer.saturating_sub(1),
            }),
        }
    }

    /// Takes over what a member says of the directory itself.
    fn name_directory(&mut self, directory: u32, member: &Member, extended: u32) -> Result<(), Fault> {
        let immutable = member.immutable && self.rules == Rules::RootFileSystem;
        let append_only = member.append_only && self.rules == Rules::RootFileSystem;
        let layer = self.layer;
        let twice = self.directory(directory)?.named == layer;
        let inode = self.inode_of_directory(directory)?;
        let same = inode.mtime == Some(member.mtime)
            && (inode.uid, inode.gid) == (member.uid, member.gid)
            && inode.permissions == member.permissions
            && inode.extended == extended
            && (inode.immutable, inode.append_only) == (immutable, append_only);
        if twice && !same {
            return Err(Fault::new(
                "a second member of the same path, a directory, that says otherwise than the first",
            ));
        }
        inode.mtime = Some(member.mtime);
        inode.uid = member.uid;
        inode.gid = member.gid;
        inode.permissions = member.permissions;
        inode.extended = extended;
        inode.immutable = immutable;
        inode.append_only = append_only;
        self.directory_mut(directory)?.named = layer;
        Ok(())
    }

    /// The inode that a hard link's target names now.
    fn link_target(&self, directory: u32, name: &[u8], target: &[u8]) -> Result<u32, Fault> {
        let shown = OsText::new(target);
        let (above, last) = split(target);
        let found = self.look_for(above, self.rules)?;
        if found == Some(directory) && last == name {
            return Err(Fault::new("a hard link to itself"));
        }
        let Some(entry) = found.and_then(|found| self.child(found, last)) else {
            return Err(Fault::new(format!(
                "a hard link to `{shown}`, which is not there at this point"
            )));
        };
        if matches!(self.inode(entry.inode)?.body, Body::Directory(_)) {
            return Err(Fault::new(format!("a hard link to the directory `{shown}`")));
        }
        Ok(entry.inode)
    }

    fn enter(&mut self, directory: u32, name: &[u8], inode: u32) -> Result<(), Fault> {
        self.memory += NAME_COST + name.len() as u64;
        if self.memory > MEMORY {
            return Err(Fault::new(format!(
                "what the members say takes more than {} MiB of memory",
                MEMORY >> 20
            )));
        }
        let layer = self.layer;
        let children = &mut self.directory_mut(directory)?.children;
        children.insert(name.into(), Entry { inode, layer });
        Ok(())
    }

    fn add_inode(&mut self, inode: Inode) -> Result<u32, Fault> {
        let number = u32::try_from(self.inodes.len()).map_err(|_| Fault::new("too many nodes"))?;
        self.inodes.push(inode);
        self.memory += INODE_COST;
        Ok(number)
    }

    /// Makes a directory that says of itself what nobody said: mode 0755, owner root, no time.
    fn make_directory(&mut self, parent: u32, name: &[u8]) -> Result<u32, Fault> {
        // Members' own names are shorter; a link's target may have any.
        if name.len() > NAME {
            return Err(Fault::new(format!("a name of more than {NAME} bytes on the way")));
        }
        let depth = self.directory(parent)?.depth + 1;
        if depth > DEPTH {
            return Err(Fault::new(format!("below more than {DEPTH} directories")));
        }
        let number = u32::try_from(self.directories.len()).map_err(|_| Fault::new("too many directories"))?;
        self.directories.push(Directory {
            children: BTreeMap::new(),
            name: name.into(),
            parent,
            depth,
            touched: 0,
            named: 0,
        });
        self.memory += DIRECTORY_COST;
        let inode = self.add_inode(Inode::implied(number))?;
        self.enter(parent, name, inode)?;
        Ok(number)
    }

    /// Takes note that this layer has something in this directory.
    fn touch(&mut self, directory: u32) {
        let layer = self.layer;
        let mut at = directory;
        while let Some(here) = self.directories.get_mut(at as usize)
            && here.touched != layer
        {
            here.touched = layer;
            at = here.parent;
        }
    }

    /// Removes a name unless this layer made it; of a directory that this layer has something in, what it has not.
    fn remove_lower(&mut self, directory: u32, name: &[u8]) {
        let Some(entry) = self.child(directory, name) else {
            return;
        };
        if let Some(Body::Directory(below)) = self.inodes.get(entry.inode as usize).map(|inode| &inode.body) {
            let below = *below;
            if self
                .directories
                .get(below as usize)
                .is_some_and(|d| d.touched == self.layer)
            {
                self.remove_lower_children(below);
                return;
            }
        } else if entry.layer == self.layer {
            return;
        }
        if let Some(directory) = self.directories.get_mut(directory as usize) {
            directory.children.remove(name);
        }
    }

    fn remove_lower_children(&mut self, directory: u32) {
        let layer = self.layer;
        let mut left = vec![directory];
        while let Some(at) = left.pop() {
            let Some(here) = self.directories.get_mut(at as usize) else {
                continue;
            };
            let mut children = std::mem::take(&mut here.children);
            children.retain(|_, entry| match self.inodes.get(entry.inode as usize) {
                Some(Inode {
                    body: Body::Directory(below),
                    ..
                }) => {
                    let stays = self
                        .directories
                        .get(*below as usize)
                        .is_some_and(|below| below.touched == layer);
                    if stays {
                        left.push(*below);
                    }
                    stays
                }
                _ => entry.layer == layer,
            });
            if let Some(here) = self.directories.get_mut(at as usize) {
                here.children = children;
            }
        }
    }

    fn child(&self, directory: u32, name: &[u8]) -> Option<Entry> {
        self.directories
            .get(directory as usize)?
            .children
            .get(name)
            .copied()
    }

    fn directory(&self, at: u32) -> Result<&Directory, Fault> {
        self.directories.get(at as usize).ok_or_else(no_such)
    }

    fn directory_mut(&mut self, at: u32) -> Result<&mut Directory, Fault> {
        self.directories.get_mut(at as usize).ok_or_else(no_such)
    }

    pub(super) fn inode(&self, at: u32) -> Result<&Inode, Fault> {
        self.inodes.get(at as usize).ok_or_else(no_such)
    }

    fn inode_of_directory(&mut self, directory: u32) -> Result<&mut Inode, Fault> {
        let inode = if directory == ROOT {
            ROOT
        } else {
            let here = self.directory(directory)?;
            self.child(here.parent, &here.name).ok_or_else(no_such)?.inode
        };
        self.inodes.get_mut(inode as usize).ok_or_else(no_such)
    }
}

impl Inode {
    /// What a directory is that no member tells of.
    const fn implied(directory: u32) -> Self {
        Self {
            body: Body::Directory(directory),
            mtime: None,
            uid: 0,
            gid: 0,
            names: 0,
            extended: 0,
            permissions: 0o755,
            immutable: false,
            append_only: false,
        }
    }

    pub(super) const fn kind(&self) -> Kind {
        match self.body {
            Body::Directory(_) => Kind::Directory,
            Body::File(_) => Kind::File,
            Body::Link(_) => Kind::Link,
            Body::CharDevice(..) => Kind::CharDevice,
            Body::BlockDevice(..) => Kind::BlockDevice,
            Body::Fifo => Kind::Fifo,
        }
    }
}

/// Links have no permissions of their own: Linux shows all bits, whatever the archive says.
const fn permissions_of(member: &Member) -> u16 {
    match member.kind {
        MemberKind::Link(_) => 0o777,
        _ => member.permissions,
    }
}

fn no_such() -> Fault {
    Fault::new("no such node")
}

/// Number of the root, as a directory and as an inode.
pub(super) const ROOT: u32 = 0;
/// Most members of all streams together.
pub const MEMBERS: u64 = 10_000_000;
/// Most memory that the tree takes. Bytes, estimated from above by the `COST`s.
pub const MEMORY: u64 = 2 << 30;
/// Most directories above a name. Linux takes a path of half of 4096 components at most.
pub const DEPTH: u16 = 2048;

/// Longest name that a file system holds (`NAME_MAX`). Bytes.
const NAME: usize = 255;
/// A digest that is not known.
const UNKNOWN: u32 = u32::MAX;
/// A name in a directory: its share of a B-tree's node, and what an allocation takes beyond its length.
const NAME_COST: u64 = 64;
/// An inode and its digest.
const INODE_COST: u64 = 2 * 64 + 32;
/// A directory with its first B-tree node.
const DIRECTORY_COST: u64 = 2 * 64 + 320;
