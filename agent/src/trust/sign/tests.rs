use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::*;
use crate::trust::commands::{Failure, SignSettings, keygen, sign_file, verify};
use crate::trust::gate::Settings;
use crate::trust::testing::{baseline, key, now, scratch, seal, sign_with};

const MARCH: &str = "2026-03-01T00:00:00Z";

#[test]
fn signing_changes_nothing_but_the_signatures() {
    let file = scratch("sign-attach").file("web.dcb");
    let bytes = baseline(Some("web"), 1);
    fs::write(&file, &bytes).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    let before = seal(&file);
    sign_with(1, &file, Place::Attached, MARCH);
    let once = fs::read(&file).unwrap();
    assert!(once.starts_with(&bytes));
    let after = seal(&file);
    assert_eq!(
        (&after.end, &after.header, after.length),
        (&before.end, &before.header, before.length)
    );
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o640);
    // The same key, time and baseline: the same bytes.
    sign_with(1, &file, Place::Attached, MARCH);
    assert_eq!(fs::read(&file).unwrap(), once);
    // A second key shares the envelope; a second time does not.
    sign_with(2, &file, Place::Attached, MARCH);
    sign_with(1, &file, Place::Attached, "2026-03-02T00:00:00Z");
    let counts: Vec<usize> = seal(&file)
        .envelopes
        .all()
        .iter()
        .map(|e| e.signatures.len())
        .collect();
    assert_eq!(counts, [2, 1]);
    assert_eq!(
        fs::read_dir(file.parent().unwrap()).unwrap().count(),
        1,
        "nothing is left behind"
    );
}

#[test]
fn signing_beside_leaves_the_baseline_alone() {
    let file = scratch("sign-beside").file("web.dcb");
    fs::write(&file, baseline(Some("web"), 1)).unwrap();
    let bytes = fs::read(&file).unwrap();
    sign_with(1, &file, Place::Beside, MARCH);
    sign_with(2, &file, Place::Beside, MARCH);
    assert_eq!(fs::read(&file).unwrap(), bytes);
    let text = fs::read(file.with_extension("dcb.sig")).unwrap();
    let envelopes = Envelopes::parse(&text).unwrap();
    assert_eq!(envelopes.all().len(), 1);
    assert_eq!(envelopes.all()[0].signatures.len(), 2);
    // What is attached and what is beside is the same envelope.
    sign_with(1, &file, Place::Attached, MARCH);
    sign_with(2, &file, Place::Attached, MARCH);
    assert_eq!(seal(&file).envelopes, envelopes);
}

#[test]
fn what_is_not_sound_is_not_signed() {
    let directory = scratch("sign-unsound");
    let file = directory.join("web.dcb");
    let good = baseline(Some("web"), 1);
    for (bytes, told) in [
        (
            good[..good.len() - 1].to_vec(),
            "the compressed data is cut or broken",
        ),
        ([&good[..], b"x"].concat(), "something follows the trailer"),
        (b"rubbish".to_vec(), "not a driftcheck baseline"),
        (
            baseline(None, 1),
            "the baseline does not name its image: record it again with --name",
        ),
    ] {
        fs::write(&file, &bytes).unwrap();
        for place in [Place::Attached, Place::Beside] {
            let issued = Issued::parse(MARCH).unwrap();
            let why = sign(&file, &key(1), place, issued, now()).unwrap_err().0;
            assert!(why.contains(told), "{why}");
        }
        assert_eq!(fs::read(&file).unwrap(), bytes);
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
    }
    fs::write(&file, &good).unwrap();
    fs::write(file.with_extension("dcb.sig"), "rubbish").unwrap();
    let issued = Issued::parse(MARCH).unwrap();
    let why = sign(&file, &key(1), Place::Beside, issued, now()).unwrap_err().0;
    assert!(why.ends_with("it is not a JSON object"), "{why}");
    let future = Issued::parse("2027-01-01T00:00:00Z").unwrap();
    let why = sign(&file, &key(1), Place::Attached, future, now())
        .unwrap_err()
        .0;
    assert!(why.contains("is in the future"), "{why}");
    let why = sign(&directory, &key(1), Place::Attached, issued, now())
        .unwrap_err()
        .0;
    assert!(why.ends_with("it is not a regular file"), "{why}");
}

#[test]
fn a_link_stays_a_link() {
    let directory = scratch("sign-link");
    fs::write(directory.join("real.dcb"), baseline(Some("web"), 1)).unwrap();
    symlink("real.dcb", directory.join("web.dcb")).unwrap();
    sign_with(1, &directory.join("web.dcb"), Place::Attached, MARCH);
    assert!(
        fs::symlink_metadata(directory.join("web.dcb"))
            .unwrap()
            .is_symlink()
    );
    assert!(!seal(&directory.join("real.dcb")).envelopes.is_empty());
}

/// The three commands one after another.
#[test]
fn from_key_to_trust() {
    let top = scratch("sign-commands");
    let at = |name: &str| top.join(name);
    fs::write(at("web.dcb"), baseline(Some("web"), 1)).unwrap();
    let told = keygen(&at("release.key")).unwrap();
    assert!(told.contains("release.key (keep it off the hosts)"), "{told}");
    assert!(matches!(keygen(&at("release.key")), Err(Failure::Usage(_))));
    let (file, key) = (at("web.dcb"), at("release.key"));
    let settings = SignSettings {
        file: &file,
        key: &key,
        place: Place::Beside,
        issued: None,
        epoch: Some("1772323200".as_ref()),
    };
    let told = sign_file(&settings, now()).unwrap();
    assert!(told.ends_with(", issued 2026-03-01T00:00:00Z\n"), "{told}");
    let bad = SignSettings {
        issued: Some("now"),
        ..settings
    };
    assert!(matches!(sign_file(&bad, now()), Err(Failure::Usage(_))));
    for name in ["trust.d", "state"] {
        fs::create_dir(at(name)).unwrap();
    }
    let settings = || Settings {
        trust: Some(at("trust.d")),
        state: Some(at("state")),
        ..Settings::default()
    };
    fs::copy(at("release.key.pub"), at("trust.d/release.pem")).unwrap();
    let told = verify(&file, settings(), now()).unwrap();
    let lines: Vec<&str> = told.lines().collect();
    assert!(lines[0].contains("web.dcb: sound: 1 entries, sha256:"), "{told}");
    assert!(
        lines[1].ends_with("web.dcb: signed by `release`, issued 2026-03-01T00:00:00Z"),
        "{told}"
    );
    fs::write(at("web.dcb"), baseline(Some("web"), 2)).unwrap();
    let Err(Failure::Baseline(why)) = verify(&file, settings(), now()) else {
        panic!("another baseline is not the one that was signed");
    };
    assert!(
        why.0
            .contains("web.dcb: it is not trusted: it signs another baseline, sha256:"),
        "{why}"
    );
}
