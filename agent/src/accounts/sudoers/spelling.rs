//! The one way in which a rule is written, however the file writes it.
//!
//! It is close to sudoers(5) but not meant to be read by sudo: arguments stand as they are matched, without
//! the backslashes that the file needs. Two different rules never have the same text.

use super::patterns::is_ipv4;
use super::{Command, CommandName, Member, Name, OPTIONS, Rule, Runas, TAGS};

/// A list of members with commas between them.
pub(super) fn list(members: &[Member]) -> Vec<u8> {
    joined(members.iter().map(member))
}

fn joined(items: impl Iterator<Item = Vec<u8>>) -> Vec<u8> {
    items.collect::<Vec<_>>().join(&b","[..])
}

/// A member, with its `!`.
pub(super) fn member(member: &Member) -> Vec<u8> {
    let name = match &member.name {
        Name::All => b"ALL".to_vec(),
        Name::Alias(name) | Name::Address(name) => name.clone(),
        Name::Word(name) => word(name),
        Name::Group(name) | Name::Netgroup(name) => {
            if name.iter().all(|byte| is_plain(*byte)) {
                name.clone()
            } else {
                quoted(name)
            }
        }
    };
    if member.negated {
        [b"!", &name[..]].concat()
    } else {
        name
    }
}

/// A name that cannot be taken for anything else: what looks like an alias, an address or a group is marked.
fn word(name: &[u8]) -> Vec<u8> {
    let alias = name.first().is_some_and(u8::is_ascii_uppercase)
        && name
            .iter()
            .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b'_');
    match name {
        [b'%' | b'+', ..] => [b"\\", &quoted(name)[..]].concat(),
        [b'#', id @ ..] if !id.is_empty() && id.iter().all(|byte| byte.is_ascii_digit() || *byte == b'-') => {
            name.to_vec()
        }
        _ if alias || is_ipv4(name) || name.is_empty() || !name.iter().all(|byte| is_plain(*byte)) => {
            quoted(name)
        }
        _ => name.to_vec(),
    }
}

fn is_plain(byte: u8) -> bool {
    byte == b'#' || (byte > b' ' && byte != 0x7f && !b"!\"(),:<=>\\".contains(&byte)) || byte == b':'
}

fn quoted(text: &[u8]) -> Vec<u8> {
    let mut out = vec![b'"'];
    for byte in text {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(*byte);
    }
    out.push(b'"');
    out
}

/// A command without digests and `!`.
pub(super) fn program(name: &CommandName) -> Vec<u8> {
    match name {
        CommandName::All => b"ALL".to_vec(),
        CommandName::Alias(name) => name.clone(),
        CommandName::Program { path, arguments } => {
            let mut out = if path.iter().any(|byte| matches!(byte, b' ' | b'\t')) {
                quoted(path)
            } else {
                path.clone()
            };
            if let Some(arguments) = arguments {
                out.push(b' ');
                out.extend_from_slice(arguments);
            }
            out
        }
    }
}

/// The digests of a command, each with its algorithm, in hexadecimal digits.
pub(super) fn digests(command: &Command) -> Vec<Vec<u8>> {
    let spell = |(kind, bytes): &(super::DigestKind, Vec<u8>)| {
        let mut out = format!("{}:", kind.label()).into_bytes();
        baseline_format::push_hex(bytes, &mut out);
        out
    };
    let mut all: Vec<Vec<u8>> = command.digests.iter().map(spell).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// A command with everything.
pub(super) fn command(command: &Command) -> Vec<u8> {
    let mut out = digests(command).join(&b","[..]);
    if !out.is_empty() {
        out.push(b' ');
    }
    if command.negated {
        out.push(b'!');
    }
    out.extend_from_slice(&program(&command.name));
    out
}

/// Names of the tags that are set.
pub(super) fn tags(rule: &Rule) -> impl Iterator<Item = &'static str> {
    rule.tags
        .iter()
        .zip(TAGS)
        .filter_map(|(tag, (on, off))| tag.map(|tag| if tag { on } else { off }))
}

