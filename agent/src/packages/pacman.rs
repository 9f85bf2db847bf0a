//! Arch's package database: a directory a package below `/var/lib/pacman/local`, with the files `desc`,
//! `files` and `mtree`. See pacman(8), and mtree(5) for the last one, which is compressed with gzip.
//!
//! Trouble has the keys `pacman/NAME` and `pacman`.

mod desc;
mod mtree;

use std::collections::BTreeMap;

use super::lines::{Budget, Faults, MOST_PACKAGES, at, if_there, is_name, joined};
use super::{DeclaredFile, DeclaredKind, Installed, Wanted};
use crate::tree::{Tree, TreeError};

pub use desc::{Desc, Files, parse_desc, parse_files};
pub use mtree::{Mtree, gunzip, parse_mtree};

/// Reads what pacman has installed. `None` if there is no database; an error if there is one that cannot be
/// listed. Everything else that cannot be read or understood is [`Installed::trouble`].
pub fn read(tree: &dyn Tree, wanted: Wanted) -> Result<Option<Installed>, TreeError> {
    let Some(names) = if_there(tree.list(LOCAL))? else {
        return Ok(None);
    };
    let mut found = Installed::default();
    let mut reader = PackageReader {
        tree,
        budget: Budget::new(DATABASE_LIMIT),
        wanted,
    };
    for name in names.iter().filter(|name| !OWN_FILES.contains(&&name[..])) {
        if found.packages.len() == MOST_PACKAGES {
            found
                .trouble
                .push((b"pacman".into(), at(LOCAL, &"more than 500,000 packages")));
            break;
        }
        reader.package(name, &mut found);
    }
    Ok(Some(found))
}

const LOCAL: &[u8] = b"/var/lib/pacman/local";
/// What is in the database beside packages.
const OWN_FILES: [&[u8]; 1] = [b"ALPM_DB_VERSION"];

/// Bytes of all files of the database, as they are stored; 1,000 packages have about 40 MiB.
const DATABASE_LIMIT: u64 = 1 << 30;
/// Bytes of one file.
const FILE_LIMIT: u64 = 64 << 20;
/// Bytes of one `mtree` without its compression; the largest, of kernel headers, has about 6 MiB.
const MTREE_LIMIT: u64 = 128 << 20;

struct PackageReader<'a> {
    tree: &'a dyn Tree,
    budget: Budget,
    wanted: Wanted,
}

impl PackageReader<'_> {
    /// Adds the package whose directory has this name: `NAME-VERSION-RELEASE`.
    fn package(&mut self, directory: &[u8], found: &mut Installed) {
        let path = |file: &str| joined(&[LOCAL, b"/", directory, b"/", file.as_bytes()]);
        let desc_path = path("desc");
        let from_directory = key(name_in(directory));
        let Some(bytes) = self.read(&desc_path, &from_directory, found) else {
            return;
        };
        let Desc { package, faults } = parse_desc(&bytes);
        if !is_name(&package.name) {
            complain(&desc_path, &faults, &from_directory, found);
            found
                .trouble
                .push((from_directory, at(&desc_path, &"no sound %NAME%")));
            return;
        }
        let key = key(&package.name);
        complain(&desc_path, &faults, &key, found);
        if joined(&[&package.name, b"-", &package.version]) != directory {
            found.trouble.push((
                key.clone(),
                at(&desc_path, &"is of another package than its directory"),
            ));
        }
        let index = found.packages.len();
        found.packages.push(package);
        if self.wanted == Wanted::PackagesAndFiles {
            self.files(index, &key, &path("files"), &path("mtree"), found);
        }
    }

    fn files(
        &mut self,
        index: usize,
        key: &[u8],
        files_path: &[u8],
        mtree_path: &[u8],
        found: &mut Installed,
    ) {
        let Some(bytes) = self.read(files_path, key, found) else {
            return;
        };
        let Files {
            paths,
            backup,
            faults,
        } = parse_files(&bytes);
        complain(files_path, &faults, key, found);
        let mut attributes = BTreeMap::new();
        if let Some(bytes) = self.read(mtree_path, key, found) {
            match gunzip(&bytes, MTREE_LIMIT) {
                Ok(text) => {
                    let Mtree { entries, faults } = parse_mtree(&text);
                    complain(mtree_path, &faults, key, found);
                    attributes = entries;
                }
                Err(why) => found.trouble.push((key.into(), at(mtree_path, &why))),
            }
        }
        for (path, is_directory) in paths {
            let mut file = attributes.remove(&path).unwrap_or_default();
            if is_directory && file.kind.is_none() {
                file.kind = Some(DeclaredKind::Directory);
            }
            if let Some(digest) = backup.get(&path) {
                file.config = true;
                // Without an mtree there is still the digest by which pacman tells a changed file.
                file.digest = file.digest.or_else(|| digest.clone());
            }
            found.files.push(DeclaredFile {
                path,
                package: index,
                ..file
            });
        }
        // What is left of the mtree are the package's own notes (.PKGINFO), which are not installed.
    }

    /// Reads a file that every package has; that it is missing is trouble.
    fn read(&mut self, path: &[u8], key: &[u8], found: &mut Installed) -> Option<Vec<u8>> {
        let why = match self.budget.read(self.tree, path, FILE_LIMIT) {
            Ok(Some(bytes)) => return Some(bytes),
            Ok(None) => TreeError::NotFound,
            Err(why) => why,
        };
        found.trouble.push((key.into(), at(path, &why)));
        None
    }
}

/// The key of a package in the `packages` section and in [`Installed::trouble`].
fn key(name: &[u8]) -> Vec<u8> {
    joined(&[b"pacman/", name])
}

/// The name in `NAME-VERSION-RELEASE`.
fn name_in(directory: &[u8]) -> &[u8] {
    let mut parts = directory.rsplitn(3, |byte| *byte == b'-');
    parts.nth(2).unwrap_or(directory)
}

fn complain(path: &[u8], faults: &Faults, key: &[u8], found: &mut Installed) {
    found
        .trouble
        .extend(faults.texts(path).into_iter().map(|text| (key.to_vec(), text)));
}

#[cfg(test)]
mod tests;
