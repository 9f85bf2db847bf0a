//! What the comparer tells, sorted into drifts and coverage.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use baseline_format::compare::{Findings, Hidden, Side};
use baseline_format::report::{Change, ChangeKind, Coverage, Drift, FieldChange, Severity, Skipped, Unseen};
use baseline_format::{Line, OsText, UNSEEN, Value};

use super::drift_log::DriftLog;
use super::links::Links;
use super::policy;
use crate::scan::{FILES, Judgement, Scanned, Scope};

/// Directories that the running system mounts memory or the kernel's own views on. What an image has below
/// them is out of reach for every process, not only for us. Anywhere else a mount that hides what is expected
/// is a blind spot: somebody may have mounted something over `/usr/bin`.
pub(crate) const MOUNT_POINTS: [&str; 6] = ["/dev", "/proc", "/run", "/sys", "/tmp", "/var/tmp"];

/// Why what is mounted below the root is left out.
const MOUNTED: &str =
    "another file system, or the kernel's own view; only the root's file system is looked at";

/// Everything that an audit finds.
#[derive(Debug)]
pub struct Collected {
    scope: Arc<Scope>,
    live: bool,
    coverage: BTreeMap<String, Coverage>,
    /// Baseline entries that were left out, by section and rule.
    skipped: BTreeMap<(String, String), Skipped>,
    drifts: DriftLog,
    links: Links,
}

impl Collected {
    /// Nothing found yet. `live`: the root is that of the running system.
    #[must_use]
    pub fn new(scope: Arc<Scope>, live: bool) -> Self {
        Self {
            scope,
            live,
            coverage: BTreeMap::new(),
            skipped: BTreeMap::new(),
            drifts: DriftLog::default(),
            links: Links::default(),
        }
    }

    /// A section's coverage.
    pub fn coverage(&mut self, section: &str) -> &mut Coverage {
        self.coverage
            .entry(section.to_owned())
            .or_insert_with(|| Coverage {
                section: section.to_owned(),
                ..Coverage::default()
            })
    }

    /// Counts entries that were left out on purpose.
    pub fn skipped(&mut self, section: &str, rule: &str, why: &str, entries: u64) {
        self.coverage(section);
        let known = self
            .skipped
            .entry((section.to_owned(), rule.to_owned()))
            .or_insert_with(|| Skipped {
                rule: rule.to_owned(),
                why: why.to_owned(),
                entries: 0,
            });
        known.entries += entries;
    }

    /// Counts an entry that was seen.
    pub(crate) fn observed(&mut self, line: &Line<'_>) {
        match self.coverage.get_mut(line.section()) {
            Some(coverage) => coverage.observed += 1,
            None => self.coverage(line.section()).observed += 1,
        }
    }

    /// Takes over what a scan counted.
    pub(crate) fn scanned(&mut self, scanned: &Scanned) {
        let scope = Arc::clone(&self.scope);
        for rule in scope.rules() {
            self.skipped(FILES, &rule.name, &rule.why, 0);
        }
        if scanned.tally.atime > 0 {
            let why = format!(
                "{} files are not ours to read without a trace: their access times may have changed",
                scanned.tally.atime
            );
            self.skipped(FILES, "access times", &why, 0);
        }
        self.coverage(FILES).raced = scanned.tally.raced;
    }

    /// Tells it if rules left out all files but the root itself: an audit of nothing must not look clean. Needs
    /// the numbers of expected entries.
    pub(crate) fn nothing_left(&mut self, wanted: &[String]) {
        let is_wanted = wanted.is_empty() || wanted.iter().any(|name| name == FILES);
        let Some(files) = self.coverage.get(FILES).filter(|_| is_wanted) else {
            return;
        };
        let skipped: u64 = self
            .skipped
            .iter()
            .filter(|((section, _), _)| section == FILES)
            .map(|(_, skipped)| skipped.entries)
            .sum();
        // Without `--include`, the root is always looked at; with it, one file may be all that was asked for.
        let least = u64::from(!self.scope.is_narrowed());
        if files.verified <= least && skipped > 0 && files.verified + skipped >= files.expected {
            self.unseen_section(FILES, "nothing was verified: rules leave out every file");
        }
    }

    /// Remembers that a whole section could not be compared.
    pub(crate) fn unseen_section(&mut self, section: &str, why: &str) {
        self.unseen(section, &OsText::from(""), why);
        let notes = Value::list([format!("all: {why}")]);
        let fields = vec![FieldChange {
            name: UNSEEN.into(),
            expected: None,
            actual: Some(notes),
        }];
        let change = Change {
            section: section.to_owned(),
            key: OsText::from(""),
            kind: ChangeKind::Unseen,
            fields,
        };
        self.push(
            change,
            Some((
                Severity::Medium,
                Some(format!("the section could not be compared: {why}")),
            )),
        );
    }

    /// Adds a drift, judged already or by the policy.
    pub(crate) fn push(&mut self, change: Change, judged: Option<(Severity, Option<String>)>) {
        let (severity, meaning) = judged.unwrap_or_else(|| policy::judge(&change));
        self.push_owned(change, severity, meaning, None);
    }

    /// Adds a drift of a path that a package owns.
    pub(crate) fn push_owned(
        &mut self,
        change: Change,
        severity: Severity,
        meaning: Option<String>,
        owner_package: Option<OsText>,
    ) {
        let drift = Drift {
            id: change.id(),
            section: change.section,
            key: change.key,
            change: change.kind,
            fields: change.fields,
            severity,
            meaning,
            owner_package,
            related: Vec::new(),
        };
        if let Some(drift) = self.links.hold(drift) {
            self.drifts.push(drift);
        }
    }

