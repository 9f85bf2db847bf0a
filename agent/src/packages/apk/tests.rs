use std::fmt::Write;

use proptest::prelude::*;

use super::*;
use crate::tree::memory::MemoryTree;

const Q1: &str = "Q1AAECAwQFBgcICQoLDA0ODxAREhM=";
const SHA1: &str = "sha1:000102030405060708090a0b0c0d0e0f10111213";

fn parse(text: &str) -> Database {
    parse_installed(text.as_bytes(), Wanted::PackagesAndFiles)
}

fn faulty(faults: &Faults) -> Vec<usize> {
    faults.iter().map(|fault| fault.line).collect()
}

#[test]
fn records_with_files() {
    let database = parse(&format!(
        "C:Q1x\nP:busybox\nV:1.36.1-r5\nA:x86_64\no:busybox\nm:A B <a@b>\nF:bin\nR:busybox\na:0:0:4755\nZ:{Q1}\n\
         R:plain\nF:var/spool\nM:0:10:1777\nF:\nR:top\nF:etc\nR:conf\nF:etc/init.d\nR:rc\n\nP:b\nV:1\nf:fs\n"
    ));
    assert!(database.faults.is_empty() && database.package_faults.is_empty());
    let [busybox, b] = &database.packages[..] else {
        panic!("two packages")
    };
    assert_eq!(busybox.version, b"1.36.1-r5");
    assert_eq!(busybox.vendor.as_deref(), Some(&b"A B <a@b>"[..]));
    assert_eq!(b.status.as_deref(), Some(&b"broken-files broken-script"[..]));
    let files: Vec<_> = database
        .files
        .iter()
        .map(|f| {
            let group = str::from_utf8(f.group.as_ref().unwrap()).unwrap();
            (
                str::from_utf8(&f.path).unwrap(),
                f.kind.is_some(),
                f.mode.unwrap(),
                group,
                f.config,
            )
        })
        .collect();
    assert_eq!(
        files,
        [
            ("/bin", true, 0o755, "0", false),
            ("/bin/busybox", false, 0o4755, "0", false),
            ("/bin/plain", false, 0o644, "0", false),
            ("/var/spool", true, 0o1777, "10", false),
            ("/", true, 0o755, "0", false),
            ("/top", false, 0o644, "0", false),
            ("/etc", true, 0o755, "0", false),
            ("/etc/conf", false, 0o644, "0", true),
            ("/etc/init.d", true, 0o755, "0", true),
            ("/etc/init.d/rc", false, 0o644, "0", false),
        ]
    );
    assert_eq!(database.files[1].digest.as_deref(), Some(SHA1));
    assert!(
        parse_installed(b"P:a\nV:1\nF:x\nM:bad\n", Wanted::Packages)
            .package_faults
            .is_empty()
    );
}

#[test]
fn digests_carry_the_label_that_is_true() {
    let q2 = "Q2AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    assert_eq!(digest(Q1.as_bytes(), false).unwrap(), SHA1);
    assert_eq!(
        digest(Q1.as_bytes(), true).unwrap(),
        SHA1.replace("sha1", "sha256-160")
    );
    assert!(digest(q2.as_bytes(), false).unwrap().starts_with("sha256:0001"));
    assert_eq!(
        digest(&[b'a'; 32], false).unwrap(),
        format!("md5:{}", "a".repeat(32))
    );
    assert_eq!(
        digest(&[b'a'; 40], false).unwrap(),
        format!("sha1:{}", "a".repeat(40))
    );
    for bad in [
        &b""[..],
        b"Q1",
        b"Q1AAECAwQFBgcICQoLDA0ODxAREhN=",
        b"Q2AAEC",
        b"Q3AAEC",
        &[b'g'; 32],
        &[b'a'; 33],
    ] {
        assert!(digest(bad, false).is_err(), "{bad:?}");
    }
}

