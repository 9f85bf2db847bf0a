//! What holds for every report, whoever wrote it.

use std::collections::BTreeMap;
use std::io::{self, Write};

use baseline_format::header::Image;
use baseline_format::report::{
    Baseline, BaselineKind, ChangeKind, Coverage, Drift, FieldChange, Host, HostImage, Report, Severity,
    Skipped, Tool, Unseen,
};
use baseline_format::{OsText, Value};
use driftcheck_report::{Colour, TextStyle, statement, write_json, write_text};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use unicode_width::UnicodeWidthChar as _;

use crate::samples::{self, Build as _, coverage, drift, json, report, text};

/// Texts with everything in them that could break a line, a column or a terminal.
fn hostile() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => "[a-z/:. -]{0,12}",
        2 => any::<String>(),
        1 => "(\u{1b}\\[2J|\n|\r|\u{9b}|\u{202e}|\u{300}|\u{6f22}|\"|\\\\|, | -> ){0,8}",
        1 => ("[ a-z\u{300}]", 100_usize..2_000).prop_map(|(text, many)| text.repeat(many)),
    ]
}

fn os_text() -> impl Strategy<Value = OsText> {
    prop_oneof![
        hostile().prop_map(OsText::from),
        vec(any::<u8>(), 0..40).prop_map(|bytes| OsText::new(&bytes))
    ]
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Integer),
        os_text().prop_map(Value::Text),
        vec(os_text(), 0..20).prop_map(Value::List),
        // Not `null`: in a field change it reads back as absent. And only fractions that are exact in few digits:
        // serde_json without its `float_roundtrip` reads others one bit off.
        any::<i32>().prop_map(|number| Value::Other((f64::from(number) / 4.0).into())),
        (i64::MAX as u64 + 1..).prop_map(|number| Value::Other(number.into())),
        hostile().prop_map(|text| Value::Other(serde_json::json!({ "later": [1, text] }))),
    ]
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof!["mode|mtime|size|digest|unseen|uid", hostile()]
}

fn one_drift() -> impl Strategy<Value = Drift> {
    let severity = prop::sample::select(&Severity::ALL[..]);
    let change = prop::sample::select(vec![
        ChangeKind::Added,
        ChangeKind::Removed,
        ChangeKind::Modified,
        ChangeKind::Unseen,
    ]);
    let section = prop_oneof![Just("files".to_owned()), Just("users".to_owned()), hostile()];
    let key = prop_oneof!["(/[ab]{1,2}){1,3}".prop_map(OsText::from), os_text()];
    let field =
        (name(), option::of(value()), option::of(value())).prop_map(|(name, expected, actual)| FieldChange {
            name,
            expected,
            actual,
        });
    let id = "[a-c]";
    (
        id,
        section,
        key,
        change,
        vec(field, 0..16),
        severity,
        option::of(hostile()),
        vec(id, 0..4),
    )
        .prop_map(
            |(id, section, key, change, fields, severity, meaning, related)| Drift {
                id,
                section,
                key,
                change,
                fields,
                severity,
                meaning,
                owner_package: None,
                related,
            },
        )
}

fn one_coverage() -> impl Strategy<Value = Coverage> {
    let skipped =
        (hostile(), hostile(), any::<u64>()).prop_map(|(rule, why, entries)| Skipped { rule, why, entries });
    let unseen = (os_text(), os_text()).prop_map(|(key, why)| Unseen { key, why });
    let methods = prop::collection::btree_map(hostile(), any::<u64>(), 0..12);
    (
        hostile(),
        any::<[u64; 5]>(),
        methods,
        vec(skipped, 0..4),
        vec(unseen, 0..4),
    )
        .prop_map(
            |(section, [expected, observed, verified, unseen_total, raced], methods, skipped, unseen)| {
                Coverage {
                    section,
                    expected,
                    observed,
                    verified,
                    methods: methods.into_iter().collect::<BTreeMap<_, _>>(),
                    skipped,
                    unseen,
                    unseen_total,
                    raced,
                }
            },
        )
}

