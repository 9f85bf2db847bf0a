//! The databases of rpm: Fedora, RHEL, SUSE and their relatives.
//!
//! All three formats that rpm has used are read, each a table of numbered header blobs ([`header`]): `SQLite`
//! ([`sqlite`]; since Fedora 33 and RHEL 9), rpm's own ndb ([`ndb`]; SUSE) and Berkeley DB ([`bdb`]; RHEL up to 8).
//! Nothing is written, no lock is taken and librpm is not used.
//!
//! Reading fails closed: what cannot be trusted becomes trouble, with the key `rpm` if packages may be missing from
//! the list, else with that of the package, `rpm/NAME:ARCH`.

use std::fmt;

use crate::packages::{Installed, Wanted};
use crate::tree::{Tree, TreeError};

pub mod bdb;
pub mod header;
pub mod ndb;
pub mod package;
pub mod signature;
pub mod sqlite;
pub mod tag;
pub mod version;
pub mod wal;

#[cfg(test)]
pub(crate) mod testing;

/// Where rpm has its database, by distribution and age; the last is that of rpm-ostree. Often links to each other.
const DIRECTORIES: [&str; 3] = ["/var/lib/rpm", "/usr/lib/sysimage/rpm", "/usr/share/rpm"];

/// Longest database in bytes. A full desktop has some 200 MB.
const LONGEST: u64 = 1 << 30;

/// Most declared files in a database. A full desktop has some 500,000.
const MOST_FILES: usize = 8_000_000;

/// Reads the packages, and with [`Wanted::PackagesAndFiles`] their files, from the first directory that holds an
/// rpm database. `Ok(None)` if none does.
///
/// An error means that a database is there but could not be read at all. A damaged one gives what could be read,
/// and trouble. Packages are in the order of their numbers in the database, which is that of installation.
pub fn read(tree: &dyn Tree, wanted: Wanted) -> Result<Option<Installed>, TreeError> {
    let mut databases = find(tree).into_iter();
    let Some(database) = databases.next() else {
        return Ok(None);
    };
    let database = database.map_err(|(_, why)| why)?;
    let mut reading = Reading {
        installed: Installed::default(),
        wanted,
    };
    for other in databases {
        match other {
            Ok(other) if other.may_be(&database) => {}
            Ok(other) => reading.trouble(format!("{}: another database, which was not read", other.path)),
            Err((path, why)) => reading.trouble(format!("{path}: {why}")),
        }
    }
    let mut take = |number: u32, blob: Result<&[u8], Malformed>| reading.take(number, blob);
    let outcome = match database.format {
        Format::Sqlite => read_sqlite(tree, &database.path, &mut take)?,
        Format::Ndb => ndb::records(&tree.read(database.path.as_bytes(), LONGEST)?, &mut take),
        Format::Bdb => bdb::records(&tree.read(database.path.as_bytes(), LONGEST)?, &mut take),
    };
    if let Err(why) = outcome {
        reading.trouble(format!("{}: {why}", database.path));
    }
    Ok(Some(reading.installed))
}

/// The three formats, by the name of their file.
const FORMATS: [(&str, Format); 3] = [
    ("rpmdb.sqlite", Format::Sqlite),
    ("Packages.db", Format::Ndb),
    ("Packages", Format::Bdb),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Bdb,
    Ndb,
    Sqlite,
}

struct Database {
    path: String,
    format: Format,
    size: u64,
}

impl Database {
    /// Whether this may be the other one under another name. Directories are often links to each other.
    fn may_be(&self, other: &Self) -> bool {
        self.format == other.format && self.size == other.size
    }
}

/// All databases, the one to read first, and what may be one but cannot be looked at.
fn find(tree: &dyn Tree) -> Vec<Result<Database, (String, TreeError)>> {
    let mut found = Vec::new();
    for directory in DIRECTORIES {
        for (name, format) in FORMATS {
            let path = format!("{directory}/{name}");
            match tree.stat(path.as_bytes()) {
                Ok(stat) if stat.is_file() => {
                    let size = stat.size;
                    found.push(Ok(Database { path, format, size }));
                }
                Ok(_) => found.push(Err((path, TreeError::WrongType))),
                Err(TreeError::NotFound) => {}
                Err(why) => found.push(Err((path, why))),
            }
        }
    }
    found
}

