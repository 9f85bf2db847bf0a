use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

/// What a node is in a listing: a letter for its type, its time (each member has its own), its number of names.
type Listed = (char, Option<i64>, u32);

fn member(path: &str, kind: MemberKind) -> Member {
    Member {
        path: path.as_bytes().to_vec(),
        kind,
        permissions: 0o644,
        uid: 0,
        gid: 0,
        size: 0,
        mtime: 0,
        xattrs: Vec::new(),
        acl: None,
        default_acl: None,
        immutable: false,
        append_only: false,
    }
}

/// Members as one line each: `d PATH`, `f PATH`, `l PATH TARGET` (symbolic), `h PATH TARGET` (hard).
fn parse(line: &str) -> Member {
    match *line.split(' ').collect::<Vec<_>>() {
        ["d", path] => member(path, MemberKind::Directory),
        ["f", path] => member(path, MemberKind::File),
        ["l", path, target] => member(path, MemberKind::Link(target.into())),
        ["h", path, target] => member(path, MemberKind::HardLink(target.into())),
        _ => panic!("{line}"),
    }
}

fn apply_all(rules: Rules, layers: &[&[&str]]) -> Result<Tree, Fault> {
    let mut tree = Tree::new(rules);
    let mut time = 0;
    for layer in layers {
        tree.next_layer()?;
        for line in *layer {
            time += 1;
            let member = Member {
                mtime: time,
                ..parse(line)
            };
            tree.apply(&member, Stored::default())?;
        }
    }
    tree.finish();
    Ok(tree)
}

fn list(tree: &Tree) -> BTreeMap<String, Listed> {
    let mut listed = BTreeMap::new();
    let mut left = vec![(String::new(), ROOT)];
    while let Some((above, directory)) = left.pop() {
        for (name, inode) in tree.children(directory).unwrap() {
            let path = format!("{above}/{}", str::from_utf8(name).unwrap());
            let here = tree.inode(inode).unwrap();
            let letter = match here.kind() {
                Kind::Directory => 'd',
                Kind::Link => 'l',
                _ => 'f',
            };
            listed.insert(path.clone(), (letter, here.mtime, here.names));
            if letter == 'd' {
                left.push((path, inode));
            }
        }
    }
    listed
}

/// The listing as `LETTER PATH TIME`, with `xN` for N names.
fn shown(rules: Rules, layers: &[&[&str]]) -> Vec<String> {
    let listed = list(&apply_all(rules, layers).unwrap());
    listed
        .into_iter()
        .map(|(path, (letter, mtime, names))| {
            let time = mtime.map_or("-".into(), |mtime| mtime.to_string());
            let names = if names == 1 {
                String::new()
            } else {
                format!(" x{names}")
            };
            format!("{letter} {path} {time}{names}")
        })
        .collect()
}

fn fault(rules: Rules, layers: &[&[&str]]) -> String {
    apply_all(rules, layers)
        .err()
        .map_or_else(|| panic!("{layers:?}"), |why| why.0)
}

fn root_file_system(members: &[&str]) -> Vec<String> {
    shown(Rules::RootFileSystem, &[members])
}

fn layers(layers: &[&[&str]]) -> Vec<String> {
    shown(Rules::Layers, layers)
}

#[test]
fn missing_directories_are_implied_and_told_later() {
    assert_eq!(
        root_file_system(&["f a/b/c"]),
        ["d /a -", "d /a/b -", "f /a/b/c 1"]
    );
    assert_eq!(root_file_system(&["f a/b", "d a", "d "]), ["d /a 2", "f /a/b 1"]);
    let tree = apply_all(Rules::RootFileSystem, &[&["f a/b"]]).unwrap();
    let implied = tree.inode(tree.resolve(b"a").unwrap().unwrap()).unwrap();
    assert_eq!((implied.permissions, implied.uid, implied.gid), (0o755, 0, 0));
}

#[test]
fn hard_links_bind_to_what_the_name_means_at_that_point() {
    assert_eq!(
        root_file_system(&["f a", "h b a", "h c b"]),
        ["f /a 1 x3", "f /b 1 x3", "f /c 1 x3"]
    );
    assert_eq!(
        root_file_system(&["l a nowhere", "h b a"]),
        ["l /a 1 x2", "l /b 1 x2"]
    );
    // A later layer replaces one name; the other keeps the old file.
    assert_eq!(layers(&[&["f a", "h b a"], &["f a"]]), ["f /a 3", "f /b 1"]);
    assert_eq!(layers(&[&["f a"], &["h b a", "f .wh.a"]]), ["f /b 1"]);
    assert_eq!(layers(&[&["f a", "f b"], &["h b a"]]), ["f /a 1 x2", "f /b 1 x2"]);
}

