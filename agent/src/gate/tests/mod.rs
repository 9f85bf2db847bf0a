//! Rules on small images made for the purpose.

mod image;
mod plants;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;

use baseline_format::image_check::{ImageCheck, ImageVerdict, RuleOutcome};

use image::Image;

/// Key and what, of the findings of one rule.
fn found(check: &ImageCheck) -> Vec<(String, String)> {
    check
        .findings
        .iter()
        .map(|finding| (finding.key.to_string(), finding.what.clone()))
        .collect()
}

fn one_rule(test: &str) -> String {
    format!("[[rule]]\nid = 'r'\nreason = 'for a test'\n{test}\n")
}

#[test]
fn files_are_selected_by_path_type_and_package() {
    let image = Image::new("select");
    image.file("srv/a.txt", "x");
    image.file("srv/b/c.txt", "");
    symlink("a.txt", image.0.join("srv/link.txt")).unwrap();
    for (test, wanted) in [
        (
            "absent = { paths = ['/srv/*.txt'] }",
            vec!["/srv/a.txt", "/srv/link.txt"],
        ),
        (
            "absent = { paths = ['/srv/**'], types = ['file'] }",
            vec!["/srv/a.txt", "/srv/b/c.txt"],
        ),
        (
            "absent = { paths = ['/srv/**'], types = ['symlink', 'directory'] }",
            vec!["/srv/b", "/srv/link.txt"],
        ),
        (
            "absent = { paths = ['**/*.txt'], unless = ['/srv/b/**', '**/link*'] }",
            vec!["/srv/a.txt"],
        ),
        ("absent = { paths = ['/usr/bin/*'] }", vec!["/usr/bin/tool"]),
        ("absent = { paths = ['/usr/bin/*'], unpackaged = true }", vec![]),
        ("empty = { paths = ['/srv/**'] }", vec!["/srv/a.txt"]),
        ("empty = { paths = ['/srv/**'], or = ['x'] }", vec![]),
        ("empty = { paths = ['/srv/**'], or = ['y'] }", vec!["/srv/a.txt"]),
        (
            "content = { paths = ['/**'], lines = ['^-----BEGIN'] }",
            vec!["/usr/share/key.pem"],
        ),
        (
            "content = { paths = ['/**'], lines = ['^-----BEGIN'], unpackaged = true }",
            vec![],
        ),
        (
            "content = { paths = ['/**'], lines = ['^-----BEGIN'], largest = 3 }",
            vec![],
        ),
        (
            "content = { paths = ['/srv/**'], lines = ['x', 'y'] }",
            vec!["/srv/a.txt"],
        ),
    ] {
        let check = image.check(&one_rule(test));
        let keys: Vec<String> = found(&check).into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, wanted, "{test}");
        let outcome = if wanted.is_empty() {
            RuleOutcome::Passed
        } else {
            RuleOutcome::Failed
        };
        assert_eq!(check.rules[0].outcome, outcome, "{test}");
    }
    let check = image.check(&one_rule(
        "content = { paths = ['/usr/share/*'], lines = ['x'], largest = 3 }",
    ));
    assert_eq!(
        check.coverage.skipped[0].rule,
        "content of files longer than 3 bytes"
    );
}

