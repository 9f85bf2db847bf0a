//! The result as an in-toto statement, for those who publish and those who deploy.
//!
//! [in-toto Statement v1](https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md) with the predicate
//! [test-result v0.1](https://github.com/in-toto/attestation/blob/main/spec/predicates/test-result.md). It names rules, not
//! findings: what a left-over is and where it lies stays with the builder.

use baseline_format::image_check::{ImageCheck, ImageVerdict, PolicyUsed, RuleOutcome};
use serde_json::{Value as Json, json};

/// Type of the statement.
pub const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
/// Type of its predicate.
pub const PREDICATE_TYPE: &str = "https://in-toto.io/attestation/test-result/v0.1";
/// Name of the test that everything could be looked at. No rule can have it: ids have no dots.
pub const COVERAGE: &str = "driftcheck.coverage";
/// The algorithm of a directory's digest: see [`baseline_format::image_check::CheckedImage::entries`].
const ENTRIES: &str = "driftcheckEntries";

/// The statement's bytes: JSON on one line, without a line end; what a signature is made over. The same result gives
/// the same bytes.
#[must_use]
pub fn statement(check: &ImageCheck) -> Vec<u8> {
    let complete = matches!(check.verdict, ImageVerdict::Fit | ImageVerdict::Unfit);
    let mut passed: Vec<&str> = Vec::new();
    let (mut warned, mut failed) = (Vec::new(), Vec::new());
    if complete {
        passed.push(COVERAGE);
    } else {
        failed.push(COVERAGE);
    }
    for rule in &check.rules {
        let tests = match rule.outcome {
            RuleOutcome::Passed => &mut passed,
            // A waiver is somebody's word, which whoever deploys the image may want to know.
            RuleOutcome::Waived | RuleOutcome::Warned => &mut warned,
            RuleOutcome::Failed | RuleOutcome::NotJudged => &mut failed,
        };
        tests.push(&rule.rule);
    }
    let result = match (failed.is_empty(), warned.is_empty()) {
        (false, _) => "FAILED",
        (true, false) => "WARNED",
        (true, true) => "PASSED",
    };
    let configuration: Vec<Json> = check.policies.iter().map(descriptor).collect();
    let statement = json!({
        "_type": STATEMENT_TYPE,
        "subject": [{"name": name(check), "digest": subject_digest(check)}],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "result": result,
            "configuration": configuration,
            "passedTests": passed,
            "warnedTests": warned,
            "failedTests": failed,
        },
    });
    statement.to_string().into_bytes()
}

/// The image as its stamp names it, else as the source was given.
fn name(check: &ImageCheck) -> String {
    match (&check.image.name, &check.image.version) {
        (Some(name), Some(version)) => format!("{name}:{version}"),
        (Some(name), None) => name.clone(),
        _ => check.image.source.to_string(),
    }
}

/// The digest of the published image. A directory has none: for it, the digest over the entries that were seen, under a
/// name of its own, so that nobody takes it for the digest of a file.
fn subject_digest(check: &ImageCheck) -> Json {
    let parts = |digest: &str| {
        digest
            .split_once(':')
            .map(|(algorithm, hex)| (algorithm.to_owned(), hex.to_owned()))
    };
    if let Some((algorithm, hex)) = check.image.digest.as_deref().and_then(parts) {
        return json!({ algorithm: hex });
    }
    let (_, hex) = parts(&check.image.entries).unwrap_or_default();
    json!({ ENTRIES: hex })
}

/// A policy as a resource descriptor.
fn descriptor(policy: &PolicyUsed) -> Json {
    let hex = policy.digest.strip_prefix("sha256:").unwrap_or_default();
    json!({"name": policy.name, "digest": {"sha256": hex}})
}

#[cfg(test)]
mod tests {
    use baseline_format::image_check::{CheckCoverage, CheckedImage, RuleResult, RuleSeverity};
    use baseline_format::report::Tool;

    use super::*;

    fn check(verdict: ImageVerdict, outcomes: &[RuleOutcome]) -> ImageCheck {
        let rules = outcomes.iter().enumerate().map(|(at, outcome)| RuleResult {
            rule: format!("rule-{at}"),
            severity: RuleSeverity::Fail,
            outcome: *outcome,
            reason: "a test".to_owned(),
            findings: 0,
            waived: 0,
        });
        ImageCheck {
            schema: String::new(),
            verdict,
            statement: String::new(),
            tool: Tool {
                name: String::new(),
                version: String::new(),
            },
            image: CheckedImage {
                source: "/srv/web.tar".into(),
                entries: "sha256:ee".to_owned(),
                ..CheckedImage::default()
            },
            policies: vec![PolicyUsed {
                name: "golden-image".to_owned(),
                path: None,
                digest: "sha256:cc".to_owned(),
                rules: 1,
            }],
            started: String::new(),
            finished: String::new(),
            coverage: CheckCoverage::default(),
            rules: rules.collect(),
            findings: Vec::new(),
            waivers: Vec::new(),
        }
    }

    fn json(check: &ImageCheck) -> Json {
        serde_json::from_slice(&statement(check)).unwrap()
    }

    #[test]
    fn the_statement_names_image_policy_and_rules() {
        let mut check = check(ImageVerdict::Fit, &[RuleOutcome::Passed]);
        let text = String::from_utf8(statement(&check)).unwrap();
        assert_eq!(
            text,
            r#"{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"/srv/web.tar","digest":{"driftcheckEntries":"ee"}}],"predicateType":"https://in-toto.io/attestation/test-result/v0.1","predicate":{"result":"PASSED","configuration":[{"name":"golden-image","digest":{"sha256":"cc"}}],"passedTests":["driftcheck.coverage","rule-0"],"warnedTests":[],"failedTests":[]}}"#
        );
        check.image.digest = Some("sha256:aa".to_owned());
        check.image.name = Some("web".to_owned());
        check.image.version = Some("1.4".to_owned());
        assert_eq!(
            json(&check)["subject"],
            json!([{"name": "web:1.4", "digest": {"sha256": "aa"}}])
        );
    }

    #[test]
    fn only_what_was_looked_at_and_holds_has_passed() {
        use RuleOutcome::{Failed, NotJudged, Passed, Waived, Warned};
        for (verdict, outcomes, result) in [
            (ImageVerdict::Fit, &[Passed, Passed][..], "PASSED"),
            (ImageVerdict::Fit, &[Passed, Warned], "WARNED"),
            (ImageVerdict::Fit, &[Passed, Waived], "WARNED"),
            (ImageVerdict::Unfit, &[Failed, Waived], "FAILED"),
            (ImageVerdict::Incomplete, &[Passed, Passed], "FAILED"),
            (ImageVerdict::Incomplete, &[Passed, NotJudged], "FAILED"),
            (ImageVerdict::UnfitAndIncomplete, &[Failed], "FAILED"),
        ] {
            let predicate = &json(&check(verdict, outcomes))["predicate"];
            assert_eq!(predicate["result"], result, "{verdict:?} {outcomes:?}");
            let tests = |name: &str| predicate[name].as_array().unwrap().len();
            let all = tests("passedTests") + tests("warnedTests") + tests("failedTests");
            assert_eq!(all, outcomes.len() + 1, "each rule and the coverage once");
        }
    }
}
