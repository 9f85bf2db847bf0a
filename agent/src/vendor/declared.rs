//! What all packages declare, by the path where it really is, in THE order.

use std::cmp::Ordering;
use std::collections::HashMap;

use baseline_format::order::compare_key_bytes;
use baseline_format::{Entry, Line, OsText, ReadError, Reference, Value};

use super::excuses::PathExcludes;
use crate::packages::{DeclaredFile, DeclaredKind, Diversion, Ecosystem, Installed, READERS, Wanted};
use crate::scan::{Algorithm, FILES};
use crate::tree::Tree;

/// Everything that is declared below one root.
#[derive(Debug, Default)]
pub(crate) struct Declared {
    /// Sorted by path; one element a path.
    files: Vec<Declaration>,
    /// Names of packages, as `deb/coreutils:amd64`.
    packages: Vec<String>,
    /// Paths that packages own without having installed them; sorted.
    ghosts: Vec<(Vec<u8>, usize)>,
    /// Which package managers were found.
    ecosystems: Vec<Ecosystem>,
    /// Paths that dpkg was told not to install.
    pub(crate) excludes: PathExcludes,
    /// What could not be read or understood: the key it concerns and why.
    pub(crate) trouble: Vec<(Vec<u8>, String)>,
}

/// One path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Declaration {
    pub(crate) path: Vec<u8>,
    pub(crate) file: DeclaredFile,
    /// Digests that other packages declare for the same path; any of them will do.
    pub(crate) others: Vec<String>,
}

impl Declared {
    /// Reads every package database below the root.
    pub(crate) fn read(tree: &dyn Tree) -> Self {
        let mut declared = Self {
            excludes: PathExcludes::read(tree),
            ..Self::default()
        };
        let mut places = Places {
            tree,
            real: HashMap::new(),
        };
        for (ecosystem, reader) in READERS {
            match reader(tree, Wanted::PackagesAndFiles) {
                Ok(None) => {}
                Ok(Some(installed)) => declared.add(*ecosystem, installed, &mut places),
                Err(why) => {
                    let why = format!("all: package database: {why}");
                    declared.trouble.push((ecosystem.name().as_bytes().to_vec(), why));
                }
            }
        }
        declared.add_registered(tree, &mut places);
        declared.merge();
        declared
    }

    /// Configuration files that packages make with ucf(1) when they are configured: owned, but not declared.
    fn add_registered(&mut self, tree: &dyn Tree, places: &mut Places<'_>) {
        let registry = tree.read(b"/var/lib/ucf/registry", REGISTRY).unwrap_or_default();
        for line in registry.split(|byte| *byte == b'\n') {
            let mut words = line.splitn(2, u8::is_ascii_whitespace);
            if let (Some(package), Some(path)) = (words.next(), words.next()) {
                self.packages
                    .push(format!("deb/{}", String::from_utf8_lossy(package)));
                self.ghosts
                    .push((places.real(path.trim_ascii()), self.packages.len() - 1));
            }
        }
    }

    fn add(&mut self, ecosystem: Ecosystem, installed: Installed, places: &mut Places<'_>) {
        let first = self.packages.len();
        self.ecosystems.push(ecosystem);
        self.trouble.extend(
            installed
                .trouble
                .into_iter()
                .map(|(key, why)| (key, format!("all: {why}"))),
        );
        for package in &installed.packages {
            let name = String::from_utf8_lossy(&package.name);
            let architecture = String::from_utf8_lossy(&package.architecture);
            self.packages.push(match ecosystem {
                Ecosystem::Deb => format!("deb/{name}:{architecture}"),
                Ecosystem::Rpm => format!("rpm/{name}.{architecture}"),
                other => format!("{}/{name}", other.name()),
            });
        }
        for mut file in installed.files {
            if file.path == b"/." || file.path == b"/" {
                continue;
            }
            let name = installed
                .packages
                .get(file.package)
                .map(|package| package.name.as_slice());
            divert(&mut file, &installed.diversions, name);
            file.package += first;
            let path = places.real(&file.path);
            if file.ghost {
                self.ghosts.push((path, file.package));
            } else {
                self.files.push(Declaration {
                    path,
                    file,
                    others: Vec::new(),
                });
            }
        }
        for said in installed.overrides {
            let file = DeclaredFile {
                mode: Some(said.mode),
                user: Some(said.user).filter(|user| !user.starts_with(b"#")),
                group: Some(said.group).filter(|group| !group.starts_with(b"#")),
                package: usize::MAX,
                ..DeclaredFile::default()
            };
            self.files.push(Declaration {
                path: places.real(&said.path),
                file,
                others: Vec::new(),
            });
        }
    }