#[test]
fn what_must_be_there_is_looked_for() {
    let image = Image::new("present");
    symlink("usr/bin", image.0.join("bin")).unwrap();
    for (test, wanted) in [
        (
            "present = { paths = ['/usr/bin/tool', '/bin/tool', '/usr/*/tool'] }",
            vec![],
        ),
        (
            "present = { paths = ['/usr/bin/none'] }",
            vec![("/usr/bin/none", "is not there")],
        ),
        (
            "present = { paths = ['/usr/*/none'] }",
            vec![("/usr/*/none", "nothing matches")],
        ),
        (
            "present = { paths = ['/usr/bin'], types = ['file'] }",
            vec![("/usr/bin", "is a directory")],
        ),
        (
            "present = { paths = ['/usr/*'], types = ['file'] }",
            vec![("/usr/*", "nothing matches")],
        ),
        ("mode = { paths = ['/usr/bin/tool'], exactly = '0755' }", vec![]),
        (
            "mode = { paths = ['/usr/bin/tool'], exactly = '0555' }",
            vec![("/usr/bin/tool", "mode is 0755, must be 0555")],
        ),
        (
            "mode = { paths = ['/usr/bin/tool'], at-most = '0750' }",
            vec![("/usr/bin/tool", "mode is 0755, at most 0750 is allowed")],
        ),
        (
            "mode = { paths = ['/tmp'], at-most = '0755', except = '1000' }",
            vec![],
        ),
        (
            "mode = { paths = ['/tmp'], types = ['file'], at-most = '0755' }",
            vec![],
        ),
        (
            "mode = { paths = ['/usr/bin/tool'], user = 'nobody' }",
            vec![("/usr/bin/tool", "user is OWN, must be nobody")],
        ),
    ] {
        let own = if rustix::process::getuid().is_root() {
            "root"
        } else {
            "own"
        };
        let wanted: Vec<(String, String)> = wanted
            .iter()
            .map(|(key, what)| ((*key).to_owned(), what.replace("OWN", own)))
            .collect();
        assert_eq!(found(&image.check(&one_rule(test))), wanted, "{test}");
    }
}

#[test]
fn entries_of_any_section_are_held_against_rules() {
    let image = Image::new("facts");
    image.add("etc/sudoers", "bob ALL=(ALL) NOPASSWD: /bin/ls\n");
    for (test, wanted) in [
        (
            "forbid = { section = 'users', keys = ['a*'] }",
            vec![("alice", "is there")],
        ),
        ("forbid = { section = 'users', unless = ['*'] }", vec![]),
        (
            "forbid = { section = 'users', where = { uid = [70001, 70002], shell = '/bin/sh' } }",
            vec![("alice", "shell is /bin/sh, uid is 70001")],
        ),
        (
            "forbid = { section = 'users', where = { uid = '70001' } }",
            vec![],
        ),
        (
            "forbid = { section = 'sudoers', where = { tags = 'NOPASSWD' } }",
            vec![("rule/bob ALL=(ALL) NOPASSWD: /bin/ls", "tags has NOPASSWD")],
        ),
        (
            "forbid = { section = 'sudoers', where = { tags = 'NOPASSWD', command = 'ALL' } }",
            vec![],
        ),
        (
            "forbid = { section = 'files', keys = ['/usr/bin/*'], where = { mode = '0755' } }",
            vec![("/usr/bin/tool", "mode is 0755")],
        ),
        (
            "setting = { section = 'users', key = 'root', attribute = 'shell', equals = '/bin/sh' }",
            vec![],
        ),
        (
            "setting = { section = 'users', key = 'root', attribute = 'shell', equals = '/bin/bash' }",
            vec![("root", "shell is /bin/sh, must be /bin/bash")],
        ),
        (
            "setting = { section = 'users', key = 'root', attribute = 'shell', one-of = ['/bin/sh', '/bin/bash'] }",
            vec![],
        ),
        (
            "setting = { section = 'users', key = 'root', attribute = 'shell', one-of = ['/a', '/b'] }",
            vec![("root", "shell is /bin/sh, must be one of /a, /b")],
        ),
        (
            "setting = { section = 'users', key = 'alice', attribute = 'uid', at-least = 1000, at-most = 60000 }",
            vec![("alice", "uid is 70001, must be from 1000 to 60000")],
        ),
        (
            "setting = { section = 'shadow', key = '*', attribute = 'max-days', at-most = 90 }",
            vec![
                ("alice", "max-days is 99999, must be at most 90"),
                ("root", "max-days is 99999, must be at most 90"),
            ],
        ),
        (
            "setting = { section = 'users', key = 'root', attribute = 'home', matches = '^/root$' }",
            vec![],
        ),
        (
            "setting = { section = 'users', key = 'root', attribute = 'home', matches = '^/home/' }",
            vec![("root", "home is /root, must match ^/home/")],
        ),
        (
            "setting = { section = 'users', key = 'root', attribute = 'colour', equals = 'red' }",
            vec![("root", "has no colour, must be red")],
        ),
        (
            "setting = { section = 'users', key = 'root', attribute = 'colour', equals = 'red', missing = 'pass' }",
            vec![],
        ),
        (
            "setting = { section = 'users', key = 'mallory', attribute = 'uid', equals = 1 }",
            vec![("mallory", "is not there")],
        ),
        (
            "setting = { section = 'users', key = 'mallory', attribute = 'uid', equals = 1, missing = 'pass' }",
            vec![],
        ),
        (
            "packages = { required = ['tool', 'tool >= 1.9', 'deb/libold2 < 1:3', 'lib*'] }",
            vec![],
        ),
        (
            "packages = { required = ['tool >= 1.11', 'gone', 'rpm/tool'] }",
            vec![
                ("gone", "is not installed"),
                ("rpm/tool", "is not installed"),
                ("tool >= 1.11", "is installed in version 1.10-1"),
            ],
        ),
        (
            "packages = { forbidden = ['lib*', 'gone', 'tool > 1.10-1'] }",
            vec![(
                "deb/libold2:amd64",
                "is installed in version 1:2.3-4, and lib* is forbidden",
            )],
        ),
        ("packages = { forbidden = ['libold2 <= 2.9'] }", vec![]),
    ] {
        let wanted: Vec<(String, String)> = wanted
            .iter()
            .map(|(key, what)| ((*key).to_owned(), (*what).to_owned()))
            .collect();
        assert_eq!(found(&image.check(&one_rule(test))), wanted, "{test}");
    }
}

