use super::*;
use crate::tree::memory::MemoryTree;

const DIGEST: &str = "0123456789abcdef0123456789abcdef";

fn stanza(name: &str, status: &str, more: &str) -> String {
    format!("Package: {name}\nStatus: {status}\nArchitecture: amd64\nVersion: 1\n{more}\n")
}

fn read_all(tree: &MemoryTree) -> Installed {
    read(tree, Wanted::PackagesAndFiles).unwrap().unwrap()
}

fn trouble(found: &Installed) -> Vec<(&str, &str)> {
    found
        .trouble
        .iter()
        .map(|(key, why)| (str::from_utf8(key).unwrap(), why.as_str()))
        .collect()
}

fn files(found: &Installed) -> Vec<(&str, usize, bool, bool, bool)> {
    found
        .files
        .iter()
        .map(|f| {
            (
                str::from_utf8(&f.path).unwrap(),
                f.package,
                f.digest.is_some(),
                f.config,
                f.ghost,
            )
        })
        .collect()
}

#[test]
fn absence_and_failure_are_different() {
    assert!(read(&MemoryTree::new(), Wanted::Packages).unwrap().is_none());
    let denied = MemoryTree::new().failing("/var/lib/dpkg/status", TreeError::Denied);
    assert_eq!(read(&denied, Wanted::Packages).unwrap_err(), TreeError::Denied);
    let denied = MemoryTree::new().failing("/var/lib/dpkg/status.d", TreeError::Denied);
    assert_eq!(read(&denied, Wanted::Packages).unwrap_err(), TreeError::Denied);
    let empty = MemoryTree::new().file("/var/lib/dpkg/status", "");
    assert_eq!(read(&empty, Wanted::Packages).unwrap().unwrap().packages, []);
}

#[test]
fn files_with_digests_conffiles_and_ghosts() {
    let conffiles = format!(
        "Conffiles:\n /etc/a {DIGEST}\n /etc/old {DIGEST} obsolete\n /etc/gone newconffile remove-on-upgrade\n"
    );
    let tree = MemoryTree::new()
        .file(
            "/var/lib/dpkg/status",
            stanza("a", "install ok installed", &conffiles)
                + &stanza(
                    "b",
                    "deinstall ok config-files",
                    &format!("Conffiles:\n /etc/b {DIGEST}\n"),
                )
                + &stanza("c", "purge ok not-installed", ""),
        )
        .file(
            "/var/lib/dpkg/info/a.list",
            "/.\n/etc\n/etc/a\n/usr/bin/a\n/usr/bin/link\n",
        )
        .file("/var/lib/dpkg/info/a.md5sums", format!("{DIGEST}  usr/bin/a\n"))
        .file("/var/lib/dpkg/info/b.list", "/etc\n/etc/b\n");
    let found = read_all(&tree);
    assert_eq!(trouble(&found), []);
    assert_eq!(found.packages.len(), 2);
    assert_eq!(
        files(&found),
        [
            ("/", 0, false, false, false),
            ("/etc", 0, false, false, false),
            ("/etc/a", 0, true, true, false),
            ("/usr/bin/a", 0, true, false, false),
            ("/usr/bin/link", 0, false, false, false),
            ("/etc/gone", 0, false, true, true),
            ("/etc/old", 0, true, true, true),
            ("/etc/b", 1, true, true, true),
        ]
    );
}

#[test]
fn lists_of_several_architectures() {
    let status =
        "Package: lib\nStatus: install ok installed\nArchitecture: i386\nVersion: 1\nMulti-Arch: same\n";
    let tree = MemoryTree::new()
        .file(
            "/var/lib/dpkg/status",
            stanza("lib", "install ok installed", "Multi-Arch: same\n") + status,
        )
        .file("/var/lib/dpkg/info/lib:amd64.list", "/amd64\n")
        .file("/var/lib/dpkg/info/lib:i386.list", "/i386\n");
    let found = read_all(&tree);
    assert_eq!(
        files(&found),
        [
            ("/amd64", 0, false, false, false),
            ("/i386", 1, false, false, false)
        ]
    );
}

