//! Baseline files as a whole: they come back as written, and nothing but a whole file is taken for one.
#![expect(
    clippy::unwrap_used,
    clippy::format_collect,
    reason = "tests fail by panicking"
)]

use std::io::Cursor;

use baseline_format::header::{FORMAT_VERSION, Header, Image, Scope, SectionInfo};
use baseline_format::{
    BaselineReader, BaselineWriter, Entry, LINE_LIMIT, Line, OsText, ReadError, Reference, WriteError,
};
use proptest::prelude::*;

fn header(sections: &[&str]) -> Header {
    Header {
        format: FORMAT_VERSION,
        image: Image {
            name: Some("web".into()),
            source_kind: "directory".into(),
            ..Image::default()
        },
        sections: sections
            .iter()
            .map(|name| SectionInfo {
                name: (*name).into(),
                revision: 1,
            })
            .collect(),
        scope: Scope::default(),
    }
}

fn write(header: &Header, entries: &[Entry]) -> Vec<u8> {
    let mut writer = BaselineWriter::new(header, Vec::new()).unwrap();
    for entry in entries {
        writer.push(Line::parse(&entry.to_line()).unwrap()).unwrap();
    }
    writer.finish().unwrap().0
}

fn read(bytes: &[u8]) -> Result<Vec<Entry>, ReadError> {
    let mut reader = BaselineReader::open(Cursor::new(bytes))?;
    let mut entries = Vec::new();
    while let Some(line) = reader.current() {
        entries.push(line.to_entry());
        reader.advance()?;
    }
    assert!(
        reader.end().is_some(),
        "the last entry is only passed when the trailer has been verified"
    );
    Ok(entries)
}

fn sample() -> (Vec<Entry>, Vec<u8>) {
    let entries: Vec<Entry> = vec![
        Entry::new("files", "/").with("type", "directory"),
        Entry::new("files", OsText::new(b"/caf\xff"))
            .with("digest", "sha256:00")
            .with("size", 3i64),
        Entry::new("files", OsText::new(b"/caf\xfe/x")).with("size", 4i64),
        Entry::new("users", "root").with("uid", 0i64),
    ];
    let mut sorted = entries;
    sorted.swap(1, 2);
    let bytes = write(&header(&["files", "packages", "users"]), &sorted);
    (sorted, bytes)
}

#[test]
fn comes_back_as_written() {
    let (entries, bytes) = sample();
    assert_eq!(read(&bytes).unwrap(), entries);
    assert_eq!(
        write(&header(&["files", "packages", "users"]), &entries),
        bytes,
        "the same entries, the same bytes"
    );
}

#[test]
fn an_empty_baseline_is_a_baseline() {
    assert_eq!(read(&write(&header(&[]), &[])).unwrap(), []);
    assert_eq!(read(&write(&header(&["files"]), &[])).unwrap(), []);
}

#[test]
fn every_cut_is_refused() {
    let (_, bytes) = sample();
    for length in 0..bytes.len() {
        assert!(
            read(&bytes[..length]).is_err(),
            "cut to {length} of {}",
            bytes.len()
        );
    }
}

#[test]
fn every_flipped_bit_is_refused() {
    let (_, bytes) = sample();
    for at in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[at / 8] ^= 1 << (at % 8);
        // A bit that the container does not use may flip without a change of what was read.
        if let Ok(entries) = read(&flipped) {
            assert_eq!(entries, sample().0, "bit {at}");
        }
    }
}

#[test]
fn what_follows_is_refused() {
    let (_, bytes) = sample();
    for tail in [&b"x"[..], &bytes[..], b"\0"] {
        let long = [&bytes[..], tail].concat();
        assert!(matches!(
            read(&long),
            Err(ReadError::AfterTrailer | ReadError::Damaged { .. })
        ));
    }
}

/// Packs lines as they are, without the writer's checks.
fn forge(lines: &[String]) -> Vec<u8> {
    zstd::encode_all(
        Cursor::new(lines.iter().map(|line| format!("{line}\n")).collect::<String>()),
        3,
    )
    .unwrap()
}