#[test]
fn what_cannot_be_looked_at_never_passes() {
    let image = Image::new("blind");
    let verdict = |policy: &str| {
        let check = image.check(policy);
        let outcomes: Vec<RuleOutcome> = check.rules.iter().map(|rule| rule.outcome).collect();
        (check.verdict, outcomes, check.coverage.unseen_total)
    };
    let users = one_rule("forbid = { section = 'users', keys = ['mallory'] }");
    assert_eq!(verdict(&users), (ImageVerdict::Fit, vec![RuleOutcome::Passed], 0));
    // A section of a later release.
    let later = one_rule("setting = { section = 'user', key = 'a', attribute = 'b', equals = 1 }");
    assert_eq!(
        verdict(&later),
        (ImageVerdict::Incomplete, vec![RuleOutcome::NotJudged], 1)
    );
    assert_eq!(
        image.check(&later).coverage.unseen[0].why.to_string(),
        "all: this release does not read such a section; did you mean `users`?"
    );
    // Part of a section: a malformed line.
    image.add("etc/passwd", "mallory:x\n");
    assert_eq!(
        verdict(&users),
        (ImageVerdict::Incomplete, vec![RuleOutcome::NotJudged], 1)
    );
    let alice = one_rule("forbid = { section = 'users', keys = ['alice'] }");
    assert_eq!(
        verdict(&alice),
        (ImageVerdict::UnfitAndIncomplete, vec![RuleOutcome::Failed], 1)
    );
    let missing = one_rule("setting = { section = 'users', key = 'mallory', attribute = 'uid', equals = 1 }");
    assert_eq!(
        verdict(&missing).1,
        [RuleOutcome::NotJudged],
        "what was not seen is not missing"
    );
    // Rules about other sections are judged; the check as a whole is not complete.
    let other = one_rule("forbid = { section = 'groups', keys = ['mallory'] }");
    assert_eq!(
        verdict(&other),
        (ImageVerdict::Incomplete, vec![RuleOutcome::Passed], 1)
    );
    // A waiver of the rule does not make the check complete.
    let waived = format!("{users}[[waive]]\nrule = 'r'\nreason = 'a test'\n");
    assert_eq!(
        verdict(&waived),
        (ImageVerdict::Incomplete, vec![RuleOutcome::Waived], 1)
    );
}