#[test]
fn what_is_wrong_with_one_package_stays_with_it() {
    let tree = MemoryTree::new()
        .file(
            "/var/lib/dpkg/status",
            ["nolist", "denied", "bad", "good"].map(|name| stanza(name, "install ok installed", "")).concat()
                + "Package: odd\nStatus: install ok installed\nVersion: 1\nArchitecture: all\ngarbage\n\nVersion: 7\n",
        )
        .failing("/var/lib/dpkg/info/denied.list", TreeError::Denied)
        .file("/var/lib/dpkg/info/bad.list", "/a\nb\n")
        .file("/var/lib/dpkg/info/bad.md5sums", "x\n")
        .file("/var/lib/dpkg/info/good.list", "/good\n")
        .failing("/var/lib/dpkg/info/good.md5sums", TreeError::TooLarge(9))
        .file("/var/lib/dpkg/info/odd.list", "/odd\n");
    let found = read_all(&tree);
    assert_eq!(
        trouble(&found),
        [
            ("deb", "/var/lib/dpkg/status: line 27: no Package field"),
            ("deb/nolist:amd64", "/var/lib/dpkg/info/nolist.list: not found"),
            (
                "deb/denied:amd64",
                "/var/lib/dpkg/info/denied.list: permission denied"
            ),
            (
                "deb/bad:amd64",
                "/var/lib/dpkg/info/bad.md5sums: line 1: line is too short"
            ),
            (
                "deb/bad:amd64",
                "/var/lib/dpkg/info/bad.list: line 2: path does not begin with /"
            ),
            (
                "deb/good:amd64",
                "/var/lib/dpkg/info/good.md5sums: longer than 9 bytes"
            ),
            (
                "deb/odd:all",
                "/var/lib/dpkg/status: line 25: neither a field nor a continuation"
            ),
        ]
    );
    assert_eq!(found.packages.len(), 5);
    assert_eq!(
        files(&found).iter().map(|file| file.0).collect::<Vec<_>>(),
        ["/a", "/good", "/odd"]
    );
    // Who asks for packages only is not told of lists.
    let packages = read(&tree, Wanted::Packages).unwrap().unwrap();
    assert_eq!(packages.trouble.len(), 2);
}

#[test]
fn automatic_as_apt_notes_it() {
    let all = "Package: doc\nStatus: install ok installed\nArchitecture: all\nVersion: 1\n\n";
    let tree = MemoryTree::new().file(
        "/var/lib/dpkg/status",
        ["dpkg", "lib", "tool", "zero"]
            .map(|name| stanza(name, "install ok installed", ""))
            .concat()
            + all
            + &stanza("left", "deinstall ok config-files", ""),
    );
    let automatic = |tree: &MemoryTree| {
        let found = read(tree, Wanted::Packages).unwrap().unwrap();
        (
            found
                .packages
                .iter()
                .map(|package| package.automatic)
                .collect::<Vec<_>>(),
            found.trouble,
        )
    };
    let note = |name: &str, architecture: &str, flag: &str| {
        format!("Package: {name}\nArchitecture: {architecture}\nAuto-Installed: {flag}\n\n")
    };
    assert_eq!(automatic(&tree), (vec![None; 6], vec![]));

    let notes = note("lib", "amd64", "1") + &note("tool", "i386", "1") + &note("doc", "amd64", "1");
    let tree = tree.file(
        "/var/lib/apt/extended_states",
        notes.clone() + &note("zero", "amd64", "0"),
    );
    let (yes, no) = (Some(true), Some(false));
    assert_eq!(automatic(&tree), (vec![no, yes, no, no, yes, None], vec![]));

    // With one note lost, a package without a note may be the one that it was for.
    let tree = tree.file("/var/lib/apt/extended_states", notes + "Auto-Installed: 1\n");
    let (found, trouble) = automatic(&tree);
    assert_eq!(found, [None, yes, None, None, yes, None]);
    assert_eq!(
        trouble[0].1,
        "automatic: /var/lib/apt/extended_states: line 13: no Package field"
    );

    let tree = tree.failing("/var/lib/apt/extended_states", TreeError::Denied);
    assert_eq!(automatic(&tree).0, [None; 6]);
    assert_eq!(
        automatic(&tree).1[0].1,
        "automatic: /var/lib/apt/extended_states: permission denied"
    );
}

