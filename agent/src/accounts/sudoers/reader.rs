//! Reads `/etc/sudoers` and what it includes.

use std::sync::Arc;

use super::parser::{Include, IncludeKind, Parser};
use super::{Policy, Trouble};
use crate::accounts::FILE_LIMIT;
use crate::tree::{Tree, TreeError};

/// Where the policy may be: the first that exists. Some distributions keep their own in `/usr/etc`.
pub const FILES: [&[u8]; 2] = [b"/etc/sudoers", b"/usr/etc/sudoers"];

/// Reads the policy. Without a file there is none, and it is empty.
#[must_use]
pub fn read(tree: &dyn Tree) -> Policy {
    let mut reader = Reader {
        tree,
        open: Vec::new(),
        left: FILES_LIMIT,
        host: Host::NotAsked,
    };
    let mut parser = Parser::default();
    for path in FILES {
        match tree.read(path, FILE_LIMIT) {
            Err(TreeError::NotFound) => continue,
            Err(why) => parser.policy.trouble.push(Trouble {
                file: path.into(),
                line: None,
                why: why.to_string(),
            }),
            Ok(bytes) => reader.file(&bytes, path, &mut parser),
        }
        break;
    }
    parser.policy
}

/// Include depth at which sudo stops.
const DEPTH_LIMIT: usize = 128;
/// How many files are read in all. sudo has no such limit, but files that include two others each would keep
/// it, and us, busy forever.
const FILES_LIMIT: usize = 4096;

struct Reader<'a> {
    tree: &'a dyn Tree,
    /// The files that are being read, outermost first.
    open: Vec<Vec<u8>>,
    left: usize,
    host: Host,
}

impl Reader<'_> {
    fn file(&mut self, bytes: &[u8], path: &[u8], parser: &mut Parser) {
        self.open.push(path.to_vec());
        let file: Arc<[u8]> = path.into();
        parser.file(bytes, &file, &mut |parser, include, line| {
            self.include(&include, &file, line, parser);
        });
        self.open.pop();
    }

    fn include(&mut self, include: &Include, from: &Arc<[u8]>, line: usize, parser: &mut Parser) {
        let Some(path) = self.expand(&include.path, from) else {
            return parser.trouble(from, line, "the include is for a host name that cannot be known");
        };
        match include.kind {
            IncludeKind::File => match self.open(&path) {
                Ok(bytes) => self.file(&bytes, &path, parser),
                Err(why) => parser.trouble(from, line, format!("the included file: {why}")),
            },
            IncludeKind::Directory => self.directory(&path, from, line, parser),
        }
    }

    fn open(&mut self, path: &[u8]) -> Result<Vec<u8>, String> {
        if self.open.iter().any(|open| open == path) {
            return Err("it includes itself".into());
        }
        if self.open.len() >= DEPTH_LIMIT || self.left == 0 {
            return Err("too many levels of includes".into());
        }
        self.left -= 1;
        self.tree.read(path, FILE_LIMIT).map_err(|why| why.to_string())
    }

    /// A missing directory is no error. Names with a dot or a tilde at the end are left out: they are what
    /// editors and package managers leave behind.
    fn directory(&mut self, path: &[u8], from: &Arc<[u8]>, line: usize, parser: &mut Parser) {
        let names = match self.tree.list(path) {
            Ok(names) => names,
            Err(TreeError::NotFound) => return,
            Err(why) => return parser.trouble(from, line, format!("the included directory: {why}")),
        };
        for name in names
            .iter()
            .filter(|name| !name.contains(&b'.') && !name.ends_with(b"~"))
        {
            let path = [path, b"/", &name[..]].concat();
            match self.tree.stat(&path) {
                Ok(stat) if !stat.is_file() => continue,
                Err(TreeError::NotFound) => continue,
                _ => {}
            }
            match self.open(&path) {
                Ok(bytes) => self.file(&bytes, &path, parser),
                Err(why) => parser.policy.trouble.push(Trouble {
                    file: path.into(),
                    line: None,
                    why,
                }),
            }
        }
    }

    /// The path with `%h` replaced, relative to the including file.
    fn expand(&mut self, path: &[u8], from: &[u8]) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        if !path.starts_with(b"/") {
            let folder = from.iter().rposition(|byte| *byte == b'/').map_or(0, |at| at + 1);
            out.extend_from_slice(&from[..folder]);
        }
        let mut rest = path;
        while let Some(at) = rest.windows(2).position(|pair| pair == b"%h") {
            out.extend_from_slice(&rest[..at]);
            out.extend_from_slice(self.host()?);
            rest = &rest[at + 2..];
        }
        out.extend_from_slice(rest);
        // `/etc/sudoers.d/` and `/etc/sudoers.d` are one directory.
        while out.len() > 1 && out.ends_with(b"/") {
            out.pop();
        }
        Some(out)
    }

    fn host(&mut self) -> Option<&[u8]> {
        if matches!(self.host, Host::NotAsked) {
            self.host = short_name(self.tree).map_or(Host::Unknown, Host::Known);
        }
        match &self.host {
            Host::Known(name) => Some(name),
            Host::NotAsked | Host::Unknown => None,
        }
    }
}

