//! Files that dpkg was told not to install (`path-exclude` in dpkg.cfg(5)), as slim images do with documentation.

use globset::{GlobBuilder, GlobMatcher};

use crate::tree::Tree;

/// A configuration file of dpkg is short. Bytes.
const LIMIT: u64 = 1 << 20;

/// `path-exclude` and `path-include` rules; the last one that matches decides.
#[derive(Debug, Default)]
pub(crate) struct PathExcludes(Vec<(bool, GlobMatcher)>);

impl PathExcludes {
    /// Reads dpkg's configuration. What cannot be read excuses nothing.
    pub(crate) fn read(tree: &dyn Tree) -> Self {
        let mut rules = Vec::new();
        let directory = b"/etc/dpkg/dpkg.cfg.d";
        let mut files = vec![b"/etc/dpkg/dpkg.cfg".to_vec()];
        for name in tree.list(directory).unwrap_or_default() {
            files.push([&directory[..], b"/", &name].concat());
        }
        for file in files {
            let text = tree.read(&file, LIMIT).unwrap_or_default();
            for line in String::from_utf8_lossy(&text).lines() {
                let Some((option, pattern)) = line.trim().split_once(['=', ' ']) else {
                    continue;
                };
                let excludes = match option {
                    "path-exclude" => true,
                    "path-include" => false,
                    _ => continue,
                };
                // As in fnmatch(3) without FNM_PATHNAME, `*` matches slashes.
                if let Ok(glob) = GlobBuilder::new(pattern.trim()).literal_separator(false).build() {
                    rules.push((excludes, glob.compile_matcher()));
                }
            }
        }
        Self(rules)
    }

    /// Whether dpkg was told not to install `path`.
    pub(crate) fn excuse(&self, path: &[u8]) -> bool {
        let path = crate::host::as_path(path);
        self.0
            .iter()
            .rev()
            .find(|(_, glob)| glob.is_match(path))
            .is_some_and(|(excludes, _)| *excludes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::memory::MemoryTree;

    #[test]
    fn the_last_rule_decides() {
        let tree = MemoryTree::new().file(
            "/etc/dpkg/dpkg.cfg.d/slim",
            "# documentation\npath-exclude /usr/share/doc/*\npath-include=/usr/share/doc/*/copyright\n",
        );
        let excludes = PathExcludes::read(&tree);
        assert!(excludes.excuse(b"/usr/share/doc/bash/README"));
        assert!(!excludes.excuse(b"/usr/share/doc/bash/copyright"));
        assert!(!excludes.excuse(b"/usr/bin/bash"));
        assert!(!PathExcludes::read(&MemoryTree::new()).excuse(b"/usr/share/doc/x"));
    }
}
