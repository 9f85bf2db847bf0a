use std::fs;
use std::path::Path;

use baseline_format::BaselineReader;
use baseline_format::envelope::Envelopes;
use serde_json::{Value as Json, json};

use super::*;
use crate::trust::gate::{Gate, Refusal, Settings, read_beside};
use crate::trust::sign::Place;
use crate::trust::testing::{Scratch, baseline, grant, key, now, scratch, seal, sign_with};

const ISSUED: &str = "2026-03-01T00:00:00Z";

/// A baseline of the image `web`, signed with key 1, which is attached.
fn signed(test: &str) -> Scratch {
    let file = scratch(test).file("web.dcb");
    fs::write(&file, baseline(Some("web"), 1)).unwrap();
    sign_with(1, &file, Place::Attached, ISSUED);
    file
}

fn anchors(text: &str) -> Anchors {
    Anchors::parse(text.as_bytes()).unwrap()
}

fn judge_file(file: &Path, anchors: &Anchors) -> Trust {
    let beside = read_beside(&crate::trust::beside(file)).unwrap();
    judge(&seal(file), &beside, anchors, now())
}

fn doubts(trust: &Trust) -> Vec<String> {
    match trust {
        Trust::Untrusted(why) => why.iter().map(ToString::to_string).collect(),
        other => panic!("{other:?}"),
    }
}

/// Rewrites the envelopes that are attached, as JSON.
fn forge(file: &Path, change: impl FnOnce(&mut Vec<Json>)) {
    let sealed = seal(file);
    let text = sealed.envelopes.to_text();
    let mut envelopes: Vec<Json> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    change(&mut envelopes);
    let lines: Vec<String> = envelopes.iter().map(ToString::to_string).collect();
    let text = lines.join("\n");
    let frame = Envelopes::parse(text.as_bytes()).unwrap().to_frame();
    let mut bytes = fs::read(file).unwrap();
    bytes.truncate(usize::try_from(sealed.length).unwrap());
    fs::write(file, [bytes, frame].concat()).unwrap();
}

/// A name of what is done, and the doing.
type Change<'a> = (&'a str, &'a dyn Fn(&mut Json));

/// Changes what an envelope signs, and leaves the signature.
fn forge_payload(envelope: &mut Json, change: impl FnOnce(&mut Json)) {
    let payload = BASE64
        .decode(envelope["payload"].as_str().unwrap().as_bytes())
        .unwrap();
    let mut statement: Json = serde_json::from_slice(&payload).unwrap();
    change(&mut statement);
    envelope["payload"] = BASE64.encode(statement.to_string().as_bytes()).into();
}

/// Signs any payload with key 1, as somebody could who has it.
fn sign_payload(envelope: &mut Json, change: impl FnOnce(&mut Json)) {
    forge_payload(envelope, change);
    let payload = BASE64
        .decode(envelope["payload"].as_str().unwrap().as_bytes())
        .unwrap();
    let signature = key(1).sign(&pae(envelope["payloadType"].as_str().unwrap(), &payload));
    envelope["signatures"][0]["sig"] = BASE64.encode(&signature).into();
}

#[test]
fn enough_signatures_are_trusted() {
    let file = signed("judge-good");
    let trust = judge_file(&file, &anchors(&grant("release", 1, "'web'", "")));
    let trusted = Trusted {
        by: vec!["release".to_owned()],
        needed: 1,
        issued: Issued::parse(ISSUED).unwrap(),
        aside: Vec::new(),
    };
    assert_eq!(trust, Trust::Trusted(trusted));
    assert_eq!(
        trust.sentences(),
        ["signed by `release`, issued 2026-03-01T00:00:00Z"]
    );
}

#[test]
fn what_is_not_signed_is_told_from_what_is_not_trusted() {
    let file = signed("judge-none");
    assert_eq!(
        doubts(&judge_file(&file, &Anchors::default())),
        ["there are no trusted keys here to verify it with"]
    );
    let mut bytes = fs::read(&file).unwrap();
    bytes.truncate(usize::try_from(seal(&file).length).unwrap());
    fs::write(&file, bytes).unwrap();
    assert_eq!(
        judge_file(&file, &anchors(&grant("release", 1, "'web'", ""))),
        Trust::Unsigned
    );
}

