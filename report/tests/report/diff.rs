//! Comparisons, rendered.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

use baseline_format::header::Image;
use baseline_format::report::{ChangeKind, FieldChange, Tool};
use baseline_format::{OsText, Value};
use driftcheck_report::diff::{
    DIFF_SCHEMA, Diff, DiffSummary, DiffVerdict, Difference, LeftOut, NotCompared, Privilege, SectionDiff,
    Side, Sink, State, Step, line, schema, statement, verdict,
};
use driftcheck_report::{DiffJson, DiffText, TextStyle};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

fn tool() -> Tool {
    Tool {
        name: "driftcheck".to_owned(),
        version: "0.1.0".to_owned(),
    }
}

/// The comparison that has found `changes`, without them.
fn head(changes: &[Difference], sections: Vec<SectionDiff>, not_compared: Vec<NotCompared>) -> Diff {
    let mut summary = DiffSummary::default();
    for change in changes {
        summary.count(change);
    }
    let state = |version: &str| State {
        place: Some(OsText::from(format!("web-{version}.dcb"))),
        image: Image {
            name: Some("web".to_owned()),
            version: Some(version.to_owned()),
            source_kind: "oci".to_owned(),
            ..Image::default()
        },
        ..State::default()
    };
    Diff {
        schema: DIFF_SCHEMA.to_owned(),
        tool: tool(),
        changes: Vec::new(),
        old: state("1.4"),
        new: state("1.5"),
        verdict: verdict(&sections, &not_compared, &summary),
        statement: statement(&sections, &not_compared, &summary),
        sections,
        left_out: Vec::new(),
        not_compared_total: not_compared.len() as u64,
        not_compared,
        summary,
    }
}

fn text(head: &Diff, changes: &[Difference], style: TextStyle<'_>) -> io::Result<String> {
    let (mut text, mut out) = (DiffText::new(style), Vec::new());
    for change in changes {
        text.take(change.clone())?;
    }
    text.finish(head, &mut out)?;
    String::from_utf8(out).map_err(io::Error::other)
}

fn json(head: &Diff, changes: &[Difference]) -> io::Result<String> {
    let mut out = Vec::new();
    let mut json = DiffJson::new(&head.tool, &mut out)?;
    for change in changes {
        json.take(change.clone())?;
    }
    json.finish(head)?;
    String::from_utf8(out).map_err(io::Error::other)
}

fn added(key: String) -> Difference {
    Difference {
        id: "d-0".to_owned(),
        section: "files".to_owned(),
        key: key.into(),
        change: ChangeKind::Added,
        fields: vec![FieldChange {
            name: "type".to_owned(),
            expected: None,
            actual: Some("file".into()),
        }],
        step: None,
        privilege: None,
        warning: None,
    }
}

fn hostile() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => "[a-z/:. -]{0,12}",
        1 => any::<String>(),
        1 => "(\u{1b}\\[2J|\n|\r|\u{9b}|\u{202e}|\u{300}|\u{6f22}|\"|\\\\|, | -> |/){0,8}",
        1 => ("[ a-z\u{300}/]", 100_usize..2_000).prop_map(|(text, many)| text.repeat(many)),
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
        hostile().prop_map(|text| Value::Other(serde_json::json!({ "later": [1, text] }))),
    ]
}

fn one_change() -> impl Strategy<Value = Difference> {
    let change = prop::sample::select(vec![
        ChangeKind::Added,
        ChangeKind::Removed,
        ChangeKind::Modified,
        ChangeKind::Unseen,
    ]);
    let section = prop_oneof![
        Just("files".to_owned()),
        Just("packages".to_owned()),
        Just("users".to_owned()),
        hostile()
    ];
    let name = prop_oneof!["mode|size|digest|unseen|version|content|type", hostile()];
    let key = prop_oneof!["(/etc|/usr)(/[ab]{1,2}){1,6}".prop_map(OsText::from), os_text()];
    let field =
        (name, option::of(value()), option::of(value())).prop_map(|(name, expected, actual)| FieldChange {
            name,
            expected,
            actual,
        });
    let step = option::of(prop::sample::select(Step::ALL.to_vec()));
    let privilege = option::of(prop::sample::select(vec![Privilege::Gained, Privilege::Lost]));
    (
        section,
        key,
        change,
        vec(field, 0..6),
        step,
        privilege,
        option::of(hostile()),
    )
        .prop_map(
            |(section, key, change, fields, step, privilege, warning)| Difference {
                id: "d-1".to_owned(),
                section,
                key,
                change,
                fields,
                step,
                privilege,
                warning,
            },
        )
}

fn any_diff() -> impl Strategy<Value = (Diff, Vec<Difference>)> {
    let section = (hostile(), any::<[u32; 8]>()).prop_map(|(section, numbers)| {
        let [
            old,
            new,
            compared,
            added,
            removed,
            modified,
            left_out,
            not_compared,
        ] = numbers.map(u64::from);
        SectionDiff {
            section,
            old,
            new,
            compared,
            added,
            removed,
            modified,
            left_out,
            not_compared,
        }
    });
    let side = prop::sample::select(vec![Side::Old, Side::New, Side::Both]);
    let part = (hostile(), option::of(os_text()), side, hostile(), any::<u64>()).prop_map(
        |(section, key, side, why, entries)| NotCompared {
            section,
            key,
            side,
            why,
            entries,
        },
    );
    let left_out =
        (hostile(), hostile(), hostile()).prop_map(|(section, rule, why)| LeftOut { section, rule, why });
    (
        vec(one_change(), 0..30),
        vec(section, 0..4),
        vec(part, 0..4),
        vec(left_out, 0..4),
        hostile(),
    )
        .prop_map(|(changes, sections, parts, left_out, name)| {
            let mut head = head(&changes, sections, parts);
            head.left_out = left_out;
            head.new.image.name = Some(name);
            (head, changes)
        })
}