    /// Sorts, and makes one declaration of all that concern one path.
    fn merge(&mut self) {
        self.files.sort_by(|a, b| compare_key_bytes(&a.path, &b.path));
        let mut merged: Vec<Declaration> = Vec::with_capacity(self.files.len());
        for next in self.files.drain(..) {
            match merged.last_mut() {
                Some(last) if last.path == next.path => last.join(next),
                _ => merged.push(next),
            }
        }
        merged.shrink_to_fit();
        self.files = merged;
        self.ghosts.sort();
    }

    pub(crate) const fn len(&self) -> usize {
        self.files.len()
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.files.is_empty() && self.packages.is_empty()
    }

    /// What is declared for a path.
    pub(crate) fn get(&self, path: &[u8]) -> Option<&Declaration> {
        let at = self
            .files
            .binary_search_by(|known| compare_key_bytes(&known.path, path))
            .ok()?;
        Some(&self.files[at])
    }

    /// The digest to compute of a path's content.
    pub(crate) fn algorithm(&self, path: &[u8]) -> Algorithm {
        let digest = self.get(path).and_then(|known| known.file.digest.as_deref());
        digest.and_then(Algorithm::of).unwrap_or(Algorithm::None)
    }

    /// Whether any digest is of another algorithm than this one.
    pub(crate) fn has_other_than(&self, algorithm: Algorithm) -> bool {
        let digests = self.files.iter().filter_map(|known| known.file.digest.as_deref());
        digests.filter_map(Algorithm::of).any(|other| other != algorithm)
    }

    /// The package that owns a path, also one that it has not installed.
    pub(crate) fn owner(&self, path: &[u8]) -> Option<&str> {
        let package = match self.get(path) {
            Some(known) => known.file.package,
            None => {
                self.ghosts[self
                    .ghosts
                    .binary_search_by(|(ghost, _)| ghost.as_slice().cmp(path))
                    .ok()?]
                .1
            }
        };
        self.packages.get(package).map(String::as_str)
    }

    /// How far the reference can be trusted.
    pub(crate) fn trust(&self) -> Vec<String> {
        let mut said = vec![
            "only files are compared: packages declare no users, passwords, sudo rules or keys; a recorded baseline \
             covers those"
                .to_owned(),
            "the package databases below the root are the only witness: whoever could change a file there as root \
             could change them as well"
                .to_owned(),
        ];
        let count =
            |test: fn(&DeclaredFile) -> bool| self.files.iter().filter(|known| test(&known.file)).count();
        let weak = count(|file| {
            file.digest
                .as_ref()
                .is_some_and(|digest| digest.starts_with("md5:"))
        });
        if weak > 0 {
            said.push(format!(
                "{weak} of {} declared paths have only an MD5 digest: it shows accidents, but files with an equal one \
                 can be made on purpose",
                self.len()
            ));
        }
        if self.ecosystems.contains(&Ecosystem::Deb) {
            said.push(
                "dpkg declares existence and content only: owners, modes, setid bits, capabilities and link targets of \
                 what it installed are not compared"
                    .to_owned(),
            );
        }
        said
    }
}

impl Declared {
    /// Whether the observed entry is a regular file that a package installed and whose content it says nothing of: its
    /// list of digests may have been cut, or removed as a whole.
    pub(crate) fn has_no_digest_of(&self, observed: &Line<'_>) -> bool {
        let kind = observed.get("type").map(|kind| kind.decode());
        if !matches!(kind, Some(Value::Text(kind)) if kind.as_str() == "file") {
            return false;
        }
        let path = OsText::parse(&observed.key())
            .unwrap_or_default()
            .to_bytes()
            .into_owned();
        self.get(&path).is_some_and(|known| {
            let file = &known.file;
            file.digest.is_none() && !file.config && !file.ghost && self.owner(&path).is_some()
        })
    }
}

