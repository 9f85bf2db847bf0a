//! What image checks look like, and what holds for every one of them.

use std::io;

use baseline_format::OsText;
use baseline_format::image_check::{
    CheckCoverage, CheckedImage, Finding, IMAGE_CHECK_SCHEMA, ImageCheck, ImageVerdict, PolicyUsed,
    RuleOutcome, RuleResult, RuleSeverity, SectionSeen, UnseenIn, WaiverResult,
};
use baseline_format::report::{Skipped, Tool};
use driftcheck_report::{Colour, TextStyle, image_check, write_image_check_json, write_image_check_text};
use proptest::prelude::*;

use crate::samples::{digest, golden};

fn rule(id: &str, severity: RuleSeverity, outcome: RuleOutcome, findings: u64, waived: u64) -> RuleResult {
    RuleResult {
        rule: id.to_owned(),
        severity,
        outcome,
        reason: format!("{id} must not be in an image that is published to anybody"),
        findings,
        waived,
    }
}

fn finding(
    rule: &str,
    severity: RuleSeverity,
    section: &str,
    key: &str,
    what: &str,
    fix: Option<&str>,
) -> Finding {
    Finding {
        rule: rule.to_owned(),
        severity,
        section: section.to_owned(),
        key: key.into(),
        what: what.to_owned(),
        why: format!("{rule} must not be in an image that is published to anybody"),
        fix: fix.map(Into::into),
    }
}

fn check(rules: Vec<RuleResult>, findings: Vec<Finding>, verdict: ImageVerdict) -> ImageCheck {
    let mut check = ImageCheck {
        schema: IMAGE_CHECK_SCHEMA.to_owned(),
        verdict,
        statement: String::new(),
        tool: Tool {
            name: "driftcheck".to_owned(),
            version: "0.1.0".to_owned(),
        },
        image: CheckedImage {
            source: "/srv/build/web.tar".into(),
            source_kind: "tar".to_owned(),
            digest: Some(digest("aa11")),
            entries: digest("bb22"),
            name: Some("web".to_owned()),
            version: Some("1.4".to_owned()),
            os: Some("debian 12".into()),
        },
        policies: vec![
            PolicyUsed {
                name: "golden-image".to_owned(),
                path: None,
                digest: digest("cc33"),
                rules: 54,
            },
            PolicyUsed {
                name: "web".to_owned(),
                path: Some("policies/web.toml".into()),
                digest: digest("dd44"),
                rules: 1,
            },
        ],
        started: "2026-05-04T01:02:03Z".to_owned(),
        finished: "2026-05-04T01:02:07Z".to_owned(),
        coverage: CheckCoverage {
            sections: vec![
                SectionSeen {
                    section: "files".to_owned(),
                    entries: 10_039,
                },
                SectionSeen {
                    section: "users".to_owned(),
                    entries: 19,
                },
            ],
            skipped: vec![Skipped {
                rule: "paths that a policy explains".to_owned(),
                why: "no package declares them, and they are meant to be there".to_owned(),
                entries: 826,
            }],
            unseen: Vec::new(),
            unseen_total: 0,
        },
        rules,
        findings,
        waivers: Vec::new(),
    };
    check.statement = image_check::statement(&check);
    check
}

fn fit() -> ImageCheck {
    use RuleSeverity::Fail;
    check(
        vec![
            rule("ssh-host-keys", Fail, RuleOutcome::Passed, 0, 0),
            rule("logs", Fail, RuleOutcome::Passed, 0, 0),
        ],
        Vec::new(),
        ImageVerdict::Fit,
    )
}

fn unfit() -> ImageCheck {
    use RuleSeverity::{Fail, Warn};
    let rules = vec![
        rule("ssh-host-keys", Fail, RuleOutcome::Failed, 1_002, 0),
        rule("set-passwords", Fail, RuleOutcome::Waived, 0, 1),
        rule("second-root", Fail, RuleOutcome::Failed, 1, 0),
        rule("altered-configuration", Warn, RuleOutcome::Warned, 1, 0),
        rule("shell-history", Fail, RuleOutcome::NotJudged, 0, 0),
        rule("logs", Fail, RuleOutcome::Passed, 0, 0),
    ];
    let keys = finding(
        "ssh-host-keys",
        Fail,
        "files",
        "/etc/ssh/ssh_host_rsa_key",
        "is there (file, 2590 bytes)",
        Some("rm -f /etc/ssh/ssh_host_*"),
    );
    let findings = vec![
        keys,
        finding("second-root", Fail, "users", "toor", "uid is 0", None),
        finding(
            "altered-configuration",
            Warn,
            "files",
            "/etc/a file, with \\x1b[2J",
            "content is not what deb/a:amd64 shipped",
            Some("look at it"),
        ),
    ];
    let mut check = check(rules, findings, ImageVerdict::UnfitAndIncomplete);
    check.coverage.unseen = vec![UnseenIn {
        section: "files".to_owned(),
        key: "/root".into(),
        why: "below: permission denied".into(),
    }];
    check.coverage.unseen_total = 3;
    let waiver = |path: Option<&str>, findings| WaiverResult {
        rule: "set-passwords".to_owned(),
        path: path.map(Into::into),
        reason: "break-glass account, rotated at first boot".to_owned(),
        policy: "web".to_owned(),
        findings,
    };
    check.waivers = vec![waiver(Some("console"), 1), waiver(None, 0)];
    check.statement = image_check::statement(&check);
    check
}