fn lines(bytes: &[u8]) -> Vec<String> {
    String::from_utf8(zstd::decode_all(bytes).unwrap())
        .unwrap()
        .lines()
        .map(Into::into)
        .collect()
}

#[test]
fn reordered_doubled_lost_and_altered_lines_are_refused() {
    let (_, bytes) = sample();
    let good = lines(&bytes);
    assert!(read(&forge(&good)).is_ok());
    let forgeries: [(&str, Vec<usize>); 6] = [
        ("reordered", vec![0, 1, 3, 2, 4, 5]),
        ("doubled", vec![0, 1, 2, 2, 3, 4, 5]),
        ("lost", vec![0, 1, 2, 4, 5]),
        ("without trailer", vec![0, 1, 2, 3, 4]),
        ("without header", vec![1, 2, 3, 4, 5]),
        ("two trailers", vec![0, 1, 2, 3, 4, 5, 5]),
    ];
    for (what, order) in forgeries {
        let forged: Vec<String> = order.iter().map(|&at| good[at].clone()).collect();
        assert!(read(&forge(&forged)).is_err(), "{what}");
    }
    let mut altered = good.clone();
    altered[2] = altered[2].replace("4}", "5}");
    assert!(
        matches!(read(&forge(&altered)), Err(ReadError::SectionDiffers { section }) if section == "files")
    );
    let mut altered = good.clone();
    altered[0] = altered[0].replace("web", "wab");
    assert!(matches!(read(&forge(&altered)), Err(ReadError::DigestDiffers)));
}

#[test]
fn foreign_and_newer_files_are_named() {
    assert!(matches!(read(b""), Err(ReadError::Foreign(_))));
    assert!(matches!(read(b"PK\x03\x04 not ours"), Err(ReadError::Foreign(_))));
    assert!(matches!(read(&forge(&["{}".into()])), Err(ReadError::Foreign(_))));
    let newer = lines(&sample().1)[0].replace("baseline\":1", "baseline\":99");
    let message = read(&forge(&[newer])).unwrap_err().to_string();
    assert!(
        message.contains("format version 99") && message.contains("use a newer driftcheck"),
        "{message}"
    );
}

#[test]
fn what_a_newer_writer_added_survives() {
    let (_, bytes) = sample();
    let header = lines(&bytes)[0].replace(
        "{\"driftcheck-baseline\":1,",
        "{\"driftcheck-baseline\":1,\"later\":{\"x\":[1]},",
    );
    let text = r#"["files","/x",{"later":{"deep":[null,-1]},"size":3}]"#;
    let parsed: Header = serde_json::from_str(&header).unwrap();
    let mut writer = BaselineWriter::with_header_line(&parsed, &header, Vec::new()).unwrap();
    writer.push(Line::parse(text.as_bytes()).unwrap()).unwrap();
    let bytes = writer.finish().unwrap().0;
    let reader = BaselineReader::open(Cursor::new(&bytes)).unwrap();
    assert_eq!(reader.header_line(), header);
    let entry = reader.current().unwrap().to_entry();
    assert_eq!(entry.to_line(), text.as_bytes());
    reader.verify().unwrap();
}

#[test]
fn the_writer_refuses_what_a_reader_would() {
    let mut writer = BaselineWriter::new(&header(&["files", "users"]), Vec::new()).unwrap();
    let push = |writer: &mut BaselineWriter<Vec<u8>>, section: &'static str, key: &str| {
        writer.push(Line::parse(&Entry::new(section, key).to_line()).unwrap())
    };
    push(&mut writer, "files", "/a.b").unwrap();
    assert!(matches!(
        push(&mut writer, "files", "/a/b"),
        Err(WriteError::OutOfOrder { .. })
    ));
    assert!(matches!(
        push(&mut writer, "files", "/a.b"),
        Err(WriteError::OutOfOrder { .. })
    ));
    assert!(matches!(
        push(&mut writer, "packages", "x"),
        Err(WriteError::OutOfOrder { .. })
    ));
    push(&mut writer, "users", "root").unwrap();
    assert!(matches!(
        push(&mut writer, "files", "/z"),
        Err(WriteError::OutOfOrder { .. })
    ));
    assert!(matches!(
        BaselineWriter::new(&header(&["b", "a"]), Vec::new()),
        Err(WriteError::Sections)
    ));
}

