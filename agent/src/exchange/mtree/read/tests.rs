use std::collections::BTreeMap;

use baseline_format::{BaselineReader, Reference as _, Value};
use proptest::prelude::*;

use super::super::write;
use super::*;

fn read(text: &str) -> Result<Spec, String> {
    Spec::read(text.as_bytes()).map_err(|why| why.to_string())
}

/// The entries' lines without their section.
fn lines(spec: &Spec) -> Vec<String> {
    let (bytes, _) = spec.write(&spec.header(Image::default()), Vec::new()).unwrap();
    let mut reader = BaselineReader::open(&bytes[..]).unwrap();
    let mut lines = Vec::new();
    while let Some(line) = reader.current() {
        lines.push(
            line.as_str()
                .strip_prefix("[\"files\",")
                .unwrap()
                .strip_suffix(']')
                .unwrap()
                .to_owned(),
        );
        reader.advance().unwrap();
    }
    assert_eq!(reader.header().image.source_kind, "mtree");
    assert_eq!(spec.len(), lines.len());
    lines
}

fn losses(spec: &Spec) -> Vec<String> {
    spec.losses().iter().map(ToString::to_string).collect()
}

#[test]
fn the_form_of_netbsd() {
    let spec = read(
        "#\t   user: root\n\n# .\n/set type=file uid=0 gid=0 mode=0644 nlink=1 flags=none\n\
         .               type=dir mode=0755 nlink=4 time=1795526135.12248623\n\
         \x20   b\\sb        uid=5 size=3 time=1795526135.1995134 \\\n\
         \x20               md5=49f68a5c8493ec2c0bf489821c21fc3b \\\n\
         \x20               sha1=c22b5f9178342609428d6f51b2c5af4c0bde6a42\n\
         \x20   a           type=link mode=0777 link=b\\sb\n\
         # ./d\nd              type=dir mode=1777 nlink=2\n    z           nlink=2 flags=schg,nodump\n# ./d\n..\n\n",
    )
    .unwrap();
    assert_eq!(
        lines(&spec),
        [
            r#""/",{"gid":0,"mode":"0755","mtime":1795526135,"type":"directory","uid":0}"#,
            r#""/a",{"gid":0,"link":"b b","type":"symlink","uid":0}"#,
            r#""/b b",{"digest":"sha1:c22b5f9178342609428d6f51b2c5af4c0bde6a42","gid":0,"mode":"0644","mtime":1795526135,"size":3,"type":"file","uid":5}"#,
            r#""/d",{"gid":0,"mode":"1777","type":"directory","uid":0}"#,
            r#""/d/z",{"flags":["immutable"],"gid":0,"mode":"0644","nlink":2,"type":"file","uid":0}"#,
        ]
    );
    assert_eq!(
        losses(&spec),
        [
            "4 entries: `flags=none`, which a baseline says by having no `flags`",
            "2 entries: `nlink=1`, which a baseline says by having no `nlink`",
            "1 entry: the flag `nodump`",
        ]
    );
}

#[test]
fn the_form_with_full_paths() {
    let spec = read(
        "#mtree\n. type=dir\n./[ gname=root uname=root mode=644 gid=0 inode=7 resdevice=native,254,0 type=file size=1 \
         cksum=433426081\n./z type=block device=native,300,70000\n./d type=dir ignore\nd/e optional type=file \
         nochange\n/unset all\n./y\n",
    )
    .unwrap();
    assert_eq!(
        lines(&spec),
        [
            r#""/",{"type":"directory"}"#,
            r#""/[",{"gid":0,"group":"root","mode":"0644","size":1,"type":"file","user":"root"}"#,
            r#""/d",{"type":"directory"}"#,
            r#""/d/e",{"type":"file"}"#,
            r#""/y",{}"#,
            r#""/z",{"device":"300:70000","type":"block-device"}"#,
        ]
    );
    assert_eq!(
        losses(&spec),
        [
            "1 entry: `nochange`",
            "1 entry: `optional`: an audit tells it as removed where it is missing",
            "1 entry: `uname` without `uid`: an audit shows names of owners and compares numbers",
            "1 entry: the keyword `cksum`",
            "1 entry: the keyword `inode`",
            "1 entry: the keyword `resdevice`",
            "1 entry: the name has `*`, `?` or `[`, which NetBSD's mtree takes for a pattern: taken as a name",
        ]
    );
    let exclude = spec.header(Image::default()).scope.exclude;
    assert_eq!(exclude.len(), 1);
    assert_eq!(exclude[0].glob, "/d/**");
}