/// The options that are set, as `NAME=VALUE`.
pub(super) fn options(rule: &Rule) -> impl Iterator<Item = Vec<u8>> {
    rule.options.iter().zip(OPTIONS).filter_map(|(value, (_, name))| {
        let value = value.as_ref()?;
        let plain = !value.is_empty() && !value.iter().any(|byte| matches!(byte, b' ' | b'\t' | b'"'));
        let value = if plain { value.to_vec() } else { quoted(value) };
        Some([name.as_bytes(), b"=", &value].concat())
    })
}

/// `(USERS:GROUPS)`
pub(super) fn runas(runas: &Runas) -> Vec<u8> {
    let groups = list(&runas.groups);
    let separator = if groups.is_empty() { &b""[..] } else { b":" };
    [b"(", &list(&runas.users)[..], separator, &groups, b")"].concat()
}

/// A whole rule: `USERS HOSTS=(RUNAS) OPTIONS TAGS: COMMAND`.
pub(super) fn rule(rule: &Rule) -> Vec<u8> {
    let mut out = [&list(&rule.users)[..], b" ", &list(&rule.hosts), b"="].concat();
    if let Some(as_whom) = &rule.runas {
        out.extend_from_slice(&runas(as_whom));
        out.push(b' ');
    }
    for option in options(rule) {
        out.extend_from_slice(&option);
        out.push(b' ');
    }
    let mut tagged = false;
    for tag in tags(rule) {
        out.extend_from_slice(tag.as_bytes());
        out.push(b':');
        tagged = true;
    }
    if tagged {
        out.push(b' ');
    }
    out.extend_from_slice(&command(&rule.command));
    out
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    fn spelled(line: &str) -> Vec<String> {
        let policy = parse(line.as_bytes(), b"f");
        assert_eq!(policy.trouble, [], "{line}");
        policy
            .rules
            .iter()
            .map(|each| String::from_utf8(rule(each)).unwrap())
            .collect()
    }

    #[test]
    fn as_in_the_manual() {
        for (line, expected) in [
            ("root\tALL = ( ALL : ALL )ALL", "root ALL=(ALL:ALL) ALL"),
            (
                "a ALL=(root)NOPASSWD :/usr/bin/apt",
                "a ALL=(root) NOPASSWD: /usr/bin/apt",
            ),
            ("a ALL=EXEC:NOPASSWD:!/bin/sh", "a ALL=NOPASSWD:EXEC: !/bin/sh"),
            ("a ALL=()/bin/x", "a ALL=() /bin/x"),
            ("a ALL=(:adm)/bin/x", "a ALL=(:adm) /bin/x"),
            (
                "a 10.0.0.1,fe80::1=TIMEOUT=1m CWD=/a\\ b /bin/x \\*",
                "a 10.0.0.1,fe80::1=CWD=\"/a b\" TIMEOUT=60 /bin/x \\*",
            ),
            (
                "a ALL=sha224:EYGH2oNk1JC0p9679IMATo8+BT7JVDCd4sQaJQ== /bin/ls",
                "a ALL=sha224:118187da8364d490b4a7debbf483004e8f3e053ec954309de2c41a25 /bin/ls",
            ),
        ] {
            assert_eq!(spelled(line), [expected], "{line}");
        }
    }

    #[test]
    fn different_rules_have_different_texts() {
        let lines = [
            "FOO ALL=ALL",
            "\"FOO\" ALL=ALL",
            "%x ALL=ALL",
            "\\%x ALL=ALL",
            "\"%x y\" ALL=ALL",
            "\\%x\\ y ALL=ALL",
            "a 1.2.3.4=ALL",
            "a \"1.2.3.4\"=ALL",
            "a ALL=/bin/a\\ b",
            "a ALL=/bin/a b",
            "a ALL=/bin/a",
            "a ALL=/bin/a \"\"",
            "a,b ALL=ALL",
            "a\\,b ALL=ALL",
            "a ALL=(a,b) ALL",
            "a ALL=(a:b) ALL",
            "a ALL=(:a) ALL",
            "a ALL=() ALL",
            "a ALL=ALL",
        ];
        let mut texts: Vec<String> = lines.iter().flat_map(|line| spelled(line)).collect();
        texts.sort_unstable();
        texts.dedup();
        assert_eq!(texts.len(), lines.len());
    }
}
