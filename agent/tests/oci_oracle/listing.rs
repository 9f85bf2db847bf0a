//! What is on a disk and what the reader tells, in one form.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::env;
use std::ffi::OsStr;
use std::fs;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use driftcheck_agent::source::file_system::{FileSystem, Node};
use driftcheck_agent::sys::Kind;
use sha2::{Digest as _, Sha256};

/// What is told of one path. Times that nobody told are `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    kind: Kind,
    mode: u32,
    owner: (u32, u32),
    mtime: Option<i64>,
    /// Bytes, of files and links.
    size: u64,
    device: (u32, u32),
    target: Option<Vec<u8>>,
    digest: Option<[u8; 32]>,
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// The first path of the same node, and how many there are; directories have one.
    links: (Vec<u8>, u64),
}

pub(crate) type Listing = BTreeMap<Vec<u8>, Seen>;

/// What is on the disk.
pub(crate) fn on_disk(root: &Path) -> Listing {
    let mut seen = Listing::new();
    let mut first = HashMap::new();
    let mut left = vec![PathBuf::new()];
    while let Some(path) = left.pop() {
        let mut names: Vec<_> = fs::read_dir(root.join(&path))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        for name in names {
            let path = path.join(name);
            let full = root.join(&path);
            let metadata = fs::symlink_metadata(&full).unwrap();
            let kind = Kind::of_mode(metadata.mode());
            if kind == Kind::Directory {
                left.push(path.clone());
            }
            let path = path.as_os_str().as_bytes().to_vec();
            let known = first
                .entry((metadata.dev(), metadata.ino()))
                .or_insert_with(Vec::new);
            known.push(path.clone());
            let special = metadata.file_type().is_char_device() || metadata.file_type().is_block_device();
            let rdev = metadata.rdev();
            seen.insert(
                path.clone(),
                Seen {
                    kind,
                    mode: metadata.permissions().mode() & 0o7777,
                    owner: (metadata.uid(), metadata.gid()),
                    mtime: Some(metadata.mtime()),
                    size: if matches!(kind, Kind::File | Kind::Link) {
                        metadata.len()
                    } else {
                        0
                    },
                    device: if special {
                        (libc::major(rdev), libc::minor(rdev))
                    } else {
                        (0, 0)
                    },
                    target: (kind == Kind::Link)
                        .then(|| fs::read_link(&full).unwrap().as_os_str().as_bytes().to_vec()),
                    digest: (kind == Kind::File).then(|| Sha256::digest(fs::read(&full).unwrap()).into()),
                    xattrs: xattrs_on_disk(&full),
                    links: (Vec::new(), u64::from(kind == Kind::Directory)),
                },
            );
        }
    }
    let groups: Vec<Vec<Vec<u8>>> = first.into_values().collect();
    join_groups(&mut seen, groups);
    seen
}

/// Tells each path the first one of its node.
fn join_groups(seen: &mut Listing, groups: Vec<Vec<Vec<u8>>>) {
    for group in groups {
        let first = group.iter().min().unwrap().clone();
        for path in &group {
            let seen = seen.get_mut(path).unwrap();
            if seen.kind != Kind::Directory {
                seen.links.1 = group.len() as u64;
            }
            seen.links.0.clone_from(&first);
        }
    }
}

fn xattrs_on_disk(path: &Path) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut names = vec![0; 65536];
    let length = rustix::fs::llistxattr(path, &mut names).unwrap();
    let mut xattrs: Vec<_> = names[..length]
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
        .map(|name| {
            let mut value = vec![0; 65536];
            let length = rustix::fs::lgetxattr(path, OsStr::from_bytes(name), &mut value).unwrap();
            (name.to_vec(), value[..length].to_vec())
        })
        .collect();
    xattrs.sort();
    xattrs
}

/// What the reader tells. Contents are also read, and must have the digests that it tells.
pub(crate) fn told(files: &dyn FileSystem) -> Listing {
    let mut seen = Listing::new();
    let mut nodes: HashMap<Node, Vec<Vec<u8>>> = HashMap::new();
    let mut left = vec![(Vec::new(), files.root())];
    while let Some((above, directory)) = left.pop() {
        let children = files.children(directory).unwrap();
        assert!(children.is_sorted_by(|a, b| a.name < b.name));
        for child in children {
            let mut path = above.clone();
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend(&child.name);
            nodes.entry(child.node).or_default().push(path.clone());
            let attributes = files.attributes(child.node).unwrap();
            assert_eq!(attributes.kind, child.kind);
            if child.kind == Kind::Directory {
                left.push((path.clone(), child.node));
            }
            let digest = files.digest(child.node);
            if child.kind == Kind::File {
                let mut content = Vec::new();
                files.open(child.node).unwrap().read_to_end(&mut content).unwrap();
                assert_eq!(digest, Some(Sha256::digest(&content).into()));
            }
            seen.insert(
                path,
                Seen {
                    kind: child.kind,
                    mode: attributes.permissions.into(),
                    owner: (attributes.uid, attributes.gid),
                    mtime: attributes.mtime,
                    size: attributes.size,
                    device: attributes.device,
                    target: (child.kind == Kind::Link).then(|| files.link(child.node).unwrap()),
                    digest,
                    xattrs: files.xattrs(child.node).unwrap(),
                    links: (Vec::new(), attributes.links.into()),
                },
            );
        }
    }
    assert_eq!(files.expected(), seen.len() as u64 + 1);
    let links: BTreeMap<Vec<u8>, u64> = seen
        .iter()
        .map(|(path, seen)| (path.clone(), seen.links.1))
        .collect();
    join_groups(&mut seen, nodes.into_values().collect());
    assert!(
        seen.iter().all(|(path, seen)| links[path] == seen.links.1),
        "counts of names"
    );
    seen
}

/// Compares both ways. Times of directories that no member names are not told; on the disk they are those of the
/// extraction, and so are some others: umoci does not restore what its own removals and new directories change.
pub(crate) fn assert_same(what: &str, told: &Listing, disk: &Listing) {
    let paths: BTreeSet<&Vec<u8>> = told.keys().chain(disk.keys()).collect();
    for path in paths {
        let mut disk = disk.get(path).cloned();
        let told = told.get(path);
        if let (Some(told), Some(disk)) = (told, &mut disk)
            && disk.kind == Kind::Directory
            && (told.mtime.is_none() || disk.mtime.is_some_and(is_of_this_run))
        {
            disk.mtime = told.mtime;
        }
        assert_eq!(told, disk.as_ref(), "{what}: {}", String::from_utf8_lossy(path));
    }
}

fn is_of_this_run(time: i64) -> bool {
    let executable = fs::metadata(env::current_exe().unwrap()).unwrap();
    (executable.mtime()..1_900_000_000).contains(&time)
}