impl Declaration {
    /// Adds what a further package, or dpkg-statoverride, says of the same path.
    fn join(&mut self, next: Self) {
        let (file, more) = (&mut self.file, next.file);
        match (&file.digest, more.digest) {
            (Some(known), Some(other)) if *known != other => self.others.push(other),
            (None, digest) => file.digest = digest,
            _ => {}
        }
        self.others.extend(next.others);
        file.config |= more.config;
        if file.package == usize::MAX {
            file.package = more.package;
        }
        file.kind = file.kind.or(more.kind);
        file.mode = file.mode.or(more.mode);
        file.size = if self.others.is_empty() {
            file.size.or(more.size)
        } else {
            None
        };
        file.user = file.user.take().or(more.user);
        file.group = file.group.take().or(more.group);
        file.link = file.link.take().or(more.link);
        file.capabilities = file.capabilities.take().or(more.capabilities);
    }

    /// As an entry that holds what is declared and can be compared, and nothing else.
    fn encode(&self, out: &mut Vec<u8>) {
        let file = &self.file;
        let is_link = file.kind == Some(DeclaredKind::Link);
        let is_file = file.kind == Some(DeclaredKind::File);
        let kind = file.kind.and_then(|kind| match kind {
            DeclaredKind::File => Some("file"),
            DeclaredKind::Directory => Some("directory"),
            DeclaredKind::Link => Some("symlink"),
            DeclaredKind::Special => None,
        });
        let digest = file
            .digest
            .as_deref()
            .filter(|digest| Algorithm::of(digest).is_some() && !is_link);
        Entry::new(FILES, OsText::new(&self.path))
            .with_some("type", kind)
            .with_some(
                "mode",
                file.mode.filter(|_| !is_link).map(|mode| format!("{mode:04o}")),
            )
            .with_some("user", file.user.as_deref().map(Value::bytes))
            .with_some("group", file.group.as_deref().map(Value::bytes))
            .with_some(
                "size",
                file.size
                    .filter(|_| is_file)
                    .and_then(|size| i64::try_from(size).ok()),
            )
            .with_some("link", file.link.as_deref().filter(|_| is_link).map(Value::bytes))
            .with_some("digest", digest)
            .with_some("capabilities", file.capabilities.as_deref().map(capabilities))
            .encode(out);
    }

    /// How it is verified, in the report's coverage.
    pub(crate) fn method(&self) -> &'static str {
        let algorithm = self.file.digest.as_deref().and_then(Algorithm::of);
        match algorithm {
            Some(algorithm) => algorithm.label(),
            None if self.file.kind.is_some() || self.file.mode.is_some() => "metadata",
            None => "existence",
        }
    }
}

/// Capabilities as rpm writes them (`= cap_net_raw+ep` before libcap 2.41) in today's spelling.
fn capabilities(text: &[u8]) -> Value {
    let text = String::from_utf8_lossy(text);
    Value::from(text.strip_prefix("= ").unwrap_or(&text).replace('+', "="))
}

/// A file of a package other than the diverting one is where the diversion put it.
fn divert(file: &mut DeclaredFile, diversions: &[Diversion], package: Option<&[u8]>) {
    let diverted = diversions.iter().find(|diversion| diversion.from == file.path);
    if let Some(diversion) = diverted.filter(|diversion| diversion.by.as_deref() != package) {
        file.path.clone_from(&diversion.to);
    }
}

/// Finds where a declared path really is: `/bin/ls` is `/usr/bin/ls` where `/bin` is a link to `usr/bin`. Only
/// directories are resolved; whether the last component is a link is what is to be compared.
struct Places<'a> {
    tree: &'a dyn Tree,
    /// Real path by path, for directories.
    real: HashMap<Vec<u8>, Vec<u8>>,
}

/// ucf's list of files is short. Bytes.
const REGISTRY: u64 = 16 << 20;

/// Links that are followed on the way to one directory, as in Linux.
const HOPS: u32 = 40;

