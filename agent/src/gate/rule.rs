//! Rules as they are applied: parsed, checked, with nothing left to go wrong.

use std::cmp::Ordering;

use baseline_format::Value;
use baseline_format::image_check::RuleSeverity;
use globset::{GlobMatcher, GlobSet};
use regex::bytes::Regex;

use crate::sys::Kind;

/// One rule.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) id: String,
    pub(super) severity: RuleSeverity,
    /// Why the rule exists.
    pub(super) reason: String,
    /// The way out.
    pub(super) fix: Option<String>,
    pub(super) test: Test,
}

/// What a rule asks.
#[derive(Debug)]
pub(super) enum Test {
    /// Nothing is at these paths.
    Absent { select: Select, unpackaged: bool },
    /// What packages installed is as they shipped it.
    Altered {
        what: Vec<Difference>,
        config: Config,
        unless: GlobSet,
    },
    /// No line of these files matches.
    Content {
        select: Select,
        lines: Regex,
        unpackaged: bool,
        /// Longer files are not looked at. Bytes.
        largest: u64,
    },
    /// These files hold nothing, or one of a few words.
    Empty {
        select: Select,
        or: Vec<Vec<u8>>,
        unpackaged: bool,
    },
    /// No such entry is in the section.
    Forbid {
        section: String,
        keys: Keys,
        unless: Keys,
        /// Attribute and the values of which one forbids the entry.
        attributes: Vec<(String, Vec<Value>)>,
    },
    /// Permissions and owners are as asked.
    Mode {
        select: Select,
        bits: Bits,
        /// A mode with all of these bits is not looked at; 0: none.
        except: u32,
        user: Option<String>,
        group: Option<String>,
    },
    /// Packages that must, and must not, be installed.
    Packages {
        required: Vec<PackagePattern>,
        forbidden: Vec<PackagePattern>,
    },
    /// Something is at each of these paths.
    Present { paths: Vec<Wanted>, kinds: Vec<Kind> },
    /// Programs that run with more than their caller's rights are known to.
    Rights { known: GlobSet },
    /// An attribute of a section's entries has the wanted value.
    Setting {
        section: String,
        keys: Keys,
        attribute: String,
        wanted: Wish,
        missing: Missing,
    },
    /// Packages or the policy explain every path.
    Unexplained { unless: GlobSet },
    /// Owners and groups of files have accounts.
    Unowned { unless: GlobSet },
}

impl Test {
    /// The sections that must have been seen for the rule to be judged.
    pub(super) fn sections(&self) -> Vec<&str> {
        match self {
            Self::Forbid { section, .. } | Self::Setting { section, .. } => vec![section],
            Self::Packages { .. } => vec![PACKAGES],
            Self::Altered { .. } | Self::Rights { .. } | Self::Unexplained { .. } => vec![FILES, PACKAGES],
            Self::Unowned { .. } => vec![FILES, "groups", "users"],
            _ => vec![FILES],
        }
    }

    /// Whether it asks which files packages installed.
    pub(super) const fn needs_declarations(&self) -> bool {
        match self {
            Self::Absent { unpackaged, .. }
            | Self::Content { unpackaged, .. }
            | Self::Empty { unpackaged, .. } => *unpackaged,
            Self::Rights { .. } => true,
            _ => self.needs_packages(),
        }
    }

    /// Whether it can be judged only with the databases of package managers.
    pub(super) const fn needs_packages(&self) -> bool {
        matches!(self, Self::Altered { .. } | Self::Unexplained { .. })
    }
}

pub(super) use crate::scan::FILES;
/// The section of packages.
pub(super) const PACKAGES: &str = "packages";

/// Paths, without some, of some types.
#[derive(Debug)]
pub(super) struct Select {
    pub(super) paths: Globs,
    pub(super) unless: GlobSet,
    /// Empty: any.
    pub(super) kinds: Vec<Kind>,
}

/// Globs over paths, as text: all rules' are matched in one pass.
#[derive(Debug)]
pub(super) enum Globs {
    /// Every path.
    All,
    /// Some.
    Some(Vec<String>),
}

/// How packaged files differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Difference {
    Attributes,
    Content,
    Missing,
}

/// Whether a rule on packaged files is about configuration files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Config {
    Only,
    Without,
}

/// Permission bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bits {
    Any,
    AtMost(u32),
    Exactly(u32),
}

/// Keys of a section.
#[derive(Debug)]
pub(super) struct Keys {
    /// As written.
    pub(super) texts: Vec<String>,
    globs: GlobSet,
}

impl Keys {
    pub(super) const fn new(texts: Vec<String>, globs: GlobSet) -> Self {
        Self { texts, globs }
    }

    pub(super) fn contain(&self, key: &[u8]) -> bool {
        self.globs.is_match(crate::host::as_path(key))
    }
}

/// A path that must be there.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) text: String,
    /// `None` if the text is the path itself.
    pub(super) glob: Option<GlobMatcher>,
}

/// What is asked of a value.
#[derive(Debug)]
pub(super) enum Wish {
    Equals(Value),
    Matches(String, Regex),
    OneOf(Vec<Value>),
    Range(Option<i64>, Option<i64>),
}

/// What it means that an entry or its attribute is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    Fail,
    Pass,
}

/// Packages by name and, if wanted, version.
#[derive(Debug)]
pub(super) struct PackagePattern {
    pub(super) text: String,
    /// Over `NAME`, or `ECOSYSTEM/NAME` if the pattern has a slash.
    pub(super) name: GlobMatcher,
    pub(super) with_ecosystem: bool,
    pub(super) version: Option<(Comparison, Vec<u8>)>,
}

/// How two versions compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    AtLeast,
    AtMost,
    Equal,
    Less,
    More,
    NotEqual,
}

impl Comparison {
    /// As written, longest first.
    pub(super) const ALL: [(&'static str, Self); 6] = [
        (">=", Self::AtLeast),
        ("<=", Self::AtMost),
        ("!=", Self::NotEqual),
        ("=", Self::Equal),
        ("<", Self::Less),
        (">", Self::More),
    ];

    /// Whether an installed version that orders so towards the wanted one will do.
    pub(super) const fn holds(self, order: Ordering) -> bool {
        match self {
            Self::AtLeast => order.is_ge(),
            Self::AtMost => order.is_le(),
            Self::Equal => order.is_eq(),
            Self::Less => order.is_lt(),
            Self::More => order.is_gt(),
            Self::NotEqual => order.is_ne(),
        }
    }
}
