//! Baselines with signatures behind them: the same baseline, the same digest, and nothing else may stand there. No
//! signature is verified here.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use baseline_format::envelope::{BadEnvelopes, Envelopes, LIMIT, PAYLOAD_TYPE, Signature};
use baseline_format::statement::{BadStatement, NoStatement, Statement};
use baseline_format::{BaselineReader, ReadError, Reference as _, Sealed};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name)
}

fn seal(bytes: &[u8]) -> Result<Sealed, ReadError> {
    BaselineReader::open(bytes)?.seal()
}

fn example() -> Vec<u8> {
    fs::read(golden("example.dcb")).unwrap()
}

/// A skippable frame with any magic number, length and content.
fn frame(magic: u32, length: usize, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(length).unwrap();
    [&magic.to_le_bytes()[..], &length.to_le_bytes(), content].concat()
}

const MAGIC: u32 = 0x184D_2A5D;
const ENVELOPE: &[u8] = b"{\"payload\":\"\",\"payloadType\":\"\",\"signatures\":[{\"sig\":\"\"}]}\n";

const UNSIGNED: &[u8] = b"{\"payload\":\"\",\"payloadType\":\"\",\"signatures\":[]}\n";

#[test]
fn a_signed_baseline_is_the_same_baseline() {
    let (example, signed) = (example(), fs::read(golden("signed.dcb")).unwrap());
    let plain = seal(&example).unwrap();
    let sealed = seal(&signed).unwrap();
    assert!(plain.envelopes.is_empty() && !sealed.envelopes.is_empty());
    assert_eq!(plain.length, example.len() as u64);
    assert_eq!(
        (sealed.length, &sealed.header, &sealed.end),
        (plain.length, &plain.header, &plain.end)
    );
    assert_eq!([example, sealed.envelopes.to_frame()].concat(), signed);
    let text = fs::read_to_string(golden("signed.dcb.sig")).unwrap();
    assert_eq!(sealed.envelopes, Envelopes::parse(text.as_bytes()).unwrap());
    assert_eq!(sealed.envelopes.all()[0].payload_type, PAYLOAD_TYPE);
}

#[test]
fn the_envelopes_are_there_when_the_last_entry_has_been_passed() {
    let signed = fs::read(golden("signed.dcb")).unwrap();
    let mut reader = BaselineReader::open(&signed[..]).unwrap();
    while reader.current().is_some() {
        assert!(reader.end().is_none());
        reader.advance().unwrap();
    }
    assert!(reader.end().is_some());
    assert!(!reader.seal().unwrap().envelopes.is_empty());
}

#[test]
fn only_one_frame_of_envelopes_may_follow() {
    let good = frame(MAGIC, ENVELOPE.len(), ENVELOPE);
    assert_eq!(
        seal(&[example(), good.clone()].concat())
            .unwrap()
            .envelopes
            .all()
            .len(),
        1
    );
    let long = vec![b' '; LIMIT + 1];
    let cases: [(&str, Vec<u8>, &str); 12] = [
        (
            "two frames",
            [&good[..], &good].concat(),
            "something follows the trailer",
        ),
        (
            "a byte more",
            [&good[..], b"\n"].concat(),
            "something follows the trailer",
        ),
        (
            "a second baseline",
            [&good[..], &example()].concat(),
            "something follows the trailer",
        ),
        ("half a head", good[..7].to_vec(), "something follows the trailer"),
        (
            "another magic",
            frame(0x184D_2A5E, ENVELOPE.len(), ENVELOPE),
            "something follows the trailer",
        ),
        (
            "a zstd frame",
            zstd::encode_all(ENVELOPE, 1).unwrap(),
            "something follows the trailer",
        ),
        (
            "cut",
            good[..good.len() - 1].to_vec(),
            "cut: it ends in the signatures that are attached",
        ),
        (
            "a length too long",
            frame(MAGIC, LIMIT + 1, b""),
            "the signatures that are attached: the envelopes are longer than 1048576 bytes",
        ),
        (
            "content too long",
            frame(MAGIC, LIMIT + 1, &long),
            "the signatures that are attached: the envelopes are longer than 1048576 bytes",
        ),
        (
            "nothing in it",
            frame(MAGIC, 0, b""),
            "the signatures that are attached: envelope 1: it is not a JSON object",
        ),
        (
            "no signature",
            frame(MAGIC, UNSIGNED.len(), UNSIGNED),
            "the signatures that are attached: envelope 1: it has no signature",
        ),
        (
            "not text",
            frame(MAGIC, 1, b"\xff"),
            "the signatures that are attached: the envelopes are not UTF-8",
        ),
    ];
    for (what, behind, told) in &cases {
        let why = seal(&[example(), behind.clone()].concat()).unwrap_err();
        assert_eq!(why.to_string(), *told, "{what}");
    }
    let before = [good, example()].concat();
    assert!(matches!(seal(&before), Err(ReadError::Foreign(_))));
}

