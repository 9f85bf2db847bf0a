//! Globs of many owners, matched in one pass.

use globset::{Candidate, GlobSet, GlobSetBuilder};

use crate::host;
use crate::scan::scope;

/// Which owners' globs match a path.
#[derive(Debug)]
pub(super) struct GlobIndex {
    set: GlobSet,
    /// By glob: its owner.
    owners: Vec<usize>,
    matched: Vec<usize>,
}

impl GlobIndex {
    /// An index of globs and their owners. The globs have been looked at before.
    pub(super) fn new<'a>(globs: impl Iterator<Item = (usize, &'a str)>) -> Result<Self, scope::BadGlob> {
        let mut builder = GlobSetBuilder::new();
        let mut owners = Vec::new();
        for (owner, text) in globs {
            builder.add(scope::glob(text)?);
            owners.push(owner);
        }
        let set = builder.build().map_err(|why| scope::BadGlob {
            glob: why.glob().unwrap_or("all together").to_owned(),
            why: why.kind().to_string(),
        })?;
        Ok(Self {
            set,
            owners,
            matched: Vec::new(),
        })
    }

    /// The owners of the globs that match, each once, in order.
    pub(super) fn owners_of(&mut self, path: &[u8]) -> Vec<usize> {
        let candidate = Candidate::new(host::as_path(path));
        self.set.matches_candidate_into(&candidate, &mut self.matched);
        let mut owners: Vec<usize> = self
            .matched
            .iter()
            .filter_map(|glob| self.owners.get(*glob).copied())
            .collect();
        owners.sort_unstable();
        owners.dedup();
        owners
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_owner_is_told_once() {
        let globs = [(2, "/etc/**"), (0, "**/passwd"), (2, "/etc/*"), (1, "/usr/**")];
        let mut index = GlobIndex::new(globs.into_iter()).unwrap();
        assert_eq!(index.owners_of(b"/etc/passwd"), [0, 2]);
        assert_eq!(index.owners_of(b"/usr/caf\xff"), [1]);
        assert_eq!(index.owners_of(b"/"), [0; 0]);
        assert!(GlobIndex::new([(0, "etc")].into_iter()).is_err());
    }
}