#[test]
fn base64_has_one_spelling() {
    for (text, bytes) in [
        ("", &b""[..]),
        ("Zg==", b"f"),
        ("Zm8=", b"fo"),
        ("Zm9v", b"foo"),
        ("+/+/", b"\xfb\xff\xbf"),
    ] {
        assert_eq!(base64(text.as_bytes()).as_deref(), Some(bytes), "{text}");
    }
    for text in [
        "Z", "Zg", "Zg=", "Zh==", "Zm9=", "Z===", "====", "Zg=v", "Zm 9", "Zm9v\n",
    ] {
        assert_eq!(base64(text.as_bytes()), None, "{text}");
    }
}

#[test]
fn garbage_is_named_by_line_and_the_rest_goes_on() {
    let database = parse(
        "V:1\n\nP:../x\nV:1\n\nP:a\nV:1\ngarbage\nR:lost\nF:x\nM:0:0:9\na:0:0:644\nR:y/z\nZ:Q1\nR:ok\nZ:Q1\n\nP:b\n\nP:c\nV:1\n",
    );
    assert_eq!(database.packages.len(), 3);
    assert_eq!(faulty(&database.faults), [1, 3, 3]);
    let by_package: Vec<_> = database
        .package_faults
        .iter()
        .map(|(at, faults)| (*at, faulty(faults)))
        .collect();
    assert_eq!(by_package, [(0, vec![8, 9, 11, 12, 13, 14, 16]), (1, vec![18])]);
}

#[test]
fn world_tells_what_was_asked_for() {
    let tree = MemoryTree::new().file(
        "/usr/lib/apk/db/installed",
        "P:a\nV:1\n\nP:b\nV:1\n\nP:c\nV:1\n\nP:d\nV:1\n\n",
    );
    let automatic = |tree: &MemoryTree| {
        let found = read(tree, Wanted::Packages).unwrap().unwrap();
        (
            found.packages.iter().map(|p| p.automatic).collect::<Vec<_>>(),
            found.trouble,
        )
    };
    assert_eq!(automatic(&tree), (vec![None; 4], vec![]));
    let tree = tree.file("/etc/apk/world", "a\nb>=1.0 c@edge !d\n");
    assert_eq!(
        automatic(&tree).0,
        [Some(false), Some(false), Some(false), Some(true)]
    );
    let tree = tree.failing("/etc/apk/world", TreeError::Denied);
    assert_eq!(automatic(&tree).0, [None; 4]);
    assert_eq!(
        automatic(&tree).1,
        [(
            b"apk".to_vec(),
            "automatic: /etc/apk/world: permission denied".into()
        )]
    );
}

#[test]
fn absence_failure_and_two_databases() {
    assert!(read(&MemoryTree::new(), Wanted::Packages).unwrap().is_none());
    let denied = MemoryTree::new().failing("/lib/apk/db/installed", TreeError::Denied);
    assert_eq!(read(&denied, Wanted::Packages).unwrap_err(), TreeError::Denied);
    let merged = MemoryTree::new()
        .file("/usr/lib/apk/db/installed", "P:a\nV:1\n")
        .link("/lib", "usr/lib");
    let found = read(&merged, Wanted::Packages).unwrap().unwrap();
    assert_eq!((found.packages.len(), found.trouble.len()), (1, 0));
    let two = MemoryTree::new()
        .file("/usr/lib/apk/db/installed", "")
        .file("/lib/apk/db/installed", "P:a\nV:1\n");
    let found = read(&two, Wanted::Packages).unwrap().unwrap();
    assert_eq!((found.packages.len(), found.trouble.len()), (1, 1));
}