#[test]
fn what_extractors_differ_in_is_refused() {
    for (members, why) in [
        (
            &["f a", "f a"][..],
            "a second member of the same path: extractors",
        ),
        (
            &["f a", "h b a", "h b a"],
            "a second member of the same path: extractors",
        ),
        (&["f a", "d a"], "a second member of the same path: extractors"),
        (
            &["d a", "f a"],
            "a second member of this path, which was a directory",
        ),
        (
            &["f a/b", "f a"],
            "not a directory, but other members of the same archive are below it",
        ),
        (
            &["d a", "d a"],
            "a second member of the same path, a directory, that says otherwise",
        ),
        (
            &["l a b", "f a/c"],
            "the path leads through the symbolic link `a`",
        ),
        (
            &["d b", "f b/x", "l a b", "h c a/x"],
            "the path leads through the symbolic link `a`",
        ),
        (&["f a", "f a/b"], "`a` on the way is not a directory"),
        (
            &["h a b", "f b"],
            "a hard link to `b`, which is not there at this point",
        ),
        (&["h a a"], "a hard link to itself"),
        (&["f a", "h a a"], "a hard link to itself"),
        (&["d a", "h b a"], "a hard link to the directory `a`"),
        (&["h b "], "a hard link to ``, which is not there at this point"),
        (&["f "], "the root is not a directory"),
    ] {
        let told = fault(Rules::RootFileSystem, &[members]);
        assert!(told.starts_with(why), "{members:?}: {told}");
        if !why.contains("symbolic link") {
            assert!(fault(Rules::Layers, &[members]).starts_with(why), "{members:?}");
        }
    }
}

#[test]
fn directory_may_come_twice_if_it_says_the_same() {
    let mut tree = Tree::new(Rules::RootFileSystem);
    tree.next_layer().unwrap();
    let same = member("a", MemberKind::Directory);
    tree.apply(&same, Stored::default()).unwrap();
    tree.apply(&same, Stored::default()).unwrap();
    for other in [
        Member {
            permissions: 0o700,
            ..same.clone()
        },
        Member {
            uid: 1,
            ..same.clone()
        },
        Member {
            gid: 1,
            ..same.clone()
        },
        Member {
            mtime: 1,
            ..same.clone()
        },
        Member {
            acl: Some(b"user::rwx".to_vec()),
            ..same.clone()
        },
        Member {
            xattrs: vec![(b"user.a".to_vec(), Vec::new())],
            ..same.clone()
        },
        Member {
            immutable: true,
            ..same.clone()
        },
    ] {
        assert!(tree.apply(&other, Stored::default()).is_err(), "{other:?}");
    }
}

#[test]
fn later_layers_replace() {
    assert_eq!(layers(&[&["f a/b", "f a/c"], &["f a"]]), ["f /a 3"]);
    assert_eq!(
        layers(&[&["d a", "f a/b"], &["d a", "f a/b"]]),
        ["d /a 3", "f /a/b 4"]
    );
    assert_eq!(
        layers(&[&["d a", "f a/b"], &["f a/c"]]),
        ["d /a 1", "f /a/b 2", "f /a/c 3"]
    );
    assert_eq!(layers(&[&["l a b"], &["d a"]]), ["d /a 2"]);
    assert_eq!(layers(&[&["l a b"], &["f a"]]), ["f /a 2"]);
    // A file is not made a directory by what is below it: no extractor does that.
    assert_eq!(
        fault(Rules::Layers, &[&["f a"], &["f a/b"]]),
        "`a` on the way is not a directory"
    );
}

