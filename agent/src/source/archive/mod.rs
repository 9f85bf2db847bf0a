//! Tar archives as a file system: a root file system in one archive, or the layers of a container image.
//!
//! The streams are read once, from their beginning to their end, and applied as an extraction would apply them
//! ([`Rules`]); nothing is written to a disk. While contents go by, each is hashed with SHA-256, and those that the
//! caller wants are kept ([`Options::keep`]). What was not kept can be opened all the same where the streams can be
//! read again, but not often: from a compressed archive this takes a whole pass.
//!
//! Refused, with the member and the reason, is what extractors would not all understand in the same way (two members
//! of one path, a path through a link in a root file system, a hard link to what is not there), and what is beyond
//! the bounds: [`MEMBERS`], [`MEMORY`], [`DEPTH`], and 1 TiB a stream.

mod accounts;
mod acl;
mod extended;
mod intake;
mod path;
mod store;
mod streams;
mod tree;
mod weak;

#[cfg(test)]
pub(in crate::source) mod tests;

use std::collections::HashMap;
use std::io::{self, Read};
use std::sync::{Mutex, PoisonError};

use self::accounts::Accounts;
use self::acl::Acl;
use self::intake::{Intake, PIECE};
use self::store::Store;
use self::streams::{OneFile, Pipe};
use self::tree::{Body, Place, ROOT, Tree};
use self::weak::WeakDigests;
use crate::scan::lanes::Hasher;
use crate::scan::{Algorithm, Progress};
use crate::source::bytes::{Bytes, Sequential, Window};
use crate::source::file_system::{Attributes, Child, Fault, FileSystem, Node};
use crate::source::tar::TarReader;

pub(in crate::source) use self::streams::Bounded;
pub use self::streams::{Stream, Streams};
pub use self::tree::{DEPTH, MEMBERS, MEMORY, Rules};

/// How contents are treated as they go by.
pub struct Options<'a> {
    /// Whether a regular file's content is to be kept, by its path (without a `/` in front; the first of its names)
    /// and its size in bytes. `/etc/passwd` and `/etc/group` are kept always.
    pub keep: &'a dyn Fn(&[u8], u64) -> bool,
    /// Contents of longer files are neither hashed nor kept. Bytes.
    pub size_limit: u64,
    /// Whether MD5 and SHA-1 are computed as well, which the databases of dpkg and apk declare.
    pub weak: bool,
    /// Told as the archive goes by.
    pub progress: Option<&'a Progress>,
}

impl Options<'_> {
    fn wants(&self, path: &[u8], size: u64) -> bool {
        (KEPT_ALWAYS.contains(&path) && size <= ACCOUNTS) || (self.keep)(path, size)
    }
}

/// A file system that was read from tar streams.
pub struct Archive {
    tree: Tree,
    streams: Box<dyn Streams>,
    contents: Mutex<Contents>,
    accounts: Accounts,
    weak: WeakDigests,
    names: u64,
    size_limit: u64,
}

/// Contents that are there for reading.
struct Contents {
    store: Store,
    /// How often a stream was read again.
    passes: u32,
}

impl Archive {
    /// Reads a root file system from a file that holds a tar archive, compressed or not.
    pub fn from_file(file: Bytes, options: &Options<'_>) -> Result<Self, Fault> {
        Self::read(Box::new(OneFile::new(file)?), Rules::RootFileSystem, options)
    }

    /// Reads a root file system from a pipe through which a tar archive comes, compressed or not.
    pub fn from_pipe(reader: Box<dyn Read + Send>, options: &Options<'_>) -> Result<Self, Fault> {
        Self::read(Box::new(Pipe::new(reader)), Rules::RootFileSystem, options)
    }

    /// Reads streams to their ends, one after the other.
    pub fn read(streams: Box<dyn Streams>, rules: Rules, options: &Options<'_>) -> Result<Self, Fault> {
        let mut tree = Tree::new(rules);
        let mut store = Store::default();
        let mut weak = WeakDigests::default();
        let wanted = options.weak.then_some(&mut weak);
        let mut intake = Intake::new(&mut tree, &mut store, wanted, options);
        for at in 0..streams.count() {
            take_in(&*streams, at, &mut intake).map_err(|why| named(&streams.name(at), why))?;
        }
        let names = tree.finish();
        let mut archive = Self {
            tree,
            streams,
            contents: Mutex::new(Contents { store, passes: 0 }),
            accounts: Accounts::default(),
            weak,
            names,
            size_limit: options.size_limit,
        };
        if archive.tree.has_acls() {
            archive.accounts = Accounts::read(|path| archive.small_file(path));
        }
        Ok(archive)
    }

    /// The content of a small file, links followed as if the archive's root were the root.
    fn small_file(&self, path: &[u8]) -> Result<Vec<u8>, Fault> {
        let inode = self.tree.resolve(path)?.ok_or_else(|| Fault::new("not found"))?;
        let mut content = Vec::new();
        let reader = self.open(to_node(inode))?;
        let read = reader.take(ACCOUNTS + 1).read_to_end(&mut content);
        match read.map_err(|why| Fault::new(why.to_string()))? as u64 {
            0..=ACCOUNTS => Ok(content),
            _ => Err(Fault::new(format!("longer than {} MiB", ACCOUNTS >> 20))),
        }
    }