/// As go-mtree 0.4 writes it, with extended attributes.
#[test]
fn the_form_of_go_mtree() {
    let spec = read(
        "#           user: root\n#        machine: h\n#           tree: /t\n#           date: now\n\n# .\n\
         /set type=file nlink=1 mode=0644 uid=0 gid=0\n. size=4096 type=dir mode=0755 nlink=3 \
         tar_time=5.000000000\n    ping size=3 tar_time=6.000000000 \
         sha256digest=ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad \
         xattr.security.capability=AQAAAgAgAAAAAAAAAAAAAAAAAAA= xattr.user.a=aGk=\n..\n",
    )
    .unwrap();
    assert_eq!(
        lines(&spec),
        [
            r#""/",{"gid":0,"mode":"0755","mtime":5,"type":"directory","uid":0}"#,
            r#""/ping",{"capabilities":"cap_net_raw=ep","digest":"sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad","gid":0,"mode":"0644","mtime":6,"size":3,"type":"file","uid":0,"xattr:user.a":"sha256:8f434346648f6b96df89dda901c5176b10a6d83961dd3c1ac88b59b2dc327aa4"}"#,
        ]
    );
}

#[test]
fn entries_of_one_path() {
    let spec = read(". type=dir\n./a type=file mode=644\n. mode=755\n./a size=3 mode=0644\n").unwrap();
    assert_eq!(
        lines(&spec),
        [
            r#""/",{"mode":"0755","type":"directory"}"#,
            r#""/a",{"mode":"0644","size":3,"type":"file"}"#
        ]
    );
    let why = read("./a mode=644\n./b\n./a mode=600\n./a mode=600\n").unwrap_err();
    assert_eq!(
        why,
        "line 3: `/a` was listed before, in line 1, with another mode"
    );
    let why = read("./a/b type=file\n./c\n./a type=link\n").unwrap_err();
    assert_eq!(
        why,
        "line 1: `/a/b` is below `/a`, which line 3 says is no directory"
    );
    assert_eq!(read("./a type=dir\n./a.b type=file\n./a/b\n").unwrap().len(), 3);
}

#[test]
fn malformed_lines_are_refused_with_their_number() {
    for (text, why) in [
        ("", "not an mtree: it names no file"),
        ("# nothing\n", "not an mtree: it names no file"),
        (
            ". type=dir\n\n./a mode=x\n",
            "line 3: `./a`: `mode`: symbolic modes are not taken: write it in octal digits",
        ),
        (
            "./a \\\n mode=8\n",
            "line 1: `./a`: `mode`: not octal digits up to 7777",
        ),
        (
            "/etc/passwd type=file\n",
            "line 1: `/etc/passwd`: names in an mtree are relative: write it with a dot in front",
        ),
        ("./a/../b\n", "line 1: `./a/../b`: `.` or `..` in a path"),
        ("..\n", "line 1: `..` leaves the root"),
        (".. type=dir\n", "line 1: `..` stands alone in its line"),
        (
            ". type=dir\na type=dir\nb\n",
            "it ends inside `/a`: it may have been cut; add the missing `..` lines if it is whole",
        ),
        (
            "./a\nb\n",
            "line 2: `b`: a relative name after a full path, which readers place differently: write its full path",
        ),
        (
            "./a type=dir ignore\n./\\377 type=dir ignore\n",
            "line 2: `./\\x5c377`: `ignore` of a name that is not UTF-8, which a baseline cannot leave out",
        ),
        ("/set mode=0644 mode=0755\n", "line 1: `mode` twice"),
        ("/unset mode=1\n", "line 1: `/unset` takes no values"),
    ] {
        assert_eq!(read(text).unwrap_err(), why, "{text}");
    }
    let set = format!("/set x={}\n", "y".repeat(LONGEST_SET));
    assert_eq!(
        read(&set).unwrap_err(),
        "line 1: a `/set` of more than 4096 bytes"
    );
}

#[test]
fn what_is_ignored_is_left_out_by_a_glob_that_means_it() {
    for path in [
        "/",
        "/a",
        "/a*b",
        "/[x]",
        "/{a,b}",
        "/q?",
        "/back\\slash",
        "/gr\u{fc}n",
    ] {
        let glob = ignored(path.as_bytes()).unwrap().glob;
        let matcher = globset::GlobBuilder::new(&glob)
            .literal_separator(true)
            .backslash_escape(true)
            .build()
            .unwrap()
            .compile_matcher();
        let below = format!("{}/x/y", path.strip_suffix('/').unwrap_or(path));
        assert!(matcher.is_match(&below), "{glob} {below}");
        for other in ["/aXb/x", "/x/x/y/z", "/a/x", "/qq/x", "/b/x"] {
            let inside = other.starts_with(&format!("{}/", path.strip_suffix('/').unwrap_or(path)));
            assert_eq!(matcher.is_match(other), inside, "{glob} {other}");
        }
    }
}

