//! The drifts of one severity and one section: which are listed, and where the others are counted.

use std::collections::HashMap;

use baseline_format::OsText;
use baseline_format::order::is_below;
use baseline_format::report::{ChangeKind, Drift, Severity};

/// Drifts held at once when all are to be listed: enough to group them well, too few to notice.
const HELD: usize = 1_000;

/// Drifts of one package and meaning that are listed by name: a rebuilt package must not hide the others.
const OF_ONE_PACKAGE: usize = 3;

/// Kinds of change in the order in which they are told.
pub(super) const KINDS: [ChangeKind; 4] = [
    ChangeKind::Modified,
    ChangeKind::Added,
    ChangeKind::Removed,
    ChangeKind::Unseen,
];

pub(super) struct Block {
    pub(super) severity: Severity,
    pub(super) section: String,
    pub(super) items: Vec<Item>,
    tallies: [Tally; 4],
    /// By package, kind of change and meaning: how many drifts are listed, and the last of them.
    owners: HashMap<(OsText, ChangeKind, Option<String>), (usize, usize)>,
}

/// A drift that is listed.
pub(super) struct Item {
    pub(super) drift: Drift,
    /// Drifts below it that it stands for.
    pub(super) below: u64,
    /// Drifts of the same package and meaning that it stands for.
    pub(super) of_package: u64,
}

/// Drifts that belong together and are told together.
pub(super) struct Group<'a> {
    pub(super) change: ChangeKind,
    pub(super) meaning: Option<&'a str>,
    pub(super) items: Vec<&'a Item>,
}

#[derive(Default)]
struct Tally {
    listed: usize,
    more: u64,
    top: Option<Top>,
}

/// A directory that came or went; what lies below it came or went with it.
struct Top {
    key: String,
    meaning: Option<String>,
    /// Where it is listed; `None` if it is only counted, and so is what lies below it.
    item: Option<usize>,
}

impl Block {
    pub(super) fn new(severity: Severity, section: String) -> Self {
        Self {
            severity,
            section,
            items: Vec::new(),
            tallies: Default::default(),
            owners: HashMap::new(),
        }
    }

    pub(super) fn holds(&self, drift: &Drift) -> bool {
        self.severity == drift.severity && self.section == drift.section
    }

    pub(super) fn is_full(&self, limit: usize) -> bool {
        limit == 0 && self.items.len() >= HELD
    }

    /// Lists a drift, folds it under its directory, or counts it. With a `limit` of 0 all are listed.
    pub(super) fn take(&mut self, drift: Drift, limit: usize) {
        let tally = &mut self.tallies[place(drift.change)];
        if limit == 0 {
            tally.listed += 1;
            self.items.push(Item {
                drift,
                below: 0,
                of_package: 0,
            });
            return;
        }
        if let Some(top) = &tally.top
            && top.covers(&drift)
        {
            match top.item.and_then(|item| self.items.get_mut(item)) {
                Some(item) => item.below += 1,
                None => tally.more += 1,
            }
            return;
        }
        let owner = drift
            .owner_package
            .clone()
            .map(|package| (package, drift.change, drift.meaning.clone()));
        if let Some((many, last)) = owner.as_ref().and_then(|owner| self.owners.get(owner))
            && *many >= OF_ONE_PACKAGE
        {
            self.items[*last].of_package += 1;
            return;
        }
        let listed = tally.listed < limit;
        if let (true, Some(owner)) = (listed, owner) {
            let known = self.owners.entry(owner).or_default();
            *known = (known.0 + 1, self.items.len());
        }
        if can_fold(&drift)
            && !tally
                .top
                .as_ref()
                .is_some_and(|top| is_below(drift.key.as_str(), &top.key))
        {
            tally.top = Some(Top {
                key: drift.key.as_str().to_owned(),
                meaning: drift.meaning.clone(),
                item: listed.then_some(self.items.len()),
            });
        }
        if listed {
            tally.listed += 1;
            self.items.push(Item {
                drift,
                below: 0,
                of_package: 0,
            });
        } else {
            tally.more += 1;
        }
    }

    /// What is listed, those with a meaning first.
    pub(super) fn groups(&self) -> Vec<Group<'_>> {
        let mut groups: Vec<Group<'_>> = Vec::new();
        for item in &self.items {
            let (change, meaning) = (item.drift.change, item.drift.meaning.as_deref());
            match groups
                .iter_mut()
                .find(|group| group.change == change && group.meaning == meaning)
            {
                Some(group) => group.items.push(item),
                None => groups.push(Group {
                    change,
                    meaning,
                    items: vec![item],
                }),
            }
        }
        groups.sort_by_key(|group| (group.meaning.is_none(), place(group.change)));
        groups
    }

    /// How many are only counted, by kind of change.
    pub(super) fn more(&self) -> impl Iterator<Item = (ChangeKind, u64)> {
        KINDS
            .into_iter()
            .map(|change| (change, self.tallies[place(change)].more))
            .filter(|(_, more)| *more > 0)
    }
}

impl Top {
    /// Whether a drift goes without saying. One with a meaning of its own does not.
    fn covers(&self, drift: &Drift) -> bool {
        is_below(drift.key.as_str(), &self.key) && (drift.meaning.is_none() || drift.meaning == self.meaning)
    }
}

/// Only where a key is a path does the one above contain the one below.
fn can_fold(drift: &Drift) -> bool {
    matches!(drift.change, ChangeKind::Added | ChangeKind::Removed)
        && drift.section == "files"
        && drift.key.as_str().starts_with('/')
}

const fn place(change: ChangeKind) -> usize {
    match change {
        ChangeKind::Modified => 0,
        ChangeKind::Added => 1,
        ChangeKind::Removed => 2,
        ChangeKind::Unseen => 3,
    }
}
