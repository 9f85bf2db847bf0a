//! The text of envelopes, and a statement: what is taken can be written and comes back the same.
#![cfg_attr(fuzzing, no_main)]

use baseline_format::BaselineReader;
use baseline_format::envelope::Envelopes;
use baseline_format::statement::Statement;

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| run(data));

pub(crate) fn run(data: &[u8]) {
    if let Ok(envelopes) = Envelopes::parse(data) {
        let again = Envelopes::parse(envelopes.to_text().as_bytes());
        assert_eq!(again.expect("what was written can be read"), envelopes);
        let baseline = &include_bytes!("../../seeds/baseline_reader/example")[..];
        let signed = [baseline, &envelopes.to_frame()].concat();
        let sealed = BaselineReader::open(&signed[..]).and_then(BaselineReader::seal);
        let sealed = sealed.expect("envelopes can stand behind a baseline");
        assert_eq!(sealed.envelopes, envelopes);
        assert_eq!(sealed.length, baseline.len() as u64);
    }
    if let Ok(statement) = Statement::parse(data) {
        let payload = statement.to_payload().expect("a statement is JSON");
        let again = Statement::parse(&payload).expect("what was written can be read");
        assert_eq!(again, statement);
    }
}