#[test]
fn no_package_database_is_a_gap() {
    let image = Image::new("no-database");
    fs::remove_dir_all(image.0.join("var/lib/dpkg")).unwrap();
    let check = image.check(&one_rule("unexplained = {}"));
    assert_eq!(check.verdict, ImageVerdict::UnfitAndIncomplete);
    assert!(
        check.coverage.unseen[0]
            .why
            .as_str()
            .starts_with("all: no package database")
    );
    let waived = one_rule("unexplained = {}") + "[[waive]]\nrule = 'r'\nreason = 'an image from scratch'\n";
    let check = image.check(&waived);
    assert_eq!(
        (check.verdict, check.rules[0].outcome),
        (ImageVerdict::Fit, RuleOutcome::Waived)
    );
    assert!(check.rules[0].waived > 5 && check.waivers[0].findings == check.rules[0].waived);
}

#[test]
fn waivers_are_counted() {
    let image = Image::new("waivers");
    for name in ["a", "b", "c"] {
        image.file(&format!("srv/{name}"), "x");
    }
    let rule = one_rule("absent = { paths = ['/srv/*'] }");
    let waive = |path: &str| format!("[[waive]]\nrule = 'r'\npath = '{path}'\nreason = 'for a test'\n");
    let check = image.check(&(rule.clone() + &waive("/srv/a") + &waive("/srv/x")));
    assert_eq!(
        (
            check.rules[0].findings,
            check.rules[0].waived,
            check.rules[0].outcome
        ),
        (2, 1, RuleOutcome::Failed)
    );
    assert_eq!(
        check
            .waivers
            .iter()
            .map(|waiver| waiver.findings)
            .collect::<Vec<_>>(),
        [1, 0]
    );
    let check = image.check(&(rule.clone() + &waive("/srv/*")));
    assert_eq!(
        (check.verdict, check.rules[0].outcome, check.rules[0].waived),
        (ImageVerdict::Fit, RuleOutcome::Waived, 3)
    );
    let warn = rule.replace("reason", "severity = 'warn'\nreason");
    let check = image.check(&warn);
    assert_eq!(
        (check.verdict, check.rules[0].outcome),
        (ImageVerdict::Fit, RuleOutcome::Warned)
    );
}

#[test]
fn what_a_policy_explains_is_explained() {
    let image = Image::new("explained");
    image.file("opt/app/bin/app", "x");
    symlink("../lib/evil", image.0.join("opt/link")).unwrap();
    let keys = |policy: &str| -> BTreeSet<String> {
        found(&image.check(&(one_rule("unexplained = {}") + policy)))
            .into_iter()
            .map(|(key, _)| key)
            .collect()
    };
    let without = keys("");
    assert!(
        without.contains("/opt/app/bin/app")
            && without.contains("/opt/link")
            && !without.contains("/usr/bin/tool")
    );
    let app = keys("[[explain]]\npaths = ['/opt/app/**']\nreason = 'our application'\n");
    assert_eq!(
        without.difference(&app).map(String::as_str).collect::<Vec<_>>(),
        ["/opt/app", "/opt/app/bin", "/opt/app/bin/app"]
    );
    let link = |target: &str| {
        keys(&format!(
            "[[explain]]\npaths = ['/opt/*']\nlinks-to = ['{target}']\nreason = 'ours'\n"
        ))
    };
    assert!(link("../lib/good").contains("/opt/link"));
    assert!(!link("../lib/*").contains("/opt/link"));
    assert!(link("../lib/*").contains("/opt/app"), "no link");
}

#[test]
fn the_same_image_gives_the_same_digest() {
    let image = Image::new("digest");
    let digest = || image.check(&one_rule("unowned = {}")).image.entries;
    let first = digest();
    assert_eq!(digest(), first);
    image.file("srv/a", "x");
    assert_ne!(digest(), first);
}
