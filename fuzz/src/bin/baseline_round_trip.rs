//! Entries in any order: sorted by THE order they make a file that is read as it was written.
#![cfg_attr(fuzzing, no_main)]

use std::collections::BTreeSet;

use baseline_format::header::{FORMAT_VERSION, Header, Image, Scope, SectionInfo};
use baseline_format::{BaselineReader, BaselineWriter, Line, Reference as _, order};

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| run(data));

pub(crate) fn run(data: &[u8]) {
    let mut lines: Vec<Line<'_>> = data
        .split(|byte| *byte == b'\n')
        .filter_map(|line| Line::parse(line).ok())
        .collect();
    let place = |a: &Line<'_>, b: &Line<'_>| order::compare((a.section(), &a.key()), (b.section(), &b.key()));
    lines.sort_by(place);
    lines.dedup_by(|a, b| place(a, b).is_eq());
    let names: BTreeSet<&str> = lines.iter().map(Line::section).collect();
    let section = |name: &str| SectionInfo {
        name: name.to_owned(),
        revision: 1,
    };
    let header = Header {
        format: FORMAT_VERSION,
        image: Image {
            source_kind: "directory".to_owned(),
            ..Image::default()
        },
        sections: names.into_iter().map(section).collect(),
        scope: Scope::default(),
    };
    let mut writer = BaselineWriter::new(&header, Vec::new()).expect("the header is sound");
    for line in &lines {
        writer.push(*line).expect("the lines are sorted");
    }
    let (bytes, end) = writer.finish().expect("the sink is memory");
    let mut reader = BaselineReader::open(&bytes[..]).expect("what was written can be read");
    for line in &lines {
        assert_eq!(
            reader.current().map(|line| line.as_str().to_owned()).as_deref(),
            Some(line.as_str())
        );
        reader.advance().expect("what was written can be read");
    }
    assert_eq!(reader.end(), Some(&end));
}