#[test]
fn headers_that_nobody_wrote_are_refused() {
    let good = lines(&sample().1);
    let forged = |from: &str, to: &str| {
        let mut lines = good.clone();
        lines[0] = lines[0].replace(from, to);
        assert_ne!(lines[0], good[0]);
        read(&forge(&lines)).unwrap_err()
    };
    assert!(matches!(
        forged("baseline\":1", "baseline\":0"),
        ReadError::Foreign(_)
    ));
    // A name with a line end in it could make one section look like two to whoever hashes them.
    for name in ["", "Users", "users 0 sha256:00", "users\\n", "\u{fc}sers"] {
        assert!(
            matches!(forged("\"users\"", &format!("\"{name}\"")), ReadError::Sections),
            "{name}"
        );
    }
    for line in [
        "{\"driftcheck-baseline\":1,\"sections\":[]}".to_owned(),
        format!("{}\n", good[0]),
        format!(" {}", good[0]),
        good[0].replace("web", "wab"),
    ] {
        let refused =
            BaselineWriter::with_header_line(&header(&["files", "packages", "users"]), &line, Vec::new());
        assert!(matches!(refused, Err(WriteError::Header)), "{line}");
    }
}

#[test]
fn a_trailer_has_one_spelling() {
    let good = lines(&sample().1);
    for (from, to) in [
        ("{\"end\":", "{\"end\": "),
        ("\"entries\":4", "\"more\":1,\"entries\":4"),
        ("]", " ]"),
    ] {
        let mut lines = good.clone();
        let last = lines.len() - 1;
        lines[last] = lines[last].replacen(from, to, 1);
        assert_ne!(lines, good, "{from}");
        assert!(
            matches!(read(&forge(&lines)), Err(ReadError::Malformed { line: 6, .. })),
            "{to}"
        );
    }
}

#[test]
fn the_longest_line_is_the_same_for_reader_and_writer() {
    for (length, taken) in [
        (LINE_LIMIT, true),
        (LINE_LIMIT + 1, false),
        (LINE_LIMIT + 200_000, false),
    ] {
        let frame = Entry::new("files", "").to_line().len();
        let entry = Entry::new("files", "k".repeat(length - frame));
        let line = String::from_utf8(entry.to_line()).unwrap();
        assert_eq!(line.len(), length);
        let mut writer = BaselineWriter::new(&header(&["files"]), Vec::new()).unwrap();
        let pushed = writer.push(Line::parse(line.as_bytes()).unwrap());
        assert_eq!(pushed.is_ok(), taken, "{length}");
        let header = lines(&write(&header(&["files"]), &[]))[0].clone();
        let refused = read(&forge(&[header, line])).unwrap_err();
        let too_long = matches!(refused, ReadError::TooLong { line: 2 });
        assert_eq!(too_long, !taken, "{length}: {refused}");
    }
}

#[test]
fn a_bomb_stays_bounded() {
    let bomb = zstd::encode_all(std::io::Read::take(std::io::repeat(b'x'), 1 << 30), 1).unwrap();
    assert!(bomb.len() < 1 << 20);
    assert!(matches!(read(&bomb), Err(ReadError::TooLong { line: 1 })));
}

proptest! {
    #[test]
    fn any_bytes_are_safe(bytes: Vec<u8>) {
        prop_assert!(read(&bytes).is_err());
    }

    #[test]
    fn any_lines_are_safe(lines in prop::collection::vec("\\PC{0,40}", 0..6)) {
        prop_assert!(read(&forge(&lines)).is_err());
    }
}
