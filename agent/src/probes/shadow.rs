//! Passwords and their ageing: section `shadow`. Never the hashes.

use baseline_format::Entry;

use super::{Facts, Probe};
use crate::accounts::crypt::{Cost, Hash};
use crate::accounts::{FILE_LIMIT, MalformedLines, UniqueKeys, read_or_report, shadow};
use crate::tree::Tree;

/// Reads `/etc/shadow`.
#[derive(Debug)]
pub(super) struct Shadow;

impl Probe for Shadow {
    fn section(&self) -> &'static str {
        "shadow"
    }

    fn sources(&self) -> &'static [&'static str] {
        &["/etc/shadow"]
    }

    fn read(&self, tree: &dyn Tree, out: &mut Facts) {
        let Some(bytes) = read_or_report(tree, self.section(), b"/etc/shadow", FILE_LIMIT, out) else {
            return;
        };
        let mut keys = UniqueKeys::default();
        let mut malformed = MalformedLines::new(self.section(), "");
        for line in shadow::parse(&bytes) {
            match line.record {
                Ok(user) => out.push(entry(self.section(), &user, &mut keys)),
                Err(why) => malformed.push(line.line, &why, out),
            }
        }
    }
}

fn entry(section: &'static str, user: &shadow::Shadow, keys: &mut UniqueKeys) -> Entry {
    let hash = user.password.hash();
    let cost = |wanted: fn(Cost) -> Option<u32>| hash.and_then(|hash: Hash| hash.cost).and_then(wanted);
    Entry::new(section, keys.next(&user.name))
        .with("password", user.password.state())
        .with_some("scheme", hash.map(|hash| hash.scheme))
        .with_some(
            "rounds",
            cost(|cost| {
                if let Cost::Rounds(rounds) = cost {
                    Some(rounds)
                } else {
                    None
                }
            }),
        )
        .with_some(
            "cost-log2",
            cost(|cost| {
                if let Cost::Log2(log2) = cost {
                    Some(log2)
                } else {
                    None
                }
            }),
        )
        .with_some("changed", user.changed)
        .with_some("min-days", user.min)
        .with_some("max-days", user.max)
        .with_some("warn-days", user.warn)
        .with_some("inactive-days", user.inactive)
        .with_some("expires", user.expires)
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    #[test]
    fn golden() {
        testing::golden(&Shadow);
    }

    #[test]
    fn absent_and_unreadable() {
        testing::absent_and_unreadable(&Shadow, "/etc/shadow");
    }

    #[test]
    fn no_hash_comes_out() {
        let forms = [
            "$y$j9T$Canary$Canary",
            "$6$rounds=5000$Canary$Canary",
            "$2b$10$CanaryCanaryCanary",
            "CanaryCanary.",
        ];
        let locked = forms.map(|form| format!("!{form}"));
        let all: Vec<&str> = forms
            .into_iter()
            .chain(locked.iter().map(|form| &form[..]))
            .collect();
        let lines = |(at, form)| {
            format!(
                "u{at}:{form}:1:2:3:4:5:6:
m{at}:{form}
n{at}:x:{form}:2:3:4:5:6:
"
            )
        };
        let file: Vec<String> = all.iter().enumerate().map(lines).collect();
        let file = file.concat();
        testing::no_canary(&Shadow, &[("/etc/shadow", &file)], 3 * all.len());
    }
}
