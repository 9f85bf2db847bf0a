//! Looking at one item: descriptor, attributes, content.

use rustix::io::Errno;

use super::content::Content;
use super::extended;
use super::hash::{Algorithm, Digest, Hasher};
use super::walk::{Batch, Item, What};
use crate::source::file_system::{FileSystem, Node};
use crate::sys::{self, Flags, Handle, Kind, Metadata, Readable, State, Xattrs, explain};
use baseline_format::Value;

/// Times that a file which changes under the reader is read again.
const RETRIES: u32 = 3;

/// Decides how content is looked at.
pub trait Plan: Sync {
    /// The digest that is wanted of the regular file at `path`.
    fn content(&self, path: &[u8]) -> Algorithm;

    /// Content longer than this is not read and becomes a blind spot. Bytes.
    fn size_limit(&self) -> u64 {
        64 << 30
    }
}

/// What was seen of an item.
pub(super) struct Facts {
    pub(super) kind: Kind,
    /// `None` if only the type is known.
    pub(super) metadata: Option<Metadata>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) digest: Option<Digest>,
    /// Attributes from extended attributes, by name.
    pub(super) extended: Vec<(String, Value)>,
    pub(super) mount: Option<String>,
    /// `WHAT: WHY` notes.
    pub(super) unseen: Vec<String>,
}

/// How far looking at an item has come.
pub(super) enum Inspected {
    /// All is seen.
    Done(Facts),
    /// The content is still to be read.
    Reading(Facts, Content, Algorithm),
    /// There is nothing to tell: it is gone, or it is not more than ordinary.
    Nothing,
}

/// What one worker needs to look at items, and what it counts meanwhile.
pub(super) struct Inspector<'a> {
    plan: &'a dyn Plan,
    readable: &'a Readable,
    flags: Flags,
    xattrs: Xattrs,
    pub(super) tally: Tally,
}

/// What workers count.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Entries seen.
    pub entries: u64,
    /// Regular files whose content was hashed, by algorithm.
    pub hashed: [u64; Algorithm::COUNT],
    /// Bytes hashed.
    pub bytes: u64,
    /// Files that changed while they were read, also after retries.
    pub raced: u64,
    /// Files whose access time could not be kept, because the reader is neither their owner nor root.
    pub atime: u64,
    /// Names that were gone when they were looked at.
    pub gone: u64,
}

impl Tally {
    /// Adds another worker's counts.
    pub fn add(&mut self, other: &Self) {
        self.entries += other.entries;
        for (sum, more) in self.hashed.iter_mut().zip(other.hashed) {
            *sum += more;
        }
        self.bytes += other.bytes;
        self.raced += other.raced;
        self.atime += other.atime;
        self.gone += other.gone;
    }
}

impl<'a> Inspector<'a> {
    pub(super) fn new(plan: &'a dyn Plan, readable: &'a Readable, flags: Flags) -> Self {
        Self {
            plan,
            readable,
            flags,
            xattrs: Xattrs::default(),
            tally: Tally::default(),
        }
    }

    /// Looks at an item, up to its content.
    pub(super) fn inspect(&mut self, batch: &Batch, item: &Item) -> Inspected {
        let mut facts = match &item.what {
            What::Lost => Facts::blank(Kind::Unknown),
            What::Mount(kind) => Facts {
                mount: Some(kind.clone()),
                ..Facts::blank(Kind::Directory)
            },
            What::Node(image, node) => return self.inspect_node(batch, item, image.as_ref(), *node),
            What::Directory(directory) => {
                let mut facts = Facts::blank(Kind::Directory);
                match directory.metadata() {
                    Ok(metadata) => facts.metadata = Some(self.own(metadata)),
                    Err(why) => facts.unseen.push(format!("all: {}", explain(why))),
                }
                let listed = self
                    .xattrs
                    .of_open(&**directory, |name, value| facts.extend(name, value));
                facts.xattrs_failed(listed);
                facts
            }
            What::Name(directory, listed) => {
                let algorithm = if item.ordinary.is_some() {
                    Algorithm::None
                } else {
                    self.plan.content(batch.path(item))
                };
                if *listed == Kind::File
                    && algorithm != Algorithm::None
                    && let Some(Ok(content)) = directory.open_file(batch.name(item))
                    && let Ok(metadata) = content.metadata()
                    && metadata.kind() == Kind::File
                {
                    let mut facts = Facts::blank(Kind::File);
                    facts.unseen.extend(item.unseen.clone());
                    facts.metadata = Some(self.own(metadata));
                    return self.inspect_content(item, content, facts, algorithm, metadata.size);
                }
                // Whatever stood in the way is met again here, and told.
                match directory.handle(batch.name(item)) {
                    Ok(handle) => return self.inspect_handle(item, &handle, algorithm),
                    Err(Errno::NOENT) => {
                        self.tally.gone += 1;
                        return Inspected::Nothing;
                    }
                    // A file may be mounted over, too.
                    Err(Errno::XDEV) => Facts {
                        mount: Some("on a file".to_owned()),
                        ..Facts::blank(Kind::Unknown)
                    },
                    Err(why) => {
                        let mut facts = Facts::blank(Kind::Unknown);
                        facts.unseen.push(format!("all: {}", explain(why)));
                        facts
                    }
                }
            }
        };
        facts.unseen.extend(item.unseen.clone());
        self.finished(item, facts)
    }

