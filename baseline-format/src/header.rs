//! How a baseline begins and how it ends.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Version of the format that this release writes, and the newest that it reads.
pub const FORMAT_VERSION: u32 = 1;

/// What every header line begins with, so that a foreign file is known by its first bytes.
pub(crate) const HEADER_START: &str = "{\"driftcheck-baseline\":";

/// The first line: what the baseline is of, and what it covers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Header {
    /// Version of the format. A reader refuses a version above its own.
    #[serde(rename = "driftcheck-baseline")]
    pub format: u32,
    /// The image.
    pub image: Image,
    /// The sections that were recorded, sorted by name; a section without entries is listed all the same.
    pub sections: Vec<SectionInfo>,
    /// What was left out, and why.
    pub scope: Scope,
}

/// The image that a baseline was recorded from.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Image {
    /// The image's name, e.g. `web`. Absent when nobody named it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The image's version, e.g. `1.4`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Digest of the image as published, e.g. `sha256:9f86...`: of an OCI image its manifest's, of a docker archive the
    /// image's id, of any other file the file's own. Absent for a directory or a live root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// What was read: `directory`, `tar`, `oci`, `docker`, `disk`, or `mtree`.
    #[serde(rename = "source-kind")]
    pub source_kind: String,
    /// What hosts of the image are for, e.g. `web server`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purpose: Option<String>,
    /// The image that this one was built on, as its builder names it, e.g. `base:12.7`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// The image that this one takes the place of, as its builder names it, e.g. `web:1.3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supersedes: Option<String>,
    /// `ID` and `VERSION_ID` of the image's os-release(5), e.g. `debian 12`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os: Option<String>,
    /// When the image was built, RFC 3339, as its builder says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub built: Option<String>,
}

/// One section of a baseline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SectionInfo {
    /// Its name.
    pub name: String,
    /// Revision of the section's attributes. It grows when an attribute changes its meaning, so that a release
    /// never compares two values that mean different things.
    pub revision: u32,
}

/// What was left out of a baseline on purpose. Mounts that were met are entries with a `mount` attribute.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Scope {
    /// If not empty, only `files` whose path matches one of these globs were recorded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub include: Vec<String>,
    /// What was left out.
    #[serde(default)]
    pub exclude: Vec<Exclusion>,
    /// What it means that an entry does not have an attribute.
    #[serde(default, skip_serializing_if = "Stated::is_all")]
    pub attributes: Stated,
}

/// What it means that an entry of a baseline does not have an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Stated {
    /// That what it is of has no such attribute: a file without capabilities.
    #[default]
    All,
    /// Nothing: only what is stated is compared. Of lists that others made, such as an imported mtree.
    Declared,
}

impl Stated {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it like this")]
    const fn is_all(&self) -> bool {
        matches!(self, Self::All)
    }
}

/// One rule that leaves something out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Exclusion {
    /// Paths as a glob: `*` within a component, `**` across components.
    pub glob: String,
    /// `all`: the entry and everything below it; `ordinary`: everything but setid files, files with capabilities
    /// and device nodes; `empty`: the directory that has exactly this path, if it is empty.
    pub what: ExclusionReach,
    /// Why.
    pub why: String,
}

/// How much an exclusion leaves out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ExclusionReach {
    /// Everything that matches.
    All,
    /// Everything that matches but setid files, files with capabilities and device nodes.
    Ordinary,
    /// The directory with exactly this path, if it is empty.
    Empty,
}

/// Whether these can be the names of a header's sections: sorted, each once, and of the characters that a
/// section's name may have. Names are hashed between spaces and line ends, so they must not have any.
pub(crate) fn are_sound(names: &[String]) -> bool {
    let is_name = |name: &String| {
        !name.is_empty()
            && name
                .bytes()
                .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
    };
    names.iter().all(is_name) && names.is_sorted_by(|a, b| a < b)
}

/// The last line. Written as `{"end":{...}}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Trailer {
    /// The trailer's content.
    pub end: End,
}

/// Counts and digests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct End {
    /// One element a section of the header, in the same order.
    pub sections: Vec<SectionSum>,
    /// Entries in all sections.
    pub entries: u64,
    /// Digest over everything, `sha256:` and 64 hex digits: SHA-256 over the header line with its line end,
    /// then one line `NAME ENTRIES DIGEST` with its line end for each element of `sections`.
    pub digest: String,
}

impl End {
    /// The trailer's line in its one spelling, without its line end.
    pub(crate) fn to_line(&self) -> serde_json::Result<String> {
        serde_json::to_string(&Trailer { end: self.clone() })
    }
}

/// Count and digest of one section.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SectionSum {
    /// The section's name.
    pub name: String,
    /// Its number of entries.
    pub entries: u64,
    /// `sha256:` and 64 hex digits: SHA-256 over the section's lines, each with its line end.
    pub digest: String,
}
