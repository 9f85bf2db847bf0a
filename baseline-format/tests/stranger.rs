//! A reader in another language, written from `docs/baseline-format.md` alone, understands our files as we do.
//! Needs `python3` and `zstd`; without them the tests say so and pass, unless `DRIFTCHECK_REQUIRE_ORACLES=1`.
#![expect(clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use baseline_format::header::{FORMAT_VERSION, Header, Image, Scope, SectionInfo};
use baseline_format::{BaselineReader, BaselineWriter, Entry, Line, OsText, Value};

/// Whether the stranger can be asked here.
fn stranger_is_there() -> bool {
    for tool in ["python3", "zstd"] {
        let mut command = Command::new(tool);
        command
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if !command.status().is_ok_and(|status| status.success()) {
            let required = std::env::var_os("DRIFTCHECK_REQUIRE_ORACLES").is_some_and(|set| set == "1");
            assert!(!required, "{tool} is missing");
            println!("skipped: {tool} is missing");
            return false;
        }
    }
    true
}

/// Directory of one test's files.
fn scratch(test: &str) -> PathBuf {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("stranger-{test}"));
    fs::create_dir_all(&directory).unwrap();
    directory
}

/// What the stranger says of a file: `ENTRIES DIGEST`, or why it refuses it.
fn ask(file: &std::path::Path) -> Result<String, String> {
    let reader = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/reader.py");
    let output = Command::new("python3").arg(reader).arg(file).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap().trim_end().to_owned();
    match output.status.code() {
        Some(0) => Ok(text(&output.stdout)),
        Some(65) => Err(text(&output.stderr)),
        other => panic!("exit code {other:?}: {}", text(&output.stderr)),
    }
}

fn header(names: &[&str]) -> Header {
    Header {
        format: FORMAT_VERSION,
        image: Image {
            name: Some("gr\u{fc}n \"\\\u{1b}\n".into()),
            source_kind: "directory".into(),
            ..Image::default()
        },
        sections: names
            .iter()
            .map(|&name| SectionInfo {
                name: name.into(),
                revision: 1,
            })
            .collect(),
        scope: Scope::default(),
    }
}

/// Names that have misled somebody before.
fn hostile_names() -> Vec<Vec<u8>> {
    let mut names: Vec<Vec<u8>> = (0u8..=255)
        .filter(|byte| *byte != b'/')
        .map(|byte| vec![b'/', b'b', byte])
        .collect();
    for name in [
        &b"/"[..],
        b"/b",
        b"/b/c",
        b"/b/c/d",
        b"/b.c",
        b"/b c",
        b"/b\xff/c",
        b"/b\\xff/c",
        b"/b\\\\",
        b"/\xc3\x28",
        b"/\xe2\x80",
        b"/\xe2\x80\xae",
        b"/\xf0\x90\x80\xc3\xa9",
        b"/\xed\xa0\x80",
        b"/\xc0\xaf",
        b"/\xf4\x90\x80\x80",
        b"/'\"`$(id)",
        "/gr\u{fc}n\u{301}\u{ad}\u{200b}\u{2066}\u{feff}\u{fffd}\u{fff9}\u{e0041}\u{1f600}".as_bytes(),
    ] {
        names.push(name.to_vec());
    }
    // Every border of the list of characters that are escaped.
    for code in [
        0x7e,
        0x7f,
        0x9f,
        0xa0,
        0xac,
        0xad,
        0xae,
        0x61b,
        0x61c,
        0x61d,
        0x180d,
        0x180e,
        0x180f,
        0x200a,
        0x200b,
        0x200f,
        0x2010,
        0x2027,
        0x2028,
        0x202e,
        0x202f,
        0x205f,
        0x2060,
        0x206f,
        0x2070,
        0xfefe,
        0xfeff,
        0xff00,
        0xffef,
        0xfff0,
        0xfffb,
        0xfffc,
        0xd7ff,
        0xe000,
        0xdffff,
        0xe0000,
        0xe0fff,
        0xe1000,
        0x0010_ffff,
    ] {
        let character = char::from_u32(code).unwrap();
        names.push(format!("/c{character}").into_bytes());
    }
    // The order of this crate, told a third way.
    names.sort_by(|a, b| a.split(|byte| *byte == b'/').cmp(b.split(|byte| *byte == b'/')));
    names.dedup();
    names
}

fn sample() -> (Vec<u8>, String) {
    let mut writer =
        BaselineWriter::new(&header(&["0-empty", "files", "later", "users"]), Vec::new()).unwrap();
    let mut push = |entry: &Entry| writer.push(Line::parse(&entry.to_line()).unwrap()).unwrap();
    for name in hostile_names() {
        let entry = Entry::new("files", OsText::new(&name))
            .with("type", "file")
            .with("link", Value::bytes(&name))
            .with(format!("xattr:{}", OsText::new(&name)), true)
            .unseen("digest", "permission denied")
            .with("list", Value::list([OsText::new(&name), OsText::default()]));
        push(&entry);
    }
    for (key, value) in [
        ("", Value::Integer(i64::MIN)),
        ("a", Value::Integer(i64::MAX)),
        ("b", Value::Other(serde_json::Value::Null)),
        (
            "c",
            Value::Other(serde_json::json!({"z": [1, null, {"y": "\"", "": []}], "b": -1})),
        ),
        ("d", Value::Bool(false)),
    ] {
        push(&Entry::new("later", key).with("value", value).with("", "no name"));
    }
    push(&Entry::new("users", "root"));
    let (bytes, end) = writer.finish().unwrap();
    (bytes, format!("{} {}", end.entries, end.digest))
}

