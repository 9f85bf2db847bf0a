//! The one spelling of bytes: every byte string has one, and no text is a second one.
#![cfg_attr(fuzzing, no_main)]

use baseline_format::OsText;

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| run(data));

pub(crate) fn run(data: &[u8]) {
    let text = OsText::new(data);
    assert_eq!(text.to_bytes(), data);
    assert_eq!(OsText::parse(text.as_str()), Some(text));
    if let Some(parsed) = std::str::from_utf8(data).ok().and_then(OsText::parse) {
        assert_eq!(OsText::new(&parsed.to_bytes()), parsed);
    }
}
