//! The records of an image check: which rules a policy has, and what of an image breaks them.
//!
//! These types are `driftcheck.image-check/1`; their JSON Schema is generated from them.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::OsText;
use crate::report::{Complete, Skipped, Tool};

/// Name and version of the format.
pub const IMAGE_CHECK_SCHEMA: &str = "driftcheck.image-check/1";

/// The outcome of one check of one image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ImageCheck {
    /// Always `driftcheck.image-check/1`.
    pub schema: String,
    /// The bottom line.
    pub verdict: ImageVerdict,
    /// The bottom line as a sentence; it always says how much was looked at.
    pub statement: String,
    /// The program that looked.
    pub tool: Tool,
    /// What was looked at.
    pub image: CheckedImage,
    /// What it was held against.
    pub policies: Vec<PolicyUsed>,
    /// When the check began, RFC 3339, UTC.
    pub started: String,
    /// When the check ended, RFC 3339, UTC.
    pub finished: String,
    /// What was looked at, and what could not be.
    pub coverage: CheckCoverage,
    /// One element a rule, in the order of the policies.
    pub rules: Vec<RuleResult>,
    /// What breaks rules, worst first, then by rule and in THE order. At most [`ImageCheck::LISTED`] of each rule;
    /// [`RuleResult::findings`] counts all.
    pub findings: Vec<Finding>,
    /// What policies excuse, and how often that was needed.
    pub waivers: Vec<WaiverResult>,
}

impl ImageCheck {
    /// Findings listed a rule; an image can have any number, so the list is bounded and the rest counted.
    pub const LISTED: usize = 1000;
}

/// The bottom line of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ImageVerdict {
    /// Everything was looked at, and no rule failed; there may be warnings.
    Fit,
    /// Everything was looked at; a rule failed.
    Unfit,
    /// No rule is known to fail, but something could not be looked at.
    Incomplete,
    /// A rule failed, and something could not be looked at.
    UnfitAndIncomplete,
}

impl ImageVerdict {
    /// The verdict on what was found.
    #[must_use]
    pub const fn of(failed: u64, complete: Complete) -> Self {
        match (failed, complete) {
            (0, Complete::Yes) => Self::Fit,
            (_, Complete::Yes) => Self::Unfit,
            (0, Complete::No) => Self::Incomplete,
            (_, Complete::No) => Self::UnfitAndIncomplete,
        }
    }

    /// The verdict's word in capitals.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Fit => "FIT",
            Self::Unfit => "UNFIT",
            Self::Incomplete => "INCOMPLETE",
            Self::UnfitAndIncomplete => "UNFIT AND INCOMPLETE",
        }
    }
}

/// What was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct CheckedImage {
    /// The source, as given.
    pub source: OsText,
    /// What was read: `directory`, `tar`, `oci`, `docker`, `disk`.
    #[serde(rename = "source-kind")]
    pub source_kind: String,
    /// Digest of the image as published; absent for a directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// `sha256:` and 64 hex digits: SHA-256 over one line `NAME ENTRIES DIGEST` with its line end for each section
    /// that was looked at, sorted by name, where DIGEST is that of the section's lines as in a baseline's trailer.
    /// The same content gives the same digest.
    pub entries: String,
    /// The name that the image's stamp says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The version that the image's stamp says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// `ID` and `VERSION_ID` of its os-release, e.g. `debian 12`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os: Option<OsText>,
}

/// A policy that was used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PolicyUsed {
    /// Its name.
    pub name: String,
    /// Its file; absent for a built-in one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<OsText>,
    /// `sha256:` and 64 hex digits of the policy's text.
    pub digest: String,
    /// Its own rules, without those of policies that it extends.
    pub rules: u64,
}

/// What was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct CheckCoverage {
    /// Entries seen, by section.
    pub sections: Vec<SectionSeen>,
    /// What was not looked at on purpose, and why.
    pub skipped: Vec<Skipped>,
    /// What could not be seen, and why. At most [`ImageCheck::LISTED`] are listed.
    pub unseen: Vec<UnseenIn>,
    /// All that could not be seen, listed or not.
    pub unseen_total: u64,
}

/// How much was seen of a section.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SectionSeen {
    /// The section.
    pub section: String,
    /// Entries seen.
    pub entries: u64,
}

/// Something that could not be seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UnseenIn {
    /// The section.
    pub section: String,
    /// The entry's key; empty for the section as a whole.
    pub key: OsText,
    /// What of it and why, e.g. `digest: permission denied`.
    pub why: OsText,
}

/// How bad a broken rule is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RuleSeverity {
    /// The image must not be published.
    Fail,
    /// Somebody should look.
    Warn,
}

impl fmt::Display for RuleSeverity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Fail => "fail",
            Self::Warn => "warn",
        })
    }
}

/// What became of a rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RuleResult {
    /// The rule's id.
    pub rule: String,
    /// How bad it is when it is broken.
    pub severity: RuleSeverity,
    /// Whether it was broken.
    pub outcome: RuleOutcome,
    /// Why the rule exists.
    pub reason: String,
    /// What breaks it and is not waived.
    pub findings: u64,
    /// What breaks it and is waived.
    pub waived: u64,
}

/// Whether a rule was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RuleOutcome {
    /// Nothing breaks it.
    Passed,
    /// Something breaks it, all of which is waived; or the rule itself is.
    Waived,
    /// Something breaks it that somebody should look at.
    Warned,
    /// Something breaks it.
    Failed,
    /// It could not be judged, because what it needs could not be read.
    NotJudged,
}

/// Something that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// The rule's id.
    pub rule: String,
    /// How bad it is.
    pub severity: RuleSeverity,
    /// The section.
    pub section: String,
    /// The entry's key; for `files` the path from the root, starting with `/`.
    pub key: OsText,
    /// What is wrong with it, as a fragment. Never the content of a file, which may be a secret.
    pub what: String,
    /// Why that matters: the rule's reason.
    pub why: String,
    /// The way out, if the rule names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

/// What a policy excuses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WaiverResult {
    /// The rule's id.
    pub rule: String,
    /// Keys that are excused, as a glob; absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Why.
    pub reason: String,
    /// The policy that says so.
    pub policy: String,
    /// Findings that it excused.
    pub findings: u64,
}