#[test]
fn links_on_the_way_are_followed_inside_the_image() {
    let merged = [
        "d /usr -",
        "d /usr/bin -",
        "f /usr/bin/ls 1",
        "f /usr/bin/foo 3",
        "l /bin 2",
    ];
    for target in ["usr/bin", "/usr/bin", "../../usr/bin/", "usr/../usr/./bin"] {
        let mut listed = layers(&[&["f usr/bin/ls", &format!("l bin {target}")], &["f bin/foo"]]);
        listed.sort_by_key(|line| merged.iter().position(|known| known == line));
        assert_eq!(listed, merged, "{target}");
    }
    // A link to nowhere: the directory is made where it leads.
    assert_eq!(
        layers(&[&["l a b/c"], &["f a/x"]]),
        ["l /a 1", "d /b -", "d /b/c -", "f /b/c/x 2"].sorted()
    );
    // Removing and linking go through links as well.
    assert_eq!(
        layers(&[&["f b/x", "l a b"], &["f a/.wh.x"]]),
        ["l /a 2", "d /b -"]
    );
    assert_eq!(
        layers(&[&["f b/x", "l a b"], &["f a/.wh..wh..opq"]]),
        ["l /a 2", "d /b -"]
    );
    assert_eq!(
        layers(&[&["f b/x", "l a b"], &["h y a/x"]]),
        ["l /a 2", "d /b -", "f /b/x 1 x2", "f /y 1 x2"]
    );
    // The same file by two ways.
    assert!(fault(Rules::Layers, &[&["l a b"], &["f a/x", "f b/x"]]).starts_with("a second member"));
    assert_eq!(
        fault(Rules::Layers, &[&["l a b", "l b a"], &["f a/x"]]),
        "too many symbolic links on the way, at `a`"
    );
    assert_eq!(
        fault(Rules::Layers, &[&["l a nowhere/../b"], &["f a/x"]]),
        "a link on the way leads back out of a directory that is not there"
    );
    let long = "a".repeat(256);
    assert_eq!(
        fault(Rules::Layers, &[&[&format!("l a {long}")], &["f a/x"]]),
        "a name of more than 255 bytes on the way"
    );
    let longer = "a/".repeat(4100);
    assert_eq!(
        fault(Rules::Layers, &[&[&format!("l a {longer}")], &["f a/x"]]),
        "with the symbolic link `a` in it, the path is longer than 8192 bytes"
    );
}

trait Sorted {
    fn sorted(self) -> Vec<String>;
}

impl<const N: usize> Sorted for [&str; N] {
    /// By path.
    fn sorted(self) -> Vec<String> {
        let mut lines = self.map(str::to_owned).to_vec();
        lines.sort_by_key(|line| line[2..].to_owned());
        lines
    }
}

#[test]
fn whiteouts_remove_what_is_below_and_nothing_else() {
    let below: &[&str] = &["d a", "f a/x", "f a/y", "f b"];
    assert_eq!(layers(&[below, &["f a/.wh.x"]]), ["d /a 1", "f /a/y 3", "f /b 4"]);
    assert_eq!(layers(&[below, &["f .wh.a"]]), ["f /b 4"]);
    assert_eq!(
        layers(&[below, &["f .wh.nothing", "f no/.wh.thing", "f b/.wh.x"]]).len(),
        4
    );
    for layer in [&["f a/.wh.x", "f a/x"][..], &["f a/x", "f a/.wh.x"]] {
        let listed = layers(&[below, layer]);
        assert_eq!(
            (listed.len(), listed.contains(&"f /a/x 2".to_owned())),
            (4, false),
            "{layer:?}"
        );
    }
    for layer in [
        &["f .wh.a", "d a", "f a/z"][..],
        &["d a", "f .wh.a", "f a/z"],
        &["d a", "f a/z", "f .wh.a"],
    ] {
        let listed = layers(&[below, layer]);
        assert_eq!(listed.len(), 3, "{layer:?}: {listed:?}");
        assert!(listed[1].starts_with("f /a/z"), "{layer:?}");
    }
    for layer in [
        &["f a/.wh..wh..opq", "f a/n/z"][..],
        &["f a/n/z", "f a/.wh..wh..opq"],
    ] {
        let listed = layers(&[&["d a", "f a/x", "f a/n/y", "f a/m/y"], layer]);
        assert_eq!(listed.len(), 3, "{layer:?}: {listed:?}");
        assert!(listed[0] == "d /a 1" && listed[1] == "d /a/n -" && listed[2].starts_with("f /a/n/z"));
    }
    assert_eq!(layers(&[below, &["f .wh..wh..opq"]]), [""; 0]);
    // What AUFS kept beside the files of a branch.
    let aufs = [
        "d .wh..wh.plnk",
        "f .wh..wh.plnk/1.2",
        "f .wh..wh.aufs",
        "h .wh.b .wh..wh.aufs",
        "f c",
    ];
    assert_eq!(
        layers(&[below, &aufs]),
        ["d /a 1", "f /a/x 2", "f /a/y 3", "f /c 9"]
    );
    // In a root file system they are names like others.
    assert_eq!(root_file_system(&["f .wh.a", "f .wh..wh..opq"]).len(), 2);
}

