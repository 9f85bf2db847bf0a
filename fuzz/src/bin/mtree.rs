//! An mtree, to a baseline, and back.
#![cfg_attr(fuzzing, no_main)]

use baseline_format::BaselineReader;
use baseline_format::header::Image;
use driftcheck_agent::exchange::mtree::{Spec, write};

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| run(data));

pub(crate) fn run(data: &[u8]) {
    let Ok(spec) = Spec::read(data) else { return };
    // Only so many extended attributes fit into a baseline's line.
    let Ok((baseline, end)) = spec.write(&spec.header(Image::default()), Vec::new()) else {
        return;
    };
    let verified = BaselineReader::open(&baseline[..]).and_then(BaselineReader::verify);
    assert_eq!(verified.expect("a sound baseline"), end);
    let mut text = Vec::new();
    write(|| Ok(&baseline[..]), &[], &mut text).expect("an mtree");
    let again = Spec::read(&text[..]).expect("what was written");
    assert!(again.len() >= spec.len());
}
