//! An image that nobody has mounted as a tree: names are looked up in its own directories, links lead below its
//! own root.

use std::collections::VecDeque;
use std::io::Read as _;
use std::sync::{Arc, Mutex, PoisonError};

use super::{Stat, Tree, TreeError};
use crate::source::file_system::{Attributes, Child, Fault, FileSystem, Node};
use crate::sys::Kind;

/// An image's file system as a tree.
pub struct ImageTree {
    image: Arc<dyn FileSystem>,
    /// Directories listed last: probes look up thousands of names in a few of them.
    listed: Mutex<VecDeque<(Node, Arc<Vec<Child>>)>>,
}

/// Links that one path may lead over (`MAXSYMLINKS` of the kernel).
const HOPS: usize = 40;
/// Directories whose names are kept.
const LISTED: usize = 16;

impl ImageTree {
    /// The tree of an image.
    #[must_use]
    pub fn new(image: Arc<dyn FileSystem>) -> Self {
        Self {
            image,
            listed: Mutex::default(),
        }
    }

    fn children(&self, directory: Node) -> Result<Arc<Vec<Child>>, TreeError> {
        let mut listed = self.listed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = listed.iter().position(|(node, _)| *node == directory) {
            let found = Arc::clone(&listed[at].1);
            if at > 0 {
                listed.swap(at, 0);
            }
            return Ok(found);
        }
        let children = Arc::new(self.image.children(directory).map_err(failed)?);
        listed.truncate(LISTED - 1);
        listed.push_front((directory, Arc::clone(&children)));
        Ok(children)
    }

    /// The node that a path leads to.
    fn resolve(&self, path: &[u8], last: Last) -> Result<(Node, Kind), TreeError> {
        // Components still to go, the next one last; directories gone through, for `..`.
        let mut todo: Vec<Vec<u8>> = components(path);
        let root = (self.image.root(), Kind::Directory);
        let mut above = vec![root];
        let mut hops = 0;
        while let Some(name) = todo.pop() {
            let at = *above.last().unwrap_or(&root);
            if at.1 != Kind::Directory {
                return Err(TreeError::NotFound);
            }
            if name == b".." {
                if above.len() > 1 {
                    above.pop();
                }
                continue;
            }
            let children = self.children(at.0)?;
            let found = children
                .binary_search_by(|child| child.name.as_slice().cmp(&name))
                .map_err(|_| TreeError::NotFound)?;
            let child = &children[found];
            if child.kind == Kind::Link && (last == Last::Followed || !todo.is_empty()) {
                hops += 1;
                if hops > HOPS {
                    return Err(TreeError::Failed("too many levels of symbolic links".to_owned()));
                }
                let target = self.image.link(child.node).map_err(failed)?;
                if target.first() == Some(&b'/') {
                    above.truncate(1);
                }
                todo.extend(components(&target));
            } else {
                above.push((child.node, child.kind));
            }
        }
        Ok(*above.last().unwrap_or(&root))
    }

    fn attributes(&self, node: Node) -> Result<Attributes, TreeError> {
        self.image.attributes(node).map_err(failed)
    }

    fn stat_of(&self, path: &[u8], last: Last) -> Result<Stat, TreeError> {
        let (node, _) = self.resolve(path, last)?;
        let attributes = self.attributes(node)?;
        Ok(Stat {
            mode: attributes.kind.mode_bits() | u32::from(attributes.permissions),
            uid: attributes.uid,
            gid: attributes.gid,
            size: attributes.size,
        })
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    Followed,
    Itself,
}

/// The components of a path, the first one last.
fn components(path: &[u8]) -> Vec<Vec<u8>> {
    path.split(|byte| *byte == b'/')
        .rev()
        .filter(|name| !name.is_empty() && *name != b".")
        .map(Into::into)
        .collect()
}

fn failed(why: Fault) -> TreeError {
    TreeError::Failed(why.0)
}

impl Tree for ImageTree {
    fn read(&self, path: &[u8], limit: u64) -> Result<Vec<u8>, TreeError> {
        let (node, kind) = self.resolve(path, Last::Followed)?;
        if kind != Kind::File {
            return Err(TreeError::WrongType);
        }
        let size = self.attributes(node)?.size;
        if size > limit {
            return Err(TreeError::TooLarge(limit));
        }
        let mut bytes = Vec::new();
        let content = self.image.open(node).map_err(failed)?;
        content
            .take(size.saturating_add(1))
            .read_to_end(&mut bytes)
            .map_err(|why| TreeError::Failed(why.to_string()))?;
        if bytes.len() as u64 != size {
            let why = format!("the image has {} of its {size} bytes", bytes.len());
            return Err(TreeError::Failed(why));
        }
        Ok(bytes)
    }

