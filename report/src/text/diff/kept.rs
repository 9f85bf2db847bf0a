//! Differences that are held until the notes are written, in bounded memory.

use baseline_format::Value;
use baseline_format::report::ChangeKind;

use crate::diff::Difference;

/// Bytes that all held differences may take together: far more than anybody reads.
const ROOM: usize = 64 << 20;
/// Bytes that one takes beside its texts.
const FIXED: usize = 256;

/// What is left of the room.
#[derive(Debug)]
pub(super) struct Budget {
    left: usize,
    /// Differences of one kind that are held under one heading: more are not listed.
    most: u64,
}

impl Budget {
    /// The whole room; `listed` differences of each kind are listed under each heading.
    pub(super) fn new(listed: usize) -> Self {
        Self {
            left: ROOM,
            most: listed as u64,
        }
    }

    /// Takes `bytes` if they are left.
    fn spend(&mut self, bytes: usize) -> bool {
        match self.left.checked_sub(bytes) {
            Some(left) => {
                self.left = left;
                true
            }
            None => false,
        }
    }
}

/// Differences of one heading: the first ones by themselves, all by their number.
#[derive(Debug, Default)]
pub(super) struct Kept {
    items: Vec<Difference>,
    totals: [u64; 4],
}

impl Kept {
    /// Takes one over, or counts it if there is no room.
    pub(super) fn take(&mut self, difference: Difference, budget: &mut Budget) {
        if self.count(&difference, budget) {
            self.items.push(difference);
        }
    }

    /// The same with a copy.
    pub(super) fn take_ref(&mut self, difference: &Difference, budget: &mut Budget) {
        if self.count(difference, budget) {
            self.items.push(difference.clone());
        }
    }

    /// Counts one; whether there is room to hold it.
    fn count(&mut self, difference: &Difference, budget: &mut Budget) -> bool {
        let total = &mut self.totals[difference.change as usize];
        *total += 1;
        *total <= budget.most && budget.spend(weight(difference))
    }

    /// Those that are held.
    pub(super) fn items(&self) -> impl Iterator<Item = &Difference> {
        self.items.iter()
    }

    /// How many were taken.
    pub(super) fn total(&self) -> u64 {
        self.totals.iter().sum()
    }

    /// How many of one kind were taken.
    pub(super) const fn of_kind(&self, kind: ChangeKind) -> u64 {
        self.totals[kind as usize]
    }
}

/// Bytes that a difference takes, near enough.
fn weight(difference: &Difference) -> usize {
    let fields = difference.fields.iter().map(|field| {
        let values = [&field.expected, &field.actual].into_iter().flatten();
        field.name.len() + FIXED / 2 + values.map(value_weight).sum::<usize>()
    });
    let texts = difference.key.as_str().len() + difference.section.len();
    let warning = difference.warning.as_ref().map_or(0, String::len);
    FIXED + texts + warning + fields.sum::<usize>()
}

fn value_weight(value: &Value) -> usize {
    match value {
        Value::Bool(_) | Value::Integer(_) => 0,
        Value::Text(text) => text.as_str().len(),
        Value::List(items) => items.iter().map(|item| item.as_str().len() + 32).sum(),
        // Parsed JSON takes many times its text.
        other => 16 * other.to_string().len(),
    }
}