    /// The content of a file that was not kept, from its stream.
    fn read_again(&self, place: Place, digest: [u8; 32], contents: &mut Contents) -> Result<Content, Fault> {
        let not_kept = |why: &str| {
            Fault::new(format!(
                "its content was not kept when the archive went by: {why}"
            ))
        };
        let stream = usize::from(place.stream);
        if let Some(bytes) = self.streams.bytes(stream).filter(|_| !place.sparse) {
            let window = Window::new(bytes, place.position, place.size);
            let window = window.ok_or_else(|| not_kept("the archive became shorter"))?;
            return Ok(Box::new(Checked::new(
                Sequential::new(std::sync::Arc::new(window)),
                digest,
            )));
        }
        if contents.passes == PASSES {
            return Err(not_kept(&format!(
                "the archive was read again {PASSES} times already"
            )));
        }
        contents.passes += 1;
        let found = self.pass_again(place, digest, &mut contents.store);
        found.map_err(|why| not_kept(contents.store.trouble().unwrap_or(&why.0)))?;
        let kept = contents.store.open(&digest);
        kept.ok_or_else(|| not_kept(contents.store.trouble().unwrap_or("it is not where it was")))
    }

    /// Reads a stream again as far as needed to keep a content, and with it those of smaller files beside it, which
    /// are likely to be asked for next.
    fn pass_again(&self, place: Place, digest: [u8; 32], store: &mut Store) -> Result<(), Fault> {
        let mut wanted = HashMap::from([(place.position, (place.size, digest))]);
        let mut left = BESIDE;
        for inode in self.tree.neighbours(place) {
            if let Body::File(beside) = self.tree.inode(inode)?.body
                && beside.stream == place.stream
                && (1..=BESIDE_SIZE.min(left)).contains(&beside.size)
                && let Some(digest) = self.tree.digest(beside)
                && store.open(&digest).is_none()
                && wanted.insert(beside.position, (beside.size, digest)).is_none()
            {
                left -= beside.size;
            }
        }
        let stream = self.streams.open(usize::from(place.stream))?;
        let mut reader = TarReader::new(Bounded::new(stream.reader), stream.end);
        let mut buffer = vec![0; PIECE];
        while !wanted.is_empty()
            && let Some(member) = reader.next_member()?
        {
            if let Some((size, digest)) = wanted.remove(&reader.position())
                && (member.size != size
                    || intake::copy(&mut reader, size, &mut buffer, Some(store), None)? != digest)
            {
                return Err(Fault::new(CHANGED));
            }
        }
        Ok(())
    }

    /// The access control lists of a node, as extended attributes.
    fn acls(&self, node: Node) -> Result<Xattrs, Fault> {
        let inode = from_node(node)?;
        let extended = self.tree.extended(inode)?;
        let mut found = Vec::new();
        let ids = |who, name: &[u8]| self.accounts.id(who, name);
        let parse = |text: &Option<Vec<u8>>| match text {
            Some(text) => Acl::parse(text, &ids),
            None => Ok(None),
        };
        if let Some(acl) = parse(&extended.acl)? {
            let permissions = self.tree.inode(inode)?.permissions & 0o777;
            if !acl.goes_with(permissions) {
                return Err(Fault::new(format!(
                    "access control list: it does not go with the mode {permissions:03o}"
                )));
            }
            if !acl.is_minimal() {
                found.push((ACCESS.to_vec(), acl.to_xattr()));
            }
        }
        if let Some(acl) = parse(&extended.default_acl)? {
            found.push((DEFAULT.to_vec(), acl.to_xattr()));
        }
        Ok(found)
    }
}

/// Names and values.
type Xattrs = Vec<(Vec<u8>, Vec<u8>)>;

/// A content that is being read.
type Content = Box<dyn Read + Send>;

fn take_in(streams: &dyn Streams, at: usize, intake: &mut Intake<'_>) -> Result<(), Fault> {
    let stream = streams.open(at)?;
    let mut reader = TarReader::new(Bounded::new(stream.reader), stream.end);
    intake.stream(&mut reader)?;
    (stream.check)()
}

fn named(name: &str, why: Fault) -> Fault {
    match name {
        "" => why,
        _ => Fault::new(format!("{name}: {why}")),
    }
}

/// Nodes are counted from 1, so that none is 0, which no file system has.
const fn to_node(inode: u32) -> Node {
    inode as Node + 1
}

fn from_node(node: Node) -> Result<u32, Fault> {
    let inode = node.checked_sub(1).and_then(|inode| u32::try_from(inode).ok());
    inode.ok_or_else(|| Fault::new("no such node"))
}

impl FileSystem for Archive {
    fn root(&self) -> Node {
        to_node(ROOT)
    }

