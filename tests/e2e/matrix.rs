//! Each single change gives exactly the drift that it should, and no change gives none.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, chown, symlink};
use std::path::Path;

use driftcheck_tests::{Need, Report, Run, Scratch, Tree, Want, make_node, met, set_times, sha256, tool};
use rustix::fs::{AtFlags, CWD, FileType, Timespec, Timestamps, XattrFlags};
use serde_json::{Value, json};

const NONE: Value = Value::Null;
const ANY_BUT_INFO: &[&str] = &["critical", "high", "medium", "low"];
const BAD: &[&str] = &["critical", "high"];
const MILD: &[&str] = &["medium", "low"];

/// One change, and what must be told of it.
struct Case {
    name: &'static str,
    needs: &'static [Need],
    before: fn(&Tree),
    change: fn(&Tree),
    wants: Vec<Want>,
}

fn no_preparation(_: &Tree) {}

fn want(
    key: &'static str,
    change: &'static str,
    severity: &'static [&'static str],
    fields: Vec<(&'static str, Value, Value)>,
) -> Want {
    Want {
        section: "files",
        key,
        change,
        fields,
        severity,
    }
}

fn modified(
    key: &'static str,
    severity: &'static [&'static str],
    fields: Vec<(&'static str, Value, Value)>,
) -> Want {
    want(key, "modified", severity, fields)
}

fn case(name: &'static str, needs: &'static [Need], change: fn(&Tree), wants: Vec<Want>) -> Case {
    Case {
        name,
        needs,
        before: no_preparation,
        change,
        wants,
    }
}

/// Runs the cases, each on a root of its own.
fn check(scratch: &str, cases: &[Case]) {
    let scratch = Scratch::new(scratch);
    for (number, case) in cases.iter().enumerate() {
        if !met(case.needs) {
            continue;
        }
        let tree = Tree::small(scratch.join(format!("root-{number}")));
        (case.before)(&tree);
        let baseline = scratch.join(format!("baseline-{number}"));
        let recorded = Run::record(tree.path(), &baseline).run().expect_code(0);
        assert!(recorded.stdout.is_empty(), "{}", recorded.text());
        Report::of(&Run::audit(tree.path(), &baseline).run()).assert_clean();
        (case.change)(&tree);
        let report = Report::of(&Run::audit(tree.path(), &baseline).run());
        report.assert_drifts(case.name, &case.wants);
        let verdict = if case.wants.is_empty() { "clean" } else { "drift" };
        assert_eq!(report.0["verdict"], verdict, "{}", case.name);
    }
}

#[test]
fn an_untouched_root_is_clean_and_fully_verified() {
    let scratch = Scratch::new("matrix-clean");
    let tree = Tree::small(scratch.join("root"));
    let baseline = scratch.join("baseline");
    Run::record(tree.path(), &baseline).run().expect_code(0);
    let report = Report::of(&Run::audit(tree.path(), &baseline).run().expect_code(0));
    report.assert_clean();
    for section in ["files", "packages"] {
        let expected = report.count(section, "expected");
        assert!(expected > 0, "{section}");
        for name in ["observed", "verified"] {
            assert_eq!(report.count(section, name), expected, "{section} {name}");
        }
        assert_eq!(
            (
                report.count(section, "unseen_total"),
                report.count(section, "raced")
            ),
            (0, 0)
        );
    }
}

#[test]
fn a_change_of_content_is_told() {
    let digest = |from: &str, to: &str| ("digest", json!(sha256(from)), json!(sha256(to)));
    check(
        "matrix-content",
        &[
            case(
                "content of another length",
                &[],
                |tree| tree.file("etc/motd", "be bad, or else\n", 0o644),
                vec![modified(
                    "/etc/motd",
                    ANY_BUT_INFO,
                    vec![
                        digest("be good\n", "be bad, or else\n"),
                        ("size", json!(8), json!(16)),
                    ],
                )],
            ),
            case(
                "content of the same length, with its old modification time",
                &[],
                |tree| {
                    keeping_times(&tree.join("etc/motd"), |path| {
                        fs::write(path, "be evil\n").unwrap();
                    });
                },
                vec![modified(
                    "/etc/motd",
                    ANY_BUT_INFO,
                    vec![digest("be good\n", "be evil\n")],
                )],
            ),
            case(
                "a program's content",
                &[],
                |tree| tree.file("usr/bin/tool", "#!/bin/sh\nexit 1\n", 0o755),
                vec![modified(
                    "/usr/bin/tool",
                    BAD,
                    vec![digest("#!/bin/sh\nexit 0\n", "#!/bin/sh\nexit 1\n")],
                )],
            ),
            case(
                "modification time only",
                &[],
                |tree| set_times(&tree.join("etc/motd"), 1_000_000_000, 1_000_000_000),
                vec![],
            ),
        ],
    );
}