#[test]
fn an_image_without_dpkg() {
    let tree = MemoryTree::new()
        .file(
            "/var/lib/dpkg/status.d/tzdata",
            "Package: tzdata\nVersion: 2024a\nArchitecture: all\n",
        )
        .file(
            "/var/lib/dpkg/status.d/tzdata.md5sums",
            format!("{DIGEST}  usr/share/zoneinfo/UTC\n"),
        )
        .file(
            "/var/lib/dpkg/status.d/base",
            "Package: base-files\nVersion: 12\nArchitecture: amd64\n",
        );
    let found = read_all(&tree);
    assert_eq!(found.packages.len(), 2);
    assert_eq!(
        files(&found),
        [("/usr/share/zoneinfo/UTC", 1, true, false, false)]
    );
    assert_eq!(
        trouble(&found),
        [(
            "deb/base-files:amd64",
            "/var/lib/dpkg/status.d/base.md5sums: not found"
        )]
    );
}

#[test]
fn a_killed_dpkg_left_updates() {
    let tree = MemoryTree::new()
        .file(
            "/var/lib/dpkg/status",
            stanza("a", "install ok installed", "") + &stanza("b", "install ok installed", ""),
        )
        .file(
            "/var/lib/dpkg/updates/0000",
            stanza("a", "install ok half-installed", ""),
        )
        .file(
            "/var/lib/dpkg/updates/0001",
            stanza("a", "install ok unpacked", "") + &stanza("c", "install ok unpacked", ""),
        )
        .file(
            "/var/lib/dpkg/updates/0002",
            stanza("b", "purge ok not-installed", ""),
        )
        .file("/var/lib/dpkg/updates/tmp.i", "#padding\n");
    let found = read(&tree, Wanted::Packages).unwrap().unwrap();
    let names: Vec<_> = found
        .packages
        .iter()
        .map(|p| (&p.name[..], p.status.as_deref()))
        .collect();
    assert_eq!(
        names,
        [(&b"a"[..], Some(&b"unpacked"[..])), (b"c", Some(b"unpacked"))]
    );
    assert_eq!(found.trouble, []);
    let tree = tree.failing("/var/lib/dpkg/updates/0001", TreeError::Denied);
    assert_eq!(
        trouble(&read(&tree, Wanted::Packages).unwrap().unwrap()),
        [("deb", "/var/lib/dpkg/updates/0001: permission denied")]
    );
}

#[test]
fn diversions_and_overrides() {
    let tree = MemoryTree::new()
        .file("/var/lib/dpkg/status", "")
        .file(
            "/var/lib/dpkg/diversions",
            "/bin/sh\n/bin/sh.distrib\ndash\n/cut\n",
        )
        .file("/var/lib/dpkg/statoverride", "root root 4755 /bin/x\n");
    let found = read(&tree, Wanted::Packages).unwrap().unwrap();
    assert_eq!(found.diversions.len(), 1);
    assert_eq!(found.overrides.len(), 1);
    assert_eq!(
        trouble(&found),
        [(
            "deb-diversion",
            "/var/lib/dpkg/diversions: line 4: diversion is cut short"
        )]
    );
    let tree = tree.failing("/var/lib/dpkg/statoverride", TreeError::Denied);
    assert_eq!(
        trouble(&read(&tree, Wanted::Packages).unwrap().unwrap())[1].0,
        "deb-statoverride"
    );
}
