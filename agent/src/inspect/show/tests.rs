use baseline_format::header::ExclusionReach;
use baseline_format::{Entry, Value};
use proptest::prelude::*;

use super::*;
use crate::inspect::testing::{
    ANY_SECTIONS, any_entries, directory, exclusion, file, golden, header, lines, package, write,
};

const SECTIONS: [&str; 5] = ["authorized-keys", "files", "packages", "shadow", "users"];

fn web() -> Vec<u8> {
    let mut header = header("web", "1.4", &SECTIONS);
    header.image.purpose = Some("web server".to_owned());
    header.image.digest = Some(format!("sha256:{:0<64}", "9f86"));
    header.image.parent = Some("base:12.7".to_owned());
    header.scope.exclude = vec![
        exclusion("/srv/cache/**", ExclusionReach::All),
        exclusion("/tmp/**", ExclusionReach::Ordinary),
        exclusion("/lost+found", ExclusionReach::Empty),
    ];
    let key = |user: &str, n: char| {
        Entry::new(
            "authorized-keys",
            format!("{user} SHA256:{}", n.to_string().repeat(43)),
        )
        .with("type", "ssh-ed25519")
    };
    let user = |name: &str, uid: i64, shell: &str| {
        Entry::new("users", name)
            .with("uid", uid)
            .with("shell", shell.to_owned())
    };
    let password = |name: &str, state: &'static str| Entry::new("shadow", name).with("password", state);
    write(
        &header,
        &[
            key("admin", 'a'),
            key("admin", 'b'),
            key("old", 'c').with("used", "no"),
            key("daemon", 'd'),
            directory("/"),
            file("/etc/passwd", "0644", "11").with("mtime", 1_700_000_000_i64),
            file("/etc/shadow", "0640", "").unseen("digest", "permission denied"),
            directory("/root").unseen("below", "permission denied"),
            Entry::new("files", "/proc")
                .with("type", "directory")
                .with("mount", "proc"),
            file("/usr/bin/ping", "0755", "22").with("capabilities", "cap_net_raw=ep"),
            file("/usr/bin/su", "4755", "33"),
            file("/usr/bin/wall", "2755", "44"),
            directory("/var/mail").with("mode", "2775"),
            file("/x\u{1b}[2J y", "0644", "55").with("acl", Value::list(["user::rw-", "group::r--"])),
            package("deb/bash:amd64", "5.2-1"),
            package("deb/gone:amd64", "1").with("status", "config-files"),
            package("deb-diversion/bin/sh", "1"),
            package("rpm/gpg-pubkey-1-2", "1-2"),
            package("apk/musl", "1.2"),
            password("admin", "locked"),
            password("guest", "empty"),
            password("root", "set"),
            password("toor", "set"),
            user("admin", 1000, "/bin/bash"),
            user("daemon", 1, "/usr/sbin/nologin"),
            user("guest", 1001, "/bin/sh"),
            user("old", 1002, "/bin/sh"),
            user("root", 0, "/bin/bash"),
            user("toor", 0, "/bin/sh"),
        ],
    )
}

fn reader(bytes: &[u8]) -> BaselineReader<&[u8]> {
    BaselineReader::open(bytes).unwrap()
}

fn shown(bytes: &[u8], section: Option<&str>, key: Option<&[u8]>, format: Format) -> (Shown, String) {
    let filter = Filter {
        section: section.map(str::to_owned),
        key: key.map(<[u8]>::to_vec),
    };
    let mut out = Vec::new();
    let shown = entries(reader(bytes), &filter, format, &mut out).unwrap();
    (shown, String::from_utf8(out).unwrap())
}