#[test]
fn a_change_of_permissions_and_owners_is_told() {
    check(
        "matrix-rights",
        &[
            case(
                "mode",
                &[],
                |tree| tree.mode("etc/motd", 0o600),
                vec![modified(
                    "/etc/motd",
                    ANY_BUT_INFO,
                    vec![("mode", json!("0644"), json!("0600"))],
                )],
            ),
            case(
                "mode of a directory",
                &[],
                |tree| tree.mode("srv/data", 0o1777),
                vec![modified(
                    "/srv/data",
                    ANY_BUT_INFO,
                    vec![("mode", json!("0755"), json!("1777"))],
                )],
            ),
            case(
                "setuid gained",
                &[],
                |tree| tree.mode("usr/bin/tool", 0o4755),
                vec![modified(
                    "/usr/bin/tool",
                    &["critical"],
                    vec![("mode", json!("0755"), json!("4755"))],
                )],
            ),
            case(
                "owner",
                &[Need::Root],
                |tree| chown(tree.join("etc/motd"), Some(1000), None).unwrap(),
                vec![modified(
                    "/etc/motd",
                    ANY_BUT_INFO,
                    vec![
                        ("uid", json!(0), json!(1000)),
                        ("user", json!("root"), json!("bob")),
                    ],
                )],
            ),
            case(
                "group, to one without a name",
                &[Need::Root],
                |tree| chown(tree.join("etc/motd"), None, Some(4242)).unwrap(),
                vec![modified(
                    "/etc/motd",
                    ANY_BUT_INFO,
                    vec![("gid", json!(0), json!(4242)), ("group", json!("root"), NONE)],
                )],
            ),
            case(
                "owner of a symbolic link",
                &[Need::Root],
                |tree| std::os::unix::fs::lchown(tree.join("etc/motd.link"), Some(1000), None).unwrap(),
                vec![modified(
                    "/etc/motd.link",
                    ANY_BUT_INFO,
                    vec![
                        ("uid", json!(0), json!(1000)),
                        ("user", json!("root"), json!("bob")),
                    ],
                )],
            ),
        ],
    );
}

#[test]
fn a_change_of_extended_attributes_and_flags_is_told() {
    check(
        "matrix-extended",
        &[
            case(
                "a user's extended attribute",
                &[],
                |tree| {
                    let path = tree.join("etc/motd");
                    rustix::fs::setxattr(path, c"user.note", b"mine", XattrFlags::CREATE).unwrap();
                },
                vec![modified(
                    "/etc/motd",
                    ANY_BUT_INFO,
                    vec![("xattr:user.note", NONE, json!(sha256("mine")))],
                )],
            ),
            case(
                "file capabilities",
                &[Need::Root, Need::Tool("setcap")],
                |tree| {
                    drop(tool(
                        "setcap",
                        [Path::new("cap_net_raw=ep"), &tree.join("usr/bin/tool")],
                    ));
                },
                vec![modified(
                    "/usr/bin/tool",
                    &["critical"],
                    vec![("capabilities", NONE, json!("cap_net_raw=ep"))],
                )],
            ),
            case(
                "access control list",
                &[Need::Tool("setfacl")],
                |tree| {
                    drop(tool(
                        "setfacl",
                        [Path::new("-m"), Path::new("u:1000:r"), &tree.join("etc/motd")],
                    ));
                },
                vec![modified(
                    "/etc/motd",
                    ANY_BUT_INFO,
                    vec![(
                        "acl",
                        NONE,
                        json!([
                            "user::rw-",
                            "user:1000:r--",
                            "group::r--",
                            "mask::r--",
                            "other::r--"
                        ]),
                    )],
                )],
            ),
            case(
                "default access control list",
                &[Need::Tool("setfacl")],
                |tree| {
                    drop(tool(
                        "setfacl",
                        [Path::new("-dm"), Path::new("g:50:rwx"), &tree.join("srv/data")],
                    ));
                },
                vec![modified(
                    "/srv/data",
                    ANY_BUT_INFO,
                    vec![(
                        "default-acl",
                        NONE,
                        json!([
                            "user::rwx",
                            "group::r-x",
                            "group:50:rwx",
                            "mask::rwx",
                            "other::r-x"
                        ]),
                    )],
                )],
            ),
            case(
                "immutable flag",
                &[Need::Root, Need::Tool("chattr")],
                |tree| drop(tool("chattr", [Path::new("+i"), &tree.join("etc/motd")])),
                vec![modified(
                    "/etc/motd",
                    ANY_BUT_INFO,
                    vec![("flags", NONE, json!(["immutable"]))],
                )],
            ),
        ],
    );
}