impl Places<'_> {
    fn real(&mut self, path: &[u8]) -> Vec<u8> {
        let slash = path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
        let mut real = self.directory(&path[..slash], HOPS);
        real.extend_from_slice(&path[slash..]);
        real
    }

    /// The real path of a directory; empty for the root.
    fn directory(&mut self, path: &[u8], hops: u32) -> Vec<u8> {
        if path.is_empty() || path == b"/" {
            return Vec::new();
        }
        if let Some(known) = self.real.get(path) {
            return known.clone();
        }
        let slash = path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
        let parent = self.directory(&path[..slash], hops);
        let own = [&parent[..], &path[slash..]].concat();
        let target = match self.tree.read_link(&own) {
            Ok(target) if hops > 0 => target,
            // It is a directory, or nothing at all: then what is below it is missing at the declared place.
            _ => return self.keep(path, own),
        };
        let mut resolved = if target.starts_with(b"/") {
            Vec::new()
        } else {
            parent
        };
        for component in target.split(|byte| *byte == b'/') {
            match component {
                b"" | b"." => {}
                b".." => resolved.truncate(resolved.iter().rposition(|byte| *byte == b'/').unwrap_or(0)),
                name => {
                    resolved.push(b'/');
                    resolved.extend_from_slice(name);
                    resolved = self.directory(&resolved.clone(), hops - 1);
                }
            }
        }
        self.keep(path, resolved)
    }

    fn keep(&mut self, path: &[u8], real: Vec<u8>) -> Vec<u8> {
        self.real.insert(path.to_vec(), real.clone());
        real
    }
}

/// The declarations as a reference.
#[derive(Debug)]
pub(crate) struct DeclaredStream<'a> {
    declared: &'a Declared,
    at: usize,
    line: Vec<u8>,
}

impl<'a> DeclaredStream<'a> {
    pub(crate) fn new(declared: &'a Declared) -> Self {
        let mut stream = Self {
            declared,
            at: 0,
            line: Vec::new(),
        };
        stream.encode();
        stream
    }

    fn encode(&mut self) {
        self.line.clear();
        if let Some(declaration) = self.declared.files.get(self.at) {
            declaration.encode(&mut self.line);
        }
    }
}

impl Reference for DeclaredStream<'_> {
    fn current(&self) -> Option<Line<'_>> {
        Line::trusted(std::str::from_utf8(&self.line).ok()?)
    }

    fn advance(&mut self) -> Result<(), ReadError> {
        self.at += 1;
        self.encode();
        Ok(())
    }
}

impl PartialOrd for Declaration {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Declaration {
    fn cmp(&self, other: &Self) -> Ordering {
        compare_key_bytes(&self.path, &other.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::memory::MemoryTree;

    #[test]
    fn declared_paths_are_found_where_they_are() {
        let tree = MemoryTree::new()
            .link("/bin", "usr/bin")
            .link("/lib", "/usr/lib")
            .link("/loop", "loop")
            .link("/usr/lib/a", "../share/./a")
            .file("/usr/bin/ls", "")
            .file("/usr/share/a/x", "");
        let mut places = Places {
            tree: &tree,
            real: HashMap::new(),
        };
        for (declared, real) in [
            ("/bin/ls", "/usr/bin/ls"),
            ("/bin", "/bin"),
            ("/lib/a/x", "/usr/share/a/x"),
            ("/usr/bin/ls", "/usr/bin/ls"),
            ("/missing/x", "/missing/x"),
        ] {
            assert_eq!(places.real(declared.as_bytes()), real.as_bytes(), "{declared}");
        }
        assert!(places.real(b"/loop/x").ends_with(b"/x"), "a loop ends");
    }

    #[test]
    fn the_diverting_package_keeps_its_path() {
        let diversions = [Diversion {
            from: b"/bin/sh".to_vec(),
            to: b"/bin/sh.distrib".to_vec(),
            by: Some(b"dash".to_vec()),
        }];
        let file = || DeclaredFile {
            path: b"/bin/sh".to_vec(),
            ..DeclaredFile::default()
        };
        let (mut own, mut other) = (file(), file());
        divert(&mut own, &diversions, Some(b"dash"));
        divert(&mut other, &diversions, Some(b"bash"));
        assert_eq!(
            (&own.path[..], &other.path[..]),
            (&b"/bin/sh"[..], &b"/bin/sh.distrib"[..])
        );
    }

    #[test]
    fn capabilities_of_older_rpms_are_understood() {
        assert_eq!(capabilities(b"= cap_net_raw+ep"), Value::from("cap_net_raw=ep"));
        assert_eq!(capabilities(b"cap_net_raw=ep"), Value::from("cap_net_raw=ep"));
    }
}
