//! The bottom line of an image check: the sentence that goes with the verdict. It always says how much was looked at.

use baseline_format::image_check::{ImageCheck, ImageVerdict, RuleOutcome};

use crate::words::{count, number};

/// The sentence, without the verdict's word. See [`line()`] for both together.
#[must_use]
pub fn statement(check: &ImageCheck) -> String {
    let sums = Sums::of(check);
    let looked = sums.looked();
    let aside = sums.aside();
    match check.verdict {
        ImageVerdict::Fit => format!("{} kept; {looked}{aside}", count(sums.rules, "rule", "rules")),
        ImageVerdict::Incomplete => format!("no rule is known to fail, but {}; {looked}{aside}", sums.gaps()),
        ImageVerdict::Unfit => format!("{}; {looked}{aside}", sums.broken()),
        ImageVerdict::UnfitAndIncomplete => {
            format!("{}, and {}; {looked}{aside}", sums.broken(), sums.gaps())
        }
    }
}

/// The verdict's word in capitals and the statement: the last line for people.
#[must_use]
pub fn line(check: &ImageCheck) -> String {
    format!("{}: {}", check.verdict.word(), check.statement)
}

/// What the sentences are made of.
pub(crate) struct Sums {
    /// Rules, without those that are waived altogether.
    rules: u64,
    failed_rules: u64,
    failed: u64,
    warned: u64,
    waived: u64,
    not_judged: u64,
    unseen: u64,
    entries: u64,
    sections: u64,
}

impl Sums {
    pub(crate) fn of(check: &ImageCheck) -> Self {
        let with = |outcome: RuleOutcome| check.rules.iter().filter(move |rule| rule.outcome == outcome);
        let findings = |outcome| {
            with(outcome)
                .map(|rule| rule.findings)
                .fold(0, u64::saturating_add)
        };
        let seen = || check.coverage.sections.iter().map(|section| section.entries);
        Self {
            rules: check.rules.len() as u64,
            failed_rules: with(RuleOutcome::Failed).count() as u64,
            failed: findings(RuleOutcome::Failed),
            warned: findings(RuleOutcome::Warned),
            waived: check
                .rules
                .iter()
                .map(|rule| rule.waived)
                .fold(0, u64::saturating_add),
            not_judged: with(RuleOutcome::NotJudged).count() as u64,
            unseen: check
                .coverage
                .unseen_total
                .max(check.coverage.unseen.len() as u64),
            entries: seen().fold(0, u64::saturating_add),
            sections: seen().count() as u64,
        }
    }

    /// `3 findings break 2 of 61 rules`.
    pub(crate) fn broken(&self) -> String {
        let breaks = if self.failed == 1 { "breaks" } else { "break" };
        format!(
            "{} {breaks} {} of {}",
            count(self.failed, "finding", "findings"),
            number(self.failed_rules),
            count(self.rules, "rule", "rules")
        )
    }

    /// What keeps the check from being complete.
    fn gaps(&self) -> String {
        match (self.unseen, self.not_judged) {
            (0, 0) => "nothing was there to be looked at".to_owned(),
            (0, rules) => format!("{} could not be judged", count(rules, "rule", "rules")),
            (unseen, 0) => format!("{} could not be looked at", count(unseen, "thing", "things")),
            (unseen, rules) => format!(
                "{} could not be looked at and {} could not be judged",
                count(unseen, "thing", "things"),
                count(rules, "rule", "rules")
            ),
        }
    }

    fn looked(&self) -> String {
        format!(
            "{} in {} looked at",
            count(self.entries, "entry", "entries"),
            count(self.sections, "section", "sections")
        )
    }

    fn aside(&self) -> String {
        let mut text = String::new();
        if self.warned > 0 {
            text = format!(", {}", count(self.warned, "warning", "warnings"));
        }
        if self.waived > 0 {
            text = format!("{text}, {} waived", count(self.waived, "finding", "findings"));
        }
        text
    }

    /// Whether there is anything to be told above the list.
    pub(crate) const fn is_broken(&self) -> bool {
        self.failed > 0
    }
}