/// What a database reader calls with each record: its number, and its blob or why it cannot be had.
pub type Take<'a> = dyn FnMut(u32, Result<&[u8], Malformed>) + 'a;

/// Reads a `SQLite` database with its write-ahead log.
///
/// The two files cannot be read at one moment, and rpm may be at work. So the log is read before and after: if it has
/// changed, something was committed meanwhile; if not, a checkpoint has at most written pages that the log has too.
/// A change that was begun, written to the database and cleared from the log all in between shows only in the
/// checks of [`sqlite::records`].
fn read_sqlite(tree: &dyn Tree, path: &str, take: &mut Take) -> Result<Result<(), Malformed>, TreeError> {
    if tree.lstat(path.as_bytes())?.is_link() {
        return Ok(Err(Malformed::new(
            "a link; a log would be beside what it leads to",
        )));
    }
    let read_if_there = |suffix: &str| match tree.read(format!("{path}{suffix}").as_bytes(), LONGEST) {
        Err(TreeError::NotFound) => Ok(Vec::new()),
        other => other,
    };
    if read_if_there("-journal")?.starts_with(&sqlite::JOURNAL_MAGIC) {
        return Ok(Err(Malformed::new(
            "an interrupted change that has not been rolled back",
        )));
    }
    for _ in 0..3 {
        let log = read_if_there("-wal")?;
        let database = tree.read(path.as_bytes(), LONGEST)?;
        if read_if_there("-wal")? == log {
            return Ok(sqlite::records(database, &log, take));
        }
    }
    Ok(Err(Malformed::new("it changed each time it was read")))
}

struct Reading {
    installed: Installed,
    wanted: Wanted,
}

impl Reading {
    fn take(&mut self, number: u32, blob: Result<&[u8], Malformed>) {
        if let Err(why) = blob.and_then(|blob| self.take_header(blob)) {
            self.trouble(format!("record {number}: {why}"));
        }
    }

    /// Takes a package in. An error means that there is one which is not in the list.
    fn take_header(&mut self, blob: &[u8]) -> Result<(), Malformed> {
        let header = header::parse(blob)?;
        let mut package = package::package(&header)?;
        let key = [b"rpm/", &package.name[..], b":", &package.architecture[..]].concat();
        let mut trouble = |why: String| self.installed.trouble.push((key.clone(), why));
        if let Err(why) = header.check_digest() {
            trouble(why.to_string());
        }
        match signature::of(&header) {
            Ok(signature) => package.signature = signature,
            Err(why) => trouble(why.to_string()),
        }
        if self.wanted == Wanted::PackagesAndFiles {
            let number = self.installed.packages.len();
            let known = self.installed.files.len();
            match package::files(&header, number, &mut self.installed.files) {
                Ok(_) if self.installed.files.len() > MOST_FILES => {
                    self.installed.files.truncate(known);
                    trouble(format!(
                        "its files are left out: there are more than {MOST_FILES} in all"
                    ));
                }
                Ok(doubts) => {
                    if let Some(algorithm) = doubts.digest_algorithm {
                        trouble(format!(
                            "digests of its files are of an unknown algorithm ({algorithm})"
                        ));
                    }
                }
                Err(why) => trouble(format!("its files cannot be read: {why}")),
            }
        }
        self.installed.packages.push(package);
        Ok(())
    }

    fn trouble(&mut self, why: String) {
        self.installed.trouble.push((b"rpm".to_vec(), why));
    }
}

/// Why a database, or something in it, cannot be trusted: a lower-case fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed(String);

impl Malformed {
    fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Malformed {}

/// Four bytes at an offset, if they are there.
fn word(bytes: &[u8], at: usize) -> Option<[u8; 4]> {
    bytes.get(at..)?.first_chunk().copied()
}

/// Bytes in hexadecimal.
fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| {
        char::from(if nibble < 10 {
            b'0' + nibble
        } else {
            b'a' + nibble - 10
        })
    };
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::testing::{Builder, Value, package};
    use super::*;
    use crate::tree::memory::MemoryTree;

