//! What a policy means, in facts that outlive reformatting.
//!
//! A rule's name is its canonical text, so that a new rule is one new fact wherever it is put. Order is part
//! of the meaning only where a later rule overrides an earlier one; there, and only there, the later one says
//! so.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::overrides::{Case, Cases};
use super::{
    Alias, AliasKind, AliasMembers, Change, Command, CommandName, Member, Name, Policy, Rule, Runas, Scope,
    spelling,
};

/// A policy's facts.
#[derive(Debug, Default)]
pub struct Settled {
    /// Rules, in order of their last appearance.
    pub rules: Vec<SettledRule>,
    /// Aliases, in order.
    pub aliases: Vec<SettledAlias>,
    /// Settings by scope and name.
    pub settings: BTreeMap<(Vec<u8>, Vec<u8>), SettledSetting>,
    /// What was left out because there is too much of it, as a lower-case fragment.
    pub left_out: Vec<&'static str>,
}

/// A rule for one user (or for a list that cannot be taken apart) and one command.
#[derive(Clone, Debug)]
pub struct SettledRule {
    /// Canonical text: `USERS HOSTS=(RUNAS) OPTIONS TAGS: COMMAND`.
    pub text: Vec<u8>,
    /// Who, spelled.
    pub users: Vec<Vec<u8>>,
    /// Where, spelled.
    pub hosts: Vec<Vec<u8>>,
    /// As whom; `None` if nothing is said.
    pub runas: Option<SettledRunas>,
    /// Options as `NAME=VALUE`.
    pub options: Vec<Vec<u8>>,
    /// Names of the tags that hold.
    pub tags: Vec<&'static str>,
    /// Digests that the program must have one of.
    pub digests: Vec<Vec<u8>>,
    /// What, without digests and `!`.
    pub command: Vec<u8>,
    /// Whether the rule forbids.
    pub negated: bool,
    /// Texts of the earlier rules that may hold for the same case with another outcome.
    pub overrides: Vec<Vec<u8>>,
    /// The files that have the rule.
    pub sources: BTreeSet<Arc<[u8]>>,
}

/// As whom, spelled; without users and groups only as oneself.
#[derive(Clone, Debug)]
pub struct SettledRunas {
    /// Users.
    pub users: Vec<Vec<u8>>,
    /// Groups.
    pub groups: Vec<Vec<u8>>,
}

/// A definition of an alias.
#[derive(Clone, Debug)]
pub struct SettledAlias {
    /// Its kind.
    pub kind: AliasKind,
    /// Its name.
    pub name: Vec<u8>,
    /// Its members, spelled; sorted unless their order means something.
    pub members: Vec<Vec<u8>>,
    /// The file that defines it.
    pub source: Arc<[u8]>,
}

/// What all the changes to one setting amount to.
#[derive(Clone, Debug, Default)]
pub struct SettledSetting {
    /// The value, for a setting that has one; the last one wins.
    pub value: SettingValue,
    /// The files that set it.
    pub sources: BTreeSet<Arc<[u8]>>,
}

/// The value of a setting.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SettingValue {
    /// Nothing was set yet.
    #[default]
    Unset,
    /// On or off.
    Switch(bool),
    /// A text.
    Text(Vec<u8>),
    /// A list: whether it replaces the built-in one, what it adds, what it takes away.
    List {
        /// Whether the list that sudo has built in, or that a wider scope makes, is replaced.
        replaces: bool,
        /// Items in the order in which they were added.
        adds: Vec<Vec<u8>>,
        /// Items that are taken away from the built-in list.
        removes: BTreeSet<Vec<u8>>,
    },
}

/// Most rules for which is worked out what overrides what.
const PAIRS_LIMIT: usize = 1024;
/// Most overridden rules that are listed one by one.
const OVERRIDES_LIMIT: usize = 64;
/// Most bytes of rules. A long list of users in front of a long list of commands would multiply.
const SIZE_LIMIT: usize = 32 << 20;
/// What a rule takes besides its text, in bytes, about.
const RULE_SIZE: usize = 512;

/// A rule for one user, its text and where it stands.
struct Part {
    text: Vec<u8>,
    rule: Rule,
    sources: BTreeSet<Arc<[u8]>>,
}

