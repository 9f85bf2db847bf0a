//! Which listed drifts tell the same event.
//!
//! The drifts pass once, so a hint can only point back: the later of two related drifts names the earlier one,
//! whichever of the two carries the other's id.

use std::collections::HashMap;

use baseline_format::report::Drift;

use crate::words::{number, plain, quoted, shorten};

/// Ids remembered. Drifts that tell the same event are few; what the host can multiply is bounded.
const REMEMBERED: usize = 4_096;
/// Ids looked at in one drift.
const LOOKED_AT: usize = 16;
/// Drifts named in one hint.
const NAMED: usize = 2;

#[derive(Default)]
pub(super) struct Related {
    /// Listed drifts, by id.
    listed: HashMap<String, String>,
    /// Listed drifts that carry the id of another one, by that id.
    referring: HashMap<String, String>,
}

impl Related {
    /// The hint for a drift that is being listed, if it is related to any before; remembers it for those after.
    pub(super) fn hint(&mut self, drift: &Drift) -> Option<String> {
        let mut names: Vec<&String> = Vec::new();
        let ids = drift.related.iter().take(LOOKED_AT);
        for name in ids
            .clone()
            .filter_map(|id| self.listed.get(id))
            .chain(self.referring.get(&drift.id))
        {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        let hint = (!names.is_empty()).then(|| {
            let told: Vec<&str> = names.iter().take(NAMED).map(|name| name.as_str()).collect();
            let more = match names.len().saturating_sub(NAMED) {
                0 => String::new(),
                more => format!(" and {} more", number(more as u64)),
            };
            format!("(see {}{more})", told.join(", "))
        });
        let name = || {
            let key = quoted(drift.key.as_str());
            format!("{}: {}", shorten(&plain(&drift.section), 16), shorten(&key, 40))
        };
        if self.listed.len() < REMEMBERED {
            self.listed.insert(drift.id.clone(), name());
        }
        for id in ids {
            if self.referring.len() < REMEMBERED {
                self.referring.entry(id.clone()).or_insert_with(name);
            }
        }
        hint
    }
}
