//! Files that were written once and must be read, and written identically, by every later release of format
//! version 1; and the schemas that are generated from the types. `UPDATE_GOLDEN=1` rewrites them all: look at the
//! difference before it is committed.
#![expect(clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

use baseline_format::header::{Exclusion, ExclusionReach, FORMAT_VERSION, Header, Image, Scope, SectionInfo};
use baseline_format::{BaselineReader, BaselineWriter, Entry, Line, OsText, Reference, Value, schema};

/// A path from the repository's root.
fn at(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// Compares with a golden file; writes it instead if it is to be rewritten.
fn golden(path: &str, content: &[u8]) {
    let file = at(path);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, content).unwrap();
    }
    let known = fs::read(&file).unwrap_or_else(|why| panic!("{path}: {why}"));
    assert!(known == content, "{path} is not what today's code makes");
}

fn header() -> Header {
    let section = |name: &str| SectionInfo {
        name: name.into(),
        revision: 1,
    };
    Header {
        format: FORMAT_VERSION,
        image: Image {
            name: Some("web".into()),
            version: Some("1.4".into()),
            source_kind: "directory".into(),
            purpose: Some("a \"small\" example".into()),
            ..Image::default()
        },
        sections: vec![section("files"), section("packages"), section("users")],
        scope: Scope {
            include: Vec::new(),
            exclude: vec![Exclusion {
                glob: "/tmp/**".into(),
                what: ExclusionReach::Ordinary,
                why: "scratch".into(),
            }],
            ..Scope::default()
        },
    }
}

fn entries() -> Vec<Entry> {
    let file = |key: &[u8], kind: &'static str, mode: &'static str| {
        Entry::new("files", OsText::new(key))
            .with("type", kind)
            .with("mode", mode)
            .with("uid", 0u32)
            .with("user", "root")
            .with("gid", 0u32)
            .with("group", "root")
            .with("mtime", 1_700_000_000i64)
    };
    vec![
        file(b"/", "directory", "0755"),
        file(b"/etc", "directory", "0755"),
        file(b"/etc/passwd", "file", "0644").with("size", 0i64).with(
            "digest",
            "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        ),
        file(b"/etc/shadow", "file", "0600")
            .with("size", 7i64)
            .unseen("digest", "permission denied"),
        file(b"/etc-old", "directory", "0700").unseen("below", "permission denied"),
        Entry::new("files", "/proc")
            .with("type", "directory")
            .with("mount", "proc"),
        file("/say \"gr\u{fc}n\"\n".as_bytes(), "fifo", "0600"),
        file(b"/x\xfe", "char-device", "0666")
            .with("device", "1:3")
            .with("nlink", 2u32),
        file(b"/x\xff", "char-device", "0666")
            .with("device", "1:3")
            .with("nlink", 2u32)
            .with("hardlink", Value::bytes(b"/x\xfe")),
        Entry::new("packages", "deb/libc6:amd64")
            .with("version", "2.36-9+deb12u10")
            .with("architecture", "amd64")
            .with("automatic", true)
            .with(
                "later",
                Value::Other(serde_json::json!({"a": [1, null], "b": {}})),
            ),
    ]
}

fn write() -> (Vec<u8>, String) {
    let mut writer = BaselineWriter::new(&header(), Vec::new()).unwrap();
    let mut text = format!("{}\n", serde_json::to_string(&header()).unwrap());
    for entry in entries() {
        let line = entry.to_line();
        writer.push(Line::parse(&line).unwrap()).unwrap();
        text.push_str(std::str::from_utf8(&line).unwrap());
        text.push('\n');
    }
    let (bytes, end) = writer.finish().unwrap();
    text.push_str(&serde_json::to_string(&baseline_format::header::Trailer { end }).unwrap());
    text.push('\n');
    (bytes, text)
}

/// The text is the format. The compressed bytes also depend on the release of libzstd that `Cargo.lock` names: a
/// new one may change them, and then only `example.dcb` is written anew.
#[test]
fn the_example_is_written_as_ever() {
    let (bytes, text) = write();
    golden("baseline-format/tests/golden/example.jsonl", text.as_bytes());
    golden("baseline-format/tests/golden/example.dcb", &bytes);
}

#[test]
fn the_example_is_read_as_ever() {
    let bytes = fs::read(at("baseline-format/tests/golden/example.dcb")).unwrap();
    let mut reader = BaselineReader::open(&bytes[..]).unwrap();
    assert_eq!(reader.header(), &header());
    let mut found = Vec::new();
    while let Some(line) = reader.current() {
        found.push(line.to_entry());
        reader.advance().unwrap();
    }
    assert_eq!(found, entries());
    let end = reader.verify().unwrap();
    let text = fs::read_to_string(at("baseline-format/tests/golden/example.jsonl")).unwrap();
    assert!(text.ends_with(&format!("\"entries\":10,\"digest\":\"{}\"}}}}\n", end.digest)));
}

/// The example of the specification is this one.
#[test]
fn the_specification_shows_the_example() {
    let document = fs::read_to_string(at("docs/baseline-format.md")).unwrap();
    let text = fs::read_to_string(at("baseline-format/tests/golden/example.jsonl")).unwrap();
    assert!(document.contains(&format!("```text\n{text}```\n")));
}

#[test]
fn schemas_are_those_of_the_types() {
    golden("docs/schemas/baseline.schema.json", schema::baseline().as_bytes());
    golden(
        "docs/schemas/image-check.schema.json",
        schema::image_check().as_bytes(),
    );
    golden("docs/schemas/report.schema.json", schema::report().as_bytes());
}