/// The host's name up to the first dot, once an include needs it.
enum Host {
    NotAsked,
    Unknown,
    Known(Vec<u8>),
}

fn short_name(tree: &dyn Tree) -> Option<Vec<u8>> {
    let text = tree.read(b"/etc/hostname", 4096).ok()?;
    let name = text
        .trim_ascii()
        .split(|byte| matches!(byte, b'.' | b'\n'))
        .next()?;
    (!name.is_empty() && !name.contains(&b'/')).then(|| name.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::memory::MemoryTree;

    fn users(policy: &Policy) -> Vec<String> {
        policy
            .rules
            .iter()
            .map(|rule| format!("{:?}", rule.users))
            .map(|text| text.replace(char::is_whitespace, ""))
            .collect()
    }

    fn word(name: &str) -> String {
        format!("[Member{{negated:false,name:Word({:?})}}]", name.as_bytes()).replace(' ', "")
    }

    #[test]
    fn includes_are_read_in_place() {
        let tree = MemoryTree::new()
            .file(
                "/etc/sudoers",
                "a ALL=ALL\n#include sudoers.local\nb ALL=ALL\n@includedir /etc/sudoers.d\n",
            )
            .file("/etc/sudoers.local", "c ALL=ALL\n@include /etc/sudoers.%h\n")
            .file("/etc/sudoers.web1", "d ALL=ALL")
            .file("/etc/hostname", "web1.example.com\n")
            .file("/etc/sudoers.d/20", "f ALL=ALL\n")
            .file("/etc/sudoers.d/10", "e ALL=ALL\n")
            .file("/etc/sudoers.d/10.rpmsave", "no ALL=ALL\n")
            .file("/etc/sudoers.d/10~", "no ALL=ALL\n")
            .file("/etc/sudoers.d/folder/x", "no ALL=ALL\n");
        let policy = read(&tree);
        assert_eq!(policy.trouble, []);
        assert_eq!(users(&policy), ["a", "c", "d", "b", "e", "f"].map(word));
    }

    #[test]
    fn what_cannot_be_included_is_trouble_and_the_rest_goes_on() {
        let tree = MemoryTree::new()
            .file("/etc/sudoers", "@include /gone\n@include /etc/sudoers\n@include /%h\n@includedir /gone\n@includedir /d\na ALL=ALL\n")
            .failing("/d/x", TreeError::Denied);
        let policy = read(&tree);
        let trouble: Vec<_> = policy
            .trouble
            .iter()
            .map(|trouble| (trouble.line, &trouble.why[..]))
            .collect();
        assert_eq!(
            trouble,
            [
                (Some(1), "the included file: not found"),
                (Some(2), "the included file: it includes itself"),
                (Some(3), "the include is for a host name that cannot be known"),
                (None, "permission denied"),
            ]
        );
        assert_eq!(users(&policy), [word("a")]);
    }

    #[test]
    fn includes_that_fan_out_end() {
        let mut tree = MemoryTree::new().file("/etc/sudoers", "@include /f0\n");
        for at in 0..40 {
            let next = format!("@include /f{}\n", at + 1);
            tree = tree.file(&format!("/f{at}"), next.repeat(2));
        }
        let policy = read(&tree);
        assert!(
            policy
                .trouble
                .iter()
                .any(|trouble| trouble.why.contains("too many"))
        );
    }

    #[test]
    fn a_deep_chain_ends_where_sudo_ends_it() {
        let mut tree = MemoryTree::new().file("/etc/sudoers", "@include /f0\n");
        for at in 0..200 {
            tree = tree.file(
                &format!("/f{at}"),
                format!("u{at} ALL=ALL\n@include /f{}\n", at + 1),
            );
        }
        let policy = read(&tree);
        assert_eq!(policy.rules.len(), DEPTH_LIMIT - 1);
        assert_eq!(policy.trouble.len(), 1);
    }

    #[test]
    fn the_vendors_file_counts_where_there_is_no_other() {
        let tree = MemoryTree::new().file("/usr/etc/sudoers", "a ALL=ALL\n");
        assert_eq!(read(&tree).rules.len(), 1);
        let tree = tree.file("/etc/sudoers", "");
        assert_eq!(read(&tree).rules.len(), 0);
    }
}
