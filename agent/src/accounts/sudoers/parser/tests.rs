use proptest::prelude::*;

use super::*;

fn policy(text: &str) -> Policy {
    parse(text.as_bytes(), b"f")
}

fn malformed(text: &str) -> Vec<(usize, String)> {
    policy(text)
        .trouble
        .into_iter()
        .map(|trouble| (trouble.line.unwrap(), trouble.why))
        .collect()
}

#[test]
fn commands_take_over_what_stands_before() {
    let policy =
        policy("a ALL=(root) NOPASSWD: /bin/a, /bin/b, (bob:adm) PASSWD: /bin/c, ALL, SETENV: /bin/d, ALL\n");
    assert_eq!(policy.trouble, []);
    let tags: Vec<_> = policy
        .rules
        .iter()
        .map(|rule| (rule.tags[0], rule.tags[SETENV]))
        .collect();
    assert_eq!(
        tags,
        [
            (Some(true), None),
            (Some(true), None),
            (Some(false), None),
            (Some(false), None),
            (Some(false), Some(true)),
            (Some(false), None),
        ]
    );
    let runas: Vec<_> = policy
        .rules
        .iter()
        .map(|rule| rule.runas.as_ref().unwrap().groups.len())
        .collect();
    assert_eq!(runas, [0, 0, 1, 1, 1, 1]);
}

#[test]
fn of_a_bad_line_sudo_keeps_what_it_understood() {
    let found =
        policy("a ALL=/bin/x : !! : c=/bin/y\nUser_Alias A=x : B=\nDefaults use_pty, !!!\nb ALL=ALL\n");
    assert_eq!(found.rules.len(), 3);
    assert_eq!((found.aliases.len(), found.settings.len()), (1, 0));
    assert_eq!(
        found
            .trouble
            .iter()
            .map(|trouble| trouble.line)
            .collect::<Vec<_>>(),
        [Some(1), Some(2), Some(3)]
    );
}

#[test]
fn an_alias_is_defined_once() {
    let found = policy("User_Alias A=x : A=y\nHost_Alias A=z\n");
    assert_eq!(found.aliases.len(), 2);
    assert_eq!(found.trouble.len(), 1);
}

#[test]
fn options_are_in_their_places() {
    for (at, (kind, _)) in OPTIONS.iter().enumerate() {
        assert_eq!(*kind as usize, at);
    }
    assert_eq!(TAGS[SETENV].0, "SETENV");
}

#[test]
fn malformed_lines() {
    for line in [
        "a",
        "a ALL",
        "a ALL=",
        "a ALL=ALL,",
        "a ALL=relative",
        "a ALL=/bin/x\r\n",
        "a ALL=/bin/x \\\n",
        "a ALL=(x:) ALL",
        "a ALL=sha256:abcd /bin/x",
        "a ALL=sha256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=, /bin/x",
        "a ALL=CWD=x /bin/x",
        "a ALL=TIMEOUT=1h2d ALL",
        "a ALL=NOTBEFORE=2023 ALL",
        "10.0.0.1 ALL=ALL",
        "User_Alias ALL=x",
        "Defaults",
        "Defaults x=",
        "Defaults !x=y",
        "Defaults  >  root use_pty",
        "@include",
        "\"\" ALL=ALL",
    ] {
        assert_eq!(malformed(line).len(), 1, "{line}");
        assert_eq!(policy(line).rules.len(), 0, "{line}");
    }
}

#[test]
fn no_text_of_a_line_is_in_its_trouble() {
    let why = malformed("canary ALL=canary\nDefaults canary canary\n@include canary\n");
    assert_eq!(why.len(), 3);
    assert!(!format!("{why:?}").contains("canary"));
}

#[test]
fn time_limits_are_seconds() {
    assert_eq!(seconds(b"1d2h3m4s"), Some(93784));
    assert_eq!(seconds(b"90"), Some(90));
    for text in ["", "s", "1h2h", "1x", "9999999999", "-1"] {
        assert_eq!(seconds(text.as_bytes()), None, "{text}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_parsed(bytes: Vec<u8>) {
        prop_assert!(parse(&bytes, b"f").rules.len() <= bytes.len());
    }

    #[test]
    fn anything_like_sudoers_is_parsed(
        text in "(Defaults|User_Alias|Cmnd_Alias|ALL|NOPASSWD:|TIMEOUT=1|CWD=/|sha224:|/bin/x|@include|[a-c \\\\\"#:=,!()^$%+@\n]){0,40}"
    ) {
        prop_assert!(parse(text.as_bytes(), b"f").rules.len() <= text.len());
    }
}
