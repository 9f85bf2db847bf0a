//! Which rules override which: where the order of a policy is part of its meaning.
//!
//! sudo lets the last rule decide that matches. Two rules that can never match the same case, or that lead to
//! the same, may change places without anybody noticing; only for the others does order count. Who is in
//! which group is not known here, so a group may have anybody in it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::{
    Alias, AliasKind, AliasMembers, Command, CommandName, Member, Name, OPTIONS, OptionKind, Rule, TAGS,
};

/// Works out for which cases rules hold.
#[derive(Debug)]
pub(super) struct Cases<'a> {
    aliases: HashMap<(AliasKind, &'a [u8]), &'a AliasMembers>,
}

/// For which cases a rule holds, and what it leads to.
#[derive(Debug)]
pub(super) struct Case {
    users: Vec<Pattern>,
    hosts: Vec<Pattern>,
    /// Target users, if the rule has nothing but a list of them.
    runas: Vec<Pattern>,
    commands: Vec<Pattern>,
    outcome: Outcome,
}

/// What happens if a rule is the last that matches.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Forbidden,
    Allowed {
        tags: [Option<bool>; TAGS.len()],
        options: [Option<Arc<[u8]>>; OPTIONS.len()],
        /// An alias that allows some of its commands and forbids others.
        mixed: Option<Vec<u8>>,
    },
}

/// What a member of a list stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Pattern {
    /// It cannot be ruled out that it is any.
    Any,
    /// A user or group by number. It may be the same as one by name.
    Id(Vec<u8>),
    /// Exactly this one.
    Fixed(Vec<u8>),
}

/// From this many members on, a list counts as anything.
const PATTERNS_LIMIT: usize = 32;

impl<'a> Cases<'a> {
    pub(super) fn new(aliases: &'a [Alias]) -> Self {
        Self {
            aliases: aliases
                .iter()
                .map(|alias| ((alias.kind, &alias.name[..]), &alias.members))
                .collect(),
        }
    }

    pub(super) fn of(&self, rule: &Rule) -> Case {
        let runas = match rule.runas.as_deref() {
            Some(runas) if !runas.users.is_empty() && runas.groups.is_empty() => {
                self.names(AliasKind::Runas, &runas.users)
            }
            _ => vec![Pattern::Any],
        };
        let (commands, mixed) = self.commands(&rule.command);
        let outcome = if rule.command.negated {
            Outcome::Forbidden
        } else {
            // Dates are part of the case, not of the outcome.
            let mut options = rule.options.clone();
            options[OptionKind::NotBefore as usize] = None;
            options[OptionKind::NotAfter as usize] = None;
            let mixed = match &rule.command.name {
                CommandName::Alias(name) if mixed => Some(name.clone()),
                _ => None,
            };
            Outcome::Allowed {
                tags: rule.tags,
                options,
                mixed,
            }
        };
        let users = self.names(AliasKind::User, &rule.users);
        let hosts = self.names(AliasKind::Host, &rule.hosts);
        Case {
            users,
            hosts,
            runas,
            commands,
            outcome,
        }
    }

    /// Whom a list may mean. What it excludes only makes it smaller.
    fn names(&self, kind: AliasKind, members: &[Member]) -> Vec<Pattern> {
        let mut found = Vec::new();
        let mut todo: Vec<&Member> = members.iter().filter(|member| !member.negated).collect();
        let mut seen: HashSet<&[u8]> = HashSet::new();
        while let Some(member) = todo.pop() {
            match &member.name {
                Name::Alias(name) => match self.aliases.get(&(kind, &name[..])) {
                    Some(AliasMembers::Names(members)) => {
                        if seen.insert(name) {
                            todo.extend(members.iter().filter(|member| !member.negated));
                        }
                    }
                    _ => return vec![Pattern::Any],
                },
                Name::Word(name) if name.starts_with(b"#") => found.push(Pattern::Id(name.clone())),
                Name::Word(name) if is_fixed(name) => found.push(Pattern::Fixed(name.to_ascii_lowercase())),
                _ => return vec![Pattern::Any],
            }
            if found.len() > PATTERNS_LIMIT {
                return vec![Pattern::Any];
            }
        }
        found
    }

