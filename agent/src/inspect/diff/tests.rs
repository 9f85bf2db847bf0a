mod properties;

use baseline_format::header::{ExclusionReach, Stated};
use baseline_format::report::ChangeKind;
use baseline_format::{Entry, Value};
use driftcheck_report::diff::{DiffVerdict, Difference, Privilege, Side, Step, line};
use driftcheck_report::{DiffJson, DiffText, TextStyle};

use super::*;
use crate::inspect::testing::{ANY_SECTIONS, directory, exclusion, file, golden, header, package, write};

#[derive(Default)]
struct Told(Vec<Difference>);

impl Sink for Told {
    fn take(&mut self, difference: Difference) -> io::Result<()> {
        self.0.push(difference);
        Ok(())
    }
}

fn reader(bytes: &[u8]) -> BaselineReader<&[u8]> {
    BaselineReader::open(bytes).unwrap()
}

fn into(old: &[u8], new: &[u8], sink: &mut dyn Sink) -> Diff {
    baselines(
        ("old.dcb".into(), reader(old)),
        ("new.dcb".into(), reader(new)),
        sink,
    )
    .unwrap()
}

fn compare(old: &[u8], new: &[u8]) -> (Diff, Vec<Difference>) {
    let mut told = Told::default();
    let diff = into(old, new, &mut told);
    (diff, told.0)
}

fn of_entries(old: &[Entry], new: &[Entry]) -> (Diff, Vec<Difference>) {
    let header = header("web", "1", &ANY_SECTIONS);
    compare(&write(&header, old), &write(&header, new))
}

fn kinds(differences: &[Difference]) -> Vec<(&str, ChangeKind)> {
    differences
        .iter()
        .map(|difference| (difference.key.as_str(), difference.change))
        .collect()
}

const SECTIONS: [&str; 9] = [
    "authorized-keys",
    "files",
    "groups",
    "packages",
    "shadow",
    "sshd",
    "sudoers",
    "units",
    "users",
];

fn web_1_4() -> Vec<u8> {
    let user = |name: &str, uid: i64| {
        Entry::new("users", name)
            .with("uid", uid)
            .with("shell", "/bin/bash")
    };
    let mut entries = vec![
        directory("/"),
        directory("/etc"),
        file("/etc/hostname", "0644", "11"),
        file("/etc/motd", "0644", "22"),
        file("/etc/ssh/sshd_config", "0644", "33"),
        file("/etc/legacy.conf", "0644", "44"),
        Entry::new("files", "/proc")
            .with("type", "directory")
            .with("mount", "proc"),
        file("/root/.history", "0600", "55").unseen("digest", "permission denied"),
        directory("/srv/private").unseen("below", "permission denied"),
        file("/usr/bin/newgrp", "4755", "66"),
        file("/usr/bin/ping", "0755", "77"),
        file("/usr/bin/sudo", "4755", "88"),
        file("/var/lib/dpkg/info/bash.md5sums", "0644", "99"),
        Entry::new("groups", "sudo")
            .with("gid", 27_i64)
            .with("members", Value::list(["admin"])),
        package("alternative/editor", "1").with("mode", "auto"),
        package("deb/bash:amd64", "5.2-1"),
        package("deb/curl:amd64", "7.88.1-10").with("automatic", true),
        package("deb/libc6:amd64", "2.36-9+deb12u9"),
        package("deb/libc6:i386", "2.36-9+deb12u9"),
        package("deb/nano:amd64", "7.2-1"),
        package("deb/openssl:amd64", "3.0.15-1~deb12u1"),
        Entry::new("shadow", "root").with("password", "locked"),
        Entry::new("sshd", "permitrootlogin").with("value", "no"),
        user("root", 0),
        user("admin", 1000),
    ];
    for number in 0..60 {
        entries.push(file(
            &format!("/usr/share/doc/p{number:02}/changelog.gz"),
            "0644",
            "aa",
        ));
        entries.push(file(
            &format!("/usr/lib/x86_64-linux-gnu/l{number:02}.so"),
            "0644",
            "bb",
        ));
    }
    write(
        &header(
            "web",
            "1.4",
            &SECTIONS[..7]
                .iter()
                .chain(&SECTIONS[8..])
                .copied()
                .collect::<Vec<_>>(),
        ),
        &entries,
    )
}