/// Behind the frame, a cut leaves a baseline that nobody signed, or is refused.
#[test]
fn every_cut_is_refused_or_leaves_no_signature() {
    let signed = fs::read(golden("signed.dcb")).unwrap();
    let whole = seal(&signed).unwrap();
    for length in 0..signed.len() {
        match seal(&signed[..length]) {
            Ok(cut) => assert!(
                length as u64 == whole.length && cut.envelopes.is_empty(),
                "{length}"
            ),
            Err(why) => assert!(length as u64 != whole.length, "{length}: {why}"),
        }
    }
}

#[test]
fn the_longest_text_is_the_same_for_reader_and_writer() {
    let mut envelopes = Envelopes::default();
    let signature = || Signature {
        keyid: None,
        sig: String::new(),
    };
    let around = ENVELOPE.len();
    let payload = "x".repeat(LIMIT - around);
    envelopes.add("", &payload, signature()).unwrap();
    let behind = envelopes.to_frame();
    assert_eq!(behind.len(), LIMIT + 8);
    assert_eq!(seal(&[example(), behind].concat()).unwrap().envelopes, envelopes);
    let longer = payload + "x";
    let refused = Envelopes::default().add("", &longer, signature());
    assert!(matches!(refused, Err(BadEnvelopes::TooLong)));
}

#[test]
fn the_statement_is_written_as_ever() {
    let sealed = seal(&example()).unwrap();
    let issued = "2026-01-01T00:00:00Z".to_owned();
    let statement = Statement::new(&sealed.header, &sealed.end, issued).unwrap();
    let file = golden("statement.json");
    let text = [statement.to_payload().unwrap(), b"\n".to_vec()].concat();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&file, &text).unwrap();
    }
    assert!(
        fs::read(&file).unwrap() == text,
        "statement.json is not what today's code makes"
    );
    assert_eq!(Statement::parse(&text).unwrap(), statement);
    assert_eq!(statement.differs(&sealed.header, &sealed.end), None);
}

#[test]
fn the_subject_is_the_image_or_else_the_baseline() {
    let Sealed { header, end, .. } = seal(&example()).unwrap();
    let subject = |name: Option<&str>, version: Option<&str>, digest: Option<&str>| {
        let mut header = header.clone();
        header.image.name = name.map(str::to_owned);
        header.image.version = version.map(str::to_owned);
        header.image.digest = digest.map(str::to_owned);
        let statement = Statement::new(&header, &end, String::new())?;
        let [subject] = &statement.subject[..] else {
            panic!("one subject");
        };
        let (algorithm, digits) = subject.digest.first_key_value().unwrap();
        Ok::<_, NoStatement>((subject.name.clone(), format!("{algorithm}:{digits}")))
    };
    let digest = format!("sha256:{}", "0a".repeat(32));
    let long = format!("sha512:{}", "0a".repeat(64));
    for (version, name) in [(Some("1.4"), "web:1.4"), (None, "web")] {
        assert_eq!(
            subject(Some("web"), version, Some(&digest)).unwrap(),
            (name.into(), digest.clone())
        );
        assert_eq!(
            subject(Some("web"), version, None).unwrap(),
            (name.into(), end.digest.clone())
        );
    }
    assert_eq!(subject(Some("web"), None, Some(&long)).unwrap().1, long);
    for none in [None, Some("")] {
        assert_eq!(subject(none, Some("1"), None).unwrap_err(), NoStatement::NoName);
    }
    for bad in [
        "",
        "sha256",
        "sha256:00",
        "md5:00",
        &digest.to_uppercase(),
        &format!("{digest}0"),
    ] {
        let why = subject(Some("web"), None, Some(bad)).unwrap_err();
        assert_eq!(why, NoStatement::Digest(bad.to_owned()));
    }
}