#[test]
fn bounds_are_kept() {
    let deep = vec!["a"; usize::from(DEPTH) + 1].join("/");
    let tree = apply_all(Rules::RootFileSystem, &[&[&format!("f {deep}")]]).unwrap();
    assert_eq!(list(&tree).len(), usize::from(DEPTH) + 1);
    assert_eq!(
        fault(Rules::RootFileSystem, &[&[&format!("f {deep}/b")]]),
        "below more than 2048 directories"
    );
    let mut tree = Tree::new(Rules::RootFileSystem);
    tree.members = MEMBERS;
    let why = tree
        .apply(&member("a", MemberKind::File), Stored::default())
        .unwrap_err();
    assert_eq!(why.0, "more than 10000000 members");
    tree.members = 0;
    tree.memory = MEMORY;
    let why = tree
        .apply(&member("a", MemberKind::File), Stored::default())
        .unwrap_err();
    assert_eq!(why.0, "what the members say takes more than 2048 MiB of memory");
    assert!(size_of::<Inode>() <= 80, "{}", size_of::<Inode>());
}

/// The tree by a map of paths, as plainly as it can be said.
#[derive(Default)]
struct Model {
    nodes: BTreeMap<String, ModelNode>,
    upper: BTreeSet<String>,
    named: BTreeSet<String>,
}

enum No {
    EndOfLinks,
    Way,
}

#[derive(Clone)]
struct ModelNode {
    letter: char,
    target: String,
    mtime: Option<i64>,
}

impl Model {
    fn parent(path: &str) -> String {
        path.rsplit_once('/')
            .map_or(String::new(), |(above, _)| above.to_owned())
    }

    /// The real path of a directory's path and whether it is there.
    fn resolve(&self, path: &str, links: &mut u32) -> Result<(String, bool), No> {
        let mut real = String::new();
        let mut there = true;
        for name in path.split('/').filter(|name| !name.is_empty() && *name != ".") {
            if name == ".." {
                if !there {
                    return Err(No::Way);
                }
                real = Self::parent(&real);
                continue;
            }
            let next = format!("{real}/{name}");
            match self.nodes.get(&next) {
                None => there = false,
                Some(node) if node.letter == 'l' => {
                    *links += 1;
                    if *links > 40 {
                        return Err(No::EndOfLinks);
                    }
                    let target = match node.target.strip_prefix('/') {
                        Some(absolute) => absolute.to_owned(),
                        None => format!("{real}/{}", node.target),
                    };
                    (real, there) = self.resolve(&target, links)?;
                    continue;
                }
                Some(node) if node.letter == 'd' => {}
                Some(_) => return Err(No::Way),
            }
            real = next;
        }
        Ok((real, there))
    }