/// Works out the facts.
#[must_use]
pub fn settle(policy: &Policy) -> Settled {
    let denying = Denying::of(&policy.aliases);
    let mut out = Settled {
        aliases: policy
            .aliases
            .iter()
            .map(|alias| settle_alias(alias, &denying))
            .collect(),
        settings: settle_settings(policy, &denying),
        ..Settled::default()
    };
    let parts = take_apart(policy, &denying, &mut out);
    out.rules = describe(&parts, &Cases::new(&policy.aliases), &mut out.left_out);
    out
}

/// Aliases that exclude somebody, themselves or through another alias: their place in a list matters.
struct Denying(HashSet<(AliasKind, Vec<u8>)>);

impl Denying {
    fn of(aliases: &[Alias]) -> Self {
        let mut used_by: HashMap<(AliasKind, &[u8]), Vec<&Alias>> = HashMap::new();
        let mut found = HashSet::new();
        let mut todo: Vec<&Alias> = Vec::new();
        for alias in aliases {
            let members: Vec<(bool, Option<&[u8]>)> = match &alias.members {
                AliasMembers::Names(members) => members
                    .iter()
                    .map(|member| (member.negated, alias_name(&member.name)))
                    .collect(),
                AliasMembers::Commands(commands) => commands
                    .iter()
                    .map(|command| (command.negated, command_alias(command)))
                    .collect(),
            };
            if members.iter().any(|(negated, _)| *negated) {
                todo.push(alias);
            }
            for name in members.into_iter().filter_map(|(_, name)| name) {
                used_by.entry((alias.kind, name)).or_default().push(alias);
            }
        }
        while let Some(alias) = todo.pop() {
            if found.insert((alias.kind, alias.name.clone())) {
                todo.extend(used_by.get(&(alias.kind, &alias.name[..])).into_iter().flatten());
            }
        }
        Self(found)
    }

    fn has(&self, kind: AliasKind, name: &[u8]) -> bool {
        !self.0.is_empty() && self.0.contains(&(kind, name.to_vec()))
    }

    /// Whether the order of these members can make a difference.
    fn order_matters(&self, kind: AliasKind, members: &[Member]) -> bool {
        members
            .iter()
            .any(|member| member.negated || alias_name(&member.name).is_some_and(|name| self.has(kind, name)))
    }

    /// The members in canonical order.
    fn sorted(&self, kind: AliasKind, members: &[Member]) -> Vec<Member> {
        let mut sorted = members.to_vec();
        if !self.order_matters(kind, members) {
            sorted.sort_by_cached_key(spelling::member);
            sorted.dedup();
        }
        sorted
    }

    fn commands_sorted(&self, commands: &[Command]) -> Vec<Vec<u8>> {
        let mut texts: Vec<Vec<u8>> = commands.iter().map(spelling::command).collect();
        let matters = |command: &Command| {
            command.negated || command_alias(command).is_some_and(|name| self.has(AliasKind::Command, name))
        };
        if !commands.iter().any(matters) {
            texts.sort_unstable();
            texts.dedup();
        }
        texts
    }
}

fn alias_name(name: &Name) -> Option<&[u8]> {
    match name {
        Name::Alias(name) => Some(name),
        _ => None,
    }
}

fn command_alias(command: &Command) -> Option<&[u8]> {
    match &command.name {
        CommandName::Alias(name) => Some(name),
        _ => None,
    }
}

fn settle_alias(alias: &Alias, denying: &Denying) -> SettledAlias {
    let members = match &alias.members {
        AliasMembers::Names(members) => denying
            .sorted(alias.kind, members)
            .iter()
            .map(spelling::member)
            .collect(),
        AliasMembers::Commands(commands) => denying.commands_sorted(commands),
    };
    SettledAlias {
        kind: alias.kind,
        name: alias.name.clone(),
        members,
        source: Arc::clone(&alias.source),
    }
}

