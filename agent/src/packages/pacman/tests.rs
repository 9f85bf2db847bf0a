use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;
use crate::tree::memory::MemoryTree;

const DESC: &str = "%NAME%\na\n\n%VERSION%\n1:2-3\n\n%ARCH%\nany\n\n";

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn trouble(found: &Installed) -> Vec<(&str, &str)> {
    found
        .trouble
        .iter()
        .map(|(key, why)| (str::from_utf8(key).unwrap(), why.as_str()))
        .collect()
}

#[test]
fn files_with_what_the_mtree_says() {
    let md5 = "0".repeat(32);
    let mtree = format!(
        "#mtree\n/set type=file uid=0 gid=0 mode=644\n./.PKGINFO size=1\n./etc mode=755 type=dir\n\
         ./etc/conf size=3 sha256digest={}\n./etc/link type=link link=conf mode=777\n",
        "a".repeat(64)
    );
    let tree = MemoryTree::new()
        .file("/var/lib/pacman/local/ALPM_DB_VERSION", "9\n")
        .file("/var/lib/pacman/local/a-1:2-3/desc", DESC)
        .file(
            "/var/lib/pacman/local/a-1:2-3/files",
            format!("%FILES%\netc/\netc/conf\netc/link\netc/more/\n\n%BACKUP%\netc/conf\t{md5}\n"),
        )
        .file("/var/lib/pacman/local/a-1:2-3/mtree", gzip(&mtree));
    let found = read(&tree, Wanted::PackagesAndFiles).unwrap().unwrap();
    assert_eq!(trouble(&found), []);
    let files: Vec<_> = found
        .files
        .iter()
        .map(|f| {
            (
                str::from_utf8(&f.path).unwrap(),
                f.kind,
                f.mode,
                f.digest.as_deref().map(|d| &d[..8]),
                f.config,
            )
        })
        .collect();
    assert_eq!(
        files,
        [
            ("/etc", Some(DeclaredKind::Directory), Some(0o755), None, false),
            (
                "/etc/conf",
                Some(DeclaredKind::File),
                Some(0o644),
                Some("sha256:a"),
                true
            ),
            ("/etc/link", Some(DeclaredKind::Link), Some(0o777), None, false),
            ("/etc/more", Some(DeclaredKind::Directory), None, None, false),
        ]
    );
    assert_eq!(found.packages[0].automatic, Some(false));
}

#[test]
fn what_is_wrong_with_one_package_stays_with_it() {
    let tree = MemoryTree::new()
        .file("/var/lib/pacman/local/stray", "")
        .file("/var/lib/pacman/local/a-1:2-3/desc", DESC)
        .file("/var/lib/pacman/local/a-1:2-3/files", "%FILES%\nx\n")
        .file("/var/lib/pacman/local/b-b-1-1/desc", "%NAME%\n../b\n")
        .file("/var/lib/pacman/local/c-1-1/files", "")
        .failing("/var/lib/pacman/local/d-1-1/desc", TreeError::Denied)
        .file("/var/lib/pacman/local/e-1-1/desc", DESC)
        .file("/var/lib/pacman/local/e-1-1/files", "")
        .file("/var/lib/pacman/local/e-1-1/mtree", "plain");
    let found = read(&tree, Wanted::PackagesAndFiles).unwrap().unwrap();
    let keys: Vec<_> = trouble(&found).into_iter().map(|(key, _)| key).collect();
    let expected = [
        "pacman/a",
        "pacman/b-b",
        "pacman/b-b",
        "pacman/c",
        "pacman/d",
        "pacman/a",
        "pacman/a",
        "pacman/stray",
    ];
    assert_eq!(keys, expected);
    assert_eq!(found.files.len(), 1);
}

#[test]
fn absence_and_failure_are_different() {
    assert!(read(&MemoryTree::new(), Wanted::Packages).unwrap().is_none());
    let denied = MemoryTree::new().failing("/var/lib/pacman/local", TreeError::Denied);
    assert_eq!(read(&denied, Wanted::Packages).unwrap_err(), TreeError::Denied);
}
