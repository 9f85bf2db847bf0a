//! A policy as its author wrote it: what TOML can say, before it is looked at.
//!
//! Unknown keys are refused: a misspelled rule that does nothing would let everything pass.

use std::collections::BTreeMap;

use serde::Deserialize;

/// A policy file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawPolicy {
    pub(super) name: Option<String>,
    pub(super) extends: Option<String>,
    #[serde(default)]
    pub(super) rule: Vec<RawRule>,
    #[serde(default)]
    pub(super) explain: Vec<RawExplain>,
    #[serde(default)]
    pub(super) waive: Vec<RawWaive>,
}

/// One rule: who it is, and exactly one test.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawRule {
    pub(super) id: String,
    pub(super) reason: String,
    pub(super) fix: Option<String>,
    #[serde(default)]
    pub(super) severity: RawSeverity,
    pub(super) absent: Option<RawAbsent>,
    pub(super) altered: Option<RawAltered>,
    pub(super) content: Option<RawContent>,
    pub(super) empty: Option<RawEmpty>,
    pub(super) forbid: Option<RawForbid>,
    pub(super) mode: Option<RawMode>,
    pub(super) packages: Option<RawPackages>,
    pub(super) present: Option<RawPresent>,
    pub(super) rights: Option<RawRights>,
    pub(super) setting: Option<RawSetting>,
    pub(super) unexplained: Option<RawUnexplained>,
    pub(super) unowned: Option<RawUnowned>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(super) enum RawSeverity {
    #[default]
    Fail,
    Warn,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawAbsent {
    pub(super) paths: Vec<String>,
    #[serde(default)]
    pub(super) unless: Vec<String>,
    #[serde(default)]
    pub(super) types: Vec<String>,
    #[serde(default)]
    pub(super) unpackaged: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawAltered {
    pub(super) what: Vec<RawDifference>,
    #[serde(default)]
    pub(super) config: RawConfig,
    #[serde(default)]
    pub(super) unless: Vec<String>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(super) enum RawDifference {
    Content,
    Attributes,
    Missing,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(super) enum RawConfig {
    /// All but configuration files.
    #[default]
    Without,
    /// Configuration files only.
    Only,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawContent {
    pub(super) paths: Vec<String>,
    #[serde(default)]
    pub(super) unless: Vec<String>,
    pub(super) lines: Vec<String>,
    #[serde(default)]
    pub(super) unpackaged: bool,
    pub(super) largest: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawEmpty {
    pub(super) paths: Vec<String>,
    #[serde(default)]
    pub(super) unless: Vec<String>,
    #[serde(default)]
    pub(super) or: Vec<String>,
    #[serde(default)]
    pub(super) unpackaged: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawForbid {
    pub(super) section: String,
    #[serde(default)]
    pub(super) keys: Vec<String>,
    #[serde(default)]
    pub(super) unless: Vec<String>,
    #[serde(default, rename = "where")]
    pub(super) attributes: BTreeMap<String, toml::Value>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawMode {
    pub(super) paths: Vec<String>,
    #[serde(default)]
    pub(super) unless: Vec<String>,
    #[serde(default)]
    pub(super) types: Vec<String>,
    pub(super) at_most: Option<String>,
    pub(super) exactly: Option<String>,
    pub(super) except: Option<String>,
    pub(super) user: Option<String>,
    pub(super) group: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawPackages {
    #[serde(default)]
    pub(super) required: Vec<String>,
    #[serde(default)]
    pub(super) forbidden: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawPresent {
    pub(super) paths: Vec<String>,
    #[serde(default)]
    pub(super) types: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawRights {
    #[serde(default)]
    pub(super) known: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawSetting {
    pub(super) section: String,
    pub(super) key: String,
    pub(super) attribute: String,
    pub(super) equals: Option<toml::Value>,
    pub(super) one_of: Option<Vec<toml::Value>>,
    pub(super) at_least: Option<i64>,
    pub(super) at_most: Option<i64>,
    pub(super) matches: Option<String>,
    #[serde(default)]
    pub(super) missing: RawMissing,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(super) enum RawMissing {
    /// What is not there is not as it must be.
    #[default]
    Fail,
    /// Only what is there must be so.
    Pass,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawUnexplained {
    #[serde(default)]
    pub(super) unless: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawUnowned {
    #[serde(default)]
    pub(super) unless: Vec<String>,
}

/// Paths that are there although no package declares them.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawExplain {
    pub(super) paths: Vec<String>,
    #[serde(default)]
    pub(super) types: Vec<String>,
    #[serde(default)]
    pub(super) links_to: Vec<String>,
    pub(super) reason: String,
}

/// Findings that are accepted.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawWaive {
    pub(super) rule: String,
    pub(super) path: Option<String>,
    pub(super) reason: String,
}
