use std::fs;
use std::os::unix::fs::symlink;

use super::*;
use crate::trust::sign::Place;
use crate::trust::testing::{Scratch, baseline, grant, key, now, scratch, sign_with};

/// A directory with `trust.d` (key 1 for everything), `state`, and baselines.
struct World(Scratch);

impl World {
    fn new(test: &str) -> Self {
        let top = scratch(test);
        for name in ["trust.d", "empty.d", "state"] {
            fs::create_dir(top.join(name)).unwrap();
        }
        fs::write(top.join("trust.d/release.pem"), key(1).public().unwrap().to_pem()).unwrap();
        Self(top)
    }

    /// A baseline whose content depends on `size`, signed with key 1 if there is a time.
    fn baseline(&self, size: u32, issued: Option<&str>) -> PathBuf {
        let file = self
            .0
            .join(format!("{size}-{}.dcb", issued.unwrap_or("unsigned")));
        fs::write(&file, baseline(Some("web"), size)).unwrap();
        if let Some(issued) = issued {
            sign_with(1, &file, Place::Attached, issued);
        }
        file
    }

    fn settings(&self) -> Settings {
        Settings {
            trust: Some(self.0.join("trust.d")),
            state: Some(self.0.join("state")),
            ..Settings::default()
        }
    }

    fn without_anchors(&self) -> Settings {
        Settings {
            trust: Some(self.0.join("empty.d")),
            ..self.settings()
        }
    }
}

fn check(settings: Settings, file: &Path) -> Result<Vec<String>, String> {
    let checked = Gate::open(settings).unwrap().check(file, now());
    checked
        .map(|admitted| admitted.sentences)
        .map_err(|why| why.to_string())
}

const UNSIGNED: &str =
    "the baseline is not signed: whoever can write the file can choose what counts as clean";
const FIRST: &str = "no baseline of `web` was trusted here before: nothing says that this is the newest";
const MARCH: &str = "2026-03-01T00:00:00Z";
const MAY: &str = "2026-05-01T00:00:00Z";

#[test]
fn what_is_demanded_decides_what_is_used() {
    let world = World::new("gate-demand");
    let (unsigned, signed) = (world.baseline(1, None), world.baseline(1, Some(MARCH)));
    let with = |demand, settings| Settings { demand, ..settings };
    let refused = "it is not signed; sign it, or give --allow-unsigned";
    let anyway = "it is used all the same, because --allow-unsigned was given";
    for (demand, file, told) in [
        (Demand::WhereAnchored, &unsigned, Err(refused.to_owned())),
        (Demand::Always, &unsigned, Err(refused.to_owned())),
        (
            Demand::Never,
            &unsigned,
            Ok(vec![UNSIGNED.to_owned(), anyway.to_owned()]),
        ),
    ] {
        assert_eq!(check(with(demand, world.settings()), file), told, "{demand:?}");
    }
    let told = check(with(Demand::Never, world.settings()), &signed).unwrap();
    assert_eq!(told, ["signed by `release`, issued 2026-03-01T00:00:00Z", FIRST]);
    // Without anchors nothing is trusted, and what runs unattended refuses.
    let unknown = "the baseline is not trusted: there are no trusted keys here to verify it with";
    for demand in [Demand::WhereAnchored, Demand::Never] {
        assert_eq!(
            check(with(demand, world.without_anchors()), &unsigned).unwrap(),
            [UNSIGNED]
        );
        assert_eq!(
            check(with(demand, world.without_anchors()), &signed).unwrap(),
            [unknown]
        );
    }
    assert_eq!(
        check(with(Demand::Always, world.without_anchors()), &unsigned).unwrap_err(),
        refused
    );
    let told = check(with(Demand::Always, world.without_anchors()), &signed).unwrap_err();
    assert_eq!(
        told,
        "it is not trusted: there are no trusted keys here to verify it with"
    );
}

#[test]
fn signatures_beside_the_file_count_and_broken_ones_are_refused() {
    let world = World::new("gate-beside");
    let file = world.baseline(1, None);
    sign_with(1, &file, Place::Beside, MARCH);
    assert_eq!(check(world.settings(), &file).unwrap().len(), 2);
    let beside = crate::trust::beside(&file);
    for (content, told) in [
        (&b""[..], "it is not a JSON object"),
        (b"{}", "missing field `payload`"),
        (b"\xff", "the envelopes are not UTF-8"),
        (
            " ".repeat((1 << 20) + 1).as_bytes(),
            "the envelopes are longer than 1048576 bytes",
        ),
    ] {
        fs::write(&beside, content).unwrap();
        for settings in [world.settings(), world.without_anchors()] {
            let why = check(settings, &file).unwrap_err();
            assert!(
                why.starts_with(beside.to_str().unwrap()) && why.ends_with(told),
                "{why}"
            );
        }
    }
    fs::remove_file(&beside).unwrap();
    let fifo = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, &beside, fifo, rustix::fs::Mode::RUSR, 0).unwrap();
    assert!(
        check(world.settings(), &file)
            .unwrap_err()
            .ends_with("it is not a regular file")
    );
    fs::remove_file(&beside).unwrap();
    symlink("nowhere", &beside).unwrap();
    assert!(check(world.settings(), &file).unwrap_err().contains("not signed"));
}