    fn list(&self, path: &[u8]) -> Result<Vec<Vec<u8>>, TreeError> {
        match self.resolve(path, Last::Followed)? {
            (node, Kind::Directory) => Ok(self
                .children(node)?
                .iter()
                .map(|child| child.name.clone())
                .collect()),
            _ => Err(TreeError::WrongType),
        }
    }

    fn stat(&self, path: &[u8]) -> Result<Stat, TreeError> {
        self.stat_of(path, Last::Followed)
    }

    fn lstat(&self, path: &[u8]) -> Result<Stat, TreeError> {
        self.stat_of(path, Last::Itself)
    }

    fn read_link(&self, path: &[u8]) -> Result<Vec<u8>, TreeError> {
        match self.resolve(path, Last::Itself)? {
            (node, Kind::Link) => self.image.link(node).map_err(failed),
            _ => Err(TreeError::WrongType),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Read};

    use super::*;

    /// An image of a few nodes: names, and what they are.
    struct Image(Vec<Entry>);

    enum Entry {
        Directory(Vec<(&'static str, Node)>),
        File(&'static [u8]),
        Link(&'static [u8]),
        Short,
    }

    impl Image {
        fn kind(&self, node: Node) -> Kind {
            match self.0[usize::try_from(node).unwrap()] {
                Entry::Directory(_) => Kind::Directory,
                Entry::File(_) | Entry::Short => Kind::File,
                Entry::Link(_) => Kind::Link,
            }
        }
    }

    impl FileSystem for Image {
        fn root(&self) -> Node {
            0
        }

        fn children(&self, directory: Node) -> Result<Vec<Child>, Fault> {
            let Entry::Directory(names) = &self.0[usize::try_from(directory).unwrap()] else {
                return Err(Fault::new("no directory"));
            };
            let child = |&(name, node): &(&str, Node)| Child {
                name: name.into(),
                node,
                kind: self.kind(node),
            };
            Ok(names.iter().map(child).collect())
        }

        fn attributes(&self, node: Node) -> Result<Attributes, Fault> {
            let size = match self.0[usize::try_from(node).unwrap()] {
                Entry::File(bytes) => bytes.len() as u64,
                Entry::Short => 9,
                _ => 0,
            };
            Ok(Attributes {
                kind: self.kind(node),
                permissions: 0o755,
                uid: 0,
                gid: 0,
                size,
                links: 1,
                mtime: None,
                device: (0, 0),
                immutable: false,
                append_only: false,
            })
        }

        fn link(&self, node: Node) -> Result<Vec<u8>, Fault> {
            match self.0[usize::try_from(node).unwrap()] {
                Entry::Link(target) => Ok(target.to_vec()),
                _ => Err(Fault::new("no link")),
            }
        }

        fn xattrs(&self, _: Node) -> Result<Vec<(Vec<u8>, Vec<u8>)>, Fault> {
            Ok(Vec::new())
        }

        fn open(&self, node: Node) -> Result<Box<dyn Read + Send>, Fault> {
            match self.0[usize::try_from(node).unwrap()] {
                Entry::File(bytes) => Ok(Box::new(bytes)),
                Entry::Short => Ok(Box::new(Cursor::new(b"short"))),
                _ => Err(Fault::new("no file")),
            }
        }
    }

    #[test]
    fn links_stay_inside() {
        let tree = ImageTree::new(Arc::new(Image(vec![
            Entry::Directory(vec![
                ("absolute", 2),
                ("etc", 1),
                ("loop", 3),
                ("short", 6),
                ("up", 4),
            ]),
            Entry::Directory(vec![("passwd", 5)]),
            Entry::Link(b"/etc/passwd"),
            Entry::Link(b"loop"),
            Entry::Link(b"../../..//./etc/../../etc/passwd"),
            Entry::File(b"inside"),
            Entry::Short,
        ])));
        assert_eq!(tree.read(b"/absolute", 100).unwrap(), b"inside");
        assert_eq!(tree.read(b"/up", 100).unwrap(), b"inside");
        assert_eq!(tree.read(b"/absolute", 5), Err(TreeError::TooLarge(5)));
        assert!(matches!(tree.read(b"/loop", 100), Err(TreeError::Failed(_))));
        assert!(matches!(tree.read(b"/short", 100), Err(TreeError::Failed(_))));
        assert_eq!(tree.read(b"/etc", 100), Err(TreeError::WrongType));
        assert_eq!(tree.read(b"/etc/nothing", 100), Err(TreeError::NotFound));
        assert_eq!(tree.read(b"/etc/passwd/x", 100), Err(TreeError::NotFound));
        assert_eq!(tree.read_link(b"/absolute").unwrap(), b"/etc/passwd");
        assert!(tree.lstat(b"/absolute").unwrap().is_link());
        assert!(tree.stat(b"/absolute").unwrap().is_file());
        assert_eq!(tree.list(b"/etc").unwrap(), [b"passwd".to_vec()]);
        assert!(tree.stat(b"/").unwrap().is_directory());
    }
}