/// Rules for single users, each once, at its last place: the last match decides, so an earlier appearance of
/// the same rule has no effect.
fn take_apart(policy: &Policy, denying: &Denying, out: &mut Settled) -> Vec<Part> {
    let mut places: HashMap<Vec<u8>, usize> = HashMap::new();
    let mut parts: Vec<Option<Part>> = Vec::new();
    let mut size = 0;
    for rule in &policy.rules {
        let hosts: Arc<[Member]> = denying.sorted(AliasKind::Host, &rule.hosts).into();
        let runas = rule.runas.as_deref().map(|runas| {
            Arc::new(Runas {
                users: denying.sorted(AliasKind::Runas, &runas.users),
                groups: denying.sorted(AliasKind::Runas, &runas.groups),
            })
        });
        let whole = denying.order_matters(AliasKind::User, &rule.users);
        let width = if whole { rule.users.len() } else { 1 };
        for users in rule.users.chunks(width.max(1)) {
            let rule = Rule {
                users: users.into(),
                hosts: Arc::clone(&hosts),
                runas: runas.clone(),
                ..rule.clone()
            };
            let text = spelling::rule(&rule);
            size += text.len() + RULE_SIZE;
            if size > SIZE_LIMIT {
                out.left_out.push("rules: more than are taken apart");
                return parts.into_iter().flatten().collect();
            }
            let place = parts.len();
            let mut sources = BTreeSet::from([Arc::clone(&rule.source)]);
            if let Some(earlier) = places.insert(text.clone(), place)
                && let Some(known) = parts[earlier].take()
            {
                sources.extend(known.sources);
            }
            parts.push(Some(Part { text, rule, sources }));
        }
    }
    parts.into_iter().flatten().collect()
}

fn describe(parts: &[Part], cases: &Cases<'_>, left_out: &mut Vec<&'static str>) -> Vec<SettledRule> {
    let mut known: Vec<Case> = Vec::new();
    if parts.len() > PAIRS_LIMIT {
        left_out.push("overrides: more rules than are compared with each other");
    } else {
        known.extend(parts.iter().map(|part| cases.of(&part.rule)));
    }
    let each = |members: &[Member]| members.iter().map(spelling::member).collect::<Vec<_>>();
    let describe = |(at, Part { text, rule, sources }): (usize, &Part)| SettledRule {
        text: text.clone(),
        users: each(&rule.users),
        hosts: each(&rule.hosts),
        runas: rule.runas.as_ref().map(|runas| SettledRunas {
            users: each(&runas.users),
            groups: each(&runas.groups),
        }),
        options: spelling::options(rule).collect(),
        tags: spelling::tags(rule).collect(),
        digests: spelling::digests(&rule.command),
        command: spelling::program(&rule.command.name),
        negated: rule.command.negated,
        overrides: known
            .get(at)
            .map_or_else(Vec::new, |case| overridden(case, &known[..at], parts)),
        sources: sources.clone(),
    };
    parts.iter().enumerate().map(describe).collect()
}

/// The texts of the earlier rules that this one may override.
fn overridden(case: &Case, earlier: &[Case], parts: &[Part]) -> Vec<Vec<u8>> {
    let conflicts = earlier
        .iter()
        .zip(parts)
        .filter(|(other, _)| case.conflicts(other));
    let mut texts: Vec<Vec<u8>> = conflicts.map(|(_, part)| part.text.clone()).collect();
    texts.sort_unstable();
    if texts.len() > OVERRIDES_LIMIT {
        let mut summary = format!("{} rules, sha256:", texts.len()).into_bytes();
        baseline_format::push_hex(&Sha256::digest(texts.join(&b"\n"[..])), &mut summary);
        return vec![summary];
    }
    texts
}

/// Settings whose value is a list even if it is only assigned.
const LISTS: &[&[u8]] = &[
    b"env_check",
    b"env_delete",
    b"env_keep",
    b"log_servers",
    b"passprompt_regex",
];

fn settle_settings(policy: &Policy, denying: &Denying) -> BTreeMap<(Vec<u8>, Vec<u8>), SettledSetting> {
    let mut settled: BTreeMap<(Vec<u8>, Vec<u8>), SettledSetting> = BTreeMap::new();
    for setting in &policy.settings {
        let scope = scope_text(&setting.scope, denying);
        let known = settled.entry((scope, setting.name.clone())).or_default();
        known.sources.insert(Arc::clone(&setting.source));
        let list = LISTS.contains(&&setting.name[..]);
        known.value = apply(std::mem::take(&mut known.value), &setting.change, list);
    }
    settled
}

fn scope_text(scope: &Scope, denying: &Denying) -> Vec<u8> {
    let names = |label: &str, kind, members: &[Member]| {
        [
            label.as_bytes(),
            b" ",
            &spelling::list(&denying.sorted(kind, members)),
        ]
        .concat()
    };
    match scope {
        Scope::Global => b"global".to_vec(),
        Scope::Users(members) => names("user", AliasKind::User, members),
        Scope::Hosts(members) => names("host", AliasKind::Host, members),
        Scope::Runas(members) => names("runas", AliasKind::Runas, members),
        Scope::Commands(commands) => [
            &b"command "[..],
            &denying.commands_sorted(commands).join(&b","[..]),
        ]
        .concat(),
    }
}

