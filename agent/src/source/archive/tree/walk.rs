//! Ways through the tree.

use std::borrow::Cow;

use baseline_format::OsText;

use super::{Body, ROOT, Rules, Tree};
use crate::source::archive::path::{component, split};
use crate::source::file_system::Fault;

/// How far a path leads.
struct Way {
    /// The last directory that is there.
    directory: u32,
    /// What of the path is not there: components joined by `/`. Empty if all is.
    missing: Vec<u8>,
    /// What is in the way there, if it is not a directory.
    obstacle: Option<OsText>,
}

impl Tree {
    /// The directory of this path, if there is one. Nothing is made.
    pub(super) fn look_for(&self, path: &[u8], rules: Rules) -> Result<Option<u32>, Fault> {
        let way = self.walk(path, rules)?;
        let whole = way.missing.is_empty() && way.obstacle.is_none();
        Ok(whole.then_some(way.directory))
    }

    /// The directory of this path, made where it is missing.
    pub(super) fn make_way(&mut self, path: &[u8]) -> Result<u32, Fault> {
        let way = self.walk(path, self.rules)?;
        if let Some(obstacle) = way.obstacle {
            return Err(Fault::new(format!("`{obstacle}` on the way is not a directory")));
        }
        let (mut at, mut from) = (way.directory, 0);
        while let Some((name, next)) = component(&way.missing, from) {
            if name == b".." {
                // Only a link's target has this. Where it leads depends on what is not there.
                return Err(Fault::new(
                    "a link on the way leads back out of a directory that is not there",
                ));
            }
            at = self.make_directory(at, name)?;
            from = next;
        }
        Ok(at)
    }

    /// Goes down a path. Links on the way are refused or followed, by the rules; followed inside the tree only,
    /// where `..` of the root is the root.
    fn walk(&self, path: &[u8], rules: Rules) -> Result<Way, Fault> {
        let mut directory = ROOT;
        let mut path = Cow::Borrowed(path);
        let (mut from, mut links) = (0, 0);
        let way = |directory, missing: &[u8], obstacle| Way {
            directory,
            missing: missing.to_vec(),
            obstacle,
        };
        while let Some((name, next)) = component(&path, from) {
            let after = path.get(next..).unwrap_or_default();
            if name == b".." {
                directory = self.directory(directory)?.parent;
                from = next;
                continue;
            }
            let Some(entry) = self.child(directory, name) else {
                return Ok(way(directory, path.get(from..).unwrap_or_default(), None));
            };
            match &self.inode(entry.inode)?.body {
                Body::Directory(below) => {
                    directory = *below;
                    from = next;
                }
                Body::Link(_) if rules == Rules::RootFileSystem => {
                    return Err(Fault::new(format!(
                        "the path leads through the symbolic link `{}`: extractors differ in what they do with that",
                        OsText::new(name)
                    )));
                }
                Body::Link(target) => {
                    links += 1;
                    if links > LINKS {
                        return Err(Fault::new(format!(
                            "too many symbolic links on the way, at `{}`",
                            OsText::new(name)
                        )));
                    }
                    if target.len() + after.len() > PATH {
                        return Err(Fault::new(format!(
                            "with the symbolic link `{}` in it, the path is longer than {PATH} bytes",
                            OsText::new(name)
                        )));
                    }
                    if target.starts_with(b"/") {
                        directory = ROOT;
                    }
                    path = Cow::Owned([target, &b"/"[..], after].concat());
                    from = 0;
                }
                _ => return Ok(way(directory, &[], Some(OsText::new(name)))),
            }
        }
        Ok(way(directory, &[], None))
    }

    /// The inode of a path, links followed inside the tree as if its root were the root.
    pub(in super::super) fn resolve(&self, path: &[u8]) -> Result<Option<u32>, Fault> {
        let mut path = Cow::Borrowed(path);
        for _ in 0..LINKS {
            let (above, name) = split(&path);
            let directory = self.look_for(above, Rules::Layers)?;
            let Some(entry) = directory.and_then(|directory| self.child(directory, name)) else {
                return Ok(None);
            };
            match &self.inode(entry.inode)?.body {
                Body::Link(target) if target.starts_with(b"/") => path = Cow::Owned(target.to_vec()),
                Body::Link(target) => path = Cow::Owned([above, &b"/"[..], target].concat()),
                _ => return Ok(Some(entry.inode)),
            }
        }
        Err(Fault::new("too many symbolic links on the way"))
    }
}

/// Links followed on one path, as Linux has it.
const LINKS: u32 = 40;
/// Longest path that a link may be replaced in. Bytes; Linux takes half as much.
const PATH: usize = 8192;
