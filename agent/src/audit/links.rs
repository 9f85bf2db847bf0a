//! Links drifts that tell one event in two sections: `/etc/passwd` changed, and a user was added.

use baseline_format::report::{ChangeKind, Drift};

use crate::probes::PROBES;
use crate::scan::FILES;

/// Drifts that are held back until all sections have been seen. Beyond that they go unlinked.
const HELD: usize = 4_000;
/// Links a drift may have.
const MOST: usize = 50;

/// Drifts that may have to be linked.
#[derive(Debug, Default)]
pub(super) struct Links {
    held: Vec<Drift>,
}

impl Links {
    /// Holds a drift back, or gives it back at once if nothing can be linked to it.
    pub(super) fn hold(&mut self, drift: Drift) -> Option<Drift> {
        let linkable =
            drift.section != FILES || PROBES.iter().any(|probe| is_source(probe.sources(), &drift));
        if !linkable || drift.change == ChangeKind::Unseen || self.held.len() >= HELD {
            return Some(drift);
        }
        self.held.push(drift);
        None
    }

    /// Links the drifts that were held back and gives them all.
    pub(super) fn finish(&mut self) -> Vec<Drift> {
        let mut drifts = std::mem::take(&mut self.held);
        for probe in PROBES {
            let of_section: Vec<usize> = (0..drifts.len())
                .filter(|&at| drifts[at].section == probe.section())
                .collect();
            if of_section.is_empty() {
                continue;
            }
            for file in 0..drifts.len() {
                if drifts[file].section == FILES && is_source(probe.sources(), &drifts[file]) {
                    for &fact in of_section.iter().take(MOST) {
                        let (file_id, fact_id) = (drifts[file].id.clone(), drifts[fact].id.clone());
                        relate(&mut drifts[file], fact_id);
                        relate(&mut drifts[fact], file_id);
                    }
                }
            }
        }
        drifts
    }
}

/// Whether a drift of `files` is one of a section's sources.
fn is_source(sources: &[&str], drift: &Drift) -> bool {
    let key = drift.key.as_str();
    sources.iter().any(|source| {
        if source.ends_with('/') {
            key.starts_with(source)
        } else {
            key == *source
        }
    })
}

fn relate(drift: &mut Drift, id: String) {
    if drift.related.len() < MOST && !drift.related.contains(&id) {
        drift.related.push(id);
    }
}
