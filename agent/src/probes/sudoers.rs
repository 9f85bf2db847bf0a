//! Who may run what as whom: section `sudoers`.

use std::collections::BTreeSet;
use std::sync::Arc;

use baseline_format::{ALL, Entry, OsText, Value};

use super::{Facts, Probe};
use crate::accounts::sudoers::settled::{
    SettingValue, Settled, SettledAlias, SettledRule, SettledSetting, settle,
};
use crate::accounts::sudoers::{self, Trouble};
use crate::tree::Tree;

/// Reads `/etc/sudoers` and what it includes.
#[derive(Debug)]
pub(super) struct Sudoers;

const SECTION: &str = "sudoers";
/// How many malformed lines are reported one by one.
const TROUBLE_LIMIT: usize = 1000;

impl Probe for Sudoers {
    fn section(&self) -> &'static str {
        SECTION
    }

    fn sources(&self) -> &'static [&'static str] {
        &[
            "/etc/sudoers",
            "/etc/sudoers.d/",
            "/usr/etc/sudoers",
            "/usr/etc/sudoers.d/",
        ]
    }

    fn read(&self, tree: &dyn Tree, out: &mut Facts) {
        let policy = sudoers::read(tree);
        report_trouble(&policy.trouble, out);
        let Settled {
            rules,
            aliases,
            settings,
            left_out,
        } = settle(&policy);
        drop(policy);
        for rule in &rules {
            out.push(rule_entry(rule));
        }
        for alias in &aliases {
            out.push(alias_entry(alias));
        }
        for ((scope, name), setting) in &settings {
            out.push(setting_entry(scope, name, setting));
        }
        for why in left_out {
            out.push(Entry::new(SECTION, "#too-much").unseen(ALL, why));
        }
    }
}

fn report_trouble(trouble: &[Trouble], out: &mut Facts) {
    for Trouble { file, line, why } in trouble.iter().take(TROUBLE_LIMIT) {
        let place = line.map_or(String::new(), |line| format!(":{line}"));
        out.push(Entry::new(SECTION, OsText::new(&[file, place.as_bytes()].concat())).unseen(ALL, why));
    }
    if trouble.len() > TROUBLE_LIMIT {
        let why = format!("more than {TROUBLE_LIMIT} malformed lines; the others are not listed");
        out.push(Entry::new(SECTION, "#more-lines").unseen(ALL, &why));
    }
}

fn rule_entry(rule: &SettledRule) -> Entry {
    let list = |items: &[Vec<u8>]| Value::list(items.iter().map(|item| OsText::new(item)));
    let some = |items: &[Vec<u8>]| (!items.is_empty()).then(|| list(items));
    let runas = rule.runas.as_ref();
    Entry::new(SECTION, OsText::new(&[b"rule/", &rule.text[..]].concat()))
        .with("users", list(&rule.users))
        .with("hosts", list(&rule.hosts))
        .with_some("runas-users", runas.map(|runas| list(&runas.users)))
        .with_some("runas-groups", runas.and_then(|runas| some(&runas.groups)))
        .with_some("options", some(&rule.options))
        .with_some(
            "tags",
            (!rule.tags.is_empty()).then(|| Value::list(rule.tags.iter().copied())),
        )
        .with_some("digests", some(&rule.digests))
        .with("command", Value::bytes(&rule.command))
        .with_some("negated", rule.negated.then_some(true))
        .with_some("overrides", some(&rule.overrides))
        .with("source", sources(&rule.sources))
}

fn alias_entry(alias: &SettledAlias) -> Entry {
    let prefix = format!("alias/{}/", alias.kind.label());
    Entry::new(SECTION, OsText::new(&[prefix.as_bytes(), &alias.name].concat()))
        .with(
            "members",
            Value::list(alias.members.iter().map(|member| OsText::new(member))),
        )
        .with("source", Value::list([OsText::new(&alias.source)]))
}

fn setting_entry(scope: &[u8], name: &[u8], setting: &SettledSetting) -> Entry {
    let entry = Entry::new(SECTION, OsText::new(&[b"default/", scope, b"/", name].concat()))
        .with("source", sources(&setting.sources));
    match &setting.value {
        SettingValue::Unset => entry,
        SettingValue::Switch(on) => entry.with("value", *on),
        SettingValue::Text(text) => entry.with("value", Value::bytes(text)),
        SettingValue::List {
            replaces,
            adds,
            removes,
        } => {
            let ordered = name == b"log_servers";
            let adds = adds.iter().map(|item| OsText::new(item));
            entry
                .with("replaces", *replaces)
                .with(
                    "adds",
                    if ordered {
                        Value::list(adds)
                    } else {
                        Value::set(adds)
                    },
                )
                .with(
                    "removes",
                    Value::set(removes.iter().map(|item| OsText::new(item))),
                )
        }
    }
}

fn sources(sources: &BTreeSet<Arc<[u8]>>) -> Value {
    Value::set(sources.iter().map(|source| OsText::new(source)))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{self, lines};
    use super::*;

    #[test]
    fn golden() {
        testing::golden(&Sudoers);
    }

    #[test]
    fn absent_and_unreadable() {
        testing::absent_and_unreadable(&Sudoers, "/etc/sudoers");
        let main = ("/etc/sudoers", "@includedir /etc/sudoers.d\n");
        let found = testing::lines_with_failure(&Sudoers, &[main], "/etc/sudoers.d/x");
        assert_eq!(
            found,
            ["[\"sudoers\",\"/etc/sudoers.d/x\",{\"unseen\":[\"all: permission denied\"]}]"]
        );
    }

    #[test]
    fn one_rule_more_is_one_fact_more() {
        let before = "Defaults env_reset\nroot ALL=(ALL:ALL) ALL\n%sudo ALL=(ALL:ALL) ALL\n";
        let after = format!("carol ALL=(root) /bin/less\n{before}");
        let (before, after) = (
            lines(&Sudoers, &[("/etc/sudoers", before)]),
            lines(&Sudoers, &[("/etc/sudoers", &after)]),
        );
        assert_eq!(after.len(), before.len() + 1);
        assert!(before.iter().all(|line| after.contains(line)));
    }

    #[test]
    fn nothing_of_a_malformed_line_comes_out() {
        let file = "Canary ALL=Canary\nDefaults Canary=Canary Canary\n@include Canary\nUser_Alias Canary\n";
        testing::no_canary(&Sudoers, &[("/etc/sudoers", file)], 4);
    }
}
