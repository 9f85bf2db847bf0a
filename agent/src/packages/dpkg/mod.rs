//! Debian's package database: `/var/lib/dpkg`, and of `/var/lib/apt` what is needed beside it. See dpkg(1),
//! deb-control(5), apt-mark(8).
//!
//! dpkg records little about files: paths for all, an MD5 for regular files, neither type nor mode nor owner.
//! Modes and owners come from `statoverride` only.
//!
//! Trouble has the keys `deb/NAME:ARCH`, `deb`, `deb-diversion` and `deb-statoverride`. A reason that begins
//! with `automatic: ` concerns only [`Package::automatic`](super::Package::automatic) of the packages that
//! lack it.

mod files;
mod stanza;
mod status;

use std::collections::BTreeMap;
use std::rc::Rc;

use super::lines::{Budget, Faults, at, if_there, joined};
use super::{DeclaredFile, DeclaredKind, Installed, Wanted};
use crate::tree::{Tree, TreeError};

pub use files::{Parsed, parse_diversions, parse_list, parse_md5sums, parse_statoverride};
pub use status::{
    Conffile, ExtendedStates, Presence, Record, Status, parse_extended_states, parse_status, parse_status_d,
};

/// Reads what dpkg has installed. `None` if there is neither a status file nor a `status.d`; an error if
/// there is one that cannot be read. Everything else that cannot be read or understood is
/// [`Installed::trouble`].
///
/// A package that dpkg calls `not-installed` is left out. One of which only the configuration files are left
/// declares those, as [`DeclaredFile::ghost`]: they may be there or not.
pub fn read(tree: &dyn Tree, wanted: Wanted) -> Result<Option<Installed>, TreeError> {
    let mut budget = Budget::new(STATUS_LIMIT);
    let main = budget.read(tree, STATUS, STATUS_LIMIT)?;
    let mut found = Installed::default();
    let mut sources: Vec<Source> = Vec::new();
    let names = match (if_there(tree.list(STATUS_D)), &main) {
        (Ok(names), _) => names,
        (Err(why), None) => return Err(why),
        (Err(why), Some(_)) => {
            found.trouble.push((b"deb".into(), at(STATUS_D, &why)));
            None
        }
    };
    if main.is_none() && names.is_none() {
        return Ok(None);
    }
    if let Some(main) = main {
        sources.extend(main_sources(tree, &main, &mut budget, &mut found));
    }
    sources.extend(directory_sources(
        tree,
        names.unwrap_or_default(),
        &mut budget,
        &mut found,
    ));
    sources.retain(|source| source.record.presence != Presence::NotInstalled);

    mark_automatic(tree, &mut sources, &mut found);
    if wanted == Wanted::PackagesAndFiles {
        let mut lists = Lists {
            tree,
            budget: Budget::new(LISTS_LIMIT),
        };
        for (index, source) in sources.iter().enumerate() {
            lists.declare(index, source, &mut found);
        }
    }
    read_diversions(tree, &mut found);
    read_overrides(tree, &mut found);
    for Source { record, path, .. } in sources {
        let key = key(&record);
        let faults = record.faults.texts(&path);
        found
            .trouble
            .extend(faults.into_iter().map(|text| (key.clone(), text)));
        found.packages.push(record.package);
    }
    Ok(Some(found))
}

const STATUS: &[u8] = b"/var/lib/dpkg/status";
const STATUS_D: &[u8] = b"/var/lib/dpkg/status.d";
const UPDATES: &[u8] = b"/var/lib/dpkg/updates";
const INFO: &[u8] = b"/var/lib/dpkg/info/";
const DIVERSIONS: &[u8] = b"/var/lib/dpkg/diversions";
const STATOVERRIDE: &[u8] = b"/var/lib/dpkg/statoverride";
const EXTENDED_STATES: &[u8] = b"/var/lib/apt/extended_states";