#[test]
fn a_summary() {
    let signatures = vec!["signed by release, 2026-05-04T01:02:03Z".to_owned()];
    let inventory = inventory(reader(&web()), Some("web 1.dcb".into()), signatures).unwrap();
    for (width, name) in [(80, "summary.txt"), (40, "summary-40.txt")] {
        let style = TextStyle {
            width,
            ..TextStyle::default()
        };
        let mut out = Vec::new();
        summary(&inventory, &style, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        // A digest is there to be copied, so it is never shortened.
        let mut others = text.lines().filter(|line| !line.contains("sha256:"));
        assert!(others.all(|line| line.chars().count() <= width), "{text}");
        assert!(text.contains(&inventory.digest), "{text}");
        golden(name, &text);
    }
    let mut out = Vec::new();
    summary_json(&inventory, &mut out).unwrap();
    golden("summary.json", std::str::from_utf8(&out).unwrap());
}

#[test]
fn who_can_log_in_is_only_told_as_far_as_it_is_known() {
    let users = [Entry::new("users", "a")
        .with("shell", "/bin/sh")
        .with("in-passwd", "empty")];
    let of = |sections: &[&str], entries: &[Entry]| {
        let bytes = write(&header("a", "1", sections), entries);
        inventory(reader(&bytes), None, Vec::new()).unwrap()
    };
    let found = of(&["users"], &users);
    assert_eq!(found.logins[0].by, ["no password"]);
    assert_eq!(found.logins_unknown.len(), 2);
    let blind = [
        users[0].clone(),
        Entry::new("shadow", "/etc/shadow").unseen("all", "permission denied"),
    ];
    let found = of(&["authorized-keys", "shadow", "users"], &blind);
    assert_eq!(found.logins_unknown, ["part of `shadow` was not seen"]);
}

#[test]
fn all_lines_are_as_they_stand() {
    let bytes = web();
    let (told, text) = shown(&bytes, None, None, Format::Lines);
    let (header, rest) = text.split_once('\n').unwrap();
    assert_eq!(header, reader(&bytes).header_line());
    assert_eq!(rest.lines().collect::<Vec<_>>(), lines(&bytes));
    assert_eq!(told.entries, told.end.entries);
    let (told, text) = shown(&bytes, Some("users"), None, Format::Lines);
    assert_eq!((told.entries, text.lines().count()), (6, 6));
    assert!(text.lines().all(|line| line.starts_with("[\"users\",")));
}

#[test]
fn a_section_for_people() {
    let (_, text) = shown(&web(), Some("files"), None, Format::Text);
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
    golden("files.txt", &text);
}

#[test]
fn a_key_is_found_however_it_is_given() {
    let bytes = web();
    for given in [
        "/etc/passwd",
        "etc/passwd",
        "//etc/./passwd/",
        "/usr/bin/../../etc/passwd",
    ] {
        let found = shown(&bytes, None, Some(given.as_bytes()), Format::Text);
        // `..` depends on links, which nobody follows here.
        assert_eq!(found.0.entries, u64::from(!given.contains("..")), "{given}");
    }
    for given in [&b"/x\x1b[2J y"[..], b"/x\\x1b[2J y"] {
        assert_eq!(shown(&bytes, None, Some(given), Format::Lines).0.entries, 1);
    }
    assert_eq!(
        shown(&bytes, Some("users"), Some(b"root"), Format::Lines)
            .0
            .entries,
        1
    );
    assert_eq!(shown(&bytes, None, Some(b"root"), Format::Lines).0.entries, 3);
    assert_eq!(
        shown(&bytes, Some("files"), Some(b"root"), Format::Lines)
            .0
            .entries,
        1
    );
}

#[test]
fn an_absent_key_is_only_absent_if_somebody_looked() {
    let bytes = web();
    let why = |key: &str| {
        shown(&bytes, None, Some(key.as_bytes()), Format::Lines)
            .0
            .not_covered
    };
    assert_eq!(why("/etc/nothing"), None);
    assert_eq!(
        why("/srv/cache/x").as_deref(),
        Some("/srv/cache/** is left out: asked for")
    );
    assert_eq!(
        why("tmp/x").as_deref(),
        Some("ordinary content of /tmp/** is left out: asked for")
    );
    assert_eq!(
        why("/root/.ssh/x").as_deref(),
        Some("files /root: permission denied")
    );
    assert_eq!(
        why("/proc/1").as_deref(),
        Some("files /proc: another file system (proc) is mounted there")
    );
}

#[test]
fn mistakes_are_named() {
    let bytes = web();
    let filter = Filter {
        section: Some("sshd".to_owned()),
        key: None,
    };
    let failure = entries(reader(&bytes), &filter, Format::Text, &mut Vec::new()).unwrap_err();
    assert_eq!(
        failure.to_string(),
        "the baseline has no section `sshd`; it has: authorized-keys, files, packages, shadow, users"
    );
}

proptest! {
    #[test]
    fn any_baseline_can_be_shown(entries in any_entries(), key: Vec<u8>, width in 0_usize..100) {
        let bytes = write(&header("a\u{1b}", "1\n", &ANY_SECTIONS), &entries);
        let style = TextStyle { width, ..TextStyle::default() };
        let mut out = Vec::new();
        summary(&inventory(reader(&bytes), Some("x".into()), Vec::new()).unwrap(), &style, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        prop_assert!(text.chars().all(|c| c == '\n' || !c.is_control()));
        let (_, text) = shown(&bytes, None, Some(&key), Format::Text);
        prop_assert!(text.chars().all(|c| c == '\n' || !c.is_control()));
    }
}
