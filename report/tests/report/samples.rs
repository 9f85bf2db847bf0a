//! Reports to render, and the golden files that they are compared with.

use std::io;
use std::path::PathBuf;

use baseline_format::header::Image;
use baseline_format::report::{
    Baseline, BaselineKind, ChangeKind, Coverage, Drift, FieldChange, Host, REPORT_SCHEMA, Report, Severity,
    Skipped, Summary, Tool, Unseen,
};
use baseline_format::{OsText, Value};
use driftcheck_report::{TextStyle, statement, write_json, write_text};

/// A report of the drifts given, with a summary, a verdict and a statement that fit. The drifts are sorted.
pub(crate) fn report(coverage: Vec<Coverage>, mut drifts: Vec<Drift>) -> Report {
    drifts.sort_by(|l, r| {
        let place = |drift: &Drift| (drift.section.clone(), drift.key.as_str().to_owned());
        let (left, right) = (place(l), place(r));
        let order = baseline_format::order::compare((&left.0, &left.1), (&right.0, &right.1));
        l.severity.cmp(&r.severity).then(order)
    });
    let summary = summary(&drifts);
    Report {
        schema: REPORT_SCHEMA.to_owned(),
        verdict: statement::verdict(&coverage, &summary),
        statement: statement::statement(&coverage, &summary),
        tool: Tool {
            name: "driftcheck".to_owned(),
            version: "0.1.0".to_owned(),
        },
        host: Host {
            root: OsText::new(b"/"),
            name: Some("web-17".into()),
            machine_id: None,
            os: Some("debian 12".into()),
            image: None,
        },
        baseline: Baseline {
            kind: BaselineKind::File,
            path: Some("/var/lib/driftcheck/web-1.4.baseline".into()),
            digest: Some(digest("9f86d081884c7d65")),
            image: Some(Image {
                name: Some("web".to_owned()),
                version: Some("1.4".to_owned()),
                source_kind: "directory".to_owned(),
                ..Image::default()
            }),
            signature: None,
            trust: vec![
                "The baseline is not signed: whoever can write the file can change what is expected."
                    .to_owned(),
            ],
        },
        started: "2026-05-04T01:02:03Z".to_owned(),
        finished: "2026-05-04T01:03:10Z".to_owned(),
        coverage,
        summary,
        drifts,
    }
}

pub(crate) fn summary(drifts: &[Drift]) -> Summary {
    let mut summary = Summary {
        drifts: drifts.len() as u64,
        ..Summary::default()
    };
    for drift in drifts {
        *summary.by_severity.entry(drift.severity).or_default() += 1;
        *summary.by_section.entry(drift.section.clone()).or_default() += 1;
        *summary.by_change.entry(drift.change).or_default() += 1;
    }
    summary
}

pub(crate) fn drift(severity: Severity, change: ChangeKind, section: &str, key: impl Into<OsText>) -> Drift {
    let key = key.into();
    Drift {
        id: format!("d-{section}-{change}-{key}"),
        section: section.to_owned(),
        key,
        change,
        fields: Vec::new(),
        severity,
        meaning: None,
        owner_package: None,
        related: Vec::new(),
    }
}

/// Builds drifts piece by piece.
pub(crate) trait Build: Sized {
    fn meaning(self, meaning: &str) -> Self;
    fn related(self, id: &str) -> Self;
    fn field(self, name: &str, old: impl Into<Value>, new: impl Into<Value>) -> Self;
    fn went(self, name: &str, old: impl Into<Value>) -> Self;
    fn came(self, name: &str, new: impl Into<Value>) -> Self;
}

impl Build for Drift {
    fn meaning(mut self, meaning: &str) -> Self {
        self.meaning = Some(meaning.to_owned());
        self
    }

    fn related(mut self, id: &str) -> Self {
        self.related.push(id.to_owned());
        self
    }

    fn field(mut self, name: &str, old: impl Into<Value>, new: impl Into<Value>) -> Self {
        let (expected, actual) = (Some(old.into()), Some(new.into()));
        self.fields.push(FieldChange {
            name: name.to_owned(),
            expected,
            actual,
        });
        self
    }

    fn went(mut self, name: &str, old: impl Into<Value>) -> Self {
        self.fields.push(FieldChange {
            name: name.to_owned(),
            expected: Some(old.into()),
            actual: None,
        });
        self
    }

    fn came(mut self, name: &str, new: impl Into<Value>) -> Self {
        self.fields.push(FieldChange {
            name: name.to_owned(),
            expected: None,
            actual: Some(new.into()),
        });
        self
    }
}

pub(crate) fn digest(start: &str) -> String {
    format!("sha256:{start:0<64}")
}

pub(crate) fn coverage(section: &str, expected: u64, verified: u64, methods: &[(&str, u64)]) -> Coverage {
    Coverage {
        section: section.to_owned(),
        expected,
        observed: expected,
        verified,
        methods: methods
            .iter()
            .map(|(name, many)| ((*name).to_owned(), *many))
            .collect(),
        ..Coverage::default()
    }
}

pub(crate) fn skipping(mut coverage: Coverage, rule: &str, why: &str, entries: u64) -> Coverage {
    coverage.skipped.push(Skipped {
        rule: rule.to_owned(),
        why: why.to_owned(),
        entries,
    });
    coverage
}

pub(crate) fn unseen(mut coverage: Coverage, key: &str, why: &str) -> Coverage {
    coverage.unseen.push(Unseen {
        key: key.into(),
        why: why.into(),
    });
    coverage.unseen_total += 1;
    coverage
}

pub(crate) fn text(report: &Report, style: &TextStyle<'_>) -> io::Result<String> {
    let mut out = Vec::new();
    write_text(report, [], style, &mut out)?;
    String::from_utf8(out).map_err(io::Error::other)
}

pub(crate) fn json(report: &Report) -> io::Result<String> {
    let mut out = Vec::new();
    write_json(report, [], &mut out)?;
    String::from_utf8(out).map_err(io::Error::other)
}

/// Compares with a golden file; writes it instead if `UPDATE_GOLDEN` is set.
pub(crate) fn golden(name: &str, actual: &str) -> io::Result<()> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        return std::fs::write(path, actual);
    }
    let expected = std::fs::read_to_string(path)?;
    assert!(actual == expected, "{name} differs; it is now:\n{actual}");
    Ok(())
}
