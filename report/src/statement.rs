//! The bottom line: the verdict, and the sentence that says what it rests on.
//!
//! A sentence never claims more than was looked at. "Nothing differs" always comes with the number of entries
//! that were compared, and an audit that compared nothing is incomplete, whatever its drifts are.

use baseline_format::report::{ChangeKind, Complete, Coverage, Drifted, Severity, Summary, Verdict};

use crate::words::{count, number};

/// The verdict on an audit.
#[must_use]
pub fn verdict(coverage: &[Coverage], summary: &Summary) -> Verdict {
    let sums = Sums::of(coverage, summary);
    let drifted = if sums.differences > 0 {
        Drifted::Yes
    } else {
        Drifted::No
    };
    let complete = if sums.unchecked == 0 && sums.verified > 0 {
        Complete::Yes
    } else {
        Complete::No
    };
    Verdict::of(drifted, complete)
}

/// The sentence that goes with the verdict, without the verdict's word. See [`line()`] for both together.
#[must_use]
pub fn statement(coverage: &[Coverage], summary: &Summary) -> String {
    let sums = Sums::of(coverage, summary);
    let checked = sums.checked();
    match verdict(coverage, summary) {
        Verdict::Clean => format!("{checked}, nothing differs{}", sums.skips()),
        Verdict::Incomplete if sums.verified == 0 => {
            format!("nothing known to differ, but {checked}{}", sums.skips())
        }
        Verdict::Incomplete => {
            let unchecked = count(sums.unchecked, "entry", "entries");
            format!(
                "nothing known to differ, but {unchecked} could not be checked; {checked}{}",
                sums.skips()
            )
        }
        Verdict::Drift | Verdict::DriftAndIncomplete => {
            let rest = |many: u64, what: &str| match many {
                0 => String::new(),
                many => format!(", {} {what}", number(many)),
            };
            let (unchecked, skipped) = (
                rest(sums.unchecked, "not checked"),
                rest(sums.skipped, "skipped by rule"),
            );
            format!("{}; {checked}{unchecked}{skipped}", found(summary))
        }
    }
}

/// The verdict's word in capitals and the statement: the last line of a report for people.
#[must_use]
pub fn line(verdict: Verdict, statement: &str) -> String {
    format!("{}: {statement}", word(verdict))
}

/// The verdict's word in capitals.
#[must_use]
pub const fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Clean => "CLEAN",
        Verdict::Drift => "DRIFT",
        Verdict::Incomplete => "INCOMPLETE",
        Verdict::DriftAndIncomplete => "DRIFT AND INCOMPLETE",
    }
}

/// What was found, e.g. `7 differences and 1 blind spot (2 critical, 6 high)`.
pub(crate) fn found(summary: &Summary) -> String {
    let blind = blind_spots(summary);
    let mut text = count(summary.drifts.saturating_sub(blind), "difference", "differences");
    if blind > 0 {
        text = format!("{text} and {}", count(blind, "blind spot", "blind spots"));
    }
    let by_severity: Vec<String> = Severity::ALL
        .iter()
        .filter_map(|severity| summary.by_severity.get(severity).map(|many| (severity, *many)))
        .filter(|(_, many)| *many > 0)
        .map(|(severity, many)| format!("{} {severity}", number(many)))
        .collect();
    if by_severity.is_empty() {
        text
    } else {
        format!("{text} ({})", by_severity.join(", "))
    }
}

/// What the sentences are made of, over all sections.
struct Sums {
    expected: u64,
    verified: u64,
    /// Sections in which anything was verified.
    sections: u64,
    rules: u64,
    skipped: u64,
    removed: u64,
    differences: u64,
    /// Entries that could not be checked, each once as far as the counts tell.
    unchecked: u64,
}

