//! Ids that users may use inside user namespaces: section `subids`.

use baseline_format::Entry;

use super::{Facts, Probe};
use crate::accounts::{FILE_LIMIT, MalformedLines, UniqueKeys, read_or_report, subid};
use crate::tree::Tree;

/// Reads `/etc/subuid` and `/etc/subgid`.
#[derive(Debug)]
pub(super) struct Subids;

impl Probe for Subids {
    fn section(&self) -> &'static str {
        "subids"
    }

    fn sources(&self) -> &'static [&'static str] {
        &["/etc/subgid", "/etc/subuid"]
    }

    fn read(&self, tree: &dyn Tree, out: &mut Facts) {
        for (path, kind) in [("/etc/subuid", "uid/"), ("/etc/subgid", "gid/")] {
            let Some(bytes) = read_or_report(tree, self.section(), path.as_bytes(), FILE_LIMIT, out) else {
                continue;
            };
            let mut keys = UniqueKeys::default();
            let mut malformed = MalformedLines::new(self.section(), kind);
            for line in subid::parse(&bytes) {
                match line.record {
                    Ok(range) => {
                        let start = format!("/{}", range.start);
                        let name = [kind.as_bytes(), &range.owner, start.as_bytes()].concat();
                        out.push(Entry::new(self.section(), keys.next(&name)).with("count", range.count));
                    }
                    Err(why) => malformed.push(line.line, &why, out),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    #[test]
    fn golden() {
        testing::golden(&Subids);
    }

    #[test]
    fn absent_and_unreadable() {
        testing::absent_and_unreadable(&Subids, "/etc/subuid");
        testing::absent_and_unreadable(&Subids, "/etc/subgid");
    }
}