proptest! {
    #[test]
    fn text_fits_steers_nothing_and_ends_in_the_verdict((head, changes) in any_diff(), width in 0_usize..140, limit in 0_usize..5) {
        let text = text(&head, &changes, TextStyle { width, limit, ..TextStyle::default() })?;
        prop_assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
        let lines: Vec<&str> = text.lines().collect();
        let (last, others) = lines.split_last().ok_or_else(|| TestCaseError::fail("no line"))?;
        prop_assert!(last.starts_with(line(head.verdict, "").trim_end()), "{last}");
        let columns = |line: &str| line.chars().filter_map(unicode_width::UnicodeWidthChar::width).sum::<usize>();
        prop_assert!(others.iter().all(|line| columns(line) <= width.max(24)), "{text}");
    }

    #[test]
    fn json_round_trips_and_is_harmless((head, changes) in any_diff()) {
        let json = json(&head, &changes)?;
        prop_assert!(json.chars().all(|c| c == '\n' || !c.is_control()), "{json:?}");
        let read: Diff = serde_json::from_str(&json).map_err(io::Error::from)?;
        let whole = Diff { changes, ..head };
        prop_assert_eq!(&read, &whole);
        // Member by member by hand, so nothing may be missing or out of order.
        let by_hand: serde_json::Value = serde_json::from_str(&json).map_err(io::Error::from)?;
        prop_assert_eq!(by_hand.to_string(), serde_json::to_value(&whole).map_err(io::Error::from)?.to_string());
    }

    #[test]
    fn every_difference_is_listed_or_counted(
        keys in prop::collection::btree_set("/(etc|srv|usr)(/[ab]{1,2}){1,4}", 0..60), limit in 1_usize..8
    ) {
        let changes: Vec<Difference> = keys.iter().map(|key| added(key.clone())).collect();
        let text = text(&head(&changes, vec![], vec![]), &changes, TextStyle { limit, ..TextStyle::default() })?;
        let mut told = 0;
        for line in text.lines().filter(|line| line.starts_with("    /")) {
            // A row of the table of directories ends in three numbers, an entry does not.
            let numbers: Vec<usize> = line.split_whitespace().skip(1).filter_map(|word| word.parse().ok()).collect();
            told += if numbers.len() == 3 { numbers.iter().sum() } else { 1 };
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

#[test]
fn a_flood_of_differences_is_a_screenful() -> io::Result<()> {
    let sections = vec![SectionDiff {
        section: "files".to_owned(),
        compared: 300_000,
        ..SectionDiff::default()
    }];
    let mut head = head(&[], sections, vec![]);
    let (mut text, mut lines) = (DiffText::new(TextStyle::default()), Lines::default());
    for number in 0..300_000 {
        let change = added(format!("/srv/{}/{number}/x", number % 5_000));
        head.summary.count(&change);
        text.take(change)?;
    }
    text.finish(&head, &mut lines)?;
    assert!((10..30).contains(&lines.0), "{} lines", lines.0);
    Ok(())
}

#[test]
fn huge_entries_do_not_fill_the_memory() -> io::Result<()> {
    // More than is held at all: the rest is counted.
    let huge = "x".repeat(4 << 20);
    let (mut text, mut out) = (DiffText::new(TextStyle::default()), Vec::new());
    let mut head = head(&[], vec![], vec![]);
    for number in 0..30 {
        let mut change = added(format!("/etc/{number}"));
        change.section = "sshd".to_owned();
        change.fields = vec![FieldChange {
            name: "value".to_owned(),
            expected: None,
            actual: Some(Value::from(huge.as_str())),
        }];
        head.summary.count(&change);
        text.take(change)?;
    }
    text.finish(&head, &mut out)?;
    let text = String::from_utf8_lossy(&out);
    assert!(
        text.contains("SSHD (30)") && text.contains("... and 15 more; --format json lists all"),
        "{text}"
    );
    Ok(())
}

#[test]
fn a_cut_comparison_is_none() {
    let changes = vec![added("/a".to_owned()), added("/b".to_owned())];
    let head = head(&changes, vec![], vec![]);
    assert_eq!(head.verdict, DiffVerdict::DifferAndIncomplete);
    assert!(text(&head, &changes[..1], TextStyle::default()).is_err());
    assert!(json(&head, &changes[..1]).is_err());
    let mut out = Vec::new();
    let unfinished = DiffJson::new(&tool(), &mut out).map(drop);
    assert!(unfinished.is_ok() && serde_json::from_slice::<Diff>(&out).is_err());
}

#[test]
fn the_schema_is_that_of_the_types() -> io::Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/schemas/diff.schema.json");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, schema())?;
    }
    assert!(
        std::fs::read_to_string(path)? == schema(),
        "docs/schemas/diff.schema.json is not what today's types make"
    );
    let schema: serde_json::Value = serde_json::from_str(&schema())?;
    let members: BTreeMap<String, serde_json::Value> = serde_json::from_value(schema["properties"].clone())?;
    let written: BTreeMap<String, serde_json::Value> =
        serde_json::from_str(&json(&head(&[], vec![], vec![]), &[])?)?;
    assert!(
        members.keys().eq(written.keys()),
        "the schema and what is written have different members"
    );
    Ok(())
}