fn any_report() -> impl Strategy<Value = Report> {
    let host = (
        os_text(),
        option::of(os_text()),
        option::of(os_text()),
        option::of(os_text()),
        option::of((option::of(hostile()), option::of(hostile()))),
    )
        .prop_map(|(root, name, machine_id, os, image)| Host {
            root,
            name,
            machine_id,
            os,
            image: image.map(|(name, version)| HostImage { name, version }),
        });
    let image = (
        option::of(hostile()),
        option::of(hostile()),
        option::of(hostile()),
        hostile(),
    )
        .prop_map(|(name, version, digest, source_kind)| Image {
            name,
            version,
            digest,
            source_kind,
            ..Image::default()
        });
    let kind = prop::sample::select(vec![BaselineKind::File, BaselineKind::Vendor]);
    let baseline = (
        kind,
        option::of(os_text()),
        option::of(hostile()),
        option::of(image),
        vec(hostile(), 0..3),
    )
        .prop_map(|(kind, path, digest, image, trust)| Baseline {
            kind,
            path,
            digest,
            image,
            signature: None,
            trust,
        });
    let sentences = (hostile(), hostile(), hostile(), hostile(), option::of(hostile()));
    (
        host,
        baseline,
        sentences,
        vec(one_coverage(), 0..4),
        vec(one_drift(), 0..24),
    )
        .prop_map(
            |(host, baseline, (name, version, started, finished, said), coverage, drifts)| {
                let made = report(coverage, drifts);
                let statement = said.unwrap_or_else(|| made.statement.clone());
                Report {
                    host,
                    baseline,
                    tool: Tool { name, version },
                    started,
                    finished,
                    statement,
                    ..made
                }
            },
        )
}

fn columns(line: &str) -> usize {
    line.chars().map(|character| character.width().unwrap_or(0)).sum()
}

proptest! {
    #[test]
    fn text_is_harmless_and_fits(report in any_report(), width in 1_usize..140, limit in 0_usize..6) {
        let style = TextStyle { width, limit, ..TextStyle::default() };
        let plain = text(&report, &style)?;
        prop_assert!(plain.chars().all(|c| c == '\n' || !c.is_control()), "{plain:?}");
        // Nothing but a line end that we wrote is one, and every other character is spelled as in an `OsText`.
        let spelled = OsText::from(plain.replace(['\n', '\\'], ""));
        prop_assert_eq!(spelled.as_str(), plain.replace(['\n', '\\'], ""));
        let (body, last) = plain.trim_end_matches('\n').rsplit_once('\n').ok_or_else(|| TestCaseError::fail("short"))?;
        for line in body.lines() {
            prop_assert!(columns(line) <= width.max(24), "{line:?}");
            prop_assert!(line.chars().count() <= 4 * width.max(24), "{line:?}");
            prop_assert!(!line.ends_with(' '), "{line:?}");
        }
        prop_assert!(last.starts_with(&format!("{}: ", statement::word(report.verdict))), "{last}");

        let coloured = text(&report, &TextStyle { colour: Colour::Always, ..style })?;
        let mut bare = coloured;
        for sgr in ["0", "1", "31", "33", "36", "1;31", "1;32"] {
            bare = bare.replace(&format!("\u{1b}[{sgr}m"), "");
        }
        prop_assert_eq!(bare, plain);
    }

    #[test]
    fn json_round_trips_and_is_harmless(report in any_report()) {
        let json = json(&report)?;
        prop_assert_eq!(json.get(json.len() - 2..), Some("}\n"));
        prop_assert!(json.chars().all(|c| c == '\n' || !c.is_control()), "{json:?}");
        let read: Report = serde_json::from_str(&json).map_err(io::Error::from)?;
        prop_assert_eq!(&read, &report);
        // Field by field by hand, so nothing may be missing or out of order.
        let by_serde = serde_json::to_value(&report).map_err(io::Error::from)?;
        let by_hand: serde_json::Value = serde_json::from_str(&json).map_err(io::Error::from)?;
        prop_assert_eq!(by_hand.to_string(), by_serde.to_string());
        let drift_lines = json.lines().filter(|line| line.starts_with("    {\"id\":")).count();
        prop_assert_eq!(drift_lines, report.drifts.len());
    }

    #[test]
    fn every_drift_is_listed_or_counted(
        keys in prop::collection::btree_set("(/[ab]{1,2}){1,4}", 0..60), limit in 1_usize..8
    ) {
        let drifts: Vec<Drift> = keys
            .iter()
            .map(|key| drift(Severity::Low, ChangeKind::Added, "files", key.as_str()))
            .collect();
        let text = text(&report(vec![], drifts), &TextStyle { limit, ..TextStyle::default() })?;
        let mut told = 0;
        for line in text.lines().skip_while(|line| *line != format!("LOW ({})", keys.len())) {
            let line = line.trim_start_matches(|c: char| c == ' ' || c.is_ascii_lowercase());
            let number = |text: &str| text.split(' ').next().and_then(|n| n.parse::<usize>().ok()).unwrap_or(0);
            if line.starts_with('/') {
                told += 1 + line.split_once(" and ").map_or(0, |(_, below)| number(below));
            } else if let Some(more) = line.strip_prefix("... and ") {
                told += number(more);
            }
        }
        prop_assert_eq!(told, keys.len(), "{}", text);
    }
}

