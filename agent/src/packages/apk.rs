//! Alpine's package database: `lib/apk/db/installed` and `etc/apk/world`. See apk-v2(5) and apk-world(5).
//!
//! A record is a block of `LETTER:VALUE` lines. `P` name, `V` version, `A` architecture, `o` origin, `m`
//! maintainer and `f` what is broken concern the package; `F` begins a directory with its `M`
//! (`UID:GID:MODE`), `R` a file in it with its `a` (the same) and `Z` (digest). Without `M` a directory is
//! 0:0:755, without `a` a file 0:0:644.
//!
//! apk does not record what a file is: a link has an `R` like any other, and its digest is that of its
//! target's text. So [`DeclaredFile::kind`] is known of directories only.
//!
//! Trouble has the keys `apk/NAME` and `apk`; a reason that begins with `automatic: ` concerns only
//! [`Package::automatic`].

use std::collections::BTreeSet;

use baseline_format::push_hex;

use super::lines::{
    Budget, Faults, Line, MOST_PACKAGES, at, decimal, hex_digest, if_there, is_name, joined, lines, octal,
    path_fault,
};
use super::{DeclaredFile, DeclaredKind, Installed, Package, Wanted};
use crate::tree::{Tree, TreeError};

/// Reads what apk has installed. `None` if there is no database; an error if there is one that cannot be
/// read. Everything else that cannot be read or understood is [`Installed::trouble`].
pub fn read(tree: &dyn Tree, wanted: Wanted) -> Result<Option<Installed>, TreeError> {
    let mut budget = Budget::new(2 * INSTALLED_LIMIT);
    let first = budget.read(tree, PLACES[0], INSTALLED_LIMIT)?;
    let second = budget.read(tree, PLACES[1], INSTALLED_LIMIT)?;
    // Where /lib is a link to /usr/lib, both are the same file.
    let differ = matches!((&first, &second), (Some(first), Some(second)) if first != second);
    let (path, bytes) = match (first, second) {
        (Some(bytes), _) => (PLACES[0], bytes),
        (None, Some(bytes)) => (PLACES[1], bytes),
        (None, None) => return Ok(None),
    };
    let Database {
        mut packages,
        files,
        faults,
        package_faults,
    } = parse_installed(&bytes, wanted);
    let mut found = Installed {
        files,
        ..Installed::default()
    };
    if differ {
        found
            .trouble
            .push((b"apk".into(), at(PLACES[1], &"is there too, and is not the same")));
    }
    for text in faults.texts(path) {
        found.trouble.push((b"apk".into(), text));
    }
    for (index, faults) in package_faults {
        let key = joined(&[b"apk/", &packages[index].name]);
        found
            .trouble
            .extend(faults.texts(path).into_iter().map(|text| (key.clone(), text)));
    }
    mark_automatic(tree, &mut packages, &mut found);
    found.packages = packages;
    Ok(Some(found))
}

const PLACES: [&[u8]; 2] = [b"/lib/apk/db/installed", b"/usr/lib/apk/db/installed"];
const WORLD: &[u8] = b"/etc/apk/world";

/// Bytes of the database; one of 1,000 packages has about 10 MiB.
const INSTALLED_LIMIT: u64 = 256 << 20;
/// Bytes of the list of wanted packages.
const WORLD_LIMIT: u64 = 1 << 20;

/// What is in the world is there on its own account, all else as a dependency.
fn mark_automatic(tree: &dyn Tree, packages: &mut [Package], found: &mut Installed) {
    match if_there(tree.read(WORLD, WORLD_LIMIT)) {
        Ok(Some(bytes)) => {
            let world = parse_world(&bytes);
            for package in packages {
                package.automatic = Some(!world.contains(&package.name[..]));
            }
        }
        Ok(None) => {}
        Err(why) => found
            .trouble
            .push((b"apk".into(), format!("automatic: {}", at(WORLD, &why)))),
    }
}

/// Parses `/etc/apk/world`: words such as `bash`, `bash>=5`, `bash@edge`. A conflict (`!bash`) names what is
/// not wanted and is left out.
#[must_use]
pub fn parse_world(bytes: &[u8]) -> BTreeSet<&[u8]> {
    bytes
        .split(u8::is_ascii_whitespace)
        .filter(|word| !word.starts_with(b"!"))
        .map(|word| {
            word.split(|byte| matches!(byte, b'<' | b'>' | b'=' | b'~' | b'@'))
                .next()
                .unwrap_or_default()
        })
        .filter(|name| !name.is_empty())
        .collect()
}