    fn children(&self, directory: Node) -> Result<Vec<Child>, Fault> {
        self.tree
            .children(from_node(directory)?)?
            .map(|(name, inode)| {
                Ok(Child {
                    name: name.to_vec(),
                    node: to_node(inode),
                    kind: self.tree.inode(inode)?.kind(),
                })
            })
            .collect()
    }

    fn attributes(&self, node: Node) -> Result<Attributes, Fault> {
        let number = from_node(node)?;
        let inode = self.tree.inode(number)?;
        let acl = self.tree.extended(number)?.acl.as_ref();
        let bits = acl.and_then(|text| Acl::permissions_in(text));
        Ok(Attributes {
            kind: inode.kind(),
            permissions: bits.map_or(inode.permissions, |bits| inode.permissions & 0o7000 | bits),
            uid: inode.uid,
            gid: inode.gid,
            size: match &inode.body {
                Body::File(place) => place.size,
                Body::Link(target) => target.len() as u64,
                _ => 0,
            },
            links: inode.names,
            mtime: inode.mtime,
            device: match inode.body {
                Body::CharDevice(major, minor) | Body::BlockDevice(major, minor) => (major, minor),
                _ => (0, 0),
            },
            immutable: inode.immutable,
            append_only: inode.append_only,
        })
    }

    fn link(&self, node: Node) -> Result<Vec<u8>, Fault> {
        match &self.tree.inode(from_node(node)?)?.body {
            Body::Link(target) => Ok(target.to_vec()),
            _ => Err(Fault::new("not a symbolic link")),
        }
    }

    fn xattrs(&self, node: Node) -> Result<Xattrs, Fault> {
        let mut xattrs = self.tree.extended(from_node(node)?)?.xattrs.clone();
        for (name, value) in self.acls(node)? {
            match xattrs.binary_search_by(|(known, _)| known.cmp(&name)) {
                Ok(at) if xattrs.get(at).is_some_and(|(_, known)| *known == value) => {}
                Ok(_) => return Err(Fault::new("access control list: two that differ")),
                Err(at) => xattrs.insert(at, (name, value)),
            }
        }
        Ok(xattrs)
    }

    fn open(&self, node: Node) -> Result<Content, Fault> {
        let Body::File(place) = self.tree.inode(from_node(node)?)?.body else {
            return Err(Fault::new("not a regular file"));
        };
        if place.size == 0 {
            return Ok(Box::new(io::empty()));
        }
        let Some(digest) = self.tree.digest(place) else {
            return Err(Fault::new(format!(
                "{} bytes are more than the limit of {} (--max-file-size)",
                place.size, self.size_limit
            )));
        };
        let mut contents = self.contents.lock().unwrap_or_else(PoisonError::into_inner);
        match contents.store.open(&digest) {
            Some(content) => Ok(content),
            None => self.read_again(place, digest, &mut contents),
        }
    }

    fn digest(&self, node: Node) -> Option<[u8; 32]> {
        match self.tree.inode(from_node(node).ok()?).ok()?.body {
            Body::File(place) => self.tree.digest(place),
            _ => None,
        }
    }

    fn weak_digest(&self, node: Node, algorithm: Algorithm) -> Option<Vec<u8>> {
        self.weak.get(&self.digest(node)?, algorithm)
    }

    fn expected(&self) -> u64 {
        self.names
    }
}

/// Passes a content on; its end is an error unless it is the content that was hashed at first.
struct Checked<R> {
    inner: R,
    /// `None` once the end was seen.
    hasher: Option<Hasher>,
    digest: [u8; 32],
}

impl<R> Checked<R> {
    fn new(inner: R, digest: [u8; 32]) -> Self {
        let hasher = Some(Hasher::new());
        Self {
            inner,
            hasher,
            digest,
        }
    }
}

impl<R: Read> Read for Checked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        if read > 0 {
            if let Some(hasher) = &mut self.hasher {
                hasher.update(buffer.get(..read).unwrap_or_default());
            }
        } else if !buffer.is_empty()
            && let Some(hasher) = self.hasher.take()
            && hasher.finish() != self.digest
        {
            return Err(io::Error::new(io::ErrorKind::InvalidData, CHANGED));
        }
        Ok(read)
    }
}

const CHANGED: &str = "the archive changed since it was first read";
const ACCESS: &[u8] = b"system.posix_acl_access";
const DEFAULT: &[u8] = b"system.posix_acl_default";
/// What is needed to understand access control lists.
const KEPT_ALWAYS: [&[u8]; 2] = [accounts::PASSWD, accounts::GROUP];
/// Longest file of accounts that is read. Bytes.
const ACCOUNTS: u64 = 16 << 20;
/// How often streams are read again for contents that were not kept.
const PASSES: u32 = 16;
/// Longest content that is kept because it is beside one that is wanted. Bytes.
const BESIDE_SIZE: u64 = 1 << 20;
/// Most bytes that are kept because of that in one pass.
const BESIDE: u64 = 64 << 20;
