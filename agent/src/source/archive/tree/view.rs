//! What the finished tree is asked.

use super::{Body, Inode, Place, ROOT, Tree, UNKNOWN};
use crate::source::archive::extended::Extended;
use crate::source::file_system::Fault;

impl Tree {
    /// Counts names. Afterwards the tree is only looked at. Gives the number of names.
    pub(in super::super) fn finish(&mut self) -> u64 {
        let mut names = 1;
        let mut left = vec![ROOT];
        while let Some(at) = left.pop() {
            let Some(here) = self.directories.get(at as usize) else {
                continue;
            };
            names += here.children.len() as u64;
            for entry in here.children.values() {
                if let Some(inode) = self.inodes.get_mut(entry.inode as usize) {
                    inode.names = inode.names.saturating_add(1);
                    if let Body::Directory(below) = inode.body {
                        left.push(below);
                    }
                }
            }
        }
        if let Some(root) = self.inodes.first_mut() {
            root.names = 1;
        }
        names
    }

    /// Names and inodes in the directory that is this inode.
    pub(in super::super) fn children(&self, inode: u32) -> Result<impl Iterator<Item = (&[u8], u32)>, Fault> {
        let Body::Directory(directory) = self.inode(inode)?.body else {
            return Err(Fault::new("not a directory"));
        };
        let children = &self.directory(directory)?.children;
        Ok(children.iter().map(|(name, entry)| (&**name, entry.inode)))
    }

    /// Inodes in the directory that got a file's first name.
    pub(in super::super) fn neighbours(&self, place: Place) -> impl Iterator<Item = u32> {
        let directory = self.directories.get(place.directory as usize);
        directory
            .into_iter()
            .flat_map(|here| here.children.values().map(|entry| entry.inode))
    }

    /// The path of a file's first name, or what is left of it where that was removed.
    pub(in super::super) fn path_of(&self, directory: u32, name: &[u8]) -> Vec<u8> {
        let mut names = vec![name];
        let mut at = directory;
        while at != ROOT
            && let Some(here) = self.directories.get(at as usize)
        {
            names.push(&here.name);
            at = here.parent;
        }
        names.reverse();
        names.join(&b'/')
    }

    /// The attributes and access control lists that an inode's member told.
    pub(in super::super) fn extended(&self, inode: u32) -> Result<&Extended, Fault> {
        Ok(self.lists.get(self.inode(inode)?.extended))
    }

    /// Whether any inode has an access control list as text.
    pub(in super::super) fn has_acls(&self) -> bool {
        self.lists.has_acls()
    }

    /// Takes note of a file's digest.
    pub(in super::super) fn set_digest(&mut self, inode: u32, digest: [u8; 32]) {
        let number = u32::try_from(self.digests.len()).unwrap_or(UNKNOWN);
        if let Some(Inode {
            body: Body::File(place),
            ..
        }) = self.inodes.get_mut(inode as usize)
        {
            place.digest = number;
            self.digests.push(digest);
        }
    }

    /// A file's digest, where its content was read.
    pub(in super::super) fn digest(&self, place: Place) -> Option<[u8; 32]> {
        self.digests.get(place.digest as usize).copied()
    }
}
