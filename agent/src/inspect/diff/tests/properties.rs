//! What holds for any two states.

use std::collections::BTreeSet;

use baseline_format::Entry;
use baseline_format::report::ChangeKind;
use driftcheck_report::diff::{DiffVerdict, Difference, Step};
use proptest::prelude::*;

use super::of_entries;
use crate::inspect::testing::{any_entries, sorted};

/// A difference seen from the other side.
fn mirrored(difference: &Difference) -> (String, String, ChangeKind, String, Option<Step>) {
    let change = match difference.change {
        ChangeKind::Added => ChangeKind::Removed,
        ChangeKind::Removed => ChangeKind::Added,
        other => other,
    };
    let step = difference.step.map(|step| match step {
        Step::Added => Step::Removed,
        Step::Removed => Step::Added,
        Step::Upgraded => Step::Downgraded,
        Step::Downgraded => Step::Upgraded,
        other => other,
    });
    let mut fields: Vec<String> = difference
        .fields
        .iter()
        .map(|field| format!("{} {:?} {:?}", field.name, field.actual, field.expected))
        .collect();
    fields.sort();
    (
        difference.section.clone(),
        difference.key.to_string(),
        change,
        fields.join("; "),
        step,
    )
}

fn as_is(difference: &Difference) -> (String, String, ChangeKind, String, Option<Step>) {
    let mut swapped = difference.clone();
    for field in &mut swapped.fields {
        std::mem::swap(&mut field.expected, &mut field.actual);
    }
    let (section, key, _, fields, _) = mirrored(&swapped);
    (section, key, difference.change, fields, difference.step)
}

proptest! {
    #[test]
    fn a_state_does_not_differ_from_itself(entries in any_entries()) {
        let (diff, told) = of_entries(&entries, &entries);
        prop_assert!(told.iter().all(|difference| difference.change == ChangeKind::Unseen), "{told:?}");
        prop_assert_eq!(diff.summary.differences(), 0);
        let text = String::from_utf8(sorted(&entries).concat()).unwrap();
        let mounts = text.matches("\"mount\":").count();
        if !text.contains("\"unseen\":") && mounts < sorted(&entries).len() {
            prop_assert_eq!(diff.verdict, DiffVerdict::Equal);
        }
    }

    #[test]
    fn both_ways_tell_the_same(old in any_entries(), new in any_entries()) {
        let (there, one) = of_entries(&old, &new);
        let (back, other) = of_entries(&new, &old);
        let told: BTreeSet<String> = one.iter().map(|difference| format!("{:?}", as_is(difference))).collect();
        let mirror: BTreeSet<String> = other.iter().map(|difference| format!("{:?}", mirrored(difference))).collect();
        prop_assert_eq!(told, mirror);
        prop_assert_eq!(there.verdict, back.verdict);
        for (left, right) in there.sections.iter().zip(&back.sections) {
            prop_assert_eq!((left.old, left.new, left.added, left.removed), (right.new, right.old, right.removed, right.added));
            prop_assert_eq!((left.compared, left.not_compared), (right.compared, right.not_compared));
        }
    }

    #[test]
    fn every_entry_is_accounted_for(old in any_entries(), new in any_entries()) {
        let (diff, told) = of_entries(&old, &new);
        let places = |entries: &[Entry]| -> BTreeSet<(String, String)> {
            entries.iter().map(|entry| (entry.section.to_string(), entry.key.to_string())).collect()
        };
        let all = places(&old).union(&places(&new)).count() as u64;
        let counted = diff.sections.iter().map(|section| section.compared + section.not_compared + section.left_out);
        prop_assert_eq!(counted.sum::<u64>(), all);
        prop_assert_eq!(diff.summary.changes, told.len() as u64);
        prop_assert!(told.is_sorted_by(|left, right| baseline_format::order::compare(
            (&left.section, left.key.as_str()), (&right.section, right.key.as_str())).is_le()));
    }
}
