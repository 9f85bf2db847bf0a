//! The records of a comparison of two states, `driftcheck.diff/1`; their JSON Schema is generated from them.
//!
//! A state is what a baseline, an image or a live root holds. The comparison says what came, went and changed from
//! the old state to the new one. It judges nothing: it marks what must not be overlooked, and it says what it could
//! not compare, which is never "the same".

use std::collections::BTreeMap;
use std::fmt;
use std::io;

use baseline_format::OsText;
use baseline_format::header::Image;
use baseline_format::report::{self, ChangeKind, FieldChange, Tool};
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::{Deserialize, Serialize};

mod statement;

pub use statement::{line, statement, verdict};

/// Name and version of the format.
pub const DIFF_SCHEMA: &str = "driftcheck.diff/1";

/// One complete comparison.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Diff {
    /// Always `driftcheck.diff/1`.
    pub schema: String,
    /// The program that compared.
    pub tool: Tool,
    /// The differences, in THE order. They come first because all that follows is only known after them.
    pub changes: Vec<Difference>,
    /// What was compared.
    pub old: State,
    /// What it was compared with.
    pub new: State,
    /// One element a section of either state, in section order: what was compared and what was not.
    pub sections: Vec<SectionDiff>,
    /// What both states leave out on purpose, so that nothing is known of it.
    pub left_out: Vec<LeftOut>,
    /// What one state covers and the other does not, and what either could not see. At most 1000 are listed.
    pub not_compared: Vec<NotCompared>,
    /// All of them, listed or not.
    pub not_compared_total: u64,
    /// Counts over `changes`.
    pub summary: DiffSummary,
    /// The bottom line.
    pub verdict: DiffVerdict,
    /// The bottom line as a sentence; it always says how much was compared.
    pub statement: String,
}

impl Diff {
    /// Elements of `not_compared` that are listed: their number is foreign, so the rest is counted.
    pub const LISTED: usize = 1_000;
}

/// Takes differences as they are met.
pub trait Sink {
    /// Takes the next difference in THE order.
    fn take(&mut self, difference: Difference) -> io::Result<()>;
}

/// One of the two states.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct State {
    /// Where it was read from, as given: a baseline's file, an image, a root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<OsText>,
    /// The baseline's digest over everything; absent for what was not read from a baseline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// The image.
    pub image: Image,
    /// Entries.
    pub entries: u64,
}

/// Something that came, went or changed; or that could not be compared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Difference {
    /// Fingerprint: the id that a drift of the same change has in a report.
    pub id: String,
    /// The section.
    pub section: String,
    /// The entry's key.
    pub key: OsText,
    /// What happened to the entry: `expected` is the old state, `actual` the new one.
    pub change: ChangeKind,
    /// What differs; for an added entry all its attributes with no `expected`, for a removed one the reverse.
    pub fields: Vec<FieldChange>,
    /// What happened to the package; only for packages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<Step>,
    /// What became of setuid, setgid or file capabilities; only for files that have or had them, if that changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub privilege: Option<Privilege>,
    /// Why it must not be overlooked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
}

/// What happened to a package, in the order in which it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// The new version is older by the package manager's own order.
    Downgraded,
    /// The new version is newer.
    Upgraded,
    /// The version is the same, the package is not: other content, source, vendor or signature.
    Rebuilt,
    /// Not installed before.
    Added,
    /// Not installed any more.
    Removed,
    /// The package is the same; held, automatic or its status changed, or its versions have no order.
    Changed,
}

impl Step {
    /// All steps, in the order in which they are told.
    pub const ALL: [Self; 6] = [
        Self::Downgraded,
        Self::Upgraded,
        Self::Rebuilt,
        Self::Added,
        Self::Removed,
        Self::Changed,
    ];
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Downgraded => "downgraded",
            Self::Upgraded => "upgraded",
            Self::Rebuilt => "rebuilt",
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Changed => "changed",
        })
    }
}

/// What became of setuid, setgid and capabilities of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Privilege {
    /// It has one that it had not.
    Gained,
    /// It has fewer than it had.
    Lost,
}

impl fmt::Display for Privilege {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Gained => "gained",
            Self::Lost => "lost",
        })
    }
}

