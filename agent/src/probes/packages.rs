//! The `packages` section: what package managers have installed, and what the administrator told them to do
//! differently.
//!
//! | key | attributes |
//! | --- | --- |
//! | `deb/NAME:ARCH`, `rpm/NAME.ARCH`, `apk/NAME`, `pacman/NAME`, `rpm/gpg-pubkey-VERSION-RELEASE` | `version`, `architecture`, `source`, `vendor`, `status`, `signature`: texts; `automatic`, `held`: booleans |
//! | `deb-diversion/PATH` | `to`; `by`: the diverting package, absent for a local diversion |
//! | `deb-statoverride/PATH` | `user`, `group`; `mode`: four octal digits as text |
//! | `alternative/NAME` | `link`, `mode`: `auto` or `manual`; `target`: what is chosen |
//!
//! `status` is absent from a package that is simply installed, `held` is only there when it is true. A key
//! that several installed packages have, as rpm allows for kernels, has a sorted list as `version`, and as
//! any other text that differs between them. It is `automatic` only if all of them are.
//!
//! A database that could not be read, or only in part, is the entry `deb`, `rpm`, `apk`, `pacman`,
//! `deb-diversion`, `deb-statoverride` or `alternative`: what lies below it may be there without having been
//! seen.

use std::collections::BTreeMap;

use baseline_format::{ALL, BELOW, Entry, OsText, Value};

use super::{Facts, Probe};
use crate::packages::{Diversion, Ecosystem, Installed, Override, Package, READERS, Wanted, alternatives};
use crate::tree::Tree;

/// Reads the `packages` section.
pub(super) struct Packages;

impl Probe for Packages {
    fn section(&self) -> &'static str {
        SECTION
    }

    fn sources(&self) -> &'static [&'static str] {
        &[
            "/etc/alternatives/",
            "/etc/apk/world",
            "/lib/apk/db/installed",
            "/usr/lib/apk/db/installed",
            "/usr/lib/sysimage/rpm/",
            "/var/lib/alternatives/",
            "/var/lib/apt/extended_states",
            "/var/lib/dpkg/alternatives/",
            "/var/lib/dpkg/diversions",
            "/var/lib/dpkg/statoverride",
            "/var/lib/dpkg/status",
            "/var/lib/dpkg/status.d/",
            "/var/lib/dpkg/updates/",
            "/var/lib/pacman/local/",
            "/var/lib/rpm/",
        ]
    }

    fn read(&self, tree: &dyn Tree, out: &mut Facts) {
        for (ecosystem, reader) in READERS {
            match reader(tree, Wanted::Packages) {
                Ok(None) => {}
                Ok(Some(installed)) => push_installed(*ecosystem, &installed, out),
                Err(why) => {
                    out.push(unseen_level(
                        ecosystem.name().as_bytes(),
                        &format!("package database: {why}"),
                    ));
                }
            }
        }
        push_alternatives(tree, out);
    }
}

const SECTION: &str = "packages";

/// Attributes that a reader can fail to see on their own: trouble whose reason begins with one of these and
/// a colon leaves the rest of the entry as it is.
const SEPARATE: [&str; 2] = ["automatic", "target"];

fn push_installed(ecosystem: Ecosystem, installed: &Installed, out: &mut Facts) {
    let mut notes = Notes::new(&installed.trouble);
    // What is missing from every package of the ecosystem, e.g. because apt's notes cannot be read.
    let missing = notes.take_separate(ecosystem.name().as_bytes());
    let mut by_key: BTreeMap<Vec<u8>, Vec<&Package>> = BTreeMap::new();
    for package in &installed.packages {
        by_key.entry(key(ecosystem, package)).or_default().push(package);
    }
    let mut told = false;
    for (key, packages) in by_key {
        let mut entry = notes.apply(&key, package_entry(&key, &packages));
        // Where nothing is known of a package, one attribute more needs no mention.
        let is_known = entry.get("version").is_some();
        for (attribute, why) in &missing {
            if is_known && entry.get(attribute).is_none() {
                entry = entry.unseen(attribute, why);
                told = true;
            }
        }
        out.push(entry);
    }
    if !told {
        notes.put_back(ecosystem.name().as_bytes(), &missing);
    }
    for diversion in &installed.diversions {
        out.push(diversion_entry(diversion));
    }
    for stated in &installed.overrides {
        out.push(override_entry(stated));
    }
    notes.push_rest(out);
}