/// Counts lines and forgets them.
#[derive(Default)]
struct Lines(usize);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.split(|byte| *byte == b'\n').count() - 1;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn flood(count: u64) -> (Report, impl Iterator<Item = io::Result<Drift>>) {
    let mut head = report(vec![coverage("files", count, 0, &[])], vec![]);
    head.summary.drifts = count;
    let drifts = (0..count).map(|number| {
        let key = format!("/srv/{number:06}");
        Ok(drift(Severity::High, ChangeKind::Modified, "files", key).field("uid", 0_i64, 7_i64))
    });
    (head, drifts)
}

#[test]
fn a_flood_of_drifts_is_a_screenful() -> io::Result<()> {
    let (head, drifts) = flood(100_000);
    let mut lines = Lines::default();
    write_text(&head, drifts, &TextStyle::default(), &mut lines)?;
    assert!((40..60).contains(&lines.0), "{} lines", lines.0);
    Ok(())
}

#[test]
fn a_flood_of_drifts_is_listed_if_asked_for() -> io::Result<()> {
    let (head, drifts) = flood(20_000);
    let mut lines = Lines::default();
    write_text(
        &head,
        drifts,
        &TextStyle {
            limit: 0,
            ..TextStyle::default()
        },
        &mut lines,
    )?;
    assert!((20_000..20_040).contains(&lines.0), "{} lines", lines.0);
    let (head, drifts) = flood(20_000);
    let mut lines = Lines::default();
    write_json(&head, drifts, &mut lines)?;
    assert!((20_000..20_020).contains(&lines.0), "{} lines", lines.0);
    Ok(())
}

#[test]
fn a_cut_stream_is_no_report() {
    let (head, drifts) = flood(10);
    let style = TextStyle::default();
    let mut out = Vec::new();
    assert!(write_text(&head, drifts.take(9), &style, &mut out).is_err());
    assert!(!String::from_utf8_lossy(&out).contains(&statement::line(head.verdict, &head.statement)));
    let (head, drifts) = flood(10);
    let mut out = Vec::new();
    assert!(write_json(&head, drifts.take(9), &mut out).is_err());
    assert!(serde_json::from_slice::<Report>(&out).is_err());

    let lost = || Err(io::Error::other("spool gone"));
    let (head, drifts) = flood(2);
    assert!(write_text(&head, drifts.take(1).chain([lost()]), &style, io::sink()).is_err());
    let (head, drifts) = flood(2);
    assert!(write_json(&head, drifts.take(1).chain([lost()]), io::sink()).is_err());
}

#[test]
fn drifts_may_stand_in_the_report_or_arrive() -> io::Result<()> {
    let drifts = vec![
        drift(Severity::High, ChangeKind::Added, "files", "/a"),
        drift(Severity::Low, ChangeKind::Added, "users", "b"),
    ];
    let whole = report(vec![], drifts.clone());
    let head = Report {
        drifts: vec![],
        summary: samples::summary(&drifts),
        ..whole.clone()
    };
    let mut out = Vec::new();
    write_json(&head, drifts.into_iter().map(Ok), &mut out)?;
    assert_eq!(String::from_utf8_lossy(&out), json(&whole)?);
    Ok(())
}