#[test]
fn what_appears_and_vanishes_is_told() {
    check(
        "matrix-names",
        &[
            case(
                "a file added",
                &[],
                |tree| tree.file("usr/bin/new", "new\n", 0o755),
                vec![want(
                    "/usr/bin/new",
                    "added",
                    BAD,
                    vec![
                        ("type", NONE, json!("file")),
                        ("mode", NONE, json!("0755")),
                        ("digest", NONE, json!(sha256("new\n"))),
                    ],
                )],
            ),
            case(
                "a directory added",
                &[],
                |tree| tree.directory("srv/data/new"),
                vec![want(
                    "/srv/data/new",
                    "added",
                    ANY_BUT_INFO,
                    vec![("type", NONE, json!("directory"))],
                )],
            ),
            case(
                "a FIFO added",
                &[],
                |tree| make_node(&tree.join("srv/pipe"), FileType::Fifo, (0, 0)),
                vec![want(
                    "/srv/pipe",
                    "added",
                    ANY_BUT_INFO,
                    vec![("type", NONE, json!("fifo"))],
                )],
            ),
            case(
                "a hard link added",
                &[],
                |tree| fs::hard_link(tree.join("srv/data/a"), tree.join("srv/data/again")).unwrap(),
                vec![
                    modified("/srv/data/a", ANY_BUT_INFO, vec![("nlink", NONE, json!(2))]),
                    want(
                        "/srv/data/again",
                        "added",
                        ANY_BUT_INFO,
                        vec![
                            ("hardlink", NONE, json!("/srv/data/a")),
                            ("digest", NONE, json!(sha256("a\n"))),
                        ],
                    ),
                ],
            ),
            case(
                "a file removed",
                &[],
                |tree| fs::remove_file(tree.join("etc/motd")).unwrap(),
                vec![want(
                    "/etc/motd",
                    "removed",
                    MILD,
                    vec![
                        ("type", json!("file"), NONE),
                        ("digest", json!(sha256("be good\n")), NONE),
                    ],
                )],
            ),
            case(
                "a directory removed with its content",
                &[],
                |tree| fs::remove_dir_all(tree.join("srv/data")).unwrap(),
                vec![
                    want(
                        "/srv/data",
                        "removed",
                        MILD,
                        vec![("type", json!("directory"), NONE)],
                    ),
                    want(
                        "/srv/data/a",
                        "removed",
                        MILD,
                        vec![("type", json!("file"), NONE)],
                    ),
                    want(
                        "/srv/data/sub",
                        "removed",
                        MILD,
                        vec![("type", json!("directory"), NONE)],
                    ),
                    want(
                        "/srv/data/sub/b",
                        "removed",
                        MILD,
                        vec![("type", json!("file"), NONE)],
                    ),
                ],
            ),
        ],
    );
}

#[test]
fn a_change_of_type_or_target_is_told() {
    let was_file = |to: &'static str| {
        vec![
            ("type", json!("file"), json!(to)),
            ("digest", json!(sha256("be good\n")), NONE),
            ("size", json!(8), NONE),
        ]
    };
    let with = |mut fields: Vec<(&'static str, Value, Value)>, more: (&'static str, Value, Value)| {
        fields.push(more);
        fields
    };
    let link = with(was_file("symlink"), ("link", NONE, json!("/etc/hostname")));
    let link = with(link, ("mode", json!("0644"), NONE));
    let mut cases = vec![
        case(
            "link target",
            &[],
            |tree| {
                fs::remove_file(tree.join("etc/motd.link")).unwrap();
                tree.link("etc/motd.link", "hostname");
            },
            vec![modified(
                "/etc/motd.link",
                ANY_BUT_INFO,
                vec![("link", json!("motd"), json!("hostname"))],
            )],
        ),
        case(
            "a file became a link",
            &[],
            |tree| {
                fs::remove_file(tree.join("etc/motd")).unwrap();
                symlink("/etc/hostname", tree.join("etc/motd")).unwrap();
            },
            vec![modified("/etc/motd", ANY_BUT_INFO, link)],
        ),
        case(
            "a file became a directory",
            &[],
            |tree| {
                fs::remove_file(tree.join("etc/motd")).unwrap();
                tree.directory("etc/motd");
            },
            vec![modified(
                "/etc/motd",
                ANY_BUT_INFO,
                with(was_file("directory"), ("mode", json!("0644"), json!("0755"))),
            )],
        ),
        case(
            "a file became a FIFO",
            &[],
            |tree| {
                fs::remove_file(tree.join("etc/motd")).unwrap();
                make_node(&tree.join("etc/motd"), FileType::Fifo, (0, 0));
            },
            vec![modified("/etc/motd", ANY_BUT_INFO, was_file("fifo"))],
        ),
    ];
    cases.push(Case {
        name: "device number",
        needs: &[Need::Root],
        before: |tree| make_node(&tree.join("dev/null"), FileType::CharacterDevice, (1, 3)),
        change: |tree| {
            fs::remove_file(tree.join("dev/null")).unwrap();
            make_node(&tree.join("dev/null"), FileType::CharacterDevice, (1, 1));
        },
        wants: vec![modified(
            "/dev/null",
            ANY_BUT_INFO,
            vec![("device", json!("1:3"), json!("1:1"))],
        )],
    });
    check("matrix-types", &cases);
}

/// Changes a file and puts its times back, to the nanosecond.
fn keeping_times(path: &Path, change: impl FnOnce(&Path)) {
    let before = fs::metadata(path).unwrap();
    change(path);
    let times = Timestamps {
        last_access: Timespec {
            tv_sec: before.atime(),
            tv_nsec: before.atime_nsec(),
        },
        last_modification: Timespec {
            tv_sec: before.mtime(),
            tv_nsec: before.mtime_nsec(),
        },
    };
    rustix::fs::utimensat(CWD, path, &times, AtFlags::empty()).unwrap();
}