fn apply(value: SettingValue, change: &Change, is_list: bool) -> SettingValue {
    let (replaces, adds, removes) = match value {
        SettingValue::List {
            replaces,
            adds,
            removes,
        } => (replaces, adds, removes),
        _ => (false, Vec::new(), BTreeSet::new()),
    };
    let items = |text: &[u8]| -> Vec<Vec<u8>> {
        text.split(u8::is_ascii_whitespace)
            .filter(|item| !item.is_empty())
            .map(Into::into)
            .collect()
    };
    let joined = |mut adds: Vec<Vec<u8>>, text: &[u8]| {
        for item in items(text) {
            if !adds.contains(&item) {
                adds.push(item);
            }
        }
        adds
    };
    match change {
        Change::Switch(true) => SettingValue::Switch(true),
        Change::Switch(false) if is_list => SettingValue::List {
            replaces: true,
            adds: Vec::new(),
            removes: BTreeSet::new(),
        },
        Change::Switch(false) => SettingValue::Switch(false),
        Change::Assign(text) if is_list => SettingValue::List {
            replaces: true,
            adds: joined(Vec::new(), text),
            removes: BTreeSet::new(),
        },
        Change::Assign(text) => SettingValue::Text(text.clone()),
        Change::Add(text) => {
            let removes = removes
                .into_iter()
                .filter(|item| !items(text).contains(item))
                .collect();
            SettingValue::List {
                replaces,
                adds: joined(adds, text),
                removes,
            }
        }
        Change::Remove(text) => {
            let gone = items(text);
            let adds = adds.into_iter().filter(|item| !gone.contains(item)).collect();
            let removes = if replaces {
                removes
            } else {
                removes.into_iter().chain(gone).collect()
            };
            SettingValue::List {
                replaces,
                adds,
                removes,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    fn settled(text: &str) -> Settled {
        let policy = parse(text.as_bytes(), b"f");
        assert_eq!(policy.trouble, []);
        settle(&policy)
    }

    fn texts(settled: &Settled) -> Vec<String> {
        settled
            .rules
            .iter()
            .map(|rule| String::from_utf8_lossy(&rule.text).into_owned())
            .collect()
    }

    #[test]
    fn a_list_without_exclusions_is_taken_apart() {
        let found = settled("b, a h2,h1=(x,w) /bin/b, /bin/a\n");
        assert_eq!(
            texts(&found),
            [
                "b h1,h2=(w,x) /bin/b",
                "a h1,h2=(w,x) /bin/b",
                "b h1,h2=(w,x) /bin/a",
                "a h1,h2=(w,x) /bin/a"
            ]
        );
    }

    #[test]
    fn exclusions_keep_a_list_together_and_in_order() {
        let found = settled("b, !a ALL=ALL\n");
        assert_eq!(texts(&found), ["b,!a ALL=ALL"]);
        let found = settled("User_Alias X = y, Z : Z = ALL, !w\nb, X ALL=ALL\n");
        assert_eq!(texts(&found), ["b,X ALL=ALL"]);
    }

    #[test]
    fn a_new_rule_is_one_new_fact() {
        let before = "root ALL=(ALL:ALL) ALL\n%sudo ALL=(ALL:ALL) ALL\nbob ALL=/bin/a, !/bin/b\n";
        let after = format!("carol ALL=(root) /bin/less\n{before}");
        let facts = |text: &str| -> BTreeSet<String> {
            settled(text)
                .rules
                .iter()
                .map(|rule| format!("{rule:?}"))
                .collect()
        };
        let (before, after) = (facts(before), facts(&after));
        assert_eq!(after.len(), before.len() + 1);
    }

    #[test]
    fn reformatting_is_no_change() {
        let one = "Cmnd_Alias A = /bin/x, /bin/y\na,b h1, h2 = (root) NOPASSWD: A, /bin/z -l\nDefaults env_keep=\"A B\"\n";
        let other = "Defaults    env_keep = A\nCmnd_Alias A=/bin/y,/bin/x # comment\nb  h2,h1=(root)NOPASSWD:A\\\n,/bin/z   -l\n\
                     a h1,h2=(root) NOPASSWD: A,NOPASSWD: /bin/z -l\nDefaults env_keep+=B\n";
        let facts = |text: &str| {
            let found = settled(text);
            let rules: BTreeSet<String> = found.rules.iter().map(|rule| format!("{rule:?}")).collect();
            format!("{rules:?}{:?}{:?}", found.aliases, found.settings)
        };
        assert_eq!(facts(one), facts(other));
    }

    #[test]
    fn order_shows_where_it_matters() {
        let overrides = |text: &str| -> Vec<usize> {
            settled(text)
                .rules
                .iter()
                .map(|rule| rule.overrides.len())
                .collect()
        };
        assert_eq!(overrides("a ALL=ALL, !/bin/su\n"), [0, 1]);
        assert_eq!(overrides("a ALL=!/bin/su, ALL\n"), [0, 1]);
        assert_ne!(
            format!("{:?}", settled("a ALL=ALL, !/bin/su\n").rules),
            format!("{:?}", {
                let mut rules = settled("a ALL=!/bin/su, ALL\n").rules;
                rules.reverse();
                rules
            })
        );
        // The group may have bob in it: the later rule asks for a password again.
        assert_eq!(overrides("bob ALL=NOPASSWD: ALL\n%sudo ALL=ALL\n"), [0, 1]);
        assert_eq!(overrides("bob ALL=NOPASSWD: ALL\nalice ALL=ALL\n"), [0, 0]);
        assert_eq!(overrides("bob ALL=NOPASSWD: /bin/a\nbob ALL=/bin/b\n"), [0, 0]);
        assert_eq!(overrides("bob h1=NOPASSWD: /bin/a\nbob h2=/bin/a\n"), [0, 0]);
        assert_eq!(
            overrides("bob ALL=(x) NOPASSWD: /bin/a\nbob ALL=(y) /bin/a\n"),
            [0, 0]
        );
    }

    #[test]
    fn the_last_appearance_counts() {
        let found = settled("a ALL=ALL\na ALL=!/bin/su\na ALL=ALL\n");
        assert_eq!(texts(&found), ["a ALL=!/bin/su", "a ALL=ALL"]);
        assert_eq!(found.rules[1].overrides, [b"a ALL=!/bin/su".to_vec()]);
    }

    #[test]
    fn settings_are_summed_up() {
        let found = settled(
            "Defaults env_keep+=\"A B\", env_keep-=\"A C\", env_keep+=C, use_pty, !use_pty, lecture=always\n\
             Defaults:b,a lecture=never\nDefaults env_check=\"X Y\"\nDefaults env_check-=X\nDefaults !env_delete\n",
        );
        let value = |scope: &str, name: &str| found.settings[&(scope.into(), name.into())].value.clone();
        let list = |replaces, adds: &[&str], removes: &[&str]| SettingValue::List {
            replaces,
            adds: adds.iter().map(|item| item.as_bytes().to_vec()).collect(),
            removes: removes.iter().map(|item| item.as_bytes().to_vec()).collect(),
        };
        assert_eq!(value("global", "env_keep"), list(false, &["B", "C"], &["A"]));
        assert_eq!(value("global", "env_check"), list(true, &["Y"], &[]));
        assert_eq!(value("global", "env_delete"), list(true, &[], &[]));
        assert_eq!(value("global", "use_pty"), SettingValue::Switch(false));
        assert_eq!(value("global", "lecture"), SettingValue::Text(b"always".to_vec()));
        assert_eq!(
            value("user a,b", "lecture"),
            SettingValue::Text(b"never".to_vec())
        );
    }

    #[test]
    fn lists_that_multiply_are_bounded() {
        let users: Vec<String> = (0..3000).map(|at| format!("u{at}")).collect();
        let commands: Vec<String> = (0..3000).map(|at| format!("/bin/c{at}")).collect();
        let found = settled(&format!("{} ALL={}\n", users.join(","), commands.join(",")));
        assert_eq!(found.left_out.len(), 2);
    }

    #[test]
    fn an_alias_that_means_itself_ends() {
        let found = settled("User_Alias A = B : B = A, !c\nA,x ALL=ALL\n");
        assert_eq!(texts(&found), ["A,x ALL=ALL"]);
    }
}