/// An entry such as a walk gives, of what an mtree can say.
fn facts(path: &[u8], kind: Kind, seed: u64) -> Entry {
    let mut entry = Entry::new(FILES, OsText::new(path))
        .with("type", kind.name())
        .with("uid", u32::try_from(seed % 70_000).unwrap())
        .with("gid", u32::MAX)
        .with("mtime", i64::try_from(seed).unwrap() - 1_000_000);
    if kind != Kind::Link {
        entry.set("mode", format!("{:04o}", seed & 0o7777));
    }
    if seed.is_multiple_of(3) && kind != Kind::Directory {
        entry.set("nlink", 2_i64 + i64::try_from(seed % 9).unwrap());
    }
    if seed.is_multiple_of(2) {
        entry.set("user", "web-1");
        entry.set("group", "st\u{61}ff");
    }
    if seed.is_multiple_of(5) {
        entry.set("flags", Value::list(["append-only", "immutable"]));
    }
    match kind {
        Kind::File => {
            entry.set("size", i64::try_from(seed).unwrap());
            let (label, digits) = [("sha256", 64), ("sha512", 128), ("sha1", 40), ("md5", 32)]
                [usize::try_from(seed % 4).unwrap()];
            entry.set("digest", format!("{label}:{}", "0f".repeat(digits / 2)));
        }
        Kind::Link => entry.set(
            "link",
            Value::bytes(&[&b"../#=\\ \n\xff/"[..], &seed.to_le_bytes().map(|b| b | 1)].concat()),
        ),
        Kind::BlockDevice | Kind::CharDevice => entry.set("device", format!("{}:{}", seed % 4096, seed)),
        _ => {}
    }
    entry
}

fn tree() -> impl Strategy<Value = BTreeMap<Vec<u8>, Entry>> {
    let name = prop::collection::vec(1..=255_u8, 1..4).prop_filter_map("a name", |name| {
        (!name.contains(&b'/') && name != b"." && name != b"..").then_some(name)
    });
    let kinds = prop::sample::select(vec![
        Kind::BlockDevice,
        Kind::CharDevice,
        Kind::Directory,
        Kind::Fifo,
        Kind::File,
        Kind::Link,
        Kind::Socket,
    ]);
    let paths =
        prop::collection::btree_map(prop::collection::vec(name, 1..4), (kinds, 0..1_u64 << 31), 1..12);
    paths.prop_map(|paths| {
        let known: Vec<Vec<Vec<u8>>> = paths.keys().cloned().collect();
        paths
            .into_iter()
            .map(|(parts, (kind, seed))| {
                let has_more = known
                    .iter()
                    .any(|other| other.len() > parts.len() && other.starts_with(&parts));
                let path = parts
                    .iter()
                    .flat_map(|part| [b"/", &part[..]].concat())
                    .collect::<Vec<u8>>();
                let kind = if has_more { Kind::Directory } else { kind };
                (path.clone(), facts(&path, kind, seed))
            })
            .collect()
    })
}

proptest! {
    #[test]
    fn what_is_exported_is_imported(tree in tree()) {
        let mut sorted: Vec<&Entry> = tree.values().collect();
        sorted.sort_by(|a, b| order::compare_keys(a.key.as_str(), b.key.as_str()));
        let header = Header { image: Image::default(), sections: vec![SectionInfo { name: FILES.into(), revision: 1 }], format: 1, scope: Scope::default() };
        let mut writer = BaselineWriter::new(&header, Vec::new()).unwrap();
        for entry in &sorted {
            writer.push(Line::parse(&entry.to_line()).unwrap()).unwrap();
        }
        let (bytes, _) = writer.finish().unwrap();
        let mut text = Vec::new();
        write(|| Ok(&bytes[..]), &[], &mut text).unwrap();
        let spec = Spec::read(&text[..]).unwrap();
        let again = lines(&spec);
        for entry in sorted {
            let line = String::from_utf8(entry.to_line()).unwrap();
            let line = line.strip_prefix("[\"files\",").unwrap().strip_suffix(']').unwrap();
            prop_assert!(again.iter().any(|known| known == line), "{}\n{:?}\n{}", line, again, String::from_utf8_lossy(&text));
        }
        // Beyond them, only directories that were missing.
        let made_up = again.iter().filter(|line| line.ends_with(r#",{"type":"directory"}"#)).count();
        prop_assert_eq!(again.len(), tree.len() + made_up);
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
        if let Ok(spec) = Spec::read(&bytes[..]) {
            prop_assert!(!spec.is_empty());
        }
    }

    #[test]
    fn any_near_miss_is_read_or_refused(
        text in "((/set|/unset|\\./[ab]|[ab]|\\.|\\.\\.|#|\\./a/b|\\\\)?( (mode=[0-9]{0,4}|type=(dir|file|link|x)?|uid=[0-9]?|link=\\\\?[0-9]{0,3}|all|ignore|optional|nlink=[0-2]|size=[0-9]|md5=[0-9a-f]{32}|device=[a-z]{0,6},?[0-9],?[0-9]?|time=-?[0-9]\\.?[0-9]|flags=(none|schg)|\\\\))*\n){0,12}",
    ) {
        if let Ok(spec) = Spec::read(text.as_bytes()) {
            let written = lines(&spec);
            prop_assert_eq!(written.len(), spec.len());
        }
    }
}
