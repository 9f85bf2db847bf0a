//! ext2, ext3 and ext4, read from an image without the kernel's help.
//!
//! Reads what mke2fs makes and the kernel writes: extents and block maps, linear and hashed directories, content and
//! attributes kept in inodes, in blocks or in inodes of their own. Every checksum that the file system has is
//! verified, and [`Ext4::open`] counts: each inode in use must have the names that its link count says (`census`).
//!
//! Refused are features that this reader does not know, encrypted files and directories, a journal that was not
//! replayed, and file systems that are marked as damaged or whose parts contradict each other.
//!
//! Source: Documentation/filesystems/ext4 and `fs/ext4` of the kernel.

mod blocks;
mod census;
mod checksum;
mod content;
mod directory;
mod field;
mod groups;
mod hash_tree;
mod inode;
mod journal;
mod runs;
mod superblock;
#[cfg(test)]
mod tests;
mod xattr;

use std::io::Read;
use std::sync::Arc;

use self::blocks::Blocks;
use self::census::{ROOT, Total};
use self::field::{At as _, ensure};
use self::groups::Group;
use self::inode::Inode;
use self::superblock::Superblock;
use super::bytes::{Bytes, ReadAt};
use super::file_system::{Attributes, Child, Fault, FileSystem, Node, Xattrs};
use crate::sys::Kind;

/// A file system of which the census was taken. Nodes are inode numbers.
pub struct Ext4 {
    volume: Arc<Volume>,
    names: u64,
}

/// Whether these bytes have the magic number of ext2, ext3 and ext4. They may still be refused.
#[must_use]
pub fn is_ext4(bytes: &dyn ReadAt) -> bool {
    superblock::is_there(bytes)
}

/// A file system's parts, for all that read it.
struct Volume {
    superblock: Superblock,
    groups: Vec<Group>,
    blocks: Blocks,
}

impl Ext4 {
    /// Opens the file system that these bytes start with, and walks through it once to see that it is whole.
    pub fn open(bytes: Bytes) -> Result<Self, Fault> {
        let superblock = Superblock::read(&*bytes).at(format_args!("superblock"))?;
        let blocks = Blocks::new(
            bytes,
            superblock.block_size,
            superblock.blocks,
            superblock.first_data_block.into(),
        );
        let volume = Arc::new(Volume {
            groups: groups::read(&superblock, &blocks)?,
            superblock,
            blocks,
        });
        journal::ensure_empty(&volume)?;
        let names = census::take(&volume, Total::Exact)?;
        Ok(Self { volume, names })
    }

    /// The name that the file system was given, without the zeros after it; empty if none.
    #[must_use]
    pub fn label(&self) -> &[u8] {
        &self.volume.superblock.label
    }

    /// The UUID, as text has its digits.
    #[must_use]
    pub fn uuid(&self) -> [u8; 16] {
        self.volume.superblock.uuid
    }

    fn inode(&self, node: Node) -> Result<Inode, Fault> {
        let number =
            u32::try_from(node).map_err(|_| Fault(format!("inode {node}: there is no such inode")))?;
        self.volume.inode(number)
    }
}

impl FileSystem for Ext4 {
    fn root(&self) -> Node {
        ROOT.into()
    }

    fn children(&self, directory: Node) -> Result<Vec<Child>, Fault> {
        let inode = self.inode(directory)?;
        let listing = directory::list(&self.volume, &inode, &mut |_| Ok(()));
        let entries = listing.at(format_args!("inode {directory}"))?.entries;
        entries
            .into_iter()
            .map(|entry| {
                let kind = match entry.kind {
                    Some(kind) => kind,
                    None => self.volume.inode(entry.inode)?.kind,
                };
                Ok(Child {
                    name: entry.name,
                    node: entry.inode.into(),
                    kind,
                })
            })
            .collect()
    }

    fn attributes(&self, node: Node) -> Result<Attributes, Fault> {
        self.inode(node)?.attributes().at(format_args!("inode {node}"))
    }

    fn link(&self, node: Node) -> Result<Vec<u8>, Fault> {
        let inode = self.inode(node)?;
        link(&self.volume, &inode).at(format_args!("inode {node}"))
    }

    fn xattrs(&self, node: Node) -> Result<Xattrs, Fault> {
        let inode = self.inode(node)?;
        xattr::list(&self.volume, &inode).at(format_args!("inode {node}"))
    }

    fn open(&self, node: Node) -> Result<Box<dyn Read + Send>, Fault> {
        let inode = self.inode(node)?;
        let is_file = ensure(inode.kind == Kind::File, format_args!("not a regular file"));
        is_file
            .and_then(|()| content::open(&self.volume, &inode))
            .at(format_args!("inode {node}"))
    }

    fn expected(&self) -> u64 {
        self.names
    }
}

fn link(volume: &Arc<Volume>, inode: &Inode) -> Result<Vec<u8>, Fault> {
    ensure(inode.kind == Kind::Link, format_args!("not a symbolic link"))?;
    inode.ensure_readable()?;
    let target = if !inode.has(inode::INLINE) && inode.link_in_map(&volume.superblock)? {
        let mut target = inode.map()?.to_vec();
        target.truncate(usize::try_from(inode.size).unwrap_or(usize::MAX));
        target
    } else {
        content::whole(volume, inode, LONGEST_TARGET)?
    };
    ensure(
        !target.is_empty() && !target.contains(&0),
        format_args!("a target that is empty or has zeros in it"),
    )?;
    Ok(target)
}

/// `PATH_MAX`, without the zero at the end.
const LONGEST_TARGET: u64 = 4095;
