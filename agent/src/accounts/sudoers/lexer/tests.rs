use proptest::prelude::*;

use super::*;

fn only(text: &str) -> Vec<Token> {
    let text = format!("{}\n", text.strip_suffix('\n').unwrap_or(text));
    let mut lexer = Lexer::new(text.as_bytes());
    let tokens = lexer.next_line().map(|line| line.tokens).unwrap_or_default();
    assert!(lexer.next_line().is_none(), "{text:?}");
    tokens
}

fn word(text: &str) -> Token {
    Token::Word(text.into())
}

#[test]
fn comments_uids_and_includes() {
    assert_eq!(only("# comment \\\n#-x\n#\n#includedir\n#includex y\n"), []);
    assert_eq!(only("#1000\n"), [word("#1000")]);
    assert_eq!(only("#include  /a\\ b # why"), [Token::Include, word("/a b")]);
    assert_eq!(only("@includedir \"/a b\"\n"), [Token::IncludeDir, word("/a b")]);
    assert_eq!(only("@includes"), [word("@includes")]);
    assert!(matches!(only("#-\n")[..], [Token::Bad(_), ..]));
}

#[test]
fn lines_know_where_they_begin() {
    let mut lexer = Lexer::new(b"\n# c\na \\\n b\n\nc\n");
    let numbers: Vec<usize> = std::iter::from_fn(|| lexer.next_line())
        .map(|line| line.number)
        .collect();
    assert_eq!(numbers, [3, 6]);
}

#[test]
fn commands_and_arguments() {
    let command =
        |name: &str, arguments: Option<&str>| Token::Command(name.into(), arguments.map(Into::into));
    for (text, expected) in [
        ("/bin/ls", command("/bin/ls", None)),
        ("/bin/ls  -l\t a\\,b \\\n c", command("/bin/ls", Some("-l a,b c"))),
        ("/bin/a\\ b c", command("/bin/a b", Some("c"))),
        ("/bin/ls \"\"", command("/bin/ls", Some("\"\""))),
        ("/bin/ls --a=b =c", command("/bin/ls", Some("--a=b =c"))),
        ("/bin/ls \\* \\\\n", command("/bin/ls", Some("\\* \\n"))),
        ("/bin/dir/", command("/bin/dir/", None)),
        ("sudoedit /etc/motd", command("sudoedit", Some("/etc/motd"))),
        (
            "/usr/bin/sudoedit /etc/motd",
            command("sudoedit", Some("/etc/motd")),
        ),
        ("^/bin/(a|b)$ ^a, b:c$", command("^/bin/(a|b)$", Some("^a, b:c$"))),
    ] {
        assert_eq!(only(text), [expected], "{text}");
    }
    assert!(matches!(
        only("/bin/ls x\\y")[..],
        [Token::Bad(_), Token::Command(..)]
    ));
    assert!(matches!(only("/bin/ls ^x")[..], [Token::Bad(_)]));
    assert_eq!(only("/"), [word("/")]);
}

#[test]
fn names() {
    assert_eq!(only("a\\x41b c\\,d \\%x"), [word("aAb"), word("c,d"), word("%x")]);
    assert_eq!(only("\"%two words\""), [Token::Group("%two words".into())]);
    assert_eq!(
        only("%#20 %:x +n"),
        [
            Token::Group("%#20".into()),
            Token::Group("%:x".into()),
            Token::Netgroup("+n".into())
        ]
    );
    assert_eq!(
        only("10.0.0.0/8 fe80::1/64 1.2.3.400"),
        [
            Token::Address("10.0.0.0/8".into()),
            Token::Address("fe80::1/64".into()),
            word("1.2.3.400")
        ]
    );
    assert_eq!(
        only("ALL FOO_1 FOO.x"),
        [Token::All, Token::Alias("FOO_1".into()), word("FOO.x")]
    );
    assert!(matches!(only("1::2::3")[..], [Token::Bad(_)]));
}

#[test]
fn a_file_may_not_end_behind_a_backslash() {
    assert!(matches!(only("a \\\n")[..], [_, Token::Bad(_)]));
    assert_eq!(only("a"), [word("a")]);
}

proptest! {
    #[test]
    fn any_bytes_are_cut(bytes: Vec<u8>) {
        let mut lexer = Lexer::new(&bytes);
        let tokens: usize = std::iter::from_fn(|| lexer.next_line()).map(|line| line.tokens.len()).sum();
        prop_assert!(tokens <= bytes.len() + 1);
    }

    #[test]
    fn anything_like_sudoers_is_cut(text in "(Defaults|User_Alias|ALL|NOPASSWD|[a/ \\\\\"#:=,!()^$%+@\n\r]){0,40}") {
        let mut lexer = Lexer::new(text.as_bytes());
        let tokens: usize = std::iter::from_fn(|| lexer.next_line()).map(|line| line.tokens.len()).sum();
        prop_assert!(tokens <= text.len() + 1);
    }
}
