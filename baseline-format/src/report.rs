//! The records of a report: what was looked at, and what differs.
//!
//! These types are `driftcheck.report/1`; their JSON Schema is generated from them. Agent, renderers and
//! collector all use them, so that a report means the same everywhere.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::header::Image;
use crate::{OsText, Value};

/// Name and version of the report format.
pub const REPORT_SCHEMA: &str = "driftcheck.report/1";

/// One complete report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Report {
    /// Always `driftcheck.report/1`.
    pub schema: String,
    /// The bottom line.
    pub verdict: Verdict,
    /// The bottom line as a sentence; it always says how much was looked at.
    pub statement: String,
    /// The program that looked.
    pub tool: Tool,
    /// What was looked at.
    pub host: Host,
    /// What it was compared with.
    pub baseline: Baseline,
    /// When the audit began, RFC 3339, UTC.
    pub started: String,
    /// When the audit ended, RFC 3339, UTC.
    pub finished: String,
    /// One element a section, in section order: what was expected, verified, skipped and not seen.
    pub coverage: Vec<Coverage>,
    /// Counts over `drifts`.
    pub summary: Summary,
    /// The drifts, worst first, then in THE order.
    pub drifts: Vec<Drift>,
}

/// The bottom line of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Everything that was to be looked at was looked at, and nothing differs.
    Clean,
    /// Everything was looked at; something differs.
    Drift,
    /// Nothing is known to differ, but something could not be checked.
    Incomplete,
    /// Something differs, and something could not be checked.
    DriftAndIncomplete,
}

impl Verdict {
    /// The verdict on what was found.
    #[must_use]
    pub const fn of(drifted: Drifted, complete: Complete) -> Self {
        match (drifted, complete) {
            (Drifted::No, Complete::Yes) => Self::Clean,
            (Drifted::Yes, Complete::Yes) => Self::Drift,
            (Drifted::No, Complete::No) => Self::Incomplete,
            (Drifted::Yes, Complete::No) => Self::DriftAndIncomplete,
        }
    }
}

/// Whether anything differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the type's line says it")]
pub enum Drifted {
    No,
    Yes,
}

/// Whether everything that was to be checked could be checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the type's line says it")]
pub enum Complete {
    No,
    Yes,
}

/// The program that looked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Tool {
    /// `driftcheck`.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// What was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Host {
    /// The root that was audited, as given.
    pub root: OsText,
    /// The host's name, from the root's `/etc/hostname` or, for the live root, the kernel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<OsText>,
    /// `/etc/machine-id` below the root.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub machine_id: Option<OsText>,
    /// `ID` and `VERSION_ID` of the root's os-release, e.g. `debian 12`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub os: Option<OsText>,
    /// The image that the host says it came from: its stamp, or `IMAGE_ID` and `IMAGE_VERSION` of its os-release.
    /// Absent if it says nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<HostImage>,
}

/// The image that a host says it came from.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct HostImage {
    /// The image's name, e.g. `web`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The image's version, e.g. `1.4`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// What the host was compared with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Baseline {
    /// A recorded file, or what the installed packages declare.
    pub kind: BaselineKind,
    /// The file as given; absent for `vendor`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<OsText>,
    /// The baseline's digest over everything, from its trailer; absent for `vendor`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Which image it was recorded from; absent for `vendor`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<Image>,
    /// What the signatures on the baseline are worth; absent for `vendor`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<Signature>,
    /// How far the reference itself can be trusted, in sentences.
    pub trust: Vec<String>,
}

/// What the signatures on a baseline are worth.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Signature {
    /// The bottom line.
    pub status: SignatureStatus,
    /// The operator's names of the keys that signed, sorted; empty unless the baseline is trusted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub by: Vec<String>,
    /// When the baseline was issued, RFC 3339, UTC; absent unless it is trusted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issued: Option<String>,
}

/// Whether the operator's trust anchors vouch for a baseline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SignatureStatus {
    /// Enough keys that the operator trusts with this image signed it.
    Trusted,
    /// It is signed, but not by what the operator trusts.
    Untrusted,
    /// Nobody signed it.
    Unsigned,
}

/// Kinds of reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BaselineKind {
    /// A baseline file.
    File,
    /// What the package manager's databases below the root declare.
    Vendor,
}

/// What was looked at in one section.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Coverage {
    /// The section.
    pub section: String,
    /// Entries in the baseline.
    pub expected: u64,
    /// Entries seen on the host.
    pub observed: u64,
    /// Expected entries that were compared in full.
    pub verified: u64,
    /// How content was verified: method (`sha256`, `md5`, `metadata`, ...) to number of entries.
    pub methods: BTreeMap<String, u64>,
    /// What was left out on purpose: by which rule, and how many baseline entries that concerned.
    pub skipped: Vec<Skipped>,
    /// What could not be seen, and why. At most 1000 are listed.
    pub unseen: Vec<Unseen>,
    /// All that could not be seen, listed or not.
    pub unseen_total: u64,
    /// Entries that changed while they were read, also after retries.
    pub raced: u64,
}

