//! Baselines in memory, for tests.

use baseline_format::header::{Exclusion, ExclusionReach, FORMAT_VERSION, Header, Image, Scope, SectionInfo};
use baseline_format::{BaselineReader, BaselineWriter, Entry, Line, Reference as _, order};
use proptest::prelude::*;

/// A baseline's header; sections are of revision 1.
pub(super) fn header(name: &str, version: &str, sections: &[&str]) -> Header {
    let section = |name: &&str| SectionInfo {
        name: (*name).to_owned(),
        revision: 1,
    };
    Header {
        format: FORMAT_VERSION,
        image: Image {
            name: Some(name.to_owned()),
            version: Some(version.to_owned()),
            source_kind: "directory".to_owned(),
            ..Image::default()
        },
        sections: sections.iter().map(section).collect(),
        scope: Scope::default(),
    }
}

/// A rule.
pub(super) fn exclusion(glob: &str, what: ExclusionReach) -> Exclusion {
    Exclusion {
        glob: glob.to_owned(),
        what,
        why: "asked for".to_owned(),
    }
}

/// Writes a baseline; entries are sorted, and of two at one place the last is taken.
pub(super) fn write(header: &Header, entries: &[Entry]) -> Vec<u8> {
    let mut writer = BaselineWriter::new(header, Vec::new()).unwrap();
    for line in sorted(entries) {
        writer.push(Line::parse(&line).unwrap()).unwrap();
    }
    writer.finish().unwrap().0
}

/// The lines of entries in THE order.
pub(super) fn sorted(entries: &[Entry]) -> Vec<Vec<u8>> {
    let mut entries: Vec<&Entry> = entries.iter().rev().collect();
    let place =
        |l: &&Entry, r: &&Entry| order::compare((&l.section, l.key.as_str()), (&r.section, r.key.as_str()));
    entries.sort_by(place);
    entries.dedup_by(|l, r| l.section == r.section && l.key == r.key);
    entries.iter().map(|entry| entry.to_line()).collect()
}

/// Reads a baseline's lines, all but those of `provenance`.
pub(super) fn lines(bytes: &[u8]) -> Vec<String> {
    let mut reader = BaselineReader::open(bytes).unwrap();
    let mut lines = Vec::new();
    while let Some(line) = reader.current() {
        if line.section() != super::PROVENANCE {
            lines.push(line.as_str().to_owned());
        }
        reader.advance().unwrap();
    }
    reader.verify().unwrap();
    lines
}

/// A regular file.
pub(super) fn file(path: &str, mode: &'static str, digest: &str) -> Entry {
    Entry::new("files", path)
        .with("type", "file")
        .with("mode", mode)
        .with("uid", 0_i64)
        .with("gid", 0_i64)
        .with("size", i64::try_from(digest.len()).unwrap())
        .with("digest", format!("sha256:{digest:0<64}"))
}

/// A directory.
pub(super) fn directory(path: &str) -> Entry {
    Entry::new("files", path)
        .with("type", "directory")
        .with("mode", "0755")
        .with("uid", 0_i64)
        .with("gid", 0_i64)
}

/// An installed package.
pub(super) fn package(key: &str, version: &str) -> Entry {
    Entry::new("packages", key).with("version", version)
}

/// A small tree of files, some packages and users, with and without blind spots.
pub(super) fn any_entries() -> impl Strategy<Value = Vec<Entry>> {
    let path = "(/[ab\u{fc}-]{1,2}){1,3}";
    let entry = prop_oneof![
        4 => (path, "0[67]44|4755", "[ab]").prop_map(|(path, mode, digest)| {
            file(&path, "0644", &digest).with("mode", mode)
        }),
        3 => path.prop_map(|path| directory(&path)),
        1 => path.prop_map(|path| directory(&path).with("mtime", 7_i64)),
        1 => path.prop_map(|path| directory(&path).unseen("below", "permission denied")),
        1 => path.prop_map(|path| file(&path, "0644", "").unseen("digest", "permission denied")),
        1 => path.prop_map(|path| Entry::new("files", path).unseen("all", "permission denied")),
        1 => path.prop_map(|path| Entry::new("files", path).with("type", "directory").with("mount", "proc")),
        2 => ("deb/[abc]:amd64", "[1-3]").prop_map(|(key, version)| package(&key, &version)),
        1 => "[ab]{1,2}".prop_map(|name| Entry::new("users", name).with("shell", "/bin/sh")),
        1 => Just(Entry::new("users", "/etc/passwd").unseen("all", "permission denied")),
    ];
    prop::collection::vec(entry, 0..24)
}

/// The sections of [`any_entries`].
pub(super) const ANY_SECTIONS: [&str; 3] = ["files", "packages", "users"];

/// Compares with a golden file beside the test; writes it instead if `UPDATE_GOLDEN` is set.
pub(super) fn golden(name: &str, actual: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("src/inspect/golden")
        .join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, actual).unwrap();
    }
    let known = std::fs::read_to_string(&path).unwrap();
    assert!(known == actual, "{name} differs; it is now:\n{actual}");
}