    /// Which programs a command may mean, and whether it forbids some of them.
    fn commands(&self, command: &Command) -> (Vec<Pattern>, bool) {
        let mut found = Vec::new();
        let mut mixed = false;
        let mut todo = vec![&command.name];
        let mut seen: HashSet<&[u8]> = HashSet::new();
        while let Some(name) = todo.pop() {
            match name {
                CommandName::Alias(name) => match self.aliases.get(&(AliasKind::Command, &name[..])) {
                    Some(AliasMembers::Commands(members)) => {
                        if seen.insert(name) {
                            mixed |= members.iter().any(|member| member.negated);
                            todo.extend(members.iter().map(|member| &member.name));
                        }
                    }
                    _ => return (vec![Pattern::Any], true),
                },
                CommandName::Program { path, .. }
                    if is_fixed(path) && !path.starts_with(b"^") && !path.ends_with(b"/") =>
                {
                    found.push(Pattern::Fixed(path.clone()));
                }
                _ => found.push(Pattern::Any),
            }
        }
        if found.len() > PATTERNS_LIMIT {
            (vec![Pattern::Any], mixed)
        } else {
            (found, mixed)
        }
    }
}

impl Case {
    /// Whether both rules may match one case and then lead to something else.
    pub(super) fn conflicts(&self, other: &Self) -> bool {
        self.outcome != other.outcome
            && meet(&self.users, &other.users)
            && meet(&self.commands, &other.commands)
            && meet(&self.runas, &other.runas)
            && meet(&self.hosts, &other.hosts)
    }
}

fn meet(some: &[Pattern], others: &[Pattern]) -> bool {
    let both = |one: &Pattern, other: &Pattern| match (one, other) {
        (Pattern::Fixed(one), Pattern::Fixed(other)) | (Pattern::Id(one), Pattern::Id(other)) => one == other,
        _ => true,
    };
    some.iter().any(|one| others.iter().any(|other| both(one, other)))
}

/// Whether a text has no wildcards.
fn is_fixed(text: &[u8]) -> bool {
    !text.iter().any(|byte| b"*?[\\".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    fn conflict(text: &str) -> bool {
        let policy = parse(text.as_bytes(), b"f");
        assert_eq!((policy.trouble.len(), policy.rules.len()), (0, 2), "{text}");
        let cases = Cases::new(&policy.aliases);
        let [one, other] = [&policy.rules[0], &policy.rules[1]].map(|rule| cases.of(rule));
        assert_eq!(one.conflicts(&other), other.conflicts(&one), "{text}");
        one.conflicts(&other)
    }

    #[test]
    fn only_what_may_meet_and_differ() {
        for (text, expected) in [
            ("a ALL=ALL, !/bin/su", true),
            ("a ALL=/bin/x, !/bin/su", false),
            ("a ALL=/bin/*, !/bin/su", true),
            ("a ALL=/bin/, !/bin/su", true),
            ("a ALL=ALL\nb ALL=!ALL", false),
            ("a ALL=ALL\n#1 ALL=!ALL", true),
            ("#1 ALL=ALL\n#2 ALL=!ALL", false),
            ("a ALL=NOPASSWD: ALL\n%g ALL=ALL", true),
            ("a ALL=ALL\n%g ALL=/bin/x", false),
            ("a h1=NOPASSWD: ALL\na h2=ALL", false),
            ("a h1=NOPASSWD: ALL\na 10.0.0.1=ALL", true),
            ("a ALL=(x) NOPASSWD: ALL\na ALL=(y) PASSWD: ALL", false),
            ("a ALL=(x:g) NOPASSWD: ALL\na ALL=(y) PASSWD: ALL", true),
            ("User_Alias A=b,c\nA ALL=NOPASSWD: ALL\na ALL=ALL", false),
            ("User_Alias A=b,B : B=a\nA ALL=NOPASSWD: ALL\na ALL=ALL", true),
            ("User_Alias A=B,!a : B=A\nA ALL=NOPASSWD: ALL\na ALL=ALL", false),
            ("Cmnd_Alias C=/bin/x,/bin/y\na ALL=C, !/bin/su", false),
            ("Cmnd_Alias C=/bin/x,!/bin/y\na ALL=C, /bin/y", true),
            ("a ALL=UNKNOWN, !/bin/su", true),
            ("a ALL=TIMEOUT=1 ALL\na ALL=ALL", true),
            ("a ALL=NOTAFTER=20300101000000Z ALL\na ALL=ALL", false),
        ] {
            assert_eq!(conflict(text), expected, "{text}");
        }
    }
}