    fn apply(&mut self, member: &Member) -> Result<(), No> {
        let path = String::from_utf8(member.path.clone()).unwrap();
        let (above, name) = path.rsplit_once('/').unwrap_or(("", &path));
        let way = self.resolve(above, &mut 0);
        if let Some(removed) = name.strip_prefix(".wh.") {
            let real = match way {
                Ok((real, true)) => real,
                Ok(_) | Err(No::Way) => return Ok(()),
                Err(No::EndOfLinks) => return Err(No::EndOfLinks),
            };
            let gone = if removed == ".wh..opq" {
                format!("{real}/")
            } else {
                format!("{real}/{removed}")
            };
            let upper = self.upper.clone();
            self.nodes.retain(|path, _| {
                let below = path.strip_prefix(&gone);
                let hit =
                    below.is_some_and(|rest| gone.ends_with('/') || rest.is_empty() || rest.starts_with('/'));
                !hit || upper.contains(path)
            });
            return Ok(());
        }
        let (real, _) = way?;
        let here = format!("{real}/{name}");
        let node = match &member.kind {
            MemberKind::HardLink(target) => {
                let target = str::from_utf8(target).unwrap();
                let (above, name) = target.rsplit_once('/').unwrap_or(("", target));
                let found = format!("{}/{name}", self.resolve(above, &mut 0)?.0);
                let node = self.nodes.get(&found).filter(|node| node.letter != 'd');
                node.filter(|_| found != here).ok_or(No::Way)?.clone()
            }
            kind => ModelNode {
                letter: match kind {
                    MemberKind::Directory => 'd',
                    MemberKind::Link(_) => 'l',
                    _ => 'f',
                },
                target: match kind {
                    MemberKind::Link(target) => String::from_utf8(target.clone()).unwrap(),
                    _ => String::new(),
                },
                mtime: Some(member.mtime),
            },
        };
        let known = self.nodes.get(&here).map(|node| node.letter);
        let both_directories = known == Some('d') && node.letter == 'd';
        if self.named.contains(&here) || (self.upper.contains(&here) && known.is_some() && !both_directories)
        {
            return Err(No::Way);
        }
        if !both_directories {
            let below = format!("{here}/");
            self.nodes.retain(|path, _| !path.starts_with(&below));
        }
        let mut at = real;
        while !at.is_empty() {
            let implied = ModelNode {
                letter: 'd',
                target: String::new(),
                mtime: None,
            };
            self.nodes.entry(at.clone()).or_insert(implied);
            self.upper.insert(at.clone());
            at = Self::parent(&at);
        }
        self.nodes.insert(here.clone(), node);
        self.upper.insert(here.clone());
        self.named.insert(here);
        Ok(())
    }

    fn list(&self) -> BTreeMap<String, Listed> {
        let names = |node: &ModelNode| {
            let same = |other: &&ModelNode| node.letter != 'd' && other.mtime == node.mtime;
            self.nodes.values().filter(same).count().max(1)
        };
        self.nodes
            .iter()
            .map(|(path, node)| {
                (
                    path.clone(),
                    (node.letter, node.mtime, u32::try_from(names(node)).unwrap()),
                )
            })
            .collect()
    }
}

fn paths() -> impl Strategy<Value = String> {
    prop::collection::vec("[abc]", 1..4).prop_map(|names| names.join("/"))
}

fn lines() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => paths().prop_map(|path| format!("f {path}")),
        3 => paths().prop_map(|path| format!("d {path}")),
        2 => (paths(), "(/|\\.\\./)?[abc](/[abc])?").prop_map(|(path, target)| format!("l {path} {target}")),
        2 => (paths(), paths()).prop_map(|(path, target)| format!("h {path} {target}")),
        2 => (paths(), "[abc]").prop_map(|(path, name)| format!("f {path}/.wh.{name}")),
        1 => "[abc]".prop_map(|name| format!("f .wh.{name}")),
        1 => paths().prop_map(|path| format!("f {path}/.wh..wh..opq")),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]
    #[test]
    fn layers_are_merged_as_the_model_says(
        layers in prop::collection::vec(prop::collection::vec(lines(), 0..12), 1..5),
    ) {
        let mut model = Model::default();
        let mut accepted: Vec<Vec<Member>> = Vec::new();
        let mut time = 0;
        for layer in &layers {
            model.upper.clear();
            model.named.clear();
            accepted.push(Vec::new());
            for line in layer {
                time += 1;
                let member = Member { mtime: time, ..parse(line) };
                if model.apply(&member).is_ok() {
                    accepted.last_mut().unwrap().push(member);
                } else {
                    // What one refuses the other must refuse; then it is left out, so that more can follow.
                    let refused = merge(&accepted).unwrap().apply(&member, Stored::default());
                    prop_assert!(refused.is_err(), "{} after {:?}", line, accepted);
                }
            }
        }
        let mut tree = merge(&accepted).unwrap();
        tree.finish();
        prop_assert_eq!(list(&tree), model.list());
    }
}

fn merge(layers: &[Vec<Member>]) -> Result<Tree, Fault> {
    let mut tree = Tree::new(Rules::Layers);
    for layer in layers {
        tree.next_layer()?;
        for member in layer {
            tree.apply(member, Stored::default())?;
        }
    }
    Ok(tree)
}
