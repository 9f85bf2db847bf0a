//! The bottom line of a comparison: the verdict, and the sentence that says what it rests on.

use baseline_format::report::{Complete, Drifted};

use super::{DiffSummary, DiffVerdict, NotCompared, SectionDiff, Step};
use crate::words::{count, number};

/// The verdict. A comparison that compared nothing is incomplete.
#[must_use]
pub fn verdict(sections: &[SectionDiff], not_compared: &[NotCompared], summary: &DiffSummary) -> DiffVerdict {
    let sums = Sums::of(sections, summary);
    let drifted = if sums.differences > 0 {
        Drifted::Yes
    } else {
        Drifted::No
    };
    let complete = if sums.not_compared == 0 && not_compared.is_empty() && sums.compared > 0 {
        Complete::Yes
    } else {
        Complete::No
    };
    match (drifted, complete) {
        (Drifted::No, Complete::Yes) => DiffVerdict::Equal,
        (Drifted::Yes, Complete::Yes) => DiffVerdict::Differ,
        (Drifted::No, Complete::No) => DiffVerdict::Incomplete,
        (Drifted::Yes, Complete::No) => DiffVerdict::DifferAndIncomplete,
    }
}

/// The sentence that goes with the verdict, without the verdict's word. See [`line`] for both together.
#[must_use]
pub fn statement(sections: &[SectionDiff], not_compared: &[NotCompared], summary: &DiffSummary) -> String {
    let sums = Sums::of(sections, summary);
    let compared = sums.compared_of_all();
    let missing = match (sums.not_compared, not_compared.len() as u64) {
        (0, 0) => String::new(),
        (0, parts) => format!(", {} not compared", count(parts, "part", "parts")),
        (entries, _) => format!(", {} not compared", number(entries)),
    };
    match verdict(sections, not_compared, summary) {
        DiffVerdict::Equal => format!("{compared}, nothing differs"),
        DiffVerdict::Incomplete => format!("nothing is known to differ, but {compared}{missing}"),
        DiffVerdict::Differ | DiffVerdict::DifferAndIncomplete => {
            format!("{}; {compared}{missing}", found(summary))
        }
    }
}

/// The verdict's word in capitals and the statement: the last line for people.
#[must_use]
pub fn line(verdict: DiffVerdict, statement: &str) -> String {
    let word = match verdict {
        DiffVerdict::Equal => "EQUAL",
        DiffVerdict::Differ => "DIFFER",
        DiffVerdict::Incomplete => "INCOMPLETE",
        DiffVerdict::DifferAndIncomplete => "DIFFER AND INCOMPLETE",
    };
    format!("{word}: {statement}")
}

/// Sections named in the sentence; the others are counted.
const NAMED: usize = 20;

/// What was found, e.g. `7 differences (files 4, packages 3: 2 upgraded, 1 added)`.
fn found(summary: &DiffSummary) -> String {
    let mut sections: Vec<String> = Vec::new();
    for (section, many) in summary.by_section.iter().take(NAMED) {
        let steps: Vec<String> = Step::ALL
            .iter()
            .filter_map(|step| Some(format!("{} {step}", number(*summary.by_step.get(step)?))))
            .collect();
        let steps = if section == "packages" && !steps.is_empty() {
            format!(": {}", steps.join(", "))
        } else {
            String::new()
        };
        sections.push(format!("{section} {}{steps}", number(*many)));
    }
    let more = summary.by_section.len().saturating_sub(NAMED) as u64;
    if more > 0 {
        sections.push(count(more, "more section", "more sections"));
    }
    let differences = count(summary.differences(), "difference", "differences");
    format!("{differences} ({})", sections.join("; "))
}

struct Sums {
    /// Entries in either state, but those that neither was meant to see.
    all: u64,
    compared: u64,
    not_compared: u64,
    /// Sections in which anything was compared.
    sections: u64,
    differences: u64,
}