fn push_alternatives(tree: &dyn Tree, out: &mut Facts) {
    let alternatives::Alternatives { found, trouble } = alternatives::read(tree);
    let mut notes = Notes::new(&trouble);
    for alternative in found {
        let key = [b"alternative/", &alternative.name[..]].concat();
        let entry = entry(&key)
            .with("link", Value::bytes(&alternative.link))
            .with("mode", alternative.mode.name())
            .with_some("target", alternative.target.as_deref().map(Value::bytes));
        out.push(notes.apply(&key, entry));
    }
    notes.push_rest(out);
}

fn key(ecosystem: Ecosystem, package: &Package) -> Vec<u8> {
    let prefix = ecosystem.name().as_bytes();
    let Package {
        name,
        version,
        architecture,
        ..
    } = package;
    let qualified = |separator: &[u8]| match &architecture[..] {
        // Only in a damaged database.
        b"" => [prefix, b"/", name].concat(),
        architecture => [prefix, b"/", name, separator, architecture].concat(),
    };
    match ecosystem {
        // Keys for signatures are packages of one name that have nothing to do with each other.
        Ecosystem::Rpm if name == b"gpg-pubkey" => [prefix, b"/", name, b"-", version].concat(),
        Ecosystem::Rpm => qualified(b"."),
        Ecosystem::Deb => qualified(b":"),
        Ecosystem::Apk | Ecosystem::Pacman => [prefix, b"/", name].concat(),
    }
}

fn package_entry(key: &[u8], packages: &[&Package]) -> Entry {
    let text = |of: fn(&Package) -> Option<&[u8]>| {
        let mut values: Vec<Option<&[u8]>> = packages.iter().map(|package| of(package)).collect();
        values.dedup();
        match values.as_slice() {
            [one] => one.map(Value::bytes),
            several => Some(Value::set(
                several.iter().flatten().map(|value| OsText::new(value)),
            )),
        }
    };
    let version = match packages {
        [one] => Value::bytes(&one.version),
        several => {
            let mut versions: Vec<&[u8]> = several.iter().map(|package| &package.version[..]).collect();
            versions.sort_unstable();
            Value::list(versions.into_iter().map(OsText::new))
        }
    };
    let automatic = match packages {
        all if all.iter().all(|package| package.automatic == Some(true)) => Some(true),
        any if any.iter().any(|package| package.automatic == Some(false)) => Some(false),
        _ => None,
    };
    let held = packages.iter().any(|package| package.held).then_some(true);
    entry(key)
        .with("version", version)
        .with_some(
            "architecture",
            text(|p| Some(&p.architecture[..]).filter(|text| !text.is_empty())),
        )
        .with_some("source", text(|p| p.source.as_deref()))
        .with_some("vendor", text(|p| p.vendor.as_deref()))
        .with_some("status", text(|p| p.status.as_deref()))
        .with_some("signature", text(|p| p.signature.as_deref()))
        .with_some("automatic", automatic)
        .with_some("held", held)
}

fn diversion_entry(diversion: &Diversion) -> Entry {
    entry(&[b"deb-diversion", &diversion.from[..]].concat())
        .with("to", Value::bytes(&diversion.to))
        .with_some("by", diversion.by.as_deref().map(Value::bytes))
}

fn override_entry(stated: &Override) -> Entry {
    entry(&[b"deb-statoverride", &stated.path[..]].concat())
        .with("user", Value::bytes(&stated.user))
        .with("group", Value::bytes(&stated.group))
        .with("mode", format!("{:04o}", stated.mode))
}

fn entry(key: &[u8]) -> Entry {
    Entry::new(SECTION, OsText::new(key))
}

/// A whole database, or a part of one of which it is not known which.
fn unseen_level(key: &[u8], why: &str) -> Entry {
    entry(key).unseen(ALL, why).unseen(BELOW, why)
}

/// What readers could not read or understand, by the key that it concerns.
struct Notes(BTreeMap<Vec<u8>, Vec<String>>);

impl Notes {
    fn new(trouble: &[(Vec<u8>, String)]) -> Self {
        let mut notes: BTreeMap<Vec<u8>, Vec<String>> = BTreeMap::new();
        for (key, why) in trouble {
            notes.entry(key.clone()).or_default().push(why.clone());
        }
        Self(notes)
    }