#[test]
fn every_tampering_is_told() {
    let own = anchors(&grant("release", 1, "'web'", ""));
    let id = key(1).public().unwrap().id();
    let bad = "the signature of `release` does not verify: it, or what it signs, was changed";
    let stranger = key(9).public().unwrap().id();
    let cases: [(Change<'_>, String); 14] = [
        (
            ("payload", &|e| {
                forge_payload(e, |s| s["predicate"]["issued"] = "2026-04-01T00:00:00Z".into());
            }),
            bad.into(),
        ),
        (
            ("payload that is not base64", &|e| e["payload"] = "!".into()),
            "its payload is not base64".into(),
        ),
        (
            ("signature", &|e| {
                e["signatures"][0]["sig"] = BASE64.encode(&[7; 64]).into();
            }),
            bad.into(),
        ),
        (
            ("signature that is not base64", &|e| {
                e["signatures"][0]["sig"] = "x".into();
            }),
            bad.into(),
        ),
        (
            ("empty signature", &|e| e["signatures"][0]["sig"] = "".into()),
            bad.into(),
        ),
        (
            ("key id of another key", &|e| {
                e["signatures"][0]["keyid"] = stranger.clone().into();
            }),
            format!("its key `{stranger}` is not trusted here"),
        ),
        (
            ("key id in upper case", &|e| {
                e["signatures"][0]["keyid"] = id.to_uppercase().into();
            }),
            format!("its key `{}` is not trusted here", id.to_uppercase()),
        ),
        (
            ("key id with control characters", &|e| {
                e["signatures"][0]["keyid"] = "\u{1b}[2J".into();
            }),
            "its key `\\x1b[2J` is not trusted here".into(),
        ),
        (
            ("payload type", &|e| e["payloadType"] = "text/plain".into()),
            "its payload is `text/plain`, not a statement".into(),
        ),
        (
            ("payload type that is signed", &|e| {
                e["payloadType"] = "text/plain".into();
                sign_payload(e, |_| {});
            }),
            "its payload is `text/plain`, not a statement".into(),
        ),
        (
            ("predicate type", &|e| {
                sign_payload(e, |s| {
                    s["predicateType"] = "https://slsa.dev/provenance/v1".into();
                });
            }),
            "its statement is not about a baseline: it is a statement of another kind".into(),
        ),
        (
            ("statement type", &|e| {
                sign_payload(e, |s| s["_type"] = "https://in-toto.io/Statement/v0.1".into());
            }),
            "its statement is not about a baseline: it is a statement of another kind".into(),
        ),
        (
            ("time", &|e| {
                sign_payload(e, |s| s["predicate"]["issued"] = "yesterday".into());
            }),
            "its time of issue `yesterday` is none".into(),
        ),
        (
            ("future", &|e| {
                sign_payload(e, |s| s["predicate"]["issued"] = "2026-06-02T00:00:01Z".into());
            }),
            "it was issued in the future, 2026-06-02T00:00:01Z: is this clock right, or the signer's?".into(),
        ),
    ];
    for ((what, tamper), told) in cases {
        let file = signed("judge-tampered");
        forge(&file, |envelopes| tamper(&mut envelopes[0]));
        assert_eq!(doubts(&judge_file(&file, &own)), [told], "{what}");
    }
}

/// Whoever has a trusted key still cannot make it say of a baseline what is not true.
#[test]
fn every_part_of_a_statement_must_be_true() {
    let own = anchors(&grant("release", 1, "**", "").replace("[**]", "['**']"));
    let changes: [Change<'_>; 9] = [
        ("image", &|s| s["predicate"]["image"]["name"] = "db".into()),
        ("image", &|s| s["predicate"]["image"]["version"] = "1.5".into()),
        ("image", &|s| s["predicate"]["image"]["purpose"] = "x".into()),
        ("format", &|s| s["predicate"]["format"] = 2.into()),
        ("entries", &|s| s["predicate"]["entries"] = 2.into()),
        ("sections", &|s| {
            s["predicate"]["sections"][0]["revision"] = 2.into();
        }),
        ("sections", &|s| s["predicate"]["sections"] = json!([])),
        ("subject", &|s| s["subject"][0]["name"] = "db:1.4".into()),
        ("subject", &|s| s["subject"][0]["digest"]["sha256"] = "00".into()),
    ];
    for (member, change) in changes {
        let file = signed("judge-untrue");
        forge(&file, |envelopes| sign_payload(&mut envelopes[0], change));
        let told = format!("what it says of the baseline's {member} is not true of this one");
        assert_eq!(doubts(&judge_file(&file, &own)), [told]);
    }
    let file = signed("judge-untrue");
    forge(&file, |envelopes| {
        sign_payload(&mut envelopes[0], |s| {
            s["predicate"]["digest"] = "sha256:\n".into();
        });
    });
    assert_eq!(
        doubts(&judge_file(&file, &own)),
        ["it signs another baseline, sha256:\\x0a"]
    );
}

#[test]
fn a_statement_may_have_more_subjects_and_members() {
    let file = signed("judge-more");
    forge(&file, |envelopes| {
        sign_payload(&mut envelopes[0], |s| {
            s["later"] = json!({"x": 1});
            s["predicate"]["later"] = true.into();
            let more = json!({"uri": "https://example.com", "digest": {"sha256": "00"}});
            s["subject"].as_array_mut().unwrap().insert(0, more);
        });
    });
    let trust = judge_file(&file, &anchors(&grant("release", 1, "'web'", "")));
    assert!(matches!(trust, Trust::Trusted(_)), "{trust:?}");
}

#[test]
fn an_envelope_of_another_baseline_is_told() {
    let own = anchors(&grant("release", 1, "'*'", ""));
    let file = signed("judge-swapped");
    let sealed = seal(&file);
    // The same image, other content; and another image with the same content.
    for other in [baseline(Some("web"), 2), baseline(Some("db"), 1)] {
        fs::write(&file, [other, sealed.envelopes.to_frame()].concat()).unwrap();
        let told = format!("it signs another baseline, {}", sealed.end.digest);
        assert_eq!(doubts(&judge_file(&file, &own)), [told]);
    }
}

/// Every bit of the file, those of the skippable frame's header included: what is still trusted is the same baseline,
/// and the same bytes with the same signature.
#[test]
fn every_flipped_bit_is_refused() {
    let file = signed("judge-flipped");
    let (trust, state) = (scratch("judge-flipped-trust.d"), scratch("judge-flipped-state"));
    fs::write(trust.join("a.toml"), grant("release", 1, "'web'", "")).unwrap();
    let gate = Gate::open(Settings {
        trust: Some(trust.to_path_buf()),
        state: Some(state.to_path_buf()),
        ..Settings::default()
    })
    .unwrap();
    let check = |bytes: &[u8]| {
        let sealed = BaselineReader::open(bytes).and_then(BaselineReader::seal);
        gate.decide(sealed.map_err(Refusal::Baseline)?, &Envelopes::default(), now())
    };
    let what = |sealed: &Sealed| {
        let envelope = &sealed.envelopes.all()[0];
        let signed = (envelope.payload.clone(), envelope.signatures[0].sig.clone());
        (sealed.header.clone(), sealed.end.clone(), signed)
    };
    let whole = seal(&file);
    let bytes = fs::read(&file).unwrap();
    let frame = usize::try_from(whole.length).unwrap();
    let keyid = bytes.windows(5).position(|window| window == b"keyid").unwrap();
    let keyid = keyid..keyid + 5;
    for at in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[at / 8] ^= 1 << (at % 8);
        if let Ok(admitted) = check(&flipped) {
            assert_eq!(what(&admitted.sealed), what(&whole), "bit {at}");
            // zstd can say the same text in several ways; behind it, only `keyid`, which may be missing, can get
            // another name.
            assert!(at / 8 < frame || keyid.contains(&(at / 8)), "bit {at}");
        }
    }
    for length in 0..bytes.len() {
        let why = check(&bytes[..length]).unwrap_err();
        // Without the signature it is a sound baseline that nobody signed.
        assert_eq!(
            matches!(why, Refusal::Unsigned),
            length as u64 == whole.length,
            "{length}: {why}"
        );
    }
}

