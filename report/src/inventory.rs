//! The record of what one baseline holds: `driftcheck.inventory/1`.

use std::collections::BTreeMap;

use baseline_format::OsText;
use baseline_format::header::{Image, Scope};
use baseline_format::report::Unseen;
use serde::Serialize;

/// Name and version of the format.
pub const INVENTORY_SCHEMA: &str = "driftcheck.inventory/1";

/// What one baseline holds, counted.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize)]
pub struct Inventory {
    /// Always `driftcheck.inventory/1`.
    pub schema: String,
    /// The file as given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<OsText>,
    /// Version of the format.
    pub format: u32,
    /// The image.
    pub image: Image,
    /// Digest over everything: it identifies the baseline.
    pub digest: String,
    /// Entries in all sections.
    pub entries: u64,
    /// The sections, sorted by name.
    pub sections: Vec<SectionCount>,
    /// What was left out on purpose.
    pub scope: Scope,
    /// Mounts that were met and not entered, `PATH (TYPE)`; the first ones.
    pub mounts: Vec<String>,
    /// All mounts.
    pub mounts_total: u64,
    /// What could not be seen, with its section; the first ones.
    pub unseen: Vec<(String, Unseen)>,
    /// All that could not be seen.
    pub unseen_total: u64,
    /// Installed packages by package manager.
    pub packages: BTreeMap<String, u64>,
    /// Files that run with their owner's rights.
    pub setuid: u64,
    /// Files that run with their group's rights.
    pub setgid: u64,
    /// Files with capabilities.
    pub capabilities: u64,
    /// Accounts that can log in; the first ones.
    pub logins: Vec<Login>,
    /// All accounts that can log in.
    pub logins_total: u64,
    /// Why it cannot be told who may log in, if something that decides it was not seen or not recorded.
    pub logins_unknown: Vec<String>,
    /// From which baselines it was merged, in their order; empty for one that was recorded.
    pub inputs: Vec<Input>,
    /// Entries that an overlay removes; only an overlay has any.
    pub absent: u64,
    /// What is known of its signatures, in sentences.
    pub signatures: Vec<String>,
}

impl Inventory {
    /// Elements of each list that are given; the rest is counted.
    pub const LISTED: usize = 1_000;
}

/// One section's size.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SectionCount {
    /// The section.
    pub name: String,
    /// Revision of its attributes.
    pub revision: u32,
    /// Its entries.
    pub entries: u64,
    /// Its digest.
    pub digest: String,
}

/// An account that can log in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Login {
    /// Its name.
    pub name: OsText,
    /// Whether it has the rights of root: uid 0.
    pub root: bool,
    /// By what: `password`, `no password`, `key`.
    pub by: Vec<String>,
}

/// A baseline that another one was merged from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Input {
    /// How it is called in the merged baseline.
    pub label: OsText,
    /// Its digest over everything.
    pub digest: OsText,
}