#[test]
fn counts_and_digests_are_the_same() {
    if !stranger_is_there() {
        return;
    }
    let file = scratch("same").join("baseline.dcb");
    let (bytes, sums) = sample();
    fs::write(&file, bytes).unwrap();
    assert_eq!(ask(&file), Ok(sums));
    let (bytes, end) = BaselineWriter::new(&header(&[]), Vec::new())
        .unwrap()
        .finish()
        .unwrap();
    fs::write(&file, bytes).unwrap();
    assert_eq!(ask(&file), Ok(format!("0 {}", end.digest)), "an empty one");
}

/// What is done to a sound file's bytes or lines; none of the results is a baseline to either reader.
#[test]
fn both_refuse_the_same_files() {
    if !stranger_is_there() {
        return;
    }
    let directory = scratch("refused");
    let (good, _) = sample();
    let refused = |what: &str, bytes: &[u8]| {
        let ours = BaselineReader::open(bytes).and_then(BaselineReader::verify);
        assert!(ours.is_err(), "{what}: taken by us");
        let file = directory.join("broken.dcb");
        fs::write(&file, bytes).unwrap();
        let why = ask(&file).expect_err(what);
        assert!(why.contains("broken.dcb: "), "{what}: {why}");
        why
    };
    for length in [
        0,
        1,
        3,
        10,
        good.len() / 2,
        good.len() - 5,
        good.len() - 4,
        good.len() - 1,
    ] {
        refused(&format!("cut to {length}"), &good[..length]);
    }
    for at in [4, 40, good.len() / 2, good.len() - 1] {
        let mut flipped = good.clone();
        flipped[at] ^= 4;
        refused(&format!("bit flipped in byte {at}"), &flipped);
    }
    for (what, tail) in [
        ("a byte", &b"\n"[..]),
        ("itself", &good),
        ("a skippable frame", b"\x50\x2a\x4d\x18\0\0\0\0"),
    ] {
        refused(&format!("followed by {what}"), &[&good, tail].concat());
    }
    let text = String::from_utf8(zstd::decode_all(&good[..]).unwrap()).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let pack = |lines: &[&str]| zstd::encode_all((lines.join("\n") + "\n").as_bytes(), 3).unwrap();
    let last = lines.len() - 1;
    let mut forged = lines.clone();
    forged.swap(7, 8);
    let why = refused("reordered", &pack(&forged));
    assert!(why.contains("line 9: entries are out of order"), "{why}");
    let doubled: Vec<&str> = lines[..5].iter().chain(&lines[4..]).copied().collect();
    refused("doubled", &pack(&doubled));
    let without_one: Vec<&str> = lines[..5].iter().chain(&lines[6..]).copied().collect();
    refused("lost", &pack(&without_one));
    refused("without trailer", &pack(&lines[..last]));
    refused("without header", &pack(&lines[1..]));
    refused(
        "without the last line end",
        &zstd::encode_all(text.trim_end().as_bytes(), 3).unwrap(),
    );
    let window = {
        let mut encoder = zstd::Encoder::new(Vec::new(), 3).unwrap();
        encoder.window_log(24).unwrap();
        std::io::Write::write_all(&mut encoder, text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    refused("a large window", &window);
    for (line, from, to) in [
        (0, "baseline\":1", "baseline\":2"),
        (0, "baseline\":1", "baseline\":0"),
        (0, "\"files\"", "\"Files\""),
        (0, "\"later\"", "\"files\""),
        (0, "\"revision\":1", "\"revision\":-1"),
        (0, "\"source-kind\"", "\"source\""),
        (0, "gr", "rg"),
        (1, "\"type\"", " \"type\""),
        (1, "\"type\":\"file\"", "\"type\":\"fil\\u0065\""),
        (1, "\"type\":\"file\"", "\"type\":\"fil\\\\x65\""),
        (1, "\"type\":\"file\"", "\"type\":1.0"),
        (1, "\"type\":\"file\"", "\"type\":01"),
        (1, "\"type\":\"file\"", "\"type\":9223372036854775808"),
        (1, "\"type\":\"file\"", "\"a\":1"),
        (1, "\"type\":\"file\"", "\"type\":{\"b\":1,\"a\":1}"),
        (1, "}]", "}] "),
        (1, "\"files\"", "\"Files\""),
        (1, "\"files\"", "\"unknown\""),
        (last, "\"entries\":0", "\"entries\":1"),
        (last, "\"entries\":0", "\"entries\": 0"),
        (last, "sha256:", "sha256:0"),
        (last, "\"end\"", "\"END\""),
    ] {
        let altered = lines[line].replacen(from, to, 1);
        assert_ne!(altered, lines[line], "{from} is not there");
        let mut forged = lines.clone();
        forged[line] = &altered;
        let why = refused(&format!("{from} -> {to}"), &pack(&forged));
        assert!(why.contains("line "), "{why}");
    }
}