    fn inspect_handle(&mut self, item: &Item, handle: &Handle, algorithm: Algorithm) -> Inspected {
        let mut facts = Facts::blank(Kind::Unknown);
        facts.unseen.extend(item.unseen.clone());
        let metadata = match handle.metadata() {
            Ok(metadata) => metadata,
            Err(why) => {
                facts.unseen.push(format!("all: {}", explain(why)));
                return self.finished(item, facts);
            }
        };
        facts.kind = metadata.kind();
        facts.metadata = Some(self.own(metadata));
        match facts.kind {
            Kind::File => return self.inspect_file(item, handle, facts, algorithm, metadata.size),
            Kind::Link => match handle.read_link() {
                Ok(target) => facts.link = Some(target),
                Err(why) => facts.unseen.push(format!("link: {}", explain(why))),
            },
            // It was none when it was listed, or could not be opened as one.
            Kind::Directory if item.unseen.is_none() => {
                facts
                    .unseen
                    .push("below: it became a directory while it was read".to_owned());
            }
            _ => {}
        }
        let listed = self
            .xattrs
            .of_handle(handle, |name, value| facts.extend(name, value));
        facts.xattrs_failed(listed);
        self.finished(item, facts)
    }

    fn inspect_file(
        &mut self,
        item: &Item,
        handle: &Handle,
        mut facts: Facts,
        algorithm: Algorithm,
        size: u64,
    ) -> Inspected {
        if algorithm == Algorithm::None {
            let listed = self
                .xattrs
                .of_handle(handle, |name, value| facts.extend(name, value));
            facts.xattrs_failed(listed);
            return self.finished(item, facts);
        }
        let content = match self.readable.open(handle) {
            Ok(content) => content,
            Err(why) => {
                facts.unseen.push(format!("digest: {}", explain(why)));
                let listed = self
                    .xattrs
                    .of_handle(handle, |name, value| facts.extend(name, value));
                facts.xattrs_failed(listed);
                return self.finished(item, facts);
            }
        };
        self.inspect_content(item, content, facts, algorithm, size)
    }

    /// Looks at a file that is open for reading, up to its content.
    fn inspect_content(
        &mut self,
        item: &Item,
        content: sys::Content,
        mut facts: Facts,
        algorithm: Algorithm,
        size: u64,
    ) -> Inspected {
        let listed = self
            .xattrs
            .of_open(&content, |name, value| facts.extend(name, value));
        facts.xattrs_failed(listed);
        self.tally.atime += u64::from(!content.keeps_atime());
        self.readable_content(item, Content::Live(content), facts, algorithm, size)
    }

    /// Looks at a node of an image, up to its content.
    fn inspect_node(&mut self, batch: &Batch, item: &Item, image: &dyn FileSystem, node: Node) -> Inspected {
        let mut facts = Facts::blank(Kind::Unknown);
        facts.unseen.extend(item.unseen.clone());
        let attributes = match image.attributes(node) {
            Ok(attributes) => attributes,
            Err(why) => {
                facts.unseen.push(format!("all: {why}"));
                return self.finished(item, facts);
            }
        };
        facts.kind = attributes.kind;
        facts.metadata = Some(Metadata {
            mode: u16::try_from(attributes.kind.mode_bits()).unwrap_or(0) | attributes.permissions,
            uid: attributes.uid,
            gid: attributes.gid,
            size: attributes.size,
            links: attributes.links,
            mtime: attributes.mtime,
            device: attributes.device,
            identity: (0, 0, node),
            immutable: attributes.immutable,
            append_only: attributes.append_only,
            state: State::default(),
        });
        match image.xattrs(node) {
            Ok(xattrs) => xattrs
                .iter()
                .for_each(|(name, value)| facts.extend(name, Ok(value))),
            Err(why) => facts.unseen.push(format!("xattr: {why}")),
        }
        if facts.kind == Kind::Link {
            match image.link(node) {
                Ok(target) => facts.link = Some(target),
                Err(why) => facts.unseen.push(format!("link: {why}")),
            }
        }
        if facts.kind != Kind::File || item.ordinary.is_some() {
            return self.finished(item, facts);
        }
        let algorithm = self.plan.content(batch.path(item));
        if algorithm == Algorithm::None {
            return self.finished(item, facts);
        }
        if algorithm == Algorithm::Sha256
            && let Some(digest) = image.digest(node)
        {
            facts.digest = Some(Digest::Sha256(digest));
            self.hashed(algorithm, attributes.size);
            return self.finished(item, facts);
        }
        if let Some(digest) = image.weak_digest(node, algorithm) {
            facts.digest = Some(Digest::Other(algorithm, digest));
            self.hashed(algorithm, attributes.size);
            return self.finished(item, facts);
        }
        match image.open(node) {
            Ok(content) => {
                let content = Content::Image { content, at: 0 };
                self.readable_content(item, content, facts, algorithm, attributes.size)
            }
            Err(why) => {
                facts.unseen.push(format!("digest: {why}"));
                self.finished(item, facts)
            }
        }
    }