/// Bytes of all files that list packages; a status file of 5,000 packages has about 6 MiB.
const STATUS_LIMIT: u64 = 256 << 20;
/// Bytes of one other file; the largest lists, of kernel sources, have about 6 MiB.
const LIST_LIMIT: u64 = 64 << 20;
/// Bytes of all lists of files; about 100 MiB on a full desktop.
const LISTS_LIMIT: u64 = 1 << 30;

/// The key of a package in the `packages` section and in [`Installed::trouble`]: `deb/NAME:ARCH`. An
/// architecture is missing only where the database is damaged.
fn key(record: &Record) -> Vec<u8> {
    let package = &record.package;
    let colon: &[u8] = if package.architecture.is_empty() {
        b""
    } else {
        b":"
    };
    joined(&[b"deb/", &package.name, colon, &package.architecture])
}

/// A package and where its lists are.
struct Source {
    record: Record,
    /// The file that says so.
    path: Rc<[u8]>,
    lists: ListPlace,
}

enum ListPlace {
    /// `info/NAME.list` and `info/NAME.md5sums`.
    Info,
    /// `status.d/NAME.md5sums` for the file `status.d/NAME`; there is no other list.
    StatusD,
}

/// The packages of the status file, as changed by what dpkg wrote to `updates` and did not get to merge. It
/// looks there first itself, so a killed dpkg makes no difference to what is installed.
fn main_sources(tree: &dyn Tree, main: &[u8], budget: &mut Budget, found: &mut Installed) -> Vec<Source> {
    let Status { records, faults } = parse_status(main);
    let mut merge = Merge::default();
    merge.take(records, &STATUS.into());
    complain(STATUS, &faults, b"deb", found);
    let names = if_there(tree.list(UPDATES)).unwrap_or_else(|why| {
        found.trouble.push((b"deb".into(), at(UPDATES, &why)));
        None
    });
    // dpkg names them by number; what it is still writing has another name.
    for name in names
        .unwrap_or_default()
        .iter()
        .filter(|name| name.iter().all(u8::is_ascii_digit))
    {
        let path = joined(&[UPDATES, b"/", name]);
        match budget.read(tree, &path, LIST_LIMIT) {
            // Merged since the directory was listed; the status file is then newer than what was read.
            Ok(None) => {}
            Ok(Some(bytes)) => {
                let update = parse_status(&bytes);
                complain(&path, &update.faults, b"deb", found);
                merge.take(update.records, &path.into());
            }
            Err(why) => found.trouble.push((b"deb".into(), at(&path, &why))),
        }
    }
    merge.sources
}

/// Puts newer records in the place of those of the same package and architecture.
#[derive(Default)]
struct Merge {
    sources: Vec<Source>,
    places: BTreeMap<Vec<u8>, usize>,
}

impl Merge {
    /// Takes records of one file. Of two in the same file neither is newer, and both stay.
    fn take(&mut self, records: Vec<Record>, path: &Rc<[u8]>) {
        let mut own: Vec<(Vec<u8>, usize)> = Vec::new();
        for record in records {
            let key = key(&record);
            let source = Source {
                record,
                path: Rc::clone(path),
                lists: ListPlace::Info,
            };
            if let Some(place) = self.places.get(&key) {
                self.sources[*place] = source;
            } else {
                own.push((key, self.sources.len()));
                self.sources.push(source);
            }
        }
        self.places.extend(own);
    }
}

fn directory_sources(
    tree: &dyn Tree,
    names: Vec<Vec<u8>>,
    budget: &mut Budget,
    found: &mut Installed,
) -> Vec<Source> {
    let mut sources = Vec::new();
    for name in names.into_iter().filter(|name| !name.ends_with(b".md5sums")) {
        let path = joined(&[STATUS_D, b"/", &name]);
        match budget.read(tree, &path, LIST_LIMIT) {
            Ok(bytes) => {
                let status = parse_status_d(&bytes.unwrap_or_default());
                complain(&path, &status.faults, b"deb", found);
                let path: Rc<[u8]> = path.into();
                sources.extend(status.records.into_iter().map(|record| Source {
                    record,
                    path: Rc::clone(&path),
                    lists: ListPlace::StatusD,
                }));
            }
            Err(why) => found.trouble.push((b"deb".into(), at(&path, &why))),
        }
    }
    sources
}