/// What the database says.
#[derive(Debug, Default)]
pub struct Database {
    /// Packages in file order; [`Package::automatic`] is not known from here.
    pub packages: Vec<Package>,
    /// Declared files in file order, if wanted.
    pub files: Vec<DeclaredFile>,
    /// Faults of records that name no package.
    pub faults: Faults,
    /// Faults of packages, by their index.
    pub package_faults: Vec<(usize, Faults)>,
}

/// Parses the database. Never fails: what is malformed is in the faults, the rest is in the result.
#[must_use]
pub fn parse_installed(bytes: &[u8], wanted: Wanted) -> Database {
    let mut database = Database::default();
    let mut record = Record::default();
    for line in lines(bytes) {
        if line.bytes.is_empty() {
            record.close(&mut database);
            record = Record::default();
            continue;
        }
        if database.packages.len() == MOST_PACKAGES {
            database.faults.push(line.number, "more than 500,000 packages");
            return database;
        }
        if let Err(why) = record.take(&line, wanted) {
            record.faults.push(line.number, why);
        }
    }
    record.close(&mut database);
    database
}

/// A record as far as it was read.
#[derive(Default)]
struct Record {
    first_line: usize,
    package: Package,
    /// Path of the directory that files are in, without a slash at its end.
    directory: Option<Vec<u8>>,
    files: Vec<DeclaredFile>,
    /// What the next permissions and digest belong to.
    current: Current,
    /// Digests are SHA-256, cut to the length of a SHA-1 and labelled as one.
    cut_sha256: bool,
    faults: Faults,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Current {
    Directory,
    File,
    #[default]
    Nothing,
}

impl Record {
    fn take(&mut self, line: &Line<'_>, wanted: Wanted) -> Result<(), &'static str> {
        if self.first_line == 0 {
            self.first_line = line.number;
        }
        line.fault().map_or(Ok(()), Err)?;
        let [letter, b':', value @ ..] = line.bytes else {
            return Err("not LETTER:VALUE");
        };
        match letter {
            b'P' if !self.package.name.is_empty() => return Err("second name in a record"),
            b'P' if is_name(value) => self.package.name = value.into(),
            b'P' => return Err("name is not a package name"),
            b'V' => self.package.version = value.into(),
            b'A' => self.package.architecture = value.into(),
            b'o' => self.package.source = Some(value.into()),
            b'm' => self.package.vendor = Some(value.into()),
            b'f' => self.broken(value),
            b'F' | b'M' | b'R' | b'a' | b'Z' if wanted == Wanted::PackagesAndFiles => {
                return self.file_line(*letter, value);
            }
            // Dependencies, sizes, descriptions: nothing that is compared.
            _ => {}
        }
        Ok(())
    }

    fn broken(&mut self, flags: &[u8]) {
        self.cut_sha256 = flags.contains(&b'S');
        let words = [
            (b'f', "broken-files"),
            (b's', "broken-script"),
            (b'x', "broken-xattr"),
        ];
        let said: Vec<&str> = words
            .iter()
            .filter(|(flag, _)| flags.contains(flag))
            .map(|(_, word)| *word)
            .collect();
        if !said.is_empty() {
            self.package.status = Some(said.join(" ").into());
        }
    }

    fn file_line(&mut self, letter: u8, value: &[u8]) -> Result<(), &'static str> {
        match letter {
            b'F' => {
                (self.directory, self.current) = (None, Current::Nothing);
                let path = joined(&[b"/", value.strip_suffix(b"/").unwrap_or(value)]);
                path_fault(&path).map_or(Ok(()), Err)?;
                self.directory = Some(if value.is_empty() {
                    Vec::new()
                } else {
                    path.clone()
                });
                self.declare(path, Some(DeclaredKind::Directory), 0o755);
                self.current = Current::Directory;
            }
            b'R' => {
                self.current = Current::Nothing;
                let directory = self.directory.as_ref().ok_or("file without a directory")?;
                if value.is_empty() || value.contains(&b'/') {
                    return Err("not a file name");
                }
                let path = joined(&[directory, b"/", value]);
                path_fault(&path).map_or(Ok(()), Err)?;
                self.declare(path, None, 0o644);
                self.current = Current::File;
            }
            b'Z' => {
                let digest = digest(value, self.cut_sha256)?;
                self.last(Current::File)?.digest = Some(digest);
            }
            _ => {
                let of = if letter == b'M' {
                    Current::Directory
                } else {
                    Current::File
                };
                let file = self.last(of)?;
                // What follows the mode is a digest of extended attributes, which no file can be asked for.
                let mut words = value.split(|byte| *byte == b':');
                let (user, group, mode) = (words.next(), words.next(), words.next());
                let number =
                    |word: Option<&[u8]>| word.filter(|word| decimal(word).is_some()).map(Into::into);
                file.user = Some(number(user).ok_or("owner is not a number")?);
                file.group = Some(number(group).ok_or("group is not a number")?);
                let mode = mode.and_then(octal).filter(|mode| *mode <= 0o7777);
                file.mode = Some(mode.ok_or("mode is not octal permission bits")?);
            }
        }
        Ok(())
    }