/// What was compared in one section. An entry is one place in either state or in both.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct SectionDiff {
    /// The section.
    pub section: String,
    /// Entries of the old state.
    pub old: u64,
    /// Entries of the new state.
    pub new: u64,
    /// Entries that were compared in full, those that came or went among them.
    pub compared: u64,
    /// Entries that only the new state has.
    pub added: u64,
    /// Entries that only the old state has.
    pub removed: u64,
    /// Entries that both have and that differ.
    pub modified: u64,
    /// Entries that neither was meant to see, because something is mounted there.
    pub left_out: u64,
    /// Entries that could not be compared.
    pub not_compared: u64,
}

/// Something that both states leave out on purpose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LeftOut {
    /// The section.
    pub section: String,
    /// The rule, e.g. `/tmp/**` or `mount /proc (proc)`.
    pub rule: String,
    /// Why.
    pub why: String,
}

/// Something that could not be compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NotCompared {
    /// The section.
    pub section: String,
    /// The entry that it concerns or lies below; absent if it is not about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<OsText>,
    /// Who did not look.
    pub side: Side,
    /// Why.
    pub why: String,
    /// Entries of the other state that therefore could not be compared.
    pub entries: u64,
}

/// Which of the two states.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the type's line says it")]
pub enum Side {
    Old,
    New,
    Both,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Old => "old",
            Self::New => "new",
            Self::Both => "both",
        })
    }
}

/// Counts over the differences.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct DiffSummary {
    /// All elements of `changes`.
    pub changes: u64,
    /// Those that are no blind spots, by section.
    pub by_section: BTreeMap<String, u64>,
    /// By kind of change.
    pub by_change: BTreeMap<ChangeKind, u64>,
    /// Packages by what happened to them.
    pub by_step: BTreeMap<Step, u64>,
    /// Files by what became of their setuid, setgid and capabilities.
    pub by_privilege: BTreeMap<Privilege, u64>,
    /// Those that must not be overlooked.
    pub warnings: u64,
}

impl DiffSummary {
    /// Counts one more.
    pub fn count(&mut self, difference: &Difference) {
        self.changes += 1;
        *self.by_change.entry(difference.change).or_default() += 1;
        if difference.change != ChangeKind::Unseen {
            match self.by_section.get_mut(&difference.section) {
                Some(count) => *count += 1,
                None => drop(self.by_section.insert(difference.section.clone(), 1)),
            }
        }
        if let Some(step) = difference.step {
            *self.by_step.entry(step).or_default() += 1;
        }
        if let Some(privilege) = difference.privilege {
            *self.by_privilege.entry(privilege).or_default() += 1;
        }
        self.warnings += u64::from(difference.warning.is_some());
    }

    /// Differences that are no blind spots.
    #[must_use]
    pub fn differences(&self) -> u64 {
        let unseen = self.by_change.get(&ChangeKind::Unseen).copied().unwrap_or(0);
        self.changes.saturating_sub(unseen)
    }
}

/// The bottom line of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DiffVerdict {
    /// Everything was compared, and nothing differs.
    Equal,
    /// Everything was compared; something differs.
    Differ,
    /// Nothing is known to differ, but something could not be compared.
    Incomplete,
    /// Something differs, and something could not be compared.
    DifferAndIncomplete,
}

/// The verdict of an audit that found the same: they have the same exit codes.
impl From<DiffVerdict> for report::Verdict {
    fn from(verdict: DiffVerdict) -> Self {
        match verdict {
            DiffVerdict::Equal => Self::Clean,
            DiffVerdict::Differ => Self::Drift,
            DiffVerdict::Incomplete => Self::Incomplete,
            DiffVerdict::DifferAndIncomplete => Self::DriftAndIncomplete,
        }
    }
}

/// The JSON Schema of `driftcheck.diff/1`, as text with a line end.
#[must_use]
pub fn schema() -> String {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let schema = settings
        .into_generator()
        .into_root_schema_for::<Diff>()
        .to_value();
    // A JSON value always has a text.
    let mut text = serde_json::to_string_pretty(&schema).unwrap_or_default();
    text.push('\n');
    text
}