fn web_1_5() -> Vec<u8> {
    let user = |name: &str, uid: i64| {
        Entry::new("users", name)
            .with("uid", uid)
            .with("shell", "/bin/bash")
    };
    let mut entries = vec![
        directory("/"),
        directory("/etc"),
        file("/etc/hostname", "0644", "11").with("mtime", 9_i64),
        file("/etc/motd", "0644", "2222"),
        file("/etc/ssh/sshd_config", "0600", "33"),
        file("/etc/nginx/nginx.conf", "0644", "45"),
        Entry::new("files", "/proc")
            .with("type", "directory")
            .with("mount", "proc"),
        file("/root/.history", "0600", "55").unseen("digest", "permission denied"),
        directory("/srv/private"),
        file("/srv/private/found", "0644", "12"),
        file("/usr/bin/newgrp", "0755", "66"),
        file("/usr/bin/ping", "0755", "77").with("capabilities", "cap_net_raw=ep"),
        file("/usr/bin/pkexec", "4755", "78"),
        file("/usr/bin/sudo", "4755", "89"),
        file("/var/lib/dpkg/info/bash.md5sums", "0644", "9a"),
        Entry::new("groups", "sudo")
            .with("gid", 27_i64)
            .with("members", Value::list(["admin", "deploy"])),
        package("alternative/editor", "1").with("mode", "manual"),
        package("deb/bash:amd64", "5.2-1"),
        package("deb/curl:amd64", "7.88.1-10").with("automatic", false),
        package("deb/jq:amd64", "1.6-2.1"),
        package("deb/libc6:amd64", "2.36-9+deb12u10"),
        package("deb/openssl:amd64", "3.0.11-1~deb12u2"),
        Entry::new("shadow", "root").with("password", "empty"),
        Entry::new("sshd", "permitrootlogin").with("value", "yes"),
        Entry::new("units", "nginx.service").with("state", "enabled"),
        user("root", 0),
        user("admin", 1000).with("shell", "/bin/zsh"),
        user("toor", 0),
    ];
    for number in 0..60 {
        entries.push(file(
            &format!("/usr/share/doc/q{number:02}/changelog.gz"),
            "0644",
            "aa",
        ));
        entries.push(file(
            &format!("/usr/lib/x86_64-linux-gnu/l{number:02}.so"),
            "0644",
            "bc",
        ));
    }
    write(&header("web", "1.5", &SECTIONS), &entries)
}

