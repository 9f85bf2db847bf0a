use baseline_format::header::{FORMAT_VERSION, Image, Scope, SectionInfo};
use baseline_format::{BaselineWriter, Entry};

use super::*;

fn baseline(entries: &[Entry], sections: &[&str], image: Image) -> Vec<u8> {
    let header = Header {
        format: FORMAT_VERSION,
        image,
        sections: sections
            .iter()
            .map(|name| SectionInfo {
                name: (*name).to_owned(),
                revision: 1,
            })
            .collect(),
        scope: Scope::default(),
    };
    let mut writer = BaselineWriter::new(&header, Vec::new()).unwrap();
    for entry in entries {
        writer.push(Line::parse(&entry.to_line()).unwrap()).unwrap();
    }
    writer.finish().unwrap().0
}

fn exported(bytes: &[u8], without: &[&str]) -> Result<(Vec<String>, String), Failure> {
    let without: Vec<String> = without.iter().map(|name| (*name).to_owned()).collect();
    let mut out = Vec::new();
    let losses = write(|| Ok(bytes), &without, &mut out)?;
    Ok((
        losses.iter().map(ToString::to_string).collect(),
        String::from_utf8(out).unwrap(),
    ))
}

fn entries(text: &str) -> Vec<&str> {
    text.lines().filter(|line| !line.starts_with('#')).collect()
}

fn file(path: &[u8]) -> Entry {
    Entry::new(FILES, OsText::new(path))
        .with("type", "file")
        .with("mode", "0644")
}

fn directory(path: &str) -> Entry {
    Entry::new(FILES, path)
        .with("type", "directory")
        .with("mode", "0755")
}

#[test]
fn what_an_mtree_can_say() {
    let all = [
        directory("/")
            .with("uid", 0_i64)
            .with("gid", 0_i64)
            .with("mtime", -1_i64),
        file(b"/a b")
            .with("digest", format!("sha256:{}", "ab".repeat(32)))
            .with("flags", Value::list(["append-only", "immutable"]))
            .with("group", "wheel")
            .with("mtime", 1_700_000_000_i64)
            .with("nlink", 2_i64)
            .with("size", 7_i64)
            .with("uid", 1_i64)
            .with("user", "bin"),
        Entry::new(FILES, "/d")
            .with("type", "char-device")
            .with("device", "1:3")
            .with("mode", "0000"),
        Entry::new(FILES, "/g").with("type", "fifo").with("mode", "6040"),
        Entry::new(FILES, "/l")
            .with("type", "symlink")
            .with("link", Value::bytes(b"#\xff\n")),
        Entry::new(FILES, "/p")
            .with("type", "directory")
            .with("mount", "proc"),
    ];
    let bytes = baseline(&all, &[FILES], Image::default());
    let (losses, text) = exported(&bytes, &[]).unwrap();
    assert!(text.starts_with("#mtree v2.0\n# exported by driftcheck from the baseline sha256:"));
    let sha = "ab".repeat(32);
    let expected = [
        ". type=dir mode=0755 uid=0 gid=0 time=-1.0".to_owned(),
        format!(
            "./a\\040b type=file mode=0644 uid=1 uname=bin gname=wheel size=7 sha256digest={sha} nlink=2 \
             time=1700000000.0 flags=sappnd,schg"
        ),
        "./d type=char mode=0000 device=native,1,3".to_owned(),
        "./g type=fifo mode=6040".to_owned(),
        "./l type=link link=\\043\\377\\012".to_owned(),
        "./p type=dir ignore".to_owned(),
    ];
    assert_eq!(entries(&text), expected);
    assert_eq!(
        losses,
        ["1 entry: another file system was mounted there: only its type is told"]
    );
    let (_, text) = exported(&bytes, &["time", "uname", "gname"]).unwrap();
    assert!(!text.contains(" time=") && !text.contains("name="));
}

