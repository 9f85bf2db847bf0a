//! What a check finds, counted and bounded: findings by rule, waivers, blind spots, coverage.

use std::collections::{BTreeMap, BTreeSet};

use baseline_format::image_check::{
    CheckCoverage, Finding, ImageCheck, RuleOutcome, RuleResult, RuleSeverity, SectionSeen, UnseenIn,
    WaiverResult,
};
use baseline_format::report::{Complete, Skipped};
use baseline_format::{OsText, order};
use sha2::{Digest as _, Sha256};

use super::policy::{Policy, digest};
use super::rule::{FILES, Rule};

/// Everything that one check finds.
#[derive(Debug)]
pub(super) struct Results<'a> {
    policy: &'a Policy,
    /// One element a rule.
    tallies: Vec<Tally>,
    /// Findings excused, one element a waiver.
    waived: Vec<u64>,
    sections: BTreeMap<String, Seen>,
    /// Sections of which something could not be seen.
    blind: BTreeSet<String>,
    unseen: Vec<UnseenIn>,
    unseen_total: u64,
    /// By rule: why, and how many entries.
    skipped: BTreeMap<String, (String, u64)>,
}

#[derive(Debug, Default)]
struct Tally {
    findings: u64,
    waived: u64,
    listed: Vec<Finding>,
}

#[derive(Debug, Default)]
struct Seen {
    entries: u64,
    lines: Sha256,
}

/// What a check ends with.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) coverage: CheckCoverage,
    pub(super) rules: Vec<RuleResult>,
    pub(super) findings: Vec<Finding>,
    pub(super) waivers: Vec<WaiverResult>,
    /// Digest over what was seen; see [`baseline_format::image_check::CheckedImage::entries`].
    pub(super) entries: String,
    pub(super) complete: Complete,
}

impl<'a> Results<'a> {
    pub(super) fn new(policy: &'a Policy) -> Self {
        Self {
            tallies: policy.rules.iter().map(|_| Tally::default()).collect(),
            waived: vec![0; policy.waivers.len()],
            policy,
            sections: BTreeMap::new(),
            blind: BTreeSet::new(),
            unseen: Vec::new(),
            unseen_total: 0,
            skipped: BTreeMap::new(),
        }
    }

    /// Remembers that a section was looked at, also if it has no entries.
    pub(super) fn section(&mut self, section: &str) {
        self.sections.entry(section.to_owned()).or_default();
    }

    /// Counts an entry. `line`: without its line end.
    pub(super) fn seen(&mut self, section: &str, line: &[u8]) {
        if !self.sections.contains_key(section) {
            self.section(section);
        }
        if let Some(seen) = self.sections.get_mut(section) {
            seen.entries += 1;
            seen.lines.update(line);
            seen.lines.update(b"\n");
        }
    }

    /// Remembers something that breaks a rule.
    pub(super) fn found(&mut self, rule: usize, section: &str, key: &OsText, what: String) {
        let (Some(tally), Some(asked)) = (self.tallies.get_mut(rule), self.policy.rules.get(rule)) else {
            return;
        };
        let path = key.to_bytes();
        let excuses = |path_of: &Option<(String, globset::GlobMatcher)>| match path_of {
            None => true,
            Some((_, glob)) => glob.is_match(crate::host::as_path(&path)),
        };
        let mut waivers = self.policy.waivers.iter().zip(&mut self.waived);
        let waiver = waivers.find(|(waiver, _)| waiver.rule == rule && excuses(&waiver.path));
        if let Some((_, waived)) = waiver {
            *waived += 1;
            tally.waived += 1;
            return;
        }
        tally.findings += 1;
        if tally.listed.len() < ImageCheck::LISTED {
            tally.listed.push(Finding {
                rule: asked.id.clone(),
                severity: asked.severity,
                section: section.to_owned(),
                key: key.clone(),
                what,
                why: asked.reason.clone(),
                fix: asked.fix.clone(),
            });
        }
    }

    /// Remembers something that could not be seen.
    pub(super) fn unseen(&mut self, section: &str, key: &OsText, why: &OsText) {
        self.blind.insert(section.to_owned());
        self.unseen_total += 1;
        if self.unseen.len() < ImageCheck::LISTED {
            self.unseen.push(UnseenIn {
                section: section.to_owned(),
                key: key.clone(),
                why: why.clone(),
            });
        }
    }