    fn readable_content(
        &mut self,
        item: &Item,
        content: Content,
        mut facts: Facts,
        algorithm: Algorithm,
        size: u64,
    ) -> Inspected {
        let limit = self.plan.size_limit();
        if size > limit {
            facts.unseen.push(format!(
                "digest: {size} bytes are more than the limit of {limit} (--max-file-size)"
            ));
            return self.finished(item, facts);
        }
        self.tally.entries += 1;
        Inspected::Reading(facts, content, algorithm)
    }

    fn finished(&mut self, item: &Item, facts: Facts) -> Inspected {
        if item.ordinary.is_some() && !facts.is_more_than_ordinary() {
            return Inspected::Nothing;
        }
        self.tally.entries += 1;
        Inspected::Done(facts)
    }

    /// What the file is, without what only its file system is.
    fn own(&self, metadata: Metadata) -> Metadata {
        Metadata {
            immutable: metadata.immutable && self.flags == Flags::OfFiles,
            ..metadata
        }
    }

    /// Counts a file whose content has been hashed.
    pub(super) fn hashed(&mut self, algorithm: Algorithm, bytes: u64) {
        self.tally.hashed[algorithm as usize] += 1;
        self.tally.bytes += bytes;
    }

    /// Reads a file again from its beginning, alone, until nobody writes meanwhile.
    pub(super) fn reread(
        &mut self,
        facts: &mut Facts,
        content: &mut Content,
        algorithm: Algorithm,
        buffer: &mut [u8],
    ) {
        for _ in 0..RETRIES {
            let before = match content.rewind() {
                Ok(before) => before,
                Err(why) => return facts.unseen.push(format!("digest: {why}")),
            };
            let mut hasher = Hasher::new(algorithm);
            loop {
                match content.read(buffer) {
                    Ok(0) => break,
                    Ok(read) => hasher.update(&buffer[..read]),
                    Err(why) => return facts.unseen.push(format!("digest: {why}")),
                }
                if content.position() > self.plan.size_limit() {
                    break;
                }
            }
            if content.is_unchanged(&before) {
                facts.metadata = Some(self.own(before));
                facts.digest = Some(hasher.finish());
                return self.hashed(algorithm, content.position());
            }
        }
        self.tally.raced += 1;
        facts
            .unseen
            .push("digest: raced: it changed each time while it was read".to_owned());
    }
}

impl Facts {
    fn blank(kind: Kind) -> Self {
        Self {
            kind,
            metadata: None,
            link: None,
            digest: None,
            extended: Vec::new(),
            mount: None,
            unseen: Vec::new(),
        }
    }

    fn extend(&mut self, name: &[u8], value: Result<&[u8], Errno>) {
        match value {
            Ok(value) => self.extended.push(extended::describe(name, value)),
            Err(why) => {
                let name = extended::describe(name, &[]).0;
                self.unseen.push(format!("{name}: {}", explain(why)));
            }
        }
    }

    fn xattrs_failed(&mut self, listed: Result<(), Errno>) {
        if let Err(why) = listed {
            self.unseen.push(format!("xattr: {}", explain(why)));
        }
    }

    /// Whether it is told even where the ordinary is not: setid, capabilities, device nodes.
    fn is_more_than_ordinary(&self) -> bool {
        let setid = self.kind == Kind::File && self.metadata.is_some_and(|m| m.permissions() & 0o6000 != 0);
        let device = matches!(self.kind, Kind::BlockDevice | Kind::CharDevice);
        setid || device || self.extended.iter().any(|(name, _)| name == "capabilities")
    }
}
