//! What reports look like. `UPDATE_GOLDEN=1 cargo test -p driftcheck-report` rewrites the files.

use std::io;

use crate::samples::{Build as _, coverage, digest, drift, golden, json, report, skipping, text, unseen};
use baseline_format::report::{BaselineKind, ChangeKind, Coverage, Drift, Report, Severity};
use baseline_format::{OsText, Value};
use driftcheck_report::{Colour, TextStyle};

fn full_coverage() -> Vec<Coverage> {
    vec![
        coverage(
            "files",
            106_204,
            106_204,
            &[("metadata", 25_004), ("sha256", 81_200)],
        ),
        coverage("packages", 412, 412, &[("metadata", 412)]),
        coverage("sshd", 61, 61, &[("effective", 61)]),
        coverage("users", 31, 31, &[("metadata", 31)]),
    ]
}

fn with_skips() -> Vec<Coverage> {
    let mut coverage = full_coverage();
    coverage[0].verified -= 12;
    let files = skipping(
        coverage[0].clone(),
        "mount /proc (proc)",
        "its content is the running kernel's",
        0,
    );
    let files = skipping(files, "scratch /tmp", "whatever is there is meant to change", 11);
    coverage[0] = skipping(
        files,
        "--exclude /srv/cache/**",
        "asked for on the command line",
        1,
    );
    coverage
}

fn with_blind_spots() -> Vec<Coverage> {
    let mut coverage = with_skips();
    coverage[0].verified -= 3;
    coverage[0].raced = 1;
    let files = unseen(coverage[0].clone(), "/root/.cache", "below: permission denied");
    coverage[0] = unseen(files, "/var/lib/private/key", "digest: permission denied");
    coverage
}

/// A host that someone broke into.
fn broken_into() -> Report {
    use ChangeKind::{Added, Modified, Removed, Unseen};
    use Severity::{Critical, High, Info, Low, Medium};
    let setuid = "a program that runs as root is not the one in the image";
    let mut drifts = vec![
        drift(Critical, Modified, "files", "/usr/bin/sudo")
            .meaning(setuid)
            .field("digest", digest("aa11"), digest("bb22"))
            .field("size", 232_416_i64, 240_112_i64),
        drift(Critical, Modified, "files", "/usr/bin/passwd")
            .meaning(setuid)
            .field("digest", digest("cc11"), digest("dd22")),
        drift(Critical, Added, "users", "mallory")
            .meaning("a second account with uid 0")
            .came("gid", 0_i64)
            .came("home", "/home/mallory")
            .came("shell", "/bin/bash")
            .came("uid", 0_i64)
            .related("d-files-modified-/etc/passwd"),
        drift(High, Modified, "files", "/etc/ssh/sshd_config").field("mode", 0o644_i64, 0o666_i64),
        drift(High, Modified, "files", "/etc/passwd").field("digest", digest("12"), digest("34")),
        drift(High, Modified, "sshd", "permitrootlogin").field("value", "prohibit-password", "yes"),
        drift(High, Modified, "users", "www-data").field(
            "groups",
            Value::list(["www-data"]),
            Value::list(["sudo", "www-data"]),
        ),
        drift(High, Unseen, "files", "/var/lib/private/key")
            .field("digest", digest("77"), "")
            .came("unseen", Value::list(["digest: permission denied"])),
        drift(Medium, Removed, "files", "/usr/share/bash-completion").went("type", "directory"),
        drift(Medium, Removed, "packages", "auditd")
            .went("version", "1:3.0.9-1")
            .went("arch", "amd64"),
        drift(Low, Modified, "files", "/etc/motd").field("mtime", 1_700_000_000_i64, 1_750_000_000_i64),
        drift(Info, Added, "packages", "htop")
            .came("version", "3.2.2-2")
            .came("arch", "amd64"),
    ];
    for number in 0..312 {
        let key = format!("/usr/share/bash-completion/{number}");
        drifts.push(drift(Medium, Removed, "files", key.as_str()).went("type", "file"));
    }
    let mut coverage = with_blind_spots();
    coverage[0].verified -= 313;
    coverage[1].verified -= 1;
    report(coverage, drifts)
}

fn modified(key: impl Into<OsText>) -> Drift {
    drift(Severity::High, ChangeKind::Modified, "files", key)
}

fn in_colour() -> TextStyle<'static> {
    TextStyle {
        colour: Colour::Always,
        ..TextStyle::default()
    }
}

fn wide(width: usize) -> TextStyle<'static> {
    TextStyle {
        width,
        ..TextStyle::default()
    }
}

#[test]
fn clean() -> io::Result<()> {
    let report = report(full_coverage(), vec![]);
    golden("clean.txt", &text(&report, &wide(80))?)?;
    golden("clean.json", &json(&report)?)
}

#[test]
fn clean_with_skips() -> io::Result<()> {
    let report = report(with_skips(), vec![]);
    golden("clean-with-skips.txt", &text(&report, &wide(80))?)?;
    golden("clean-with-skips-40.txt", &text(&report, &wide(40))?)
}

#[test]
fn incomplete() -> io::Result<()> {
    let mut coverage = with_blind_spots();
    coverage[0].unseen_total += 1_000;
    golden("incomplete.txt", &text(&report(coverage, vec![]), &wide(80))?)
}