/// Fills in which packages are there as a dependency only. apt notes the others only once they changed from
/// one to the other, so a package without a note is there on its own account.
fn mark_automatic(tree: &dyn Tree, sources: &mut [Source], found: &mut Installed) {
    let bytes = match if_there(tree.read(EXTENDED_STATES, LIST_LIMIT)) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return,
        Err(why) => {
            found
                .trouble
                .push((b"deb".into(), format!("automatic: {}", at(EXTENDED_STATES, &why))));
            return;
        }
    };
    let states = parse_extended_states(&bytes);
    for text in states.faults.texts(EXTENDED_STATES) {
        found.trouble.push((b"deb".into(), format!("automatic: {text}")));
    }
    // A note that could not be read may have been that of any package without one.
    let unnoted = states.faults.is_empty().then_some(false);
    let native = native_architecture(sources);
    for Source { record, .. } in sources.iter_mut().filter(|source| source.is_present()) {
        let noted = states
            .automatic
            .get(&record.package.name)
            .and_then(|by_architecture| {
                let architecture = &record.package.architecture;
                // apt takes a package for all architectures to be one of the machine's own.
                let own = || native.as_ref().and_then(|native| by_architecture.get(native));
                by_architecture.get(architecture).or_else(|| {
                    if architecture == b"all" {
                        own()
                    } else {
                        by_architecture.get(&b""[..])
                    }
                })
            });
        record.package.automatic = noted.copied().or(unnoted);
    }
}

impl Source {
    fn is_present(&self) -> bool {
        self.record.presence == Presence::Installed
    }
}

/// The machine's own architecture: that of dpkg itself.
fn native_architecture(sources: &[Source]) -> Option<Vec<u8>> {
    let dpkg = sources
        .iter()
        .find(|source| source.is_present() && source.record.package.name == b"dpkg")?;
    Some(dpkg.record.package.architecture.clone())
}

/// Reads lists of files.
struct Lists<'a> {
    tree: &'a dyn Tree,
    budget: Budget,
}

impl Lists<'_> {
    /// Adds what the package with this index says of files.
    fn declare(&mut self, index: usize, source: &Source, found: &mut Installed) {
        let record = &source.record;
        let key = key(record);
        complain(&source.path, &record.conffile_faults, &key, found);
        let mut conffiles: BTreeMap<&[u8], &Conffile> = record
            .conffiles
            .iter()
            .map(|conffile| (&conffile.path[..], conffile))
            .collect();
        if record.presence == Presence::Installed {
            let place = match self.place(source) {
                Ok(place) => place,
                Err(why) => {
                    found.trouble.push((key.clone(), why));
                    Place::default()
                }
            };
            let md5sums = self.md5sums(&place, &key, found);
            let list = parse_list(&place.list);
            complain(&place.list_path, &list.faults, &key, found);
            let paths: Vec<&[u8]> = if place.has_list {
                list.found
            } else {
                md5sums.keys().map(|path| &path[..]).collect()
            };
            for path in paths {
                let file = match conffiles.remove(path) {
                    Some(conffile) => of_conffile(index, conffile),
                    None => of_path(index, path, md5sums.get(path)),
                };
                found.files.push(file);
            }
        }
        for conffile in conffiles.into_values() {
            let mut file = of_conffile(index, conffile);
            file.ghost |= record.presence == Presence::ConfigFiles;
            found.files.push(file);
        }
    }

    /// Finds and reads the package's list of paths.
    fn place(&mut self, source: &Source) -> Result<Place, String> {
        if let ListPlace::StatusD = source.lists {
            return Ok(Place {
                md5sums_path: joined(&[&source.path, b".md5sums"]),
                ..Place::default()
            });
        }
        let Record {
            package,
            multi_arch_same,
            ..
        } = &source.record;
        let plain = joined(&[INFO, &package.name]);
        let qualified = joined(&[INFO, &package.name, b":", &package.architecture]);
        let stems = if *multi_arch_same {
            [&qualified, &plain]
        } else {
            [&plain, &qualified]
        };
        for stem in stems {
            let list_path = joined(&[stem, b".list"]);
            match self.budget.read(self.tree, &list_path, LIST_LIMIT) {
                Ok(None) => {}
                Ok(Some(list)) => {
                    let md5sums_path = joined(&[stem, b".md5sums"]);
                    return Ok(Place {
                        list,
                        list_path,
                        md5sums_path,
                        has_list: true,
                    });
                }
                Err(why) => return Err(at(&list_path, &why)),
            }
        }
        Err(at(&joined(&[stems[0], b".list"]), &TreeError::NotFound))
    }

    fn md5sums(&mut self, place: &Place, key: &[u8], found: &mut Installed) -> BTreeMap<Vec<u8>, String> {
        if place.md5sums_path.is_empty() {
            return BTreeMap::new();
        }
        match self.budget.read(self.tree, &place.md5sums_path, LIST_LIMIT) {
            Ok(Some(bytes)) => {
                let parsed = parse_md5sums(&bytes);
                complain(&place.md5sums_path, &parsed.faults, key, found);
                return parsed.found;
            }
            // A package without a regular file has none; one from a `status.d` has no other list.
            Ok(None) if place.has_list => {}
            Ok(None) => found
                .trouble
                .push((key.into(), at(&place.md5sums_path, &TreeError::NotFound))),
            Err(why) => found.trouble.push((key.into(), at(&place.md5sums_path, &why))),
        }
        BTreeMap::new()
    }
}

