//! What decides whether a baseline is trusted: keys, the operator's file, what was trusted before, and envelopes as
//! somebody may put them beside a baseline.
#![cfg_attr(fuzzing, no_main)]

use std::hint::black_box;
use std::sync::LazyLock;
use std::time::{Duration, UNIX_EPOCH};

use baseline_format::envelope::Envelopes;
use baseline_format::{BaselineReader, Sealed};
use driftcheck_agent::trust::anchors::Anchors;
use driftcheck_agent::trust::key::{PrivateKey, PublicKey};
use driftcheck_agent::trust::marks::Marks;
use driftcheck_agent::trust::{Trust, judge};

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| run(data));

pub(crate) fn run(data: &[u8]) {
    if let Ok(key) = PublicKey::from_pem(data) {
        let again = PublicKey::from_pem(key.to_pem().as_bytes());
        assert_eq!(again.expect("what was written can be read"), key);
        assert!(!key.verifies(b"", &[0; 64]));
    }
    if let Ok(key) = PrivateKey::from_pem(data) {
        let public = key.public().expect("every private key has a public half");
        assert!(public.verifies(data, &key.sign(data)));
    }
    if let Ok(anchors) = Anchors::parse(data) {
        assert!(anchors.needed("web") > 0);
    }
    if let Ok(marks) = Marks::parse(data) {
        let text = marks.to_text().expect("marks are JSON");
        let again = Marks::parse(text.as_bytes());
        assert_eq!(again.expect("what was written can be read"), marks);
    }
    if let Ok(envelopes) = Envelopes::parse(data) {
        let (baseline, anchors) = &*TRUSTING;
        // 2027-01-15T08:00:00Z
        let trust = judge(
            baseline,
            &envelopes,
            anchors,
            UNIX_EPOCH + Duration::from_hours(500_000),
        );
        if let Trust::Trusted(trusted) = &trust {
            assert_eq!(trusted.by, ["known"]);
        }
        black_box(trust.sentences());
    }
}

/// A baseline, and somebody whose signature on it counts.
static TRUSTING: LazyLock<(Sealed, Anchors)> = LazyLock::new(|| {
    let baseline = &include_bytes!("../../seeds/baseline_reader/example")[..];
    let sealed = BaselineReader::open(baseline).and_then(BaselineReader::seal);
    let anchors = Anchors::parse(include_bytes!("../../seeds/trust/anchors"));
    (
        sealed.expect("the example is sound"),
        anchors.expect("the seed is sound"),
    )
});