    fn declare(&mut self, path: Vec<u8>, kind: Option<DeclaredKind>, mode: u32) {
        let root = || Some(b"0".to_vec());
        let config = is_config(&path);
        let file = DeclaredFile {
            path,
            kind,
            mode: Some(mode),
            user: root(),
            group: root(),
            config,
            ..DeclaredFile::default()
        };
        self.files.push(file);
    }

    fn last(&mut self, of: Current) -> Result<&mut DeclaredFile, &'static str> {
        if self.current != of {
            return Err("belongs to nothing");
        }
        self.files.last_mut().ok_or("belongs to nothing")
    }

    fn close(self, database: &mut Database) {
        let Self {
            first_line,
            package,
            files,
            mut faults,
            ..
        } = self;
        if first_line == 0 {
            return;
        }
        if package.name.is_empty() {
            database.faults.push(first_line, "record without a name");
            database.faults.extend(faults);
            return;
        }
        if package.version.is_empty() {
            faults.push(first_line, "record without a version");
        }
        let index = database.packages.len();
        database.files.extend(files.into_iter().map(|file| DeclaredFile {
            package: index,
            ..file
        }));
        database.packages.push(package);
        if !faults.is_empty() {
            database.package_faults.push((index, faults));
        }
    }
}

/// apk keeps what the administrator changed below `/etc`, except for init scripts: the protected paths that
/// apk comes with. Those that a site adds (`etc/apk/protected_paths.d`) are not followed.
fn is_config(path: &[u8]) -> bool {
    path.starts_with(b"/etc/") && !path.starts_with(b"/etc/init.d/")
}

/// `Q1` and a SHA-1 or `Q2` and a SHA-256 in base64; older ones are an MD5 or a SHA-1 in hexadecimal.
fn digest(text: &[u8], cut_sha256: bool) -> Result<String, &'static str> {
    const NOT_A_DIGEST: &str = "not a digest";
    let (label, bytes) = match text {
        [b'Q', b'1', rest @ ..] if cut_sha256 => {
            ("sha256-160", base64(rest).filter(|bytes| bytes.len() == 20))
        }
        [b'Q', b'1', rest @ ..] => ("sha1", base64(rest).filter(|bytes| bytes.len() == 20)),
        [b'Q', b'2', rest @ ..] => ("sha256", base64(rest).filter(|bytes| bytes.len() == 32)),
        hex => {
            let label = if hex.len() == 32 { "md5" } else { "sha1" };
            let digits = if hex.len() == 32 { 32 } else { 40 };
            return hex_digest(label, hex, digits).ok_or(NOT_A_DIGEST);
        }
    };
    let mut hex = Vec::new();
    push_hex(&bytes.ok_or(NOT_A_DIGEST)?, &mut hex);
    Ok(format!("{label}:{}", String::from_utf8_lossy(&hex)))
}

/// The bytes behind padded base64 in its one spelling; `None` for anything else.
fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let digits = text
        .strip_suffix(b"==")
        .or_else(|| text.strip_suffix(b"="))
        .unwrap_or(text);
    if !text.len().is_multiple_of(4) || digits.len() % 4 == 1 {
        return None;
    }
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut held) = (0u32, 0);
    for digit in digits {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        (bits, held) = ((bits << 6 | u32::from(value)) & 0xffff, held + 6);
        if held >= 8 {
            held -= 8;
            bytes.push(u8::try_from(bits >> held & 0xff).ok()?);
        }
    }
    // Bits that belong to no byte must be zero, or two texts would mean the same.
    (bits & ((1 << held) - 1) == 0).then_some(bytes)
}

#[cfg(test)]
mod tests;