/// Where a package's lists are, and the list of paths itself.
#[derive(Default)]
struct Place {
    list: Vec<u8>,
    list_path: Vec<u8>,
    /// Empty where there is nothing to be looked for.
    md5sums_path: Vec<u8>,
    has_list: bool,
}

fn of_conffile(package: usize, conffile: &Conffile) -> DeclaredFile {
    DeclaredFile {
        path: conffile.path.clone(),
        package,
        kind: conffile.digest.is_some().then_some(DeclaredKind::File),
        digest: conffile.digest.clone(),
        config: true,
        ghost: conffile.obsolete || conffile.remove_on_upgrade,
        ..DeclaredFile::default()
    }
}

fn of_path(package: usize, path: &[u8], digest: Option<&String>) -> DeclaredFile {
    DeclaredFile {
        path: path.to_vec(),
        package,
        // md5sums names regular files only; a path without one may be anything.
        kind: digest.map(|_| DeclaredKind::File),
        digest: digest.cloned(),
        ..DeclaredFile::default()
    }
}

fn read_diversions(tree: &dyn Tree, found: &mut Installed) {
    match if_there(tree.read(DIVERSIONS, LIST_LIMIT)) {
        Ok(bytes) => {
            let parsed = parse_diversions(&bytes.unwrap_or_default());
            complain(DIVERSIONS, &parsed.faults, b"deb-diversion", found);
            found.diversions = parsed.found;
        }
        Err(why) => found
            .trouble
            .push((b"deb-diversion".into(), at(DIVERSIONS, &why))),
    }
}

fn read_overrides(tree: &dyn Tree, found: &mut Installed) {
    match if_there(tree.read(STATOVERRIDE, LIST_LIMIT)) {
        Ok(bytes) => {
            let parsed = parse_statoverride(&bytes.unwrap_or_default());
            complain(STATOVERRIDE, &parsed.faults, b"deb-statoverride", found);
            found.overrides = parsed.found;
        }
        Err(why) => found
            .trouble
            .push((b"deb-statoverride".into(), at(STATOVERRIDE, &why))),
    }
}

fn complain(path: &[u8], faults: &Faults, key: &[u8], found: &mut Installed) {
    found
        .trouble
        .extend(faults.texts(path).into_iter().map(|text| (key.to_vec(), text)));
}

#[cfg(test)]
mod tests;
