//! Extended attributes and access control lists of members. Most members have none or the same as many others, so
//! each different set is kept once.

use std::collections::HashMap;
use std::sync::Arc;

use super::tree::Rules;
use crate::source::tar::Member;

/// Extended attributes and access control lists.
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Extended {
    /// Sorted by name.
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// As text.
    pub(super) acl: Option<Vec<u8>>,
    /// As text.
    pub(super) default_acl: Option<Vec<u8>>,
}

impl Extended {
    /// What a member tells, as far as the rules want it.
    pub(super) fn of(member: &Member, rules: Rules) -> Self {
        let texts = rules == Rules::RootFileSystem;
        Self {
            xattrs: member.xattrs.clone(),
            acl: member.acl.clone().filter(|_| texts),
            default_acl: member.default_acl.clone().filter(|_| texts),
        }
    }
}

/// All different sets. The set with the number 0 is empty.
pub(super) struct Lists {
    sets: Vec<Arc<Extended>>,
    numbers: HashMap<Arc<Extended>, u32>,
    none: Arc<Extended>,
}

impl Default for Lists {
    fn default() -> Self {
        let none = Arc::new(Extended::default());
        Self {
            sets: vec![Arc::clone(&none)],
            numbers: HashMap::from([(Arc::clone(&none), 0)]),
            none,
        }
    }
}

impl Lists {
    /// The number of a set. What it takes is added to `memory`, in bytes.
    pub(super) fn add(&mut self, set: Extended, memory: &mut u64) -> u32 {
        if set == *self.none {
            return 0;
        }
        if let Some(number) = self.numbers.get(&set) {
            return *number;
        }
        let pairs = set
            .xattrs
            .iter()
            .map(|(name, value)| name.len() + value.len() + PAIR_COST);
        let texts = [&set.acl, &set.default_acl].map(|text| text.as_ref().map_or(0, Vec::len));
        *memory += (pairs.sum::<usize>() + texts.iter().sum::<usize>() + SET_COST) as u64;
        let number = u32::try_from(self.sets.len()).unwrap_or(u32::MAX);
        let set = Arc::new(set);
        self.sets.push(Arc::clone(&set));
        self.numbers.insert(set, number);
        number
    }

    /// The set with this number.
    pub(super) fn get(&self, number: u32) -> &Extended {
        self.sets.get(number as usize).unwrap_or(&self.none)
    }

    /// Whether any set has an access control list as text.
    pub(super) fn has_acls(&self) -> bool {
        self.sets
            .iter()
            .any(|set| set.acl.is_some() || set.default_acl.is_some())
    }
}

/// Two vectors and their allocations.
const PAIR_COST: usize = 96;
/// A set, the two references to it, and its place in the table.
const SET_COST: usize = 192;