#[test]
fn what_it_cannot_say_is_counted() {
    let all = [
        directory("/").unseen(BELOW, "denied"),
        file(b"/a*")
            .with("acl", Value::list(["user::rw-"]))
            .with("capabilities", "cap_net_raw=ep")
            .with("digest", "blake3:00")
            .with("later", Value::Other(serde_json::json!({"a": 1})))
            .with("selinux", "x")
            .with("user", "domain user")
            .with("xattr:user.x", "sha256:00"),
        file(b"/b")
            .with("mode", "u=rw")
            .with("uid", -1_i64)
            .unseen("digest", "denied"),
        Entry::new(FILES, "/s")
            .with("type", "socket")
            .with("hardlink", "/a*"),
        Entry::new("packages", "deb/a:all"),
        Entry::new("packages", "deb/b:all"),
    ];
    let (losses, text) = exported(&baseline(&all, &[FILES, "packages"], Image::default()), &[]).unwrap();
    assert_eq!(
        losses,
        [
            "1 entry: a socket: bsdtar takes it for a file",
            "1 entry: an SELinux label",
            "1 entry: an access control list",
            "4 entries: an attribute or a value that this release does not know",
            "1 entry: another extended attribute",
            "1 entry: file capabilities",
            "2 entries: not wholly seen when the baseline was recorded: what was not seen has no keyword",
            "2 entries: of the section `packages`; an mtree lists files only",
            "1 entry: the name has `*`, `?` or `[`: NetBSD's mtree takes it for a pattern",
            "1 entry: the name of an owner that mtree cannot spell",
            "1 entry: which other name the file has; `nlink` says how many there are",
        ]
    );
    for loss in &losses {
        assert!(text.contains(&format!("\n#   {loss}\n")), "{loss}");
    }
    let expected = [
        ". type=dir mode=0755 ignore",
        "./a\\052 type=file mode=0644",
        "./b type=file",
        "./s type=socket",
    ];
    assert_eq!(entries(&text), expected);
}

#[test]
fn directories_are_there_before_what_is_below_them() {
    let all = [
        file(b"/a/b/c"),
        file(b"/a/b/d"),
        directory("/a.b"),
        file(b"/a.b/e"),
        file(b"/b/e"),
    ];
    let (losses, text) = exported(&baseline(&all, &[FILES], Image::default()), &["mode"]).unwrap();
    let paths: Vec<&str> = entries(&text);
    let expected = [
        ". type=dir",
        "./a type=dir",
        "./a/b type=dir",
        "./a/b/c type=file",
        "./a/b/d type=file",
        "./a.b type=dir",
        "./a.b/e type=file",
        "./b type=dir",
        "./b/e type=file",
    ];
    assert_eq!(paths, expected);
    assert!(losses[0].starts_with("4 entries: a directory that is not in the baseline"));
}

#[test]
fn nothing_leads_out_of_the_tree_or_out_of_a_comment() {
    for path in ["/../x", "/a//b", "/a/.", "a", "", "/a/", "/a\\x00"] {
        let entry = Entry::new(FILES, OsText::parse(path).unwrap());
        let why = exported(&baseline(&[entry], &[FILES], Image::default()), &[]).unwrap_err();
        assert!(why.to_string().starts_with("the entry `"), "{why}");
    }
    let image = Image {
        name: Some("x\n./etc/passwd type=file\n\\".into()),
        version: Some("1\\".into()),
        ..Image::default()
    };
    let (_, text) = exported(&baseline(&[file(b"/a")], &[FILES], image), &["mode"]).unwrap();
    assert_eq!(entries(&text), [". type=dir", "./a type=file"]);
    assert!(text.contains("# image: x\\x0a./etc/passwd"));
}

#[test]
fn what_cannot_be_exported_is_refused() {
    let bytes = baseline(&[file(b"/a")], &[FILES], Image::default());
    let refused = |bytes: &[u8], without: &[&str]| exported(bytes, without).unwrap_err().to_string();
    assert!(refused(&bytes, &["inode"]).starts_with("the export has no keyword `inode`: it has type, mode,"));
    assert_eq!(
        refused(&bytes, &["type"]),
        "without `type`, nothing reads an mtree"
    );
    let other = baseline(&[], &["packages"], Image::default());
    assert_eq!(refused(&other, &[]), "the baseline has no section `files`");
    // Neither a cut baseline nor one that is another one the second time gives an mtree.
    for end in 0..bytes.len() {
        let mut out = Vec::new();
        assert!(write(|| Ok(&bytes[..end]), &[], &mut out).is_err());
        assert_eq!(out, b"");
    }
    let mut inputs = [&bytes[..], &baseline(&[file(b"/b")], &[FILES], Image::default())]
        .map(<[u8]>::to_vec)
        .into_iter();
    let mut open = || {
        inputs
            .next()
            .map(std::io::Cursor::new)
            .ok_or(std::io::ErrorKind::NotFound.into())
    };
    let why = write(&mut open, &[], &mut Vec::new()).unwrap_err();
    assert!(why.to_string().starts_with("the baseline changed"), "{why}");
}