impl Coverage {
    /// Blind spots listed a section; the host controls their number, so the list is bounded and the rest counted.
    pub const LISTED: usize = 1000;
}

/// Something left out on purpose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Skipped {
    /// The rule, e.g. `mount /proc (proc)`, `scratch /tmp`, `--exclude /srv/**`.
    pub rule: String,
    /// Why the rule exists.
    pub why: String,
    /// Baseline entries that were not compared because of it.
    pub entries: u64,
}

/// Something that could not be seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Unseen {
    /// The entry's key.
    pub key: OsText,
    /// What of it and why, e.g. `digest: permission denied`.
    pub why: OsText,
}

/// Counts over the drifts.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Summary {
    /// All drifts.
    pub drifts: u64,
    /// By severity.
    pub by_severity: BTreeMap<Severity, u64>,
    /// By section.
    pub by_section: BTreeMap<String, u64>,
    /// By kind of change.
    pub by_change: BTreeMap<ChangeKind, u64>,
}

/// A change and what it means.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Drift {
    /// Stable fingerprint: the same drift has the same id on every host.
    pub id: String,
    /// The section.
    pub section: String,
    /// The entry's key; for `files` the path from the root, starting with `/`.
    pub key: OsText,
    /// What happened to the entry.
    pub change: ChangeKind,
    /// What differs; for an added entry all its attributes with no `expected`, for a removed one the reverse.
    pub fields: Vec<FieldChange>,
    /// How bad it is.
    pub severity: Severity,
    /// What it means, in a sentence; absent where the fields say it all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meaning: Option<String>,
    /// The package that the path belongs to, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner_package: Option<OsText>,
    /// Ids of drifts in other sections that tell the same event, e.g. of the `users` drift for `/etc/passwd`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub related: Vec<String>,
}

/// Baseline against observed, for one entry.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The section.
    pub section: String,
    /// The entry's key.
    pub key: OsText,
    /// What happened.
    pub kind: ChangeKind,
    /// What differs.
    pub fields: Vec<FieldChange>,
}

impl Change {
    /// The fingerprint of the change: `d-` and 20 hex digits (80 bits) of a SHA-256 over section, key, kind and
    /// fields. Nothing in it names the host or the time, so equal drifts on two hosts have equal ids: `mtime`, which
    /// tells when a file came to one of them, is left out.
    #[must_use]
    pub fn id(&self) -> String {
        let mut hash = Sha256::new();
        let mut part = |bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        };
        part(self.section.as_bytes());
        part(self.key.as_str().as_bytes());
        part(self.kind.to_string().as_bytes());
        for field in self.fields.iter().filter(|field| field.name != "mtime") {
            part(field.name.as_bytes());
            for value in [&field.expected, &field.actual] {
                let mut json = Vec::new();
                if let Some(value) = value {
                    value.encode(&mut json);
                }
                part(&json);
            }
        }
        let mut hex = Vec::from(*b"d-");
        crate::push_hex(&hash.finalize()[..10], &mut hex);
        hex.into_iter().map(char::from).collect()
    }
}

/// What happened to an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeKind {
    /// On the host, not in the baseline.
    Added,
    /// In the baseline, not on the host.
    Removed,
    /// In both, with other attributes.
    Modified,
    /// Could not be compared; neither same nor gone.
    Unseen,
}

impl fmt::Display for ChangeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Modified => "modified",
            Self::Unseen => "unseen",
        })
    }
}

/// One attribute that differs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FieldChange {
    /// The attribute's name.
    pub name: String,
    /// In the baseline; absent if it is not there.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub expected: Option<Value>,
    /// On the host; absent if it is not there.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub actual: Option<Value>,
}

/// A value that is there, also if it is a `null` that a newer release gave a meaning.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// How bad a drift is, worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Someone may own the host: look now.
    Critical,
    /// Access or code changed.
    High,
    /// Behaviour may have changed.
    Medium,
    /// Worth knowing.
    Low,
    /// For completeness.
    Info,
}

impl Severity {
    /// All severities, worst first.
    pub const ALL: [Self; 5] = [Self::Critical, Self::High, Self::Medium, Self::Low, Self::Info];
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Critical => "critical",
            Self::High => "high",
            Self::Medium => "medium",
            Self::Low => "low",
            Self::Info => "info",
        })
    }
}
