//! What baselines leave out on purpose, side by side.

use baseline_format::header::{self, Exclusion, ExclusionReach};
use baseline_format::{Line, OsText};

use crate::scan::{BadGlob, FILES, Judgement, Scope};

/// What one baseline leaves out.
#[derive(Debug)]
pub(super) struct Outlook {
    recorded: header::Scope,
    rules: Scope,
}

impl Outlook {
    pub(super) fn new(recorded: &header::Scope) -> Result<Self, BadGlob> {
        Ok(Self {
            rules: Scope::new(recorded, &[], &[], &[])?,
            recorded: recorded.clone(),
        })
    }

    /// The scope as its header has it.
    pub(super) const fn recorded(&self) -> &header::Scope {
        &self.recorded
    }

    /// Whether there is a rule at all.
    pub(super) fn is_everything(&self) -> bool {
        self.recorded.include.is_empty() && self.recorded.exclude.is_empty()
    }

    /// The rule by which `line` would not have been recorded if it had been there.
    pub(super) fn leaves_out(&self, line: &Line<'_>) -> Option<LeftOutBy<'_>> {
        if line.section() != FILES || self.is_everything() {
            return None;
        }
        let path = OsText::parse(&line.key())?.to_bytes().into_owned();
        match self.rules.leaves_out(&path) {
            Some(Judgement::Skip(rule)) => self.recorded.exclude.get(rule).map(LeftOutBy::Exclusion),
            Some(Judgement::NotIncluded) => Some(LeftOutBy::Include),
            Some(Judgement::Ordinary(rule)) if !is_more_than_ordinary(line) => {
                self.recorded.exclude.get(rule).map(LeftOutBy::Exclusion)
            }
            _ => {
                let rule = self.rules.empty(&path)?;
                self.recorded.exclude.get(rule).map(LeftOutBy::Exclusion)
            }
        }
    }

    /// Whether the other one has this rule, too, whatever its reason.
    pub(super) fn has(&self, rule: LeftOutBy<'_>, other: &header::Scope) -> bool {
        match rule {
            LeftOutBy::Exclusion(rule) => self.recorded.exclude.iter().any(|own| is_same(own, rule)),
            LeftOutBy::Include => is_same_set(&self.recorded.include, &other.include),
        }
    }
}

/// The rule that leaves something out.
#[derive(Clone, Copy, Debug)]
pub(super) enum LeftOutBy<'a> {
    /// No glob of `include` names it.
    Include,
    Exclusion(&'a Exclusion),
}

/// Whether two rules leave out the same, whatever their reasons.
pub(super) fn is_same(left: &Exclusion, right: &Exclusion) -> bool {
    left.glob == right.glob && left.what == right.what
}

/// Whether two lists name the same globs.
pub(super) fn is_same_set(left: &[String], right: &[String]) -> bool {
    let sorted = |globs: &[String]| {
        let mut globs = globs.to_vec();
        globs.sort_unstable();
        globs.dedup();
        globs
    };
    sorted(left) == sorted(right)
}

/// A rule as people read it.
pub(super) fn rule_text(rule: &Exclusion) -> String {
    match rule.what {
        ExclusionReach::All => rule.glob.clone(),
        ExclusionReach::Ordinary => format!("ordinary content of {}", rule.glob),
        ExclusionReach::Empty => format!("{} when it is empty", rule.glob),
    }
}

/// Whether an entry is told even where the ordinary is not: setid files, capabilities, device nodes.
fn is_more_than_ordinary(line: &Line<'_>) -> bool {
    let is = |name: &str, json: &str| line.get(name).is_some_and(|value| value.as_json() == json);
    let is_setid = is("type", "\"file\"") && line.get("mode").is_some_and(|mode| setid(mode.as_json()) != 0);
    is_setid
        || is("type", "\"block-device\"")
        || is("type", "\"char-device\"")
        || line.get("capabilities").is_some()
}

/// The setuid and setgid bits of a `mode` as it stands in a line: four octal digits between quotes.
pub(super) fn setid(json: &str) -> u32 {
    u32::from_str_radix(json.trim_matches('"'), 8).unwrap_or(0) & 0o6000
}