#[test]
fn one_key_is_one_key_however_often_it_signed() {
    // The same key under two names, and two more keys.
    let text = [
        ("a", 1, "'web'"),
        ("b", 1, "'*'"),
        ("c", 2, "'web'"),
        ("d", 3, "'db'"),
    ]
    .map(|(name, seed, images)| grant(name, seed, images, ""))
    .concat();
    let two = anchors(&(text + "[[threshold]]\nimages = ['web']\nkeys = 2\n"));
    let file = signed("judge-threshold");
    sign_with(1, &file, Place::Attached, "2026-03-02T00:00:00Z");
    sign_with(1, &file, Place::Beside, "2026-03-03T00:00:00Z");
    forge(&file, |envelopes| {
        let signatures = envelopes[0]["signatures"].as_array_mut().unwrap();
        let mut nameless = signatures[0].clone();
        nameless.as_object_mut().unwrap().remove("keyid");
        let again = signatures[0].clone();
        signatures.extend([nameless, again]);
        let envelope = envelopes[0].clone();
        envelopes.push(envelope);
    });
    let told = "only 1 of 2 needed keys signed: `a`";
    assert_eq!(doubts(&judge_file(&file, &two)), [told]);
    // A key that is for other images does not help.
    sign_with(3, &file, Place::Beside, ISSUED);
    assert_eq!(
        doubts(&judge_file(&file, &two)),
        ["`d` may not sign images called `web`", told]
    );
    // Nor does one that is known to nobody.
    sign_with(4, &file, Place::Beside, ISSUED);
    assert_eq!(doubts(&judge_file(&file, &two)).len(), 3);
    sign_with(2, &file, Place::Beside, "2026-02-01T00:00:00Z");
    let Trust::Trusted(trusted) = judge_file(&file, &two) else {
        panic!("two keys signed");
    };
    assert_eq!(
        (trusted.by, trusted.needed),
        (vec!["a".to_owned(), "c".to_owned()], 2)
    );
    // One key alone cannot make a baseline newer.
    assert_eq!(trusted.issued.to_string(), "2026-02-01T00:00:00Z");
    assert_eq!(trusted.aside.len(), 2);
}