impl Sums {
    fn of(coverage: &[Coverage], summary: &Summary) -> Self {
        let sum = |of: fn(&Coverage) -> u64| coverage.iter().map(of).fold(0, u64::saturating_add);
        let expected = sum(|section| section.expected);
        let verified = sum(verified_of);
        let unseen = sum(unseen);
        let raced = sum(|section| section.raced);
        let removed = summary.by_change.get(&ChangeKind::Removed).copied().unwrap_or(0);
        let blind = blind_spots(summary);
        // Whatever is neither verified nor skipped nor known to be gone was not checked, also if nobody said why.
        // By section, so that one that counts too much cannot make up for one that was not looked at.
        let lost = sum(|section| {
            section
                .expected
                .saturating_sub(section.verified)
                .saturating_sub(skipped(section))
        });
        let lost = lost.saturating_sub(removed);
        Self {
            expected,
            verified,
            sections: coverage.iter().filter(|section| verified_of(section) > 0).count() as u64,
            rules: sum(|section| section.skipped.len() as u64),
            skipped: sum(skipped),
            removed,
            differences: summary.drifts.saturating_sub(blind),
            unchecked: lost.max(unseen.saturating_add(raced)).max(blind),
        }
    }

    /// How much was verified.
    fn checked(&self) -> String {
        let sections = count(self.sections, "section", "sections");
        match (self.verified, self.expected) {
            (0, 0) => "nothing was verified: the reference expects no entries".to_owned(),
            (0, 1) => "nothing was verified: the one expected entry was not compared".to_owned(),
            (0, expected) => format!(
                "nothing was verified: none of {} expected entries was compared",
                number(expected)
            ),
            (1, 1) => format!("the one expected entry verified in {sections}"),
            (verified, expected) if verified == expected => {
                format!("all {} expected entries verified in {sections}", number(expected))
            }
            (verified, expected) => {
                let expected = count(expected, "expected entry", "expected entries");
                let removed = match self.removed {
                    0 => String::new(),
                    many => format!(" ({} not there any more)", number(many)),
                };
                format!(
                    "{} of {expected} verified in {sections}{removed}",
                    number(verified)
                )
            }
        }
    }

    /// What rules left out, between parentheses.
    fn skips(&self) -> String {
        let rules = count(self.rules, "rule", "rules");
        match (self.rules, self.skipped) {
            (0, _) => String::new(),
            (_, 0) => format!(" ({rules} left parts out, see coverage)"),
            (_, skipped) => format!(" ({} skipped by {rules}, see coverage)", number(skipped)),
        }
    }
}

/// What was verified of what a section expects, and no more than that.
fn verified_of(coverage: &Coverage) -> u64 {
    coverage.verified.min(coverage.expected)
}

/// Expected entries that rules left out.
pub(crate) fn skipped(coverage: &Coverage) -> u64 {
    coverage
        .skipped
        .iter()
        .map(|rule| rule.entries)
        .fold(0, u64::saturating_add)
}

/// What could not be seen in a section, listed or not.
pub(crate) fn unseen(coverage: &Coverage) -> u64 {
    coverage.unseen_total.max(coverage.unseen.len() as u64)
}