    /// Whether something of a section could not be seen.
    pub(super) fn is_blind(&self, section: &str) -> bool {
        self.blind.contains(section)
    }

    /// Counts an entry that was not looked at on purpose.
    pub(super) fn skip(&mut self, rule: &str, why: &str) {
        match self.skipped.get_mut(rule) {
            Some((_, entries)) => *entries += 1,
            None => {
                self.skipped.insert(rule.to_owned(), (why.to_owned(), 1));
            }
        }
    }

    /// Whether a rule as a whole is waived.
    pub(super) fn is_waived(&self, rule: usize) -> bool {
        self.policy
            .waivers
            .iter()
            .any(|waiver| waiver.rule == rule && waiver.path.is_none())
    }

    pub(super) fn finish(mut self) -> Outcome {
        let results: Vec<RuleResult> = self
            .policy
            .rules
            .iter()
            .enumerate()
            .zip(&self.tallies)
            .map(|((at, rule), tally)| RuleResult {
                rule: rule.id.clone(),
                severity: rule.severity,
                outcome: self.outcome(at, rule, tally),
                reason: rule.reason.clone(),
                findings: tally.findings,
                waived: tally.waived,
            })
            .collect();
        let mut findings: Vec<Finding> = Vec::new();
        for severity in [RuleSeverity::Fail, RuleSeverity::Warn] {
            for tally in &mut self.tallies {
                if tally
                    .listed
                    .first()
                    .is_some_and(|first| first.severity == severity)
                {
                    let mut listed = std::mem::take(&mut tally.listed);
                    listed.sort_by(|a, b| {
                        order::compare((&a.section, a.key.as_str()), (&b.section, b.key.as_str()))
                    });
                    findings.append(&mut listed);
                }
            }
        }
        let files = self.sections.get(FILES).map_or(0, |seen| seen.entries);
        let judged = results.iter().all(|rule| rule.outcome != RuleOutcome::NotJudged);
        let complete = if self.unseen_total == 0 && judged && files > 0 {
            Complete::Yes
        } else {
            Complete::No
        };
        let waivers = self
            .policy
            .waivers
            .iter()
            .zip(&self.waived)
            .filter_map(|(waiver, waived)| {
                Some(WaiverResult {
                    rule: self.policy.rules.get(waiver.rule)?.id.clone(),
                    path: waiver.path.as_ref().map(|(text, _)| text.clone()),
                    reason: waiver.reason.clone(),
                    policy: waiver.policy.clone(),
                    findings: *waived,
                })
            });
        let waivers = waivers.collect();
        let (sections, entries) = sections(self.sections);
        Outcome {
            coverage: CheckCoverage {
                sections,
                skipped: self
                    .skipped
                    .into_iter()
                    .map(|(rule, (why, entries))| Skipped { rule, why, entries })
                    .collect(),
                unseen: self.unseen,
                unseen_total: self.unseen_total,
            },
            rules: results,
            findings,
            waivers,
            entries,
            complete,
        }
    }

    fn outcome(&self, at: usize, rule: &Rule, tally: &Tally) -> RuleOutcome {
        let blind = || {
            rule.test
                .sections()
                .into_iter()
                .any(|section| self.is_blind(section))
        };
        match (tally.findings, rule.severity) {
            (0, _) if self.is_waived(at) => RuleOutcome::Waived,
            (0, _) if blind() => RuleOutcome::NotJudged,
            (0, _) if tally.waived > 0 => RuleOutcome::Waived,
            (0, _) => RuleOutcome::Passed,
            (_, RuleSeverity::Fail) => RuleOutcome::Failed,
            (_, RuleSeverity::Warn) => RuleOutcome::Warned,
        }
    }
}

/// The sections by name, and the digest over all of them.
fn sections(sections: BTreeMap<String, Seen>) -> (Vec<SectionSeen>, String) {
    let mut lines = String::new();
    let mut seen = Vec::new();
    for (section, Seen { entries, lines: own }) in sections {
        let mut hex = b"sha256:".to_vec();
        baseline_format::push_hex(&own.finalize(), &mut hex);
        lines = format!("{lines}{section} {entries} {}\n", String::from_utf8_lossy(&hex));
        seen.push(SectionSeen { section, entries });
    }
    (seen, digest(lines.as_bytes()))
}
