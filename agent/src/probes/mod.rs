//! Probes: each reads the facts of one section.
//!
//! To add one: a file here, its `mod` line, and its line in [`PROBES`]. Nothing else needs to know.

mod authorized_keys;
mod groups;
mod image;
mod packages;
mod shadow;
mod subids;
mod sudoers;
#[cfg(test)]
mod testing;
mod users;

use std::collections::BTreeSet;

use baseline_format::Entry;

use crate::tree::Tree;

/// Reads one section's facts from a tree. The `files` section is not a probe of this kind: it is the walk
/// itself (`crate::scan`), because it must stream.
pub trait Probe: Sync {
    /// The section's name.
    fn section(&self) -> &'static str;

    /// Revision of the section's attributes; see `SectionInfo::revision`.
    fn revision(&self) -> u32 {
        1
    }

    /// Paths whose content makes these facts, so that a drift here and the file's own drift can be linked.
    /// A path that ends in `/` means everything below it.
    fn sources(&self) -> &'static [&'static str];

    /// Reads the facts. What is not there gives no facts; what cannot be read or understood gives an entry
    /// with [`Entry::unseen`], so that it is neither "same" nor "gone", and the rest goes on.
    fn read(&self, tree: &dyn Tree, out: &mut Facts);
}

/// The probes, in section order.
pub const PROBES: &[&dyn Probe] = &[
    &authorized_keys::AuthorizedKeys,
    &groups::Groups,
    &image::Image,
    &packages::Packages,
    &shadow::Shadow,
    &subids::Subids,
    &sudoers::Sudoers,
    &users::Users,
];

/// Whether a probe may want to read the content of this file, as its path and size in bytes look; `path` has no `/` in
/// front. What an archive holds can be read a second time only at the price of another pass, so it is kept when it
/// goes by if this says so; what a probe wants beyond that costs time and nothing else.
#[must_use]
pub fn may_read(path: &[u8], size: u64) -> bool {
    let below = |places: &[&str]| places.iter().any(|place| path.starts_with(place.as_bytes()));
    below(&DATABASES) || (size <= SETTINGS_LIMIT && below(&SETTINGS))
}

/// Where package managers keep what they know, however long it is.
const DATABASES: [&str; 9] = [
    "lib/apk/db/",
    "usr/lib/apk/db/",
    "usr/lib/sysimage/rpm/",
    "var/lib/alternatives/",
    "var/lib/apt/extended_states",
    "var/lib/dpkg/",
    "var/lib/pacman/local/",
    "var/lib/rpm/",
    "var/lib/ucf/",
];
/// Where settings and accounts are.
const SETTINGS: [&str; 6] = [
    "etc/",
    "home/",
    "root/",
    "usr/etc/",
    "usr/lib/driftcheck/",
    "usr/lib/os-release",
];
/// Settings are short. Bytes.
const SETTINGS_LIMIT: u64 = 1 << 20;

/// Facts of one section as a probe finds them, in any order.
#[derive(Debug, Default)]
pub struct Facts {
    entries: Vec<Entry>,
}

impl Facts {
    /// Adds a fact.
    pub fn push(&mut self, entry: Entry) {
        self.entries.push(entry);
    }

    /// The facts in THE order. Two facts with one key become one entry that says so: which of the two is
    /// meant cannot be known, and neither may hide the other.
    #[must_use]
    pub fn into_sorted(mut self) -> Vec<Entry> {
        use baseline_format::order::compare_keys;
        self.entries
            .sort_by(|a, b| compare_keys(a.key.as_str(), b.key.as_str()));
        let doubled: BTreeSet<usize> = (1..self.entries.len())
            .filter(|&at| {
                self.entries[at].key == self.entries[at - 1].key && self.entries[at] != self.entries[at - 1]
            })
            .collect();
        let mut sorted: Vec<Entry> = Vec::with_capacity(self.entries.len());
        for (at, entry) in self.entries.into_iter().enumerate() {
            match sorted.last_mut() {
                Some(last) if last.key == entry.key => {
                    if doubled.contains(&at) {
                        *last = last
                            .clone()
                            .unseen(baseline_format::ALL, "two different facts have this key");
                    }
                }
                _ => sorted.push(entry),
            }
        }
        sorted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_probes_read_is_kept_of_an_archive() {
        for source in PROBES.iter().flat_map(|probe| probe.sources()) {
            let path = source.strip_prefix('/').unwrap();
            assert!(may_read(path.as_bytes(), 1 << 20), "{source}");
        }
        assert!(may_read(b"var/lib/rpm/rpmdb.sqlite", 1 << 30));
        assert!(!may_read(b"usr/bin/tool", 1) && !may_read(b"etc/core", 2 << 20));
    }

    #[test]
    fn probes_are_in_section_order() {
        assert!(
            PROBES
                .windows(2)
                .all(|pair| pair[0].section() < pair[1].section())
        );
    }
}