    /// Counts an expected entry that was observed, and how it was verified.
    pub(crate) fn met_by(&mut self, section: &str, method: &str, verified: bool) {
        if !verified {
            return;
        }
        // Mostly the coverage and the method exist: no key is made to look for them.
        let coverage = match self.coverage.get_mut(section) {
            Some(coverage) => coverage,
            None => self.coverage(section),
        };
        coverage.verified += 1;
        match coverage.methods.get_mut(method) {
            Some(count) => *count += 1,
            None => {
                coverage.methods.insert(method.to_owned(), 1);
            }
        }
    }

    /// Remembers something that could not be seen.
    pub(crate) fn unseen(&mut self, section: &str, key: &OsText, why: &str) {
        let coverage = self.coverage(section);
        coverage.unseen_total += 1;
        if coverage.unseen.len() < Coverage::LISTED {
            coverage.unseen.push(Unseen {
                key: key.clone(),
                why: why.into(),
            });
        }
    }

    /// Ends the collection: coverage in section order, and the drifts.
    pub(crate) fn finish(mut self) -> io::Result<(Vec<Coverage>, DriftLog)> {
        for drift in self.links.finish() {
            self.drifts.push(drift);
        }
        self.drifts.sort();
        for ((section, _), skipped) in self.skipped {
            if let Some(coverage) = self.coverage.get_mut(&section) {
                coverage.skipped.push(skipped);
            }
        }
        Ok((self.coverage.into_values().collect(), self.drifts.finish()?))
    }

    /// Names what an entry's notes say was not seen.
    fn notes(&mut self, change: &Change) {
        for field in change.fields.iter().filter(|field| field.name == UNSEEN) {
            for (value, whose) in [
                (&field.actual, ""),
                (&field.expected, "when the baseline was recorded: "),
            ] {
                let Some(Value::List(notes)) = value else { continue };
                // What raced has a count of its own.
                let told = notes.iter().filter(|note| !note.as_str().contains(": raced: "));
                for note in told.filter(|note| !note.as_str().starts_with("below: ")) {
                    self.unseen(&change.section, &change.key, &format!("{whose}{note}"));
                }
            }
        }
    }
}

impl Findings for Collected {
    fn change(&mut self, change: Change) {
        self.notes(&change);
        // A mount point that the image does not have is told as a mount, not as a new directory.
        let is_mount = |field: &FieldChange| field.name == baseline_format::MOUNT;
        if change.kind != ChangeKind::Removed && change.fields.iter().any(is_mount) {
            return;
        }
        self.push(change, None);
    }

    fn hidden(&mut self, hidden: Hidden) {
        let Hidden {
            section,
            key,
            why,
            mount,
            whole_section,
            side,
            entries,
        } = hidden;
        if let Some(kind) = &mount {
            let usual = self.live
                && MOUNT_POINTS.iter().any(|point| {
                    key.as_str() == *point || baseline_format::order::is_below(key.as_str(), point)
                });
            if entries == 0 || usual {
                let entries = if side == Side::Observed { entries } else { 0 };
                return self.skipped(&section, &mount_rule(key.as_str(), kind), MOUNTED, entries);
            }
        }
        if whole_section && entries == 0 {
            // The entry itself has said it.
            return;
        }
        let place = if whole_section {
            "of the section"
        } else {
            "below it"
        };
        let meaning = match side {
            Side::Observed => format!("{entries} expected entries {place} could not be compared: {why}"),
            Side::Reference => {
                format!(
                    "{entries} entries {place} are not covered by the baseline: {why} when it was recorded"
                )
            }
        };
        self.unseen(&section, &key, &format!("below: {meaning}"));
        let notes = Value::list([format!("below: {why}")]);
        let (expected, actual) = if side == Side::Observed {
            (None, Some(notes))
        } else {
            (Some(notes), None)
        };
        let fields = vec![FieldChange {
            name: UNSEEN.into(),
            expected,
            actual,
        }];
        let change = Change {
            section,
            key,
            kind: ChangeKind::Unseen,
            fields,
        };
        self.push(change, Some((Severity::Medium, Some(meaning))));
    }

    fn covered(&mut self, mounted: &Line<'_>) {
        let kind = mounted
            .get(baseline_format::MOUNT)
            .map(|kind| kind.decode().to_string());
        let rule = mount_rule(&mounted.key(), kind.as_deref().unwrap_or("unknown"));
        self.skipped(mounted.section(), &rule, MOUNTED, 1);
    }

    fn in_scope(&mut self, expected: &Line<'_>) -> bool {
        if expected.section() != FILES {
            return true;
        }
        let Some(key) = OsText::parse(&expected.key()) else {
            return true;
        };
        match self.scope.leaves_out(&key.to_bytes()) {
            Some(Judgement::Skip(rule)) => {
                let rule = self.scope.rules()[rule].clone();
                self.skipped(FILES, &rule.name, &rule.why, 1);
                false
            }
            Some(Judgement::NotIncluded) => {
                self.skipped(FILES, "--include", "not asked for, or the baseline's own file", 1);
                false
            }
            _ => true,
        }
    }

    fn met(&mut self, observed: &Line<'_>, verified: bool) {
        self.met_by(observed.section(), method(observed), verified);
    }
}

/// How the rule that leaves out a mount is named.
fn mount_rule(key: &str, kind: &str) -> String {
    format!("mount {key} ({kind})")
}

/// How an entry was verified: by a digest of its content, or by its attributes alone.
fn method<'a>(observed: &Line<'a>) -> &'a str {
    for (name, value) in observed.attributes() {
        if name == "digest" {
            return value
                .as_json()
                .trim_matches('"')
                .split(':')
                .next()
                .unwrap_or("metadata");
        }
        if *name > *"digest" {
            break;
        }
    }
    if observed.section() == FILES {
        "metadata"
    } else {
        "parsed"
    }
}
