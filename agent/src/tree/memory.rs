//! A tree in memory, for the tests of probes.

use std::collections::BTreeMap;

use super::{Stat, Tree, TreeError};

/// Files, links and failures by path. Directories exist where something lies below them.
#[derive(Default)]
pub(crate) struct MemoryTree {
    nodes: BTreeMap<Vec<u8>, Node>,
}

enum Node {
    File(Vec<u8>, u32),
    Link(Vec<u8>),
    Failing(TreeError),
}

impl MemoryTree {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Adds a file with mode 0644.
    pub(crate) fn file(self, path: &str, content: impl AsRef<[u8]>) -> Self {
        self.file_mode(path, content, 0o644)
    }

    pub(crate) fn file_mode(mut self, path: &str, content: impl AsRef<[u8]>, mode: u32) -> Self {
        self.nodes
            .insert(path.into(), Node::File(content.as_ref().to_vec(), mode));
        self
    }

    pub(crate) fn link(mut self, path: &str, target: &str) -> Self {
        self.nodes.insert(path.into(), Node::Link(target.into()));
        self
    }

    /// Adds a path at which every look fails.
    pub(crate) fn failing(mut self, path: &str, why: TreeError) -> Self {
        self.nodes.insert(path.into(), Node::Failing(why));
        self
    }

    fn resolve(&self, path: &[u8], follow_last: bool) -> Result<Vec<u8>, TreeError> {
        let mut todo: Vec<Vec<u8>> = path
            .split(|b| *b == b'/')
            .rev()
            .filter(|c| !c.is_empty())
            .map(Into::into)
            .collect();
        let mut done: Vec<u8> = Vec::new();
        let mut hops = 0;
        while let Some(name) = todo.pop() {
            if name == b".." {
                done.truncate(done.iter().rposition(|b| *b == b'/').unwrap_or(0));
                continue;
            }
            let mut next = done.clone();
            next.push(b'/');
            next.extend_from_slice(&name);
            match self.nodes.get(&next) {
                Some(Node::Link(target)) if follow_last || !todo.is_empty() => {
                    hops += 1;
                    if hops > 40 {
                        return Err(TreeError::Failed("too many levels of symbolic links".into()));
                    }
                    if target.first() == Some(&b'/') {
                        done.clear();
                    }
                    todo.extend(
                        target
                            .split(|b| *b == b'/')
                            .rev()
                            .filter(|c| !c.is_empty() && *c != b".")
                            .map(Into::into),
                    );
                }
                Some(Node::Failing(why)) => return Err(why.clone()),
                _ => done = next,
            }
        }
        Ok(done)
    }
}

impl Tree for MemoryTree {
    fn read(&self, path: &[u8], limit: u64) -> Result<Vec<u8>, TreeError> {
        match self.nodes.get(&self.resolve(path, true)?) {
            Some(Node::File(content, _)) if content.len() as u64 > limit => Err(TreeError::TooLarge(limit)),
            Some(Node::File(content, _)) => Ok(content.clone()),
            Some(_) => Err(TreeError::WrongType),
            None => self.list(path).and(Err(TreeError::WrongType)),
        }
    }

    fn list(&self, path: &[u8]) -> Result<Vec<Vec<u8>>, TreeError> {
        let mut prefix = self.resolve(path, true)?;
        if self.nodes.contains_key(&prefix) {
            return Err(TreeError::WrongType);
        }
        prefix.push(b'/');
        let mut names: Vec<Vec<u8>> = self
            .nodes
            .keys()
            .filter_map(|known| known.strip_prefix(&prefix[..]))
            .filter_map(|rest| rest.split(|b| *b == b'/').next())
            .map(Into::into)
            .collect();
        names.sort_unstable();
        names.dedup();
        if names.is_empty() {
            Err(TreeError::NotFound)
        } else {
            Ok(names)
        }
    }

    fn stat(&self, path: &[u8]) -> Result<Stat, TreeError> {
        let path = self.resolve(path, true)?;
        self.lstat(&path)
    }

    fn lstat(&self, path: &[u8]) -> Result<Stat, TreeError> {
        let path = self.resolve(path, false)?;
        let (mode, size) = match self.nodes.get(&path) {
            Some(Node::File(content, mode)) => (0o100_000 | mode, content.len()),
            Some(Node::Link(target)) => (0o120_777, target.len()),
            Some(Node::Failing(why)) => return Err(why.clone()),
            None => self.list(&path).map(|_| (0o040_755, 0))?,
        };
        Ok(Stat {
            mode,
            uid: 0,
            gid: 0,
            size: size as u64,
        })
    }

    fn read_link(&self, path: &[u8]) -> Result<Vec<u8>, TreeError> {
        match self.nodes.get(&self.resolve(path, false)?) {
            Some(Node::Link(target)) => Ok(target.clone()),
            Some(_) => Err(TreeError::WrongType),
            None => Err(TreeError::NotFound),
        }
    }
}
