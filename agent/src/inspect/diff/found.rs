//! What the comparer tells, sorted into differences, what was left out by both, and what could not be compared.

use std::collections::BTreeMap;
use std::io;

use baseline_format::compare::{self, Findings, Hidden};
use baseline_format::header::{End, Header, Stated};
use baseline_format::report::{Change, ChangeKind, FieldChange};
use baseline_format::{Line, MOUNT, OsText, UNSEEN, Value};
use driftcheck_report::diff::{
    Diff, DiffSummary, Difference, LeftOut, NotCompared, SectionDiff, Side, Sink, Step,
};

use super::Failure;
use super::marks::{privilege, warning};
use super::packages::{self, Rebuilt};
use crate::inspect::PROVENANCE;
use crate::inspect::scopes::{LeftOutBy, Outlook, is_same, is_same_set, rule_text};
use crate::scan::{BadGlob, FILES};

/// Everything that a comparison finds.
pub(super) struct Found<'a> {
    sink: &'a mut dyn Sink,
    failed: Option<io::Error>,
    /// What either state has, and whether the two can be compared.
    sections: BTreeMap<String, Section>,
    old: Outlook,
    new: Outlook,
    /// The entry of the new state that is being compared, and whether the old one has it.
    current: String,
    met: bool,
    rebuilt: Rebuilt,
    /// Entries that one state's rules leave out, by side and rule.
    beyond: BTreeMap<(bool, String), (String, u64)>,
    left_out: Vec<LeftOut>,
    left_out_total: u64,
    not_compared: Vec<NotCompared>,
    not_compared_total: u64,
    summary: DiffSummary,
}

/// What was found, all but the differences.
pub(super) struct Outcome {
    pub(super) sections: Vec<SectionDiff>,
    pub(super) left_out: Vec<LeftOut>,
    pub(super) not_compared: Vec<NotCompared>,
    pub(super) not_compared_total: u64,
    pub(super) summary: DiffSummary,
}

#[derive(Debug, Default)]
struct Section {
    is_compared: bool,
    /// Places that both have.
    pairs: u64,
    /// Pairs compared in full.
    verified: u64,
    diff: SectionDiff,
}

impl<'a> Found<'a> {
    pub(super) fn new(old: &Header, new: &Header, sink: &'a mut dyn Sink) -> Result<Self, BadGlob> {
        let mut found = Self {
            sink,
            failed: None,
            sections: BTreeMap::new(),
            old: Outlook::new(&old.scope)?,
            new: Outlook::new(&new.scope)?,
            current: String::new(),
            met: false,
            rebuilt: Rebuilt::default(),
            beyond: BTreeMap::new(),
            left_out: Vec::new(),
            left_out_total: 0,
            not_compared: Vec::new(),
            not_compared_total: 0,
            summary: DiffSummary::default(),
        };
        found.compare_sections(old, new);
        found.compare_scopes();
        Ok(found)
    }

    /// Counts an entry of the new state; whether it can be compared.
    pub(super) fn observed(&mut self, line: &Line<'_>) -> bool {
        let section = self.section(line.section());
        section.diff.new += 1;
        let is_compared = section.is_compared;
        if is_compared {
            self.met = false;
            self.current.clear();
            self.current.push_str(line.as_str());
        }
        is_compared
    }

    /// The failure of the sink, once.
    pub(super) fn failure(&mut self) -> Result<(), Failure> {
        match self.failed.take() {
            Some(why) => Err(Failure::Output(why)),
            None => Ok(()),
        }
    }

    /// Ends the comparison. `old` is the old state's trailer.
    pub(super) fn finish(mut self, old: &End) -> Result<Outcome, Failure> {
        self.flush_rebuilt(None);
        self.failure()?;
        for sum in &old.sections {
            self.section(&sum.name).diff.old = sum.entries;
        }
        for part in self.not_compared.iter_mut().filter(|part| part.key.is_none()) {
            let section = self
                .sections
                .get(&part.section)
                .filter(|section| !section.is_compared);
            part.entries += section.map_or(0, |section| section.diff.old + section.diff.new);
        }
        for ((is_old, rule), (why, entries)) in std::mem::take(&mut self.beyond) {
            let side = if is_old { Side::Old } else { Side::New };
            self.not_compared(NotCompared {
                section: FILES.to_owned(),
                key: None,
                side,
                why: format!("{rule} is left out ({why})"),
                entries,
            });
        }
        let unlisted = self.left_out_total - self.left_out.len() as u64;
        if unlisted > 0 {
            self.left_out.push(LeftOut {
                section: FILES.to_owned(),
                rule: format!("and {unlisted} more"),
                why: "not listed".to_owned(),
            });
        }
        let sections = self
            .sections
            .into_iter()
            .map(|(name, section)| section.summed(name));
        Ok(Outcome {
            sections: sections.collect(),
            left_out: self.left_out,
            not_compared: self.not_compared,
            not_compared_total: self.not_compared_total,
            summary: self.summary,
        })
    }