/// Writes a database as apk would, for the round trip.
fn write(database: &Database) -> String {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let mut out = String::new();
    for (index, package) in database.packages.iter().enumerate() {
        let Package {
            name,
            version,
            architecture,
            source,
            vendor,
            ..
        } = package;
        let [name, version, architecture] = [name, version, architecture].map(|field| text(field));
        writeln!(out, "C:Q1=\nP:{name}\nV:{version}\nA:{architecture}").unwrap();
        if let Some(source) = source {
            writeln!(out, "o:{}", text(source)).unwrap();
        }
        if let Some(vendor) = vendor {
            writeln!(out, "m:{}", text(vendor)).unwrap();
        }
        for file in database.files.iter().filter(|file| file.package == index) {
            let path = text(&file.path);
            let [user, group] = [&file.user, &file.group].map(|id| text(id.as_ref().unwrap()));
            let owners = format!("{user}:{group}:{:o}", file.mode.unwrap());
            if file.kind == Some(DeclaredKind::Directory) {
                writeln!(out, "F:{}\nM:{owners}", &path[1..]).unwrap();
            } else {
                writeln!(out, "R:{}\na:{owners}", path.rsplit('/').next().unwrap()).unwrap();
            }
            if let Some(digest) = &file.digest {
                writeln!(out, "Z:{}", &digest["sha1:".len()..]).unwrap();
            }
        }
        out.push('\n');
    }
    out
}

prop_compose! {
    fn any_file()(
        name in "[a-z.]{0,3}[a-z]",
        mode in 0u32..0o10000,
        user in "[1-9][0-9]{0,4}",
        digest in proptest::option::of("sha1:[0-9a-f]{40}"),
    ) -> DeclaredFile {
        DeclaredFile {
            path: name.into(),
            mode: Some(mode),
            user: Some(user.into()),
            group: Some("0".into()),
            digest,
            ..DeclaredFile::default()
        }
    }
}

prop_compose! {
    fn any_database()(
        records in proptest::collection::vec((
            "[a-z][a-z0-9-]{0,6}", "[0-9]{1,2}(\\.[0-9]{1,2}){0,2}-r[0-9]", proptest::option::of("[a-z]{1,6}"),
            proptest::collection::vec(("(etc|usr/[a-z]{1,3})", proptest::collection::vec(any_file(), 0..3)), 0..3),
        ), 0..4),
    ) -> Database {
        let mut database = Database::default();
        for (package, (name, version, source, directories)) in records.into_iter().enumerate() {
            for (directory, files) in directories {
                let own = any_directory(&directory);
                let files = files.into_iter().map(|file| {
                    let path = joined(&[b"/", directory.as_bytes(), b"/", &file.path]);
                    DeclaredFile { config: is_config(&path), path, ..file }
                });
                let all = std::iter::once(own).chain(files).map(|file| DeclaredFile { package, ..file });
                database.files.extend(all);
            }
            database.packages.push(Package {
                name: name.into(),
                version: version.into(),
                architecture: b"x86_64".into(),
                vendor: Some(b"N N <n@n>".into()),
                source: source.map(Into::into),
                ..Package::default()
            });
        }
        database
    }
}

fn any_directory(path: &str) -> DeclaredFile {
    DeclaredFile {
        path: joined(&[b"/", path.as_bytes()]),
        kind: Some(DeclaredKind::Directory),
        mode: Some(0o750),
        user: Some("0".into()),
        group: Some("0".into()),
        ..DeclaredFile::default()
    }
}

proptest! {
    #[test]
    fn databases_round_trip(database in any_database()) {
        let again = parse(&write(&database));
        prop_assert!(again.faults.is_empty() && again.package_faults.is_empty(), "{:?}", again);
        prop_assert_eq!(again.packages, database.packages);
        prop_assert_eq!(again.files, database.files);
    }

    #[test]
    fn any_bytes_are_parsed(bytes: Vec<u8>) {
        prop_assert!(parse_installed(&bytes, Wanted::PackagesAndFiles).files.len() <= bytes.len());
        prop_assert!(parse_world(&bytes).len() <= bytes.len());
    }

    #[test]
    fn any_near_miss_is_parsed(text in "([PVFMRaZfC]:?(a|0:0:7[57]5|Q1[A-Za-z=]{0,4}|/|\\.\\.)?\n?){0,20}") {
        prop_assert!(parse(&text).files.len() <= text.len());
    }
}