#[test]
fn statements_of_others_are_told_from_broken_ones() {
    let text = fs::read_to_string(golden("statement.json")).unwrap();
    for foreign in [
        text.replace("Statement/v1", "Statement/v0.1"),
        text.replace("baseline/v1", "baseline/v2"),
        "{\"_type\":\"https://in-toto.io/Statement/v1\",\"predicateType\":\"x\",\"predicate\":null}"
            .to_owned(),
    ] {
        assert!(
            matches!(Statement::parse(foreign.as_bytes()), Err(BadStatement::Foreign)),
            "{foreign}"
        );
    }
    for broken in [
        String::new(),
        "{}".to_owned(),
        text.replace("\"issued\"", "\"isued\""),
        text.replace("\"entries\":10", "\"entries\":-1"),
        text.replace("\"entries\":10", "\"entries\":10,\"entries\":11"),
    ] {
        assert!(
            matches!(Statement::parse(broken.as_bytes()), Err(BadStatement::NotJson(_))),
            "{broken}"
        );
    }
}

/// The program that was written from the specification alone.
#[test]
fn a_stranger_reads_signed_baselines_as_we_do() {
    for tool in ["python3", "zstd"] {
        let mut command = Command::new(tool);
        command
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if !command.status().is_ok_and(|status| status.success()) {
            let required = std::env::var_os("DRIFTCHECK_REQUIRE_ORACLES").is_some_and(|set| !set.is_empty());
            assert!(!required, "{tool} is missing");
            println!("skipped: {tool} is missing");
            return;
        }
    }
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("signatures-stranger");
    fs::create_dir_all(&directory).unwrap();
    let file = directory.join("asked.dcb");
    let ask = |bytes: &[u8]| {
        fs::write(&file, bytes).unwrap();
        let reader = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/reader.py");
        let output = Command::new("python3").arg(reader).arg(&file).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        match output.status.code() {
            Some(0) => Ok(text(&output.stdout)),
            Some(65) => Err(text(&output.stderr)),
            other => panic!("exit code {other:?}: {}", text(&output.stderr)),
        }
    };
    let signed = fs::read(golden("signed.dcb")).unwrap();
    assert_eq!(ask(&signed).unwrap(), ask(&example()).unwrap());
    let good = "{\"payload\":\"\",\"payloadType\":\"\",\"signatures\":[{\"sig\":\"\"}]}";
    for content in [
        good.to_owned(),
        format!("{good}\n"),
        format!("{good}\n{good}\n"),
        format!("{good}\n\n"),
        format!(" {good}\r\n"),
        String::new(),
        "\n".to_owned(),
        "{}".to_owned(),
        "[\"\",\"\",[{\"sig\":\"\"}]]".to_owned(),
        good.replace("{\"sig\":\"\"}", ""),
        good.replace("\"sig\"", "\"keyid\":null,\"sig\""),
        good.replace("\"sig\"", "\"keyid\":1,\"sig\""),
        good.replace("\"sig\":\"\"", "\"sig\":1"),
        good.replace("\"sig\":\"\"", "\"sig\":\"\",\"sig\":\"\""),
        good.replace("\"payload\":\"\"", "\"payload\":\"\",\"payload\":\"\""),
        good.replace("{\"payload\"", "{\"later\":[{}],\"payload\""),
        format!("{good}\n").repeat(64),
        format!("{good}\n").repeat(65),
        good.replace("{\"sig\":\"\"}", &["{\"sig\":\"\"}"; 64].join(",")),
        good.replace("{\"sig\":\"\"}", &["{\"sig\":\"\"}"; 65].join(",")),
    ] {
        let bytes = [example(), frame(MAGIC, content.len(), content.as_bytes())].concat();
        let (ours, theirs) = (seal(&bytes), ask(&bytes));
        assert_eq!(ours.is_ok(), theirs.is_ok(), "{content}: {ours:?}, {theirs:?}");
    }
    for behind in [
        frame(MAGIC - 1, good.len(), good.as_bytes()),
        frame(MAGIC, good.len() + 1, good.as_bytes()),
        frame(MAGIC, good.len() - 1, good.as_bytes()),
        frame(MAGIC, LIMIT + 1, good.as_bytes()),
    ] {
        let bytes = [example(), behind].concat();
        assert!(seal(&bytes).is_err() && ask(&bytes).is_err());
    }
    // Whoever knows nothing of signatures gets the same text.
    let unpacked = |name: &str| {
        Command::new("zstd")
            .arg("-dc")
            .arg(golden(name))
            .output()
            .unwrap()
            .stdout
    };
    assert_eq!(unpacked("signed.dcb"), fs::read(golden("example.jsonl")).unwrap());
}