    /// Takes out what concerns single attributes of everything below a key.
    fn take_separate(&mut self, key: &[u8]) -> Vec<(&'static str, String)> {
        let Some(whys) = self.0.remove(key) else {
            return Vec::new();
        };
        let (separate, rest): (Vec<String>, Vec<String>) =
            whys.into_iter().partition(|why| split_attribute(why).is_some());
        if !rest.is_empty() {
            self.0.insert(key.into(), rest);
        }
        separate
            .iter()
            .filter_map(|why| split_attribute(why))
            .map(|(attribute, why)| (attribute, why.to_owned()))
            .collect()
    }

    fn put_back(&mut self, key: &[u8], separate: &[(&'static str, String)]) {
        if !separate.is_empty() {
            let whys = self.0.entry(key.into()).or_default();
            whys.extend(
                separate
                    .iter()
                    .map(|(attribute, why)| format!("{attribute}: {why}")),
            );
        }
    }

    /// The entry, or what is left of it by what is noted for its key.
    fn apply(&mut self, key: &[u8], seen: Entry) -> Entry {
        let Some(whys) = self.0.remove(key) else {
            return seen;
        };
        if whys.iter().all(|why| split_attribute(why).is_some()) {
            return whys
                .iter()
                .filter_map(|why| split_attribute(why))
                .fold(seen, |seen, (attribute, why)| seen.unseen(attribute, why));
        }
        // Which of the attributes are sound cannot be known, so none is given.
        whys.iter().fold(entry(key), |seen, why| seen.unseen(ALL, why))
    }

    /// Pushes an entry for each key that has no entry of its own.
    fn push_rest(self, out: &mut Facts) {
        for (key, whys) in self.0 {
            let is_level = !key.contains(&b'/');
            let unseen = whys
                .iter()
                .fold(entry(&key), |unseen, why| match split_attribute(why) {
                    Some((attribute, why)) => unseen.unseen(attribute, why),
                    None if is_level => unseen.unseen(ALL, why).unseen(BELOW, why),
                    None => unseen.unseen(ALL, why),
                });
            out.push(unseen);
        }
    }
}

fn split_attribute(why: &str) -> Option<(&'static str, &str)> {
    SEPARATE
        .iter()
        .find_map(|attribute| Some((*attribute, why.strip_prefix(attribute)?.strip_prefix(": ")?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::memory::MemoryTree;
    use crate::tree::{Stat, TreeError};

    fn lines_of(facts: Facts) -> Vec<String> {
        facts
            .into_sorted()
            .iter()
            .map(|entry| String::from_utf8(entry.to_line()).unwrap())
            .collect()
    }

    fn read(tree: &dyn Tree) -> Vec<String> {
        let mut facts = Facts::default();
        Packages.read(tree, &mut facts);
        lines_of(facts)
    }

    fn package(name: &str, version: &str, architecture: &str) -> Package {
        Package {
            name: name.into(),
            version: version.into(),
            architecture: architecture.into(),
            ..Package::default()
        }
    }

    #[test]
    fn nothing_installed_is_no_fact() {
        assert_eq!(read(&MemoryTree::new()), Vec::<String>::new());
    }

    /// A tree that is there and cannot be read.
    struct Denied;

    impl Tree for Denied {
        fn read(&self, _: &[u8], _: u64) -> Result<Vec<u8>, TreeError> {
            Err(TreeError::Denied)
        }
        fn list(&self, _: &[u8]) -> Result<Vec<Vec<u8>>, TreeError> {
            Err(TreeError::Denied)
        }
        fn stat(&self, _: &[u8]) -> Result<Stat, TreeError> {
            Err(TreeError::Denied)
        }
        fn lstat(&self, _: &[u8]) -> Result<Stat, TreeError> {
            Err(TreeError::Denied)
        }
        fn read_link(&self, _: &[u8]) -> Result<Vec<u8>, TreeError> {
            Err(TreeError::Denied)
        }
    }

    #[test]
    fn a_tree_that_cannot_be_read_is_unseen() {
        let mut facts = Facts::default();
        Packages.read(&Denied, &mut facts);
        let entries = facts.into_sorted();
        let keys: Vec<&str> = entries.iter().map(|entry| entry.key.as_str()).collect();
        assert_eq!(keys, ["alternative", "apk", "deb", "pacman", "rpm"]);
        for entry in &entries {
            assert_eq!(
                entry.attributes().map(|(name, _)| name).collect::<Vec<_>>(),
                ["unseen"]
            );
        }
        assert_eq!(
            String::from_utf8(entries[2].to_line()).unwrap(),
            r#"["packages","deb",{"unseen":["all: package database: permission denied","below: package database: permission denied"]}]"#
        );
    }

    #[test]
    fn packages_of_one_key_are_one_entry() {
        let mut kernels = [
            package("kernel", "6.9-1", "x86_64"),
            package("kernel", "6.10-1", "x86_64"),
            package("kernel", "6.10-1", "x86_64"),
        ];
        kernels[0].source = Some(b"k-6.9".into());
        kernels[1].source = Some(b"k-6.10".into());
        kernels[2].source = Some(b"k-6.10".into());
        kernels[0].automatic = Some(true);
        kernels[1].automatic = Some(false);
        let mut installed = Installed {
            packages: kernels.into(),
            ..Installed::default()
        };
        installed
            .packages
            .push(package("gpg-pubkey", "fd431d51-4ae0493b", "(none)"));
        installed.packages.push(package("gpg-pubkey", "a1-b2", "(none)"));
        let mut facts = Facts::default();
        push_installed(Ecosystem::Rpm, &installed, &mut facts);
        assert_eq!(
            lines_of(facts),
            [
                r#"["packages","rpm/gpg-pubkey-a1-b2",{"architecture":"(none)","version":"a1-b2"}]"#,
                r#"["packages","rpm/gpg-pubkey-fd431d51-4ae0493b",{"architecture":"(none)","version":"fd431d51-4ae0493b"}]"#,
                r#"["packages","rpm/kernel.x86_64",{"architecture":"x86_64","automatic":false,"source":["k-6.10","k-6.9"],"version":["6.10-1","6.10-1","6.9-1"]}]"#,
            ]
        );
    }

    #[test]
    fn trouble_takes_away_what_it_concerns() {
        let status = "Package: a\nStatus: install ok installed\nVersion: 1\nArchitecture: all\n\n\
                      Package: b\nStatus: install ok installed\nVersion: 1\nArchitecture: all\ngarbage\n\nlost\n";
        let tree = MemoryTree::new()
            .file("/var/lib/dpkg/status", status)
            .failing("/var/lib/apt/extended_states", TreeError::Denied)
            .failing("/var/lib/dpkg/diversions", TreeError::Denied)
            .file("/var/lib/dpkg/alternatives/awk", "auto\n/usr/bin/awk\n\n")
            .file("/etc/alternatives/awk", "");
        assert_eq!(
            read(&tree),
            [
                r#"["packages","alternative/awk",{"link":"/usr/bin/awk","mode":"auto","unseen":["target: /etc/alternatives/awk: not a symbolic link"]}]"#,
                r#"["packages","deb",{"unseen":["all: /var/lib/dpkg/status: line 12: neither a field nor a continuation","all: /var/lib/dpkg/status: line 12: no Package field","below: /var/lib/dpkg/status: line 12: neither a field nor a continuation","below: /var/lib/dpkg/status: line 12: no Package field"]}]"#,
                r#"["packages","deb/a:all",{"architecture":"all","unseen":["automatic: /var/lib/apt/extended_states: permission denied"],"version":"1"}]"#,
                r#"["packages","deb/b:all",{"unseen":["all: /var/lib/dpkg/status: line 10: neither a field nor a continuation"]}]"#,
                r#"["packages","deb-diversion",{"unseen":["all: /var/lib/dpkg/diversions: permission denied","below: /var/lib/dpkg/diversions: permission denied"]}]"#,
            ]
        );
        // Without any package there is nobody to put the note on but the database.
        let tree = MemoryTree::new()
            .file("/var/lib/dpkg/status", "")
            .failing("/var/lib/apt/extended_states", TreeError::Denied);
        assert_eq!(
            read(&tree),
            [
                r#"["packages","deb",{"unseen":["automatic: /var/lib/apt/extended_states: permission denied"]}]"#
            ]
        );
    }

    #[test]
    fn what_the_administrator_told_dpkg() {
        let tree = MemoryTree::new()
            .file("/var/lib/dpkg/status", "")
            .file(
                "/var/lib/dpkg/diversions",
                "/bin/a\n/bin/a.real\n:\n/bin/b\n/bin/b.x\ndash\n",
            )
            .file("/var/lib/dpkg/statoverride", "root #9 4750 /bin/c\n");
        assert_eq!(
            read(&tree),
            [
                r#"["packages","deb-diversion/bin/a",{"to":"/bin/a.real"}]"#,
                r#"["packages","deb-diversion/bin/b",{"by":"dash","to":"/bin/b.x"}]"#,
                r##"["packages","deb-statoverride/bin/c",{"group":"#9","mode":"4750","user":"root"}]"##,
            ]
        );
    }
}