    fn compare_sections(&mut self, old: &Header, new: &Header) {
        for header in [old, new] {
            for info in &header.sections {
                self.section(&info.name);
            }
        }
        let names: Vec<String> = self.sections.keys().cloned().collect();
        for name in names {
            let revision = |header: &Header| {
                let info = header.sections.iter().find(|info| info.name == name);
                info.map(|info| info.revision)
            };
            if name == PROVENANCE {
                self.leave_out(
                    &name,
                    "where entries come from",
                    "about the baseline, not about the state",
                );
                continue;
            }
            let (side, why) = match (revision(old), revision(new)) {
                (Some(old), Some(new)) if old == new => {
                    self.section(&name).is_compared = true;
                    continue;
                }
                (Some(old), Some(new)) => (
                    Side::Both,
                    format!(
                        "revision {old} of the section means other things than revision {new}: record both again"
                    ),
                ),
                (None, _) => (Side::Old, "the section was not recorded".to_owned()),
                (_, None) => (Side::New, "the section was not recorded".to_owned()),
            };
            self.not_compared(NotCompared {
                section: name,
                key: None,
                side,
                why,
                entries: 0,
            });
        }
    }

    /// Tells the rules that both have, and prepares to count behind those that only one has.
    fn compare_scopes(&mut self) {
        for (name, outlook) in
            [("old", &self.old), ("new", &self.new)].map(|(name, of)| (name, of.recorded().attributes))
        {
            if outlook == Stated::Declared {
                let rule = format!("attributes that the {name} state does not tell");
                self.leave_out(
                    FILES,
                    &rule,
                    "it is a list of what others stated, and not all they could have",
                );
            }
        }
        if !self.section(FILES).is_compared {
            return;
        }
        let (old, new) = (self.old.recorded().clone(), self.new.recorded().clone());
        for rule in &old.exclude {
            if new.exclude.iter().any(|other| is_same(rule, other)) {
                self.leave_out(FILES, &rule_text(rule), &rule.why);
            } else {
                self.beyond(true, LeftOutBy::Exclusion(rule), 0);
            }
        }
        for rule in &new.exclude {
            if !old.exclude.iter().any(|other| is_same(rule, other)) {
                self.beyond(false, LeftOutBy::Exclusion(rule), 0);
            }
        }
        if is_same_set(&old.include, &new.include) {
            if !old.include.is_empty() {
                self.leave_out(FILES, "all but what was asked for", &listed(&old.include));
            }
        } else {
            for (is_old, include) in [(true, &old.include), (false, &new.include)] {
                if !include.is_empty() {
                    self.beyond(is_old, LeftOutBy::Include, 0);
                }
            }
        }
    }

    /// Counts an entry that one state has and the other's rules leave out; whether it is one.
    fn is_beyond(&mut self, line: &Line<'_>, is_old: bool) -> bool {
        let (own, other) = if is_old {
            (&self.old, &self.new)
        } else {
            (&self.new, &self.old)
        };
        // By a rule that both have, an entry is there in spite of it: that is a difference.
        let rule = own
            .leaves_out(line)
            .filter(|rule| !other.has(*rule, own.recorded()));
        let named = rule.map(|rule| name_rule(rule, own.recorded()));
        match named {
            Some((rule, why)) => {
                self.beyond.entry((is_old, rule)).or_insert((why, 0)).1 += 1;
                true
            }
            None => false,
        }
    }

    fn beyond(&mut self, is_old: bool, rule: LeftOutBy<'_>, entries: u64) {
        let outlook = if is_old { &self.old } else { &self.new };
        let (rule, why) = name_rule(rule, outlook.recorded());
        self.beyond.entry((is_old, rule)).or_insert((why, 0)).1 += entries;
    }

    fn section(&mut self, name: &str) -> &mut Section {
        self.sections.entry(name.to_owned()).or_default()
    }