#[test]
fn the_latest_statement_of_a_key_counts() {
    let file = signed("judge-latest");
    sign_with(1, &file, Place::Attached, "2026-05-01T00:00:00Z");
    sign_with(1, &file, Place::Attached, "2026-04-01T00:00:00Z");
    let Trust::Trusted(trusted) = judge_file(&file, &anchors(&grant("release", 1, "'web'", ""))) else {
        panic!("it is signed");
    };
    assert_eq!(trusted.issued.to_string(), "2026-05-01T00:00:00Z");
}

#[test]
fn a_key_is_good_for_what_it_was_given_for() {
    let file = signed("judge-scope");
    for (images, more, told) in [
        ("'db', 'web-*'", "", "`k` may not sign images called `web`"),
        (
            "'web'",
            "not-after = 2026-02-28T23:59:59Z",
            "`k` may not sign what is issued at 2026-03-01T00:00:00Z",
        ),
        (
            "'web'",
            "not-before = 2026-03-01T00:00:01Z",
            "`k` may not sign what is issued at 2026-03-01T00:00:00Z",
        ),
    ] {
        assert_eq!(
            doubts(&judge_file(&file, &anchors(&grant("k", 1, images, more)))),
            [told]
        );
    }
    let ends = "not-before = 2026-03-01T00:00:00Z\nnot-after = 2026-03-01T00:00:00Z";
    assert!(matches!(
        judge_file(&file, &anchors(&grant("k", 1, "'web'", ends))),
        Trust::Trusted(_)
    ));
    let id = key(1).public().unwrap().id();
    let told = format!("its key `{id}` is not trusted here");
    assert_eq!(
        doubts(&judge_file(&file, &anchors(&grant("k", 2, "'web'", "")))),
        [told]
    );
}

#[test]
fn base64_of_both_alphabets_is_read_and_a_key_id_may_be_missing() {
    let file = signed("judge-alphabets");
    forge(&file, |envelopes| {
        let signature = envelopes[0]["signatures"][0].as_object_mut().unwrap();
        signature.insert("keyid".to_owned(), "".into());
        let other = signature["sig"]
            .as_str()
            .unwrap()
            .replace('+', "-")
            .replace('/', "_");
        signature.insert("sig".to_owned(), other.into());
    });
    let trust = judge_file(
        &file,
        &anchors(&(grant("x", 2, "'web'", "") + &grant("k", 1, "'web'", ""))),
    );
    assert!(
        matches!(&trust, Trust::Trusted(trusted) if trusted.by == ["k"]),
        "{trust:?}"
    );
    assert_eq!(
        doubts(&judge_file(&file, &anchors(&grant("x", 2, "'web'", "")))),
        ["no key that is trusted here made it"]
    );
}

#[test]
fn a_baseline_without_a_name_is_for_no_key() {
    let file = signed("judge-nameless");
    let frame = seal(&file).envelopes.to_frame();
    for name in [None, Some("")] {
        fs::write(&file, [baseline(name, 1), frame.clone()].concat()).unwrap();
        let told = "the baseline does not name its image, so that no key can be for it";
        assert_eq!(
            doubts(&judge_file(&file, &anchors(&grant("k", 1, "'**'", "")))),
            [told]
        );
    }
}

/// A key that lies beside the data, under every name that could tempt.
#[test]
fn keys_beside_the_data_are_never_used() {
    let file = signed("judge-beside");
    let directory = file.parent().unwrap();
    let pem = key(1).public().unwrap().to_pem();
    for name in ["web.dcb.pub", "web.dcb.pem", "release.pub", "release.pem"] {
        fs::write(directory.join(name), &pem).unwrap();
    }
    fs::create_dir(directory.join("trust.d")).unwrap();
    fs::write(directory.join("trust.d/release.pem"), &pem).unwrap();
    forge(&file, |envelopes| {
        envelopes[0]["signatures"][0]["publicKey"] = pem.clone().into();
    });
    let (trust, state) = (scratch("judge-beside-trust.d"), scratch("judge-beside-state"));
    fs::write(trust.join("other.pem"), key(2).public().unwrap().to_pem()).unwrap();
    let settings = Settings {
        trust: Some(trust.to_path_buf()),
        state: Some(state.to_path_buf()),
        ..Settings::default()
    };
    let why = Gate::open(settings).unwrap().check(&file, now()).unwrap_err();
    let id = key(1).public().unwrap().id();
    assert_eq!(
        why.to_string(),
        format!("it is not trusted: its key `{id}` is not trusted here")
    );
}