fn text(check: &ImageCheck, style: &TextStyle<'_>) -> io::Result<String> {
    let mut out = Vec::new();
    write_image_check_text(check, style, &mut out)?;
    String::from_utf8(out).map_err(io::Error::other)
}

fn json(check: &ImageCheck) -> io::Result<String> {
    let mut out = Vec::new();
    write_image_check_json(check, &mut out)?;
    String::from_utf8(out).map_err(io::Error::other)
}

#[test]
fn an_image_that_is_fit() -> io::Result<()> {
    golden("image-fit.txt", &text(&fit(), &TextStyle::default())?)?;
    golden("image-fit.json", &json(&fit())?)
}

#[test]
fn an_image_that_is_not() -> io::Result<()> {
    let check = unfit();
    golden("image-unfit.txt", &text(&check, &TextStyle::default())?)?;
    let narrow = TextStyle {
        width: 40,
        ..TextStyle::default()
    };
    golden("image-unfit-40.txt", &text(&check, &narrow)?)?;
    let colour = TextStyle {
        colour: Colour::Always,
        ..TextStyle::default()
    };
    golden("image-unfit-colour.txt", &text(&check, &colour)?)?;
    golden("image-unfit.json", &json(&check)?)
}

#[test]
fn each_verdict_has_its_sentence() {
    use RuleSeverity::Fail;
    let incomplete = check(
        vec![rule("a", Fail, RuleOutcome::NotJudged, 0, 0)],
        Vec::new(),
        ImageVerdict::Incomplete,
    );
    let unfit = check(
        vec![rule("a", Fail, RuleOutcome::Failed, 1, 2)],
        Vec::new(),
        ImageVerdict::Unfit,
    );
    for (check, wanted) in [
        (fit(), "FIT: 2 rules kept; 10,058 entries in 2 sections looked at"),
        (
            incomplete,
            "INCOMPLETE: no rule is known to fail, but 1 rule could not be judged; 10,058 entries in 2 sections looked at",
        ),
        (
            unfit,
            "UNFIT: 1 finding breaks 1 of 1 rule; 10,058 entries in 2 sections looked at, 2 findings waived",
        ),
    ] {
        assert_eq!(image_check::line(&check), wanted);
    }
}

proptest! {
    #[test]
    fn any_check_is_harmless_and_reads_back(words in prop::collection::vec(any::<String>(), 12), width in 0_usize..200, limit in 0_usize..3, many in any::<u64>()) {
        let mut check = unfit();
        let mut next = words.into_iter().cycle();
        let mut word = || next.next().unwrap_or_default();
        check.statement = word();
        check.tool.name = word();
        check.image.name = Some(word());
        check.image.source = OsText::from(word());
        check.policies[1].name = word();
        check.rules[0].rule = word();
        check.rules[0].reason = word();
        check.rules[0].findings = many;
        check.findings[0].rule.clone_from(&check.rules[0].rule);
        check.findings[0].section = word();
        check.findings[0].what = word();
        check.findings[0].fix = Some(word());
        check.waivers[0].reason = word();
        check.waivers[0].path = Some(word());
        check.coverage.unseen[0].section = word();
        check.coverage.unseen_total = many;
        let style = TextStyle { width, limit, ..TextStyle::default() };
        let text = text(&check, &style)?;
        let last = text.lines().last().unwrap_or_default();
        prop_assert!(last.starts_with("UNFIT AND INCOMPLETE: "));
        for harmless in [text, json(&check)?] {
            prop_assert!(harmless.chars().all(|c| c == '\n' || OsText::from(c.to_string()).as_str() == c.to_string() || c == '\\'), "{harmless:?}");
        }
        prop_assert_eq!(serde_json::from_str::<ImageCheck>(&json(&check)?)?, check);
    }
}