    const SQLITE: &str = "/var/lib/rpm/rpmdb.sqlite";

    fn sqlite_of(blobs: &[Vec<u8>]) -> Vec<u8> {
        sqlite::tests::database(&blobs.iter().map(|blob| &blob[..]).collect::<Vec<_>>())
    }

    fn with_file(name: &str) -> Builder {
        let mut builder = package(name);
        builder
            .add(tag::DIRNAMES, Value::Texts(&["/bin/"]))
            .add(tag::DIRINDEXES, Value::Words(&[0]));
        builder.add(tag::BASENAMES, Value::Texts(&[name]));
        builder
    }

    fn read_packages(tree: &MemoryTree) -> Installed {
        read(tree, Wanted::Packages).unwrap().unwrap()
    }

    fn names(installed: &Installed) -> Vec<String> {
        installed
            .packages
            .iter()
            .map(|p| String::from_utf8(p.name.clone()).unwrap())
            .collect()
    }

    fn trouble(installed: &Installed) -> Vec<String> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        installed
            .trouble
            .iter()
            .map(|(key, why)| format!("{}: {why}", text(key)))
            .collect()
    }

    #[test]
    fn no_database_is_none() {
        assert!(read(&MemoryTree::new(), Wanted::Packages).unwrap().is_none());
        let tree = MemoryTree::new().file("/var/lib/rpm/.rpm.lock", "");
        assert!(read(&tree, Wanted::Packages).unwrap().is_none());
    }

    #[test]
    fn unreadable_database_is_an_error() {
        let tree = MemoryTree::new().failing(SQLITE, TreeError::Denied);
        assert_eq!(read(&tree, Wanted::Packages).unwrap_err(), TreeError::Denied);
        let tree = MemoryTree::new()
            .file(SQLITE, sqlite_of(&[]))
            .failing(&format!("{SQLITE}-wal"), TreeError::Denied);
        assert_eq!(read(&tree, Wanted::Packages).unwrap_err(), TreeError::Denied);
        let tree = MemoryTree::new().file("/var/lib/rpm/Packages/x", "");
        assert_eq!(read(&tree, Wanted::Packages).unwrap_err(), TreeError::WrongType);
    }

    #[test]
    fn each_format_gives_the_same() {
        let blobs = [with_file("one").plain(), with_file("two").sealed(&[])];
        let numbered = [(1, &blobs[0][..]), (2, &blobs[1][..])];
        for (path, bytes) in [
            (SQLITE, sqlite_of(&blobs)),
            (
                "/usr/lib/sysimage/rpm/Packages.db",
                ndb::tests::write(&numbered, 1),
            ),
            ("/usr/share/rpm/Packages", bdb::tests::write(&numbered, false)),
        ] {
            let tree = MemoryTree::new().file(path, bytes);
            let installed = read(&tree, Wanted::PackagesAndFiles).unwrap().unwrap();
            assert_eq!(names(&installed), ["one", "two"], "{path}");
            assert_eq!(installed.files[1].path, b"/bin/two", "{path}");
            assert_eq!(
                (installed.files.len(), installed.files[1].package),
                (2, 1),
                "{path}"
            );
            assert_eq!(trouble(&installed), [""; 0], "{path}");
            assert_eq!(read_packages(&tree).files, [], "{path}");
        }
    }

    #[test]
    fn same_package_twice_is_two() {
        let tree = MemoryTree::new().file(
            SQLITE,
            sqlite_of(&[package("kernel").plain(), package("kernel").plain()]),
        );
        assert_eq!(names(&read_packages(&tree)), ["kernel", "kernel"]);
    }

    #[test]
    fn links_lead_to_one_database() {
        let tree = MemoryTree::new()
            .file(
                "/usr/lib/sysimage/rpm/rpmdb.sqlite",
                sqlite_of(&[package("one").plain()]),
            )
            .link("/var/lib/rpm", "../../usr/lib/sysimage/rpm");
        let installed = read_packages(&tree);
        assert_eq!(
            (names(&installed), trouble(&installed)),
            (vec!["one".into()], vec![])
        );
    }

    #[test]
    fn second_database_is_told() {
        let tree = MemoryTree::new()
            .file(
                "/usr/lib/sysimage/rpm/rpmdb.sqlite",
                sqlite_of(&[package("one").plain()]),
            )
            .file("/usr/lib/sysimage/rpm/Packages", "old");
        let installed = read_packages(&tree);
        assert_eq!(names(&installed), ["one"]);
        assert_eq!(
            trouble(&installed),
            ["rpm: /usr/lib/sysimage/rpm/Packages: another database, which was not read"]
        );
    }

    #[test]
    fn unreadable_second_database_is_told() {
        let tree = MemoryTree::new()
            .file(SQLITE, sqlite_of(&[package("one").plain()]))
            .failing("/usr/share/rpm", TreeError::OtherFileSystem);
        let installed = read_packages(&tree);
        assert_eq!(names(&installed), ["one"]);
        assert_eq!(installed.trouble.len(), 3);
        assert_eq!(
            trouble(&installed)[0],
            "rpm: /usr/share/rpm/rpmdb.sqlite: on another file system"
        );
    }

    /// Its log would be where it leads to.
    #[test]
    fn linked_database_is_refused() {
        let tree = MemoryTree::new()
            .file("/x/y", sqlite_of(&[package("one").plain()]))
            .link(SQLITE, "/x/y");
        let installed = read_packages(&tree);
        assert_eq!((names(&installed).len(), installed.trouble.len()), (0, 1));
    }

    #[test]
    fn bad_record_is_told_and_others_are_read() {
        let tree = MemoryTree::new().file(SQLITE, sqlite_of(&[vec![0; 9], package("two").plain()]));
        let installed = read_packages(&tree);
        assert_eq!(names(&installed), ["two"]);
        assert_eq!(
            trouble(&installed),
            ["rpm: record 1: a header of 0 entries and 0 bytes is out of bounds"]
        );
    }

    #[test]
    fn bad_part_is_told_and_the_package_is_read() {
        let mut two = with_file("two");
        two.add(tag::FILEMODES, Value::Shorts(&[1, 2]))
            .add(tag::RSAHEADER, Value::Bytes(&[1]));
        let mut changed = with_file("three").sealed(&[]);
        let at = changed.windows(5).rposition(|w| w == b"three").unwrap();
        changed[at] = b'T';
        let blobs = [with_file("one").plain(), two.plain(), changed];
        let tree = MemoryTree::new().file(SQLITE, sqlite_of(&blobs));
        let installed = read(&tree, Wanted::PackagesAndFiles).unwrap().unwrap();
        assert_eq!(names(&installed), ["one", "two", "three"]);
        assert_eq!(
            installed.files.iter().map(|f| f.package).collect::<Vec<_>>(),
            [0, 2]
        );
        assert_eq!(
            trouble(&installed),
            [
                "rpm/two:noarch: the signature is no OpenPGP signature packet",
                "rpm/two:noarch: its files cannot be read: tag 1030: 2 elements for 1 files",
                "rpm/three:noarch: the header does not match its own digest",
            ]
        );
    }

    #[test]
    fn damaged_database_is_told() {
        for name in ["rpmdb.sqlite", "Packages.db", "Packages"] {
            for bytes in [&b""[..], b"SQLite format 3\0 or not"] {
                let tree = MemoryTree::new().file(&format!("/var/lib/rpm/{name}"), bytes);
                let installed = read_packages(&tree);
                assert_eq!(
                    (installed.packages.len(), installed.trouble.len()),
                    (0, 1),
                    "{name}"
                );
                assert!(trouble(&installed)[0].starts_with(&format!("rpm: /var/lib/rpm/{name}: ")));
            }
        }
    }

    #[test]
    fn interrupted_change_is_told() {
        let tree = MemoryTree::new()
            .file(SQLITE, sqlite_of(&[package("one").plain()]))
            .file("/var/lib/rpm/rpmdb.sqlite-journal", sqlite::JOURNAL_MAGIC);
        let installed = read_packages(&tree);
        assert_eq!(names(&installed), [""; 0]);
        assert_eq!(
            trouble(&installed),
            ["rpm: /var/lib/rpm/rpmdb.sqlite: an interrupted change that has not been rolled back"]
        );
    }
}