impl Sums {
    fn of(sections: &[SectionDiff], summary: &DiffSummary) -> Self {
        let sum = |of: fn(&SectionDiff) -> u64| sections.iter().map(of).fold(0, u64::saturating_add);
        let (compared, not_compared) = (
            sum(|section| section.compared),
            sum(|section| section.not_compared),
        );
        Self {
            all: compared.saturating_add(not_compared),
            compared,
            not_compared,
            sections: sections.iter().filter(|section| section.compared > 0).count() as u64,
            differences: summary.differences(),
        }
    }

    fn compared_of_all(&self) -> String {
        let sections = count(self.sections, "section", "sections");
        match (self.compared, self.all) {
            (0, 0) => "nothing was compared: neither state has an entry that the other could have".to_owned(),
            (0, all) => format!("nothing was compared: none of {}", count(all, "entry", "entries")),
            (compared, all) if compared == all => {
                format!("all {} compared in {sections}", count(all, "entry", "entries"))
            }
            (compared, all) => format!(
                "{} of {} entries compared in {sections}",
                number(compared),
                number(all)
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::Side;
    use super::*;
    use baseline_format::report::ChangeKind;

    fn section(name: &str, compared: u64, not_compared: u64) -> SectionDiff {
        SectionDiff {
            section: name.to_owned(),
            compared,
            not_compared,
            ..SectionDiff::default()
        }
    }

    fn said(sections: &[SectionDiff], not_compared: &[NotCompared], summary: &DiffSummary) -> String {
        line(
            verdict(sections, not_compared, summary),
            &statement(sections, not_compared, summary),
        )
    }

    #[test]
    fn every_case_says_what_it_rests_on() {
        let none = DiffSummary::default();
        let some = DiffSummary {
            changes: 6,
            by_section: BTreeMap::from([("files".to_owned(), 3), ("packages".to_owned(), 2)]),
            by_change: BTreeMap::from([(ChangeKind::Modified, 5), (ChangeKind::Unseen, 1)]),
            by_step: BTreeMap::from([(Step::Added, 1), (Step::Upgraded, 1)]),
            ..DiffSummary::default()
        };
        let part = NotCompared {
            section: "files".to_owned(),
            key: None,
            side: Side::Old,
            why: "left out".to_owned(),
            entries: 0,
        };
        let found = "5 differences (files 3; packages 2: 1 upgraded, 1 added)";
        for (sections, parts, summary, wanted) in [
            (
                vec![section("files", 1_200, 0), section("users", 4, 0)],
                vec![],
                &none,
                "EQUAL: all 1,204 entries compared in 2 sections, nothing differs".to_owned(),
            ),
            (
                vec![section("files", 9, 0)],
                vec![part.clone()],
                &none,
                "INCOMPLETE: nothing is known to differ, but all 9 entries compared in 1 section, 1 part not compared"
                    .to_owned(),
            ),
            (
                vec![section("files", 9, 1)],
                vec![],
                &none,
                "INCOMPLETE: nothing is known to differ, but 9 of 10 entries compared in 1 section, 1 not compared"
                    .to_owned(),
            ),
            (
                vec![],
                vec![],
                &none,
                "INCOMPLETE: nothing is known to differ, but nothing was compared: neither state has an entry that \
                 the other could have"
                    .to_owned(),
            ),
            (
                vec![section("files", 0, 7)],
                vec![part.clone()],
                &none,
                "INCOMPLETE: nothing is known to differ, but nothing was compared: none of 7 entries, 7 not compared"
                    .to_owned(),
            ),
            (
                vec![section("files", 9, 0)],
                vec![],
                &some,
                format!("DIFFER: {found}; all 9 entries compared in 1 section"),
            ),
            (
                vec![section("files", 9, 2)],
                vec![part],
                &some,
                format!("DIFFER AND INCOMPLETE: {found}; 9 of 11 entries compared in 1 section, 2 not compared"),
            ),
        ] {
            assert_eq!(said(&sections, &parts, summary), wanted);
        }
    }
}