#[test]
fn release_notes() {
    let (old, new) = (web_1_4(), web_1_5());
    for (width, name) in [(80, "release-notes.txt"), (40, "release-notes-40.txt")] {
        let style = TextStyle {
            width,
            ..TextStyle::default()
        };
        let (mut text, mut out) = (DiffText::new(style), Vec::new());
        let diff = into(&old, &new, &mut text);
        text.finish(&diff, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let (last, others) = lines.split_last().unwrap();
        assert_eq!(*last, line(diff.verdict, &diff.statement));
        assert!(others.iter().all(|line| line.chars().count() <= width), "{text}");
        golden(name, &text);
    }
    let mut out = Vec::new();
    let mut json = DiffJson::new(&tool(), &mut out).unwrap();
    let diff = into(&old, &new, &mut json);
    json.finish(&diff).unwrap();
    let text = String::from_utf8(out).unwrap();
    golden("release-notes.json", &text);
    let read: Diff = serde_json::from_str(&text).unwrap();
    let (head, changes) = compare(&old, &new);
    assert_eq!(read, Diff { changes, ..head });
}

#[test]
fn packages_move_by_their_own_order() {
    let (diff, told) = compare(&web_1_4(), &web_1_5());
    let steps: Vec<(&str, Step)> = told
        .iter()
        .filter_map(|difference| Some((difference.key.as_str(), difference.step?)))
        .collect();
    assert_eq!(
        steps,
        [
            ("deb/bash:amd64", Step::Rebuilt),
            ("deb/curl:amd64", Step::Changed),
            ("deb/jq:amd64", Step::Added),
            ("deb/libc6:amd64", Step::Upgraded),
            ("deb/libc6:i386", Step::Removed),
            ("deb/nano:amd64", Step::Removed),
            ("deb/openssl:amd64", Step::Downgraded),
        ]
    );
    assert_eq!(diff.summary.by_step[&Step::Removed], 2);
    // Several installed versions of one key: the newest counts.
    let kernels = |versions: &[&str]| {
        Entry::new("packages", "rpm/kernel.x86_64").with("version", Value::list(versions.iter().copied()))
    };
    let (_, told) = of_entries(
        &[kernels(&["6.10-1", "6.9-1"])],
        &[kernels(&["6.10-1", "6.11-1"])],
    );
    assert_eq!(told[0].step, Some(Step::Upgraded));
    // A signature or a vendor of its own is another build of the version.
    let signed = |by: &str| package("rpm/bash.x86_64", "5-1").with("signature", by.to_owned());
    let (_, told) = of_entries(&[signed("a")], &[signed("b")]);
    assert_eq!(told[0].step, Some(Step::Rebuilt));
}

#[test]
fn a_rebuilt_package_is_known_by_its_list_of_digests() {
    for (list, key) in [
        ("/var/lib/dpkg/info/a.md5sums", "deb/a:amd64"),
        ("/var/lib/dpkg/info/a:amd64.md5sums", "deb/a:amd64"),
        ("/var/lib/pacman/local/a-b-1:2.0-1/mtree", "pacman/a-b"),
    ] {
        let state = |digest, version| {
            [
                file(list, "0644", digest),
                package(key, version),
                package("deb/z:amd64", "1"),
            ]
        };
        let (_, told) = of_entries(&state("1", "1"), &state("2", "1"));
        assert_eq!(told.len(), 2, "{told:?}");
        assert_eq!((told[1].key.as_str(), told[1].step), (key, Some(Step::Rebuilt)));
        assert_eq!(told[1].fields[0].name, "content");
        let (_, told) = of_entries(&state("1", "1"), &state("2", "2"));
        assert_eq!(told.len(), 2, "{told:?}");
        assert_eq!(told[1].step, Some(Step::Upgraded));
    }
}

#[test]
fn privileges_stand_out() {
    let (diff, told) = compare(&web_1_4(), &web_1_5());
    let privileged: Vec<(&str, Privilege)> = told
        .iter()
        .filter_map(|difference| Some((difference.key.as_str(), difference.privilege?)))
        .collect();
    assert_eq!(
        privileged,
        [
            ("/usr/bin/newgrp", Privilege::Lost),
            ("/usr/bin/ping", Privilege::Gained),
            ("/usr/bin/pkexec", Privilege::Gained)
        ]
    );
    let warned: Vec<&str> = told
        .iter()
        .filter(|difference| difference.warning.is_some())
        .map(|difference| difference.key.as_str())
        .collect();
    assert_eq!(
        warned,
        ["/usr/bin/ping", "/usr/bin/pkexec", "sudo", "root", "toor"]
    );
    assert_eq!(diff.summary.warnings, 5);
    // On a directory, setgid says who owns new files.
    let (_, told) = of_entries(
        &[directory("/var/mail")],
        &[directory("/var/mail").with("mode", "2755")],
    );
    assert_eq!((told[0].privilege, &told[0].warning), (None, &None));
    let (_, told) = of_entries(
        &[directory("/opt/a")],
        &[directory("/opt/a").with("mode", "2777")],
    );
    assert_eq!(told[0].warning.as_deref(), Some("everybody may write to it"));
    // What was a directory and is a setuid file has gained it.
    let (_, told) = of_entries(
        &[directory("/opt/a").with("mode", "4755")],
        &[file("/opt/a", "4755", "1")],
    );
    assert_eq!(
        told[0].privilege, None,
        "the mode is the same, so nothing tells it"
    );
}

#[test]
fn what_one_state_did_not_look_at_is_not_compared() {
    let entries = [file("/a", "0644", "1"), package("deb/a:all", "1")];
    let both = header("web", "1", &["files", "packages"]);
    let one = header("web", "2", &["files"]);
    let (diff, told) = compare(&write(&both, &entries), &write(&one, &entries[..1]));
    assert_eq!(told, []);
    assert_eq!(diff.verdict, DiffVerdict::Incomplete);
    assert_eq!(
        (diff.not_compared[0].side, diff.not_compared[0].section.as_str()),
        (Side::New, "packages")
    );
    assert_eq!(diff.sections[1].not_compared, 1);
    let mut newer = both.clone();
    newer.sections[1].revision = 2;
    let (diff, told) = compare(
        &write(&both, &entries),
        &write(&newer, &[package("deb/a:all", "2")]),
    );
    assert_eq!(kinds(&told), [("/a", ChangeKind::Removed)]);
    assert_eq!(diff.verdict, DiffVerdict::DifferAndIncomplete);
    assert_eq!(diff.not_compared[0].side, Side::Both);
    // Two empty states are not known to be equal.
    let (diff, _) = of_entries(&[], &[]);
    assert_eq!(diff.verdict, DiffVerdict::Incomplete);
}

#[test]
fn rules_of_one_state_are_no_differences() {
    let plain = header("web", "1", &["files"]);
    let entries = [
        file("/etc/a", "0644", "1"),
        directory("/lost+found"),
        file("/srv/a", "0644", "1"),
        file("/tmp/a", "0644", "1"),
        file("/tmp/setuid", "4755", "1"),
    ];
    let mut narrow = plain.clone();
    narrow.scope.exclude = vec![
        exclusion("/srv/**", ExclusionReach::All),
        exclusion("/tmp/**", ExclusionReach::Ordinary),
        exclusion("/lost+found", ExclusionReach::Empty),
    ];
    let (all, few) = (write(&plain, &entries), write(&narrow, &entries[..1]));
    for (old, new, side, change) in [
        (&all, &few, Side::New, ChangeKind::Removed),
        (&few, &all, Side::Old, ChangeKind::Added),
    ] {
        let (diff, told) = compare(old, new);
        // A setuid file would have been told also by the one that leaves out the ordinary.
        assert_eq!(kinds(&told), [("/tmp/setuid", change)]);
        assert_eq!(diff.sections[0].not_compared, 3);
        let parts: Vec<(Side, u64)> = diff
            .not_compared
            .iter()
            .map(|part| (part.side, part.entries))
            .collect();
        assert_eq!(parts, [(side, 1); 3]);
    }
    // A rule that both have is said, and makes nothing incomplete.
    let (diff, told) = compare(&few, &few);
    assert_eq!(
        (told.len(), diff.verdict, diff.left_out.len()),
        (0, DiffVerdict::Equal, 3)
    );
    // A rule behind which nobody has anything is not compared either.
    let (diff, told) = compare(&write(&plain, &entries[..1]), &few);
    assert_eq!((told.len(), diff.verdict), (0, DiffVerdict::Incomplete));
    assert_eq!(
        diff.statement,
        "nothing is known to differ, but the one entry compared in 1 section, 3 parts not compared"
            .replace("the one entry", "all 1 entry")
    );
    // What was narrowed to some files cannot be told from what was not.
    let mut etc = plain.clone();
    etc.scope.include = vec!["/etc/**".to_owned()];
    let (diff, told) = compare(&all, &write(&etc, &entries[..1]));
    assert_eq!((told.len(), diff.sections[0].not_compared), (0, 4));
    let (diff, _) = compare(&write(&etc, &entries[..1]), &write(&etc, &entries[..1]));
    assert_eq!(diff.verdict, DiffVerdict::Equal);
}

#[test]
fn mounts_are_left_out_alike_on_both_sides() {
    let mount = |path: &str| {
        Entry::new("files", path)
            .with("type", "directory")
            .with("mount", "tmpfs")
    };
    let plain = [
        directory("/data"),
        file("/data/a", "0644", "1"),
        file("/z", "0644", "1"),
    ];
    let mounted = [mount("/data"), file("/z", "0644", "1")];
    for (old, new) in [(&plain[..], &mounted[..]), (&mounted[..], &plain[..])] {
        let (diff, told) = of_entries(old, new);
        assert_eq!(
            (told.len(), diff.verdict),
            (0, DiffVerdict::Incomplete),
            "{diff:?}"
        );
        assert_eq!((diff.sections[0].left_out, diff.sections[0].not_compared), (1, 1));
    }
    let (diff, told) = of_entries(&mounted, &mounted);
    assert_eq!((told.len(), diff.verdict), (0, DiffVerdict::Equal), "{diff:?}");
    // Something mounted over a file hides it.
    let over = [
        Entry::new("files", "/z").with("mount", "on a file"),
        directory("/y"),
    ];
    let under = [file("/z", "0644", "1"), directory("/y")];
    for (old, new) in [(&over[..], &under[..]), (&under[..], &over[..])] {
        let (diff, told) = of_entries(old, new);
        assert_eq!(kinds(&told), [("/z", ChangeKind::Unseen)]);
        assert_eq!(
            (diff.verdict, diff.sections[0].not_compared),
            (DiffVerdict::Incomplete, 1)
        );
    }
}

#[test]
fn what_a_list_of_others_does_not_state_is_no_difference() {
    let (all, mut some) = (header("web", "1", &["files"]), header("web", "2", &["files"]));
    some.scope.attributes = Stated::Declared;
    let full = write(
        &all,
        &[
            file("/a", "0644", "1").with("capabilities", "cap_net_raw=ep"),
            file("/b", "0644", "1"),
        ],
    );
    let stated = |digest: &str| {
        let b = Entry::new("files", "/b")
            .with("mode", "0600")
            .with("digest", format!("{digest:0<40}"));
        write(&some, &[Entry::new("files", "/a").with("mode", "0644"), b])
    };
    for (old, new) in [(&full, &stated("sha256:2")), (&stated("sha256:2"), &full)] {
        let (diff, told) = compare(old, new);
        assert_eq!(kinds(&told), [("/b", ChangeKind::Modified)]);
        let names: Vec<&str> = told[0].fields.iter().map(|field| field.name.as_str()).collect();
        assert_eq!(names, ["digest", "mode"]);
        assert_eq!((diff.verdict, diff.left_out.len()), (DiffVerdict::Differ, 1));
    }
    // Two digests of different algorithms say nothing about each other.
    for (old, new) in [(&full, &stated("md5:1")), (&stated("md5:1"), &full)] {
        let (diff, told) = compare(old, new);
        assert_eq!(
            kinds(&told),
            [("/b", ChangeKind::Unseen), ("/b", ChangeKind::Modified)]
        );
        assert_eq!((diff.sections[0].compared, diff.sections[0].not_compared), (1, 1));
        assert_eq!(diff.verdict, DiffVerdict::DifferAndIncomplete);
    }
}

#[test]
fn the_provenance_of_a_merge_is_no_difference() {
    let (plain, merged) = (
        header("web", "1", &["files"]),
        header("web", "2", &["files", "provenance"]),
    );
    let entries = [
        file("/a", "0644", "1"),
        Entry::new("provenance", "#input/01").with("label", "x"),
    ];
    let (diff, told) = compare(&write(&plain, &entries[..1]), &write(&merged, &entries));
    assert_eq!((told.len(), diff.verdict), (0, DiffVerdict::Equal));
    let mut overlay = plain.clone();
    overlay.image.source_kind = "overlay".to_owned();
    let bytes = write(&overlay, &[]);
    let other = write(&plain, &[]);
    let failure = baselines(
        ("o".into(), reader(&bytes)),
        ("p".into(), reader(&other)),
        &mut Told::default(),
    );
    assert!(failure.unwrap_err().to_string().contains("o: it is an overlay"));
}

#[test]
fn hostile_names_do_not_steer_the_terminal() {
    let hostile = "/etc/\u{1b}[2J\nEQUAL: all compared\u{202e}";
    let mut new = header("\u{1b}]0;x\u{7}", "1\n2", &["files", "sshd"]);
    new.scope.exclude = vec![exclusion("/\u{1b}31m/**", ExclusionReach::All)];
    let old = write(&header("a", "1", &["files", "sshd"]), &[]);
    let new = write(
        &new,
        &[
            file(hostile, "4755", "1"),
            Entry::new("files", "/dir").unseen("below", "\u{1b}[2J"),
            Entry::new("sshd", "k\u{1b}").with("x\\x1by", "z\n"),
        ],
    );
    let (mut text, mut out) = (DiffText::new(TextStyle::default()), Vec::new());
    let diff = into(&old, &new, &mut text);
    text.finish(&diff, &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(
        text.chars()
            .all(|c| c == '\n' || (!c.is_control() && c != '\u{202e}')),
        "{text:?}"
    );
    assert_eq!(text.lines().filter(|line| line.starts_with("EQUAL")).count(), 0);
    assert!(text.contains("\\x1b"));
    let mut out = Vec::new();
    let mut json = DiffJson::new(&tool(), &mut out).unwrap();
    let diff = into(&old, &new, &mut json);
    json.finish(&diff).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
}

/// A sink without room.
struct Full;

impl Sink for Full {
    fn take(&mut self, _: Difference) -> io::Result<()> {
        Err(io::Error::other("disk full"))
    }
}

#[test]
fn broken_baselines_are_no_notes() {
    // Long enough that a part of it can be read before the end is missed.
    let entries: Vec<Entry> = (0..9_000_u64)
        .map(|number| {
            file(
                &format!("/f{number:05}"),
                "0644",
                &format!("{:x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            )
        })
        .collect();
    let (old, new) = (
        write(&header("web", "1", &["files"]), &entries),
        write(&header("web", "2", &["files"]), &entries[..8_999]),
    );
    for (old, new) in [
        (&old[..old.len() - 9], &new[..]),
        (&old[..], &new[..new.len() - 9]),
    ] {
        let pair = (("old".into(), reader(old)), ("new".into(), reader(new)));
        assert!(matches!(
            baselines(pair.0, pair.1, &mut Told::default()),
            Err(Failure::Baseline { .. })
        ));
    }
    // A sink that fails ends the comparison with its reason.
    let failure = baselines(("o".into(), reader(&old)), ("n".into(), reader(&new)), &mut Full).unwrap_err();
    assert_eq!(failure.to_string(), "disk full");
}