#[test]
fn an_older_baseline_is_refused_unless_forced() {
    let world = World::new("gate-rollback");
    let (old, new) = (world.baseline(1, Some(MARCH)), world.baseline(2, Some(MAY)));
    assert_eq!(check(world.settings(), &old).unwrap()[1..], [FIRST]);
    assert_eq!(check(world.settings(), &new).unwrap().len(), 1);
    let told = check(world.settings(), &old).unwrap_err();
    assert!(told.starts_with("it is older than the baseline of this image that was trusted here before, issued 2026-05-01T00:00:00Z, sha256:"), "{told}");
    let forced = || Settings {
        rollback: Rollback::Allow,
        ..world.settings()
    };
    let told = check(forced(), &old).unwrap();
    assert!(
        told[1].starts_with("it is older than") && told[1].ends_with("because --allow-rollback was given"),
        "{told:?}"
    );
    // The mark was not lowered by that.
    check(world.settings(), &old).unwrap_err();
    // Another one of the same time.
    let rival = world.baseline(3, Some(MAY));
    let told = check(world.settings(), &rival).unwrap_err();
    assert!(
        told.starts_with("it was issued at the same time as another baseline"),
        "{told}"
    );
    assert_eq!(check(forced(), &rival).unwrap().len(), 2);
    check(world.settings(), &new).unwrap();
    // Going back on purpose: the old content, signed again.
    sign_with(1, &old, Place::Attached, "2026-05-02T00:00:00Z");
    check(world.settings(), &old).unwrap();
    check(world.settings(), &new).unwrap_err();
}

#[test]
fn only_trusted_baselines_are_remembered_and_looking_remembers_nothing() {
    let world = World::new("gate-memory");
    let allowed = || Settings {
        demand: Demand::Never,
        ..world.settings()
    };
    let foreign = world.0.join("foreign.dcb");
    fs::write(&foreign, baseline(Some("web"), 9)).unwrap();
    sign_with(2, &foreign, Place::Attached, MAY);
    check(allowed(), &foreign).unwrap();
    check(allowed(), &world.baseline(9, None)).unwrap();
    let look = || Settings {
        memory: Memory::Look,
        ..world.settings()
    };
    check(look(), &world.baseline(2, Some(MAY))).unwrap();
    assert_eq!(fs::read_dir(world.0.join("state")).unwrap().count(), 0);
    // Nothing newer than this is remembered.
    check(world.settings(), &world.baseline(1, Some(MARCH))).unwrap();
}

#[test]
fn trouble_with_the_state_is_refused_or_told() {
    let world = World::new("gate-state");
    let file = world.baseline(1, Some(MARCH));
    fs::write(world.0.join("state/marks.json"), "{").unwrap();
    let told = check(world.settings(), &file).unwrap_err();
    assert!(
        told.starts_with("whether it is older than one that was trusted here before cannot be told: "),
        "{told}"
    );
    assert!(told.contains("if nobody can mend it, remove it"), "{told}");
    let forced = Settings {
        rollback: Rollback::Allow,
        ..world.settings()
    };
    let told = check(forced, &file).unwrap();
    assert!(
        told[1].ends_with("because --allow-rollback was given"),
        "{told:?}"
    );
    assert_eq!(fs::read(world.0.join("state/marks.json")).unwrap(), b"{");
    let absent = Settings {
        state: Some(world.0.join("absent")),
        ..world.settings()
    };
    let told = check(absent, &file).unwrap_err();
    assert!(
        told.contains("absent: not found; make it: install -d -m 0700"),
        "{told}"
    );
}

#[test]
fn a_baseline_of_another_image_is_refused_whoever_signed_it() {
    let world = World::new("gate-image");
    let signed = world.baseline(1, Some(MARCH));
    for demand in [Demand::Never, Demand::WhereAnchored] {
        let settings = |image: &str| Settings {
            image: Some(image.to_owned()),
            demand,
            ..world.settings()
        };
        assert_eq!(
            check(settings("db"), &signed).unwrap_err(),
            "it is of the image `web`, not of `db`"
        );
        check(settings("web"), &signed).unwrap();
    }
}

#[test]
fn anchors_that_cannot_be_read_open_no_gate() {
    let world = World::new("gate-anchors");
    fs::write(
        world.0.join("trust.d/x.toml"),
        grant("k", 2, "'x'", "") + "rubbish",
    )
    .unwrap();
    assert!(
        Gate::open(world.settings())
            .unwrap_err()
            .0
            .contains("x.toml: line ")
    );
    let absent = Settings {
        trust: Some(world.0.join("absent")),
        ..world.settings()
    };
    assert!(Gate::open(absent).unwrap_err().0.ends_with("absent: not found"));
}