/// Drifts that are no differences: entries that could not be compared.
fn blind_spots(summary: &Summary) -> u64 {
    summary.by_change.get(&ChangeKind::Unseen).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use baseline_format::report::Skipped;
    use proptest::prelude::*;

    use super::*;

    fn section(expected: u64, verified: u64, unseen_total: u64, raced: u64) -> Coverage {
        Coverage {
            section: "files".to_owned(),
            expected,
            verified,
            unseen_total,
            raced,
            ..Coverage::default()
        }
    }

    fn skipping(entries: u64, mut coverage: Coverage) -> Coverage {
        coverage.skipped.push(Skipped {
            rule: "scratch /tmp".to_owned(),
            why: "scratch".to_owned(),
            entries,
        });
        coverage
    }

    fn drifts(by_change: &[(ChangeKind, u64)]) -> Summary {
        let drifts = by_change.iter().map(|(_, many)| many).sum();
        Summary {
            drifts,
            by_change: by_change.iter().copied().collect(),
            by_severity: [(Severity::High, drifts)].into(),
            ..Summary::default()
        }
    }

    #[test]
    fn every_case_says_what_it_rests_on() {
        use ChangeKind::{Modified, Removed, Unseen};
        let none = Summary::default();
        for (coverage, summary, said) in [
            (
                vec![section(106_204, 106_204, 0, 0), section(1, 1, 0, 0)],
                &none,
                "CLEAN: all 106,205 expected entries verified in 2 sections, nothing differs",
            ),
            (
                vec![section(1, 1, 0, 0)],
                &none,
                "CLEAN: the one expected entry verified in 1 section, nothing differs",
            ),
            (
                vec![skipping(12, section(100, 88, 0, 0))],
                &none,
                "CLEAN: 88 of 100 expected entries verified in 1 section, nothing differs (12 skipped by 1 rule, see \
                 coverage)",
            ),
            (
                vec![skipping(0, skipping(0, section(5, 5, 0, 0)))],
                &none,
                "CLEAN: all 5 expected entries verified in 1 section, nothing differs (2 rules left parts out, see \
                 coverage)",
            ),
            (
                vec![section(100, 97, 2, 1)],
                &none,
                "INCOMPLETE: nothing known to differ, but 3 entries could not be checked; 97 of 100 expected entries \
                 verified in 1 section",
            ),
            (
                vec![section(100, 99, 0, 0)],
                &none,
                "INCOMPLETE: nothing known to differ, but 1 entry could not be checked; 99 of 100 expected entries \
                 verified in 1 section",
            ),
            // One section's surplus does not stand for another's gap.
            (
                vec![section(5, 10, 0, 0), section(5, 0, 0, 0)],
                &none,
                "INCOMPLETE: nothing known to differ, but 5 entries could not be checked; 5 of 10 expected entries \
                 verified in 1 section",
            ),
            (
                vec![],
                &none,
                "INCOMPLETE: nothing known to differ, but nothing was verified: the reference expects no entries",
            ),
            (
                vec![skipping(7, section(7, 0, 0, 0))],
                &none,
                "INCOMPLETE: nothing known to differ, but nothing was verified: none of 7 expected entries was \
                 compared (7 skipped by 1 rule, see coverage)",
            ),
            (
                vec![section(100, 99, 0, 0)],
                &drifts(&[(Removed, 1), (Modified, 3)]),
                "DRIFT: 4 differences (4 high); 99 of 100 expected entries verified in 1 section (1 not there any more)",
            ),
            (
                vec![section(100, 98, 1, 0)],
                &drifts(&[(Modified, 1), (Unseen, 2)]),
                "DRIFT AND INCOMPLETE: 1 difference and 2 blind spots (3 high); 98 of 100 expected entries verified \
                 in 1 section, 2 not checked",
            ),
            (
                vec![section(0, 0, 0, 0)],
                &drifts(&[(ChangeKind::Added, 1)]),
                "DRIFT AND INCOMPLETE: 1 difference (1 high); nothing was verified: the reference expects no entries",
            ),
        ] {
            assert_eq!(
                line(verdict(&coverage, summary), &statement(&coverage, summary)),
                said
            );
        }
    }

    proptest! {
        #[test]
        fn clean_only_if_something_was_verified_and_nothing_missed(
            expected: u64, verified: u64, unseen in 0_u64..3, raced in 0_u64..3, changes in 0_u64..3, blind in 0_u64..3
        ) {
            let coverage = [section(expected, verified, unseen, raced)];
            let summary = drifts(&[(ChangeKind::Modified, changes), (ChangeKind::Unseen, blind)]);
            let verdict = verdict(&coverage, &summary);
            let clean = verdict == Verdict::Clean;
            prop_assert_eq!(
                clean,
                unseen + raced + changes + blind == 0 && expected > 0 && verified >= expected
            );
            let statement = statement(&coverage, &summary);
            prop_assert!(statement.contains("verified"), "{statement}");
            prop_assert!(clean == statement.contains("nothing differs"), "{statement}");
        }
    }
}