#[test]
fn nothing_verified_is_not_clean() -> io::Result<()> {
    let mut report = report(vec![], vec![]);
    report.baseline.kind = BaselineKind::Vendor;
    (
        report.baseline.path,
        report.baseline.digest,
        report.baseline.image,
    ) = (None, None, None);
    report.baseline.trust = vec![];
    golden("nothing-verified.txt", &text(&report, &wide(80))?)
}

#[test]
fn each_kind_of_change() -> io::Result<()> {
    let report = broken_into();
    golden("broken-into.txt", &text(&report, &wide(80))?)?;
    golden("broken-into-40.txt", &text(&report, &wide(40))?)?;
    golden("broken-into-120.txt", &text(&report, &wide(120))?)?;
    golden("broken-into-colour.txt", &text(&report, &in_colour())?)
}

#[test]
fn each_kind_of_change_as_json() -> io::Result<()> {
    let mut drifts = broken_into().drifts;
    drifts.truncate(8);
    golden("broken-into.json", &json(&report(with_blind_spots(), drifts))?)
}

#[test]
fn a_hundred_drifts_fold() -> io::Result<()> {
    let mut drifts = Vec::new();
    for number in 0..100_i64 {
        drifts.push(modified(format!("/etc/site/{number:03}.conf")).field(
            "mode",
            0o644_i64,
            0o600 + number % 8,
        ));
        drifts.push(drift(
            Severity::Low,
            ChangeKind::Added,
            "files",
            format!("/opt/new/{number:03}"),
        ));
    }
    drifts.push(drift(Severity::Low, ChangeKind::Added, "files", "/opt/new").came("mode", 0o755_i64));
    let report = report(full_coverage(), drifts);
    golden(
        "folding.txt",
        &text(
            &report,
            &TextStyle {
                limit: 5,
                ..TextStyle::default()
            },
        )?,
    )?;
    let all = text(
        &report,
        &TextStyle {
            limit: 0,
            ..TextStyle::default()
        },
    )?;
    assert!((0..100).all(|number| all.contains(&format!("/opt/new/{number:03}"))));
    Ok(())
}

#[test]
fn hostile_names() -> io::Result<()> {
    let meaning = "its name has\nline ends \u{1b}]0;and more\u{7} \u{9b}31m";
    let keys: [&[u8]; 8] = [
        b"/tmp/line\nend",
        b"/tmp/\x1b[2J\x1b[31mred",
        "/tmp/\u{202e}txt.exe".as_bytes(),
        b"/tmp/caf\xe9",
        b"/tmp/\"quoted\" 'twice'",
        b"/tmp/x                 mode 0644 -> 0600",
        "/tmp/\u{6f22}\u{5b57}\u{540d}".as_bytes(),
        b"/tmp/CLEAN: all 5 expected entries verified",
    ];
    let mut drifts: Vec<Drift> = keys
        .iter()
        .map(|key| modified(OsText::new(key)).field("uid", 0_i64, 7_i64))
        .collect();
    drifts.push(modified(format!("/tmp/{}", "n".repeat(255))).field("uid", 0_i64, 7_i64));
    drifts.push(modified(OsText::new(&[0xff; 255])).field("uid", 0_i64, 7_i64));
    drifts.push(
        modified("/tmp/meant")
            .meaning(meaning)
            .field("x\u{1b}y", "a\u{1b}", "b\n"),
    );
    let mut report = report(full_coverage(), drifts);
    report.tool.version = "0.1\u{1b}[0m".to_owned();
    report.baseline.trust = vec!["one\nDRIFT: two\u{202e}".to_owned()];
    golden("hostile.txt", &text(&report, &wide(80))?)?;
    golden("hostile.json", &json(&report)?)
}

#[test]
fn long_values() -> io::Result<()> {
    let command = format!(
        "BOOT_IMAGE=/vmlinuz root=/dev/vda1 ro quiet {}",
        "audit=1 ".repeat(30)
    );
    let members: Vec<String> = (0..50).map(|number| format!("member-{number:02}")).collect();
    let drifts = vec![
        drift(Severity::Medium, ChangeKind::Modified, "kernel", "cmdline").field(
            "value",
            format!("{command}selinux=1"),
            format!("{command}selinux=0"),
        ),
        drift(Severity::Medium, ChangeKind::Modified, "groups", "wheel").field(
            "members",
            Value::list([] as [&str; 0]),
            Value::list(members.clone()),
        ),
        drift(Severity::Medium, ChangeKind::Added, "groups", "wide")
            .came("gid", 7_i64)
            .came("members", Value::list(members)),
        drift(
            Severity::Medium,
            ChangeKind::Modified,
            "files",
            format!("/usr/lib/{}/x.so", "deep/".repeat(30)),
        )
        .field("digest", digest("1"), digest("2"))
        .field(
            "target",
            format!("../{}a", "up/".repeat(40)),
            format!("../{}b", "up/".repeat(40)),
        ),
    ];
    let coverage = vec![
        coverage("files", 10, 10, &[]),
        coverage("groups", 10, 10, &[]),
        coverage("kernel", 10, 10, &[]),
    ];
    let report = report(coverage, drifts);
    for width in [80, 40] {
        let text = text(&report, &wide(width))?;
        let mut lines: Vec<&str> = text.lines().collect();
        lines.pop(); // The verdict is never broken.
        assert!(lines.iter().all(|line| line.len() <= width), "{text}");
        golden(&format!("long-values-{width}.txt"), &text)?;
    }
    Ok(())
}