    fn leave_out(&mut self, section: &str, rule: &str, why: &str) {
        // What is mounted in both is told once.
        if self
            .left_out
            .last()
            .is_some_and(|last| last.section == section && last.rule == rule)
        {
            return;
        }
        self.left_out_total += 1;
        if self.left_out.len() < Diff::LISTED {
            self.left_out.push(LeftOut {
                section: section.to_owned(),
                rule: rule.to_owned(),
                why: why.to_owned(),
            });
        }
    }

    fn not_compared(&mut self, part: NotCompared) {
        // What neither could see is told once.
        if let Some(last) = self.not_compared.last_mut()
            && last.side != part.side
            && (&last.section, &last.key, &last.why) == (&part.section, &part.key, &part.why)
        {
            last.side = Side::Both;
            last.entries += part.entries;
            return;
        }
        self.not_compared_total += 1;
        if self.not_compared.len() < Diff::LISTED {
            self.not_compared.push(part);
        }
    }

    /// An attribute of the new state's entry at hand.
    fn current(&self, name: &str) -> Option<Value> {
        Some(Line::trusted(&self.current)?.get(name)?.decode())
    }

    fn is_current(&self, change: &Change) -> bool {
        Line::trusted(&self.current)
            .is_some_and(|line| line.section() == change.section && line.key() == change.key.as_str())
    }

    /// What of a modified entry can be compared; `None` if nothing differs then.
    fn comparable(&mut self, mut change: Change) -> Option<Change> {
        if change.kind != ChangeKind::Modified {
            return Some(change);
        }
        let is_declared = |outlook: &Outlook| outlook.recorded().attributes == Stated::Declared;
        let (old, new) = (is_declared(&self.old), is_declared(&self.new));
        change.fields.retain(|field| {
            let is_untold = (old && field.expected.is_none()) || (new && field.actual.is_none());
            !is_untold
        });
        if let Some(at) = change.fields.iter().position(is_of_two_algorithms) {
            let field = change.fields.remove(at);
            let section = self.section(&change.section);
            section.verified = section.verified.saturating_sub(1);
            let note = OsText::from("digest: the two are made by different algorithms");
            let unseen = FieldChange {
                name: UNSEEN.to_owned(),
                expected: None,
                actual: Some(Value::List(vec![note])),
            };
            self.tell(
                Change {
                    kind: ChangeKind::Unseen,
                    fields: vec![field, unseen],
                    ..change.clone()
                },
                None,
            );
        }
        (!change.fields.is_empty()).then_some(change)
    }

    fn tell(&mut self, change: Change, step: Option<Step>) {
        let is_directory = match change.kind {
            ChangeKind::Modified => self.current("type"),
            _ => change
                .fields
                .iter()
                .find(|field| field.name == "type")
                .and_then(|field| field.actual.clone().or_else(|| field.expected.clone())),
        } == Some(Value::from("directory"));
        let privilege = if change.section == FILES && change.kind != ChangeKind::Unseen {
            privilege(&change, is_directory)
        } else {
            None
        };
        let difference = Difference {
            id: change.id(),
            warning: warning(&change, is_directory),
            section: change.section,
            key: change.key,
            change: change.kind,
            fields: change.fields,
            step,
            privilege,
        };
        self.summary.count(&difference);
        if self.failed.is_none()
            && let Err(why) = self.sink.take(difference)
        {
            self.failed = Some(why);
        }
    }

    /// Tells the package that was rebuilt without its entry saying so, unless `change` says it.
    fn flush_rebuilt(&mut self, change: Option<&Change>) {
        if let Some(rebuilt) = self.rebuilt.take(change) {
            self.tell(rebuilt, Some(Step::Rebuilt));
        }
    }
}

