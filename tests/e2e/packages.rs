//! Each single change of a package is told as such, and as the change of the database that it was made in.

use driftcheck_tests::{Drift, Report, Run, Scratch, Tree, Want};
use serde_json::{Value, json};

const NONE: Value = Value::Null;
const ANY_BUT_INFO: &[&str] = &["critical", "high", "medium", "low"];
const BAD: &[&str] = &["critical", "high"];
const MILD: &[&str] = &["medium", "low"];

#[test]
fn a_change_of_packages_is_told_and_linked_to_the_database() {
    let package = |change, severity, fields| Want {
        section: "packages",
        key: "deb/tool:amd64",
        change,
        fields,
        severity,
    };
    let version = |is: &str| vec![("version", json!("1.10-1"), json!(is))];
    let cases: [(&str, &str, Want); 5] = [
        (
            "1.10-1\n",
            "1.10-2\n",
            package("modified", MILD, version("1.10-2")),
        ),
        ("1.10-1\n", "1.9-1\n", package("modified", BAD, version("1.9-1"))),
        (
            "1.10-1\n",
            "1.10-1~rc1\n",
            package("modified", BAD, version("1.10-1~rc1")),
        ),
        (
            "Description: two\n",
            "Description: two\n\nPackage: more\nStatus: install ok installed\nArchitecture: all\nVersion: 7\n",
            Want {
                section: "packages",
                key: "deb/more:all",
                change: "added",
                fields: vec![("version", NONE, json!("7"))],
                severity: ANY_BUT_INFO,
            },
        ),
        (
            "Package: tool\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1.10-1\nDescription: two\n\n",
            "",
            package("removed", ANY_BUT_INFO, vec![("version", json!("1.10-1"), NONE)]),
        ),
    ];
    let scratch = Scratch::new("matrix-packages");
    for (number, (from, to, want)) in cases.into_iter().enumerate() {
        let tree = Tree::small(scratch.join(format!("root-{number}")));
        let baseline = scratch.join(format!("baseline-{number}"));
        Run::record(tree.path(), &baseline).run().expect_code(0);
        tree.edit("var/lib/dpkg/status", from, to);
        let report = Report::of(&Run::audit(tree.path(), &baseline).run().expect_code(1));
        let drifts = report.drifts();
        let of = |section: &str| {
            let mut found = drifts.iter().filter(|drift| drift.section == section);
            let one = found
                .next()
                .unwrap_or_else(|| panic!("{to:?}: no drift of {section}: {drifts:#?}"));
            assert!(found.next().is_none(), "{to:?}: {drifts:#?}");
            one
        };
        let (file, fact) = (of("files"), of("packages"));
        assert_eq!(
            (drifts.len(), &file.key[..]),
            (2, "/var/lib/dpkg/status"),
            "{to:?}"
        );
        assert_eq!(
            (&file.related, &fact.related),
            (&vec![fact.id.clone()], &vec![file.id.clone()])
        );
        let files = Want {
            section: "files",
            key: "/var/lib/dpkg/status",
            change: "modified",
            fields: file.fields.keys().map(|name| one_field(name, file)).collect(),
            severity: ANY_BUT_INFO,
        };
        report.assert_drifts(to, &[files, want]);
    }
}

/// Only digest and size of the database may differ.
fn one_field(name: &str, drift: &Drift) -> (&'static str, Value, Value) {
    let name = ["digest", "size"].into_iter().find(|known| *known == name);
    let name = name.unwrap_or_else(|| panic!("neither digest nor size: {drift:#?}"));
    let (was, is) = drift.fields[name].clone();
    (name, was.unwrap_or_default(), is.unwrap_or_default())
}
