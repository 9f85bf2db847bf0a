//! One line of a baseline: what is taken comes back as it was.
#![cfg_attr(fuzzing, no_main)]

use std::hint::black_box;

use baseline_format::Line;

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| run(data));

pub(crate) fn run(data: &[u8]) {
    let Ok(line) = Line::parse(data) else { return };
    assert_eq!(line.to_entry().to_line(), data);
    assert_eq!(Line::trusted(line.as_str()), Some(line));
    black_box(line.unseen());
    black_box(line.hides_below());
}
