//! A baseline file as a whole: what is taken can be written again, and has the same digest.
#![cfg_attr(fuzzing, no_main)]

use baseline_format::{BaselineReader, BaselineWriter, Reference as _};

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| run(data));

pub(crate) fn run(data: &[u8]) {
    let Ok(mut reader) = BaselineReader::open(data) else {
        return;
    };
    let again = BaselineWriter::with_header_line(reader.header(), reader.header_line(), Vec::new());
    let mut again = again.expect("a header that is taken can be written");
    while let Some(line) = reader.current() {
        again.push(line).expect("an entry that is taken can be written");
        if reader.advance().is_err() {
            return;
        }
    }
    let end = again.finish().expect("the sink is memory").1;
    assert_eq!(reader.end(), Some(&end));
}