impl Findings for Found<'_> {
    fn change(&mut self, change: Change) {
        self.flush_rebuilt(Some(&change));
        let is_new_only = !self.met && change.kind != ChangeKind::Removed && self.is_current(&change);
        if is_new_only {
            let line = std::mem::take(&mut self.current);
            let is_beyond = Line::trusted(&line).is_some_and(|line| self.is_beyond(&line, true));
            self.current = line;
            if is_beyond {
                return;
            }
        }
        let Some(change) = self.comparable(change) else {
            return;
        };
        let diff = &mut self.section(&change.section).diff;
        match change.kind {
            ChangeKind::Added => diff.added += 1,
            ChangeKind::Removed => diff.removed += 1,
            ChangeKind::Modified => diff.modified += 1,
            ChangeKind::Unseen => {}
        }
        if change.section == FILES {
            self.rebuilt.see_file(&change);
        }
        let step = packages::step(&change);
        self.tell(change, step);
    }

    fn hidden(&mut self, hidden: Hidden) {
        if !self.section(&hidden.section).is_compared {
            return;
        }
        if hidden.whole_section && hidden.entries == 0 {
            // The entry itself has said it.
            return;
        }
        let side = match hidden.side {
            compare::Side::Reference => Side::Old,
            compare::Side::Observed => Side::New,
        };
        match hidden.mount {
            Some(kind) if hidden.entries == 0 => {
                let rule = format!("mount {} ({kind})", hidden.key);
                self.leave_out(&hidden.section, &rule, MOUNTED);
            }
            _ => self.not_compared(NotCompared {
                section: hidden.section,
                key: (!hidden.whole_section).then_some(hidden.key),
                side,
                why: if hidden.whole_section {
                    hidden.why
                } else {
                    format!("below it: {}", hidden.why)
                },
                entries: hidden.entries,
            }),
        }
    }

    fn in_scope(&mut self, expected: &Line<'_>) -> bool {
        self.section(expected.section()).is_compared && !self.is_beyond(expected, false)
    }

    fn covered(&mut self, mounted: &Line<'_>) {
        self.met = true;
        let section = self.section(mounted.section());
        section.pairs += 1;
        // The comparer tells a mount over a file where it is the new state's; here both sides count alike.
        let is_visible_file = self.current(MOUNT).is_none()
            && self
                .current("type")
                .is_some_and(|kind| kind != Value::from("directory"));
        if !is_visible_file {
            self.section(mounted.section()).diff.left_out += 1;
            return;
        }
        let note = OsText::from("all: something else is mounted over it");
        self.tell(
            Change {
                section: mounted.section().to_owned(),
                key: OsText::parse(&mounted.key()).unwrap_or_default(),
                kind: ChangeKind::Unseen,
                fields: vec![FieldChange {
                    name: UNSEEN.to_owned(),
                    expected: Some(Value::List(vec![note])),
                    actual: None,
                }],
            },
            None,
        );
    }

    fn met(&mut self, observed: &Line<'_>, verified: bool) {
        self.met = true;
        if observed.section() == packages::SECTION {
            self.flush_rebuilt(None);
            self.rebuilt.see_package(observed);
        }
        let section = self.section(observed.section());
        section.pairs += 1;
        section.verified += u64::from(verified);
    }
}

impl Section {
    fn summed(self, name: String) -> SectionDiff {
        let mut diff = self.diff;
        diff.section = name;
        let all = (diff.old + diff.new).saturating_sub(self.pairs);
        if self.is_compared {
            diff.compared = self.verified + diff.added + diff.removed;
            diff.not_compared = all.saturating_sub(diff.compared).saturating_sub(diff.left_out);
        } else if diff.section == PROVENANCE {
            diff.left_out = all;
        } else {
            diff.not_compared = all;
        }
        diff
    }
}

/// Whether the two values are digests that cannot be equal because they are of different algorithms.
fn is_of_two_algorithms(field: &FieldChange) -> bool {
    let algorithm = |value: &Option<Value>| match value {
        Some(Value::Text(text)) => text
            .as_str()
            .split_once(':')
            .map(|(algorithm, _)| algorithm.to_owned()),
        _ => None,
    };
    let algorithms = algorithm(&field.expected).zip(algorithm(&field.actual));
    field.name == "digest" && algorithms.is_some_and(|(was, is)| was != is)
}

/// Why what is mounted in a tree is left out.
const MOUNTED: &str = "another file system, which is not looked at";

fn name_rule(rule: LeftOutBy<'_>, scope: &baseline_format::header::Scope) -> (String, String) {
    match rule {
        LeftOutBy::Exclusion(rule) => (rule_text(rule), rule.why.clone()),
        LeftOutBy::Include => ("all but what was asked for".to_owned(), listed(&scope.include)),
    }
}

/// Globs that are named in one reason.
const GLOBS: usize = 20;

fn listed(globs: &[String]) -> String {
    let mut text = globs.iter().take(GLOBS).cloned().collect::<Vec<_>>().join(", ");
    if globs.len() > GLOBS {
        text.push_str(", ...");
    }
    text
}
