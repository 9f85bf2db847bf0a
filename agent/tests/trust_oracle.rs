//! Keys, signatures and statements against programs that nobody here wrote: OpenSSL, and the Python packages
//! `securesystemslib` (DSSE) and `in-toto-attestation` that `tests/setup/python.sh` installs.
//!
//! Without them these tests say `skipped: ...` and pass, unless `DRIFTCHECK_REQUIRE_ORACLES` is set.

#![expect(
    clippy::disallowed_methods,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests fail as tests do"
)]

use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::SystemTime;
use std::{env, fs};

use baseline_format::envelope::{Envelope, Envelopes, pae};
use baseline_format::header::{FORMAT_VERSION, Header, Image, Scope, SectionInfo};
use baseline_format::{BaselineReader, BaselineWriter, Entry, Line};
use data_encoding::{BASE64, HEXLOWER};
use driftcheck_agent::trust::anchors::{Anchors, Missing};
use driftcheck_agent::trust::commands::keygen;
use driftcheck_agent::trust::issued::Issued;
use driftcheck_agent::trust::key::{PrivateKey, PublicKey};
use driftcheck_agent::trust::sign::{Place, sign};
use driftcheck_agent::trust::{Trust, beside, judge};
use serde_json::{Value as Json, json};

/// Says why a test is skipped, or fails where oracles are required.
fn skipped(why: &str) {
    let required = env::var_os("DRIFTCHECK_REQUIRE_ORACLES").is_some_and(|set| !set.is_empty());
    assert!(!required, "{why}");
    println!("skipped: {why}");
}

fn have_openssl() -> bool {
    let there = Command::new("openssl").arg("version").output().is_ok();
    if !there {
        skipped("openssl is missing");
    }
    there
}

/// The Python that has the packages.
fn python() -> Option<PathBuf> {
    let cache = env::var_os("DRIFTCHECK_CACHE").unwrap_or_else(|| "/var/tmp/driftcheck-cache".into());
    let python = Path::new(&cache).join("python/bin/python3");
    let imports = "import cryptography, in_toto_attestation.v1.statement, securesystemslib.dsse";
    let mut command = Command::new(&python);
    let there = command.args(["-c", imports]).stderr(Stdio::null()).status();
    if there.is_ok_and(|status| status.success()) {
        return Some(python);
    }
    skipped("no Python with securesystemslib and in-toto-attestation; run tests/setup/python.sh");
    None
}

/// A directory of this test's own, empty.
fn work(name: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("trust-oracle-{name}"));
    match fs::remove_dir_all(&directory) {
        Err(why) if why.kind() != ErrorKind::NotFound => panic!("{}: {why}", directory.display()),
        _ => fs::create_dir_all(&directory).unwrap(),
    }
    directory
}

/// Runs a program in a directory; what it wrote, or what it said when it failed.
fn run(
    directory: &Path,
    program: impl AsRef<Path>,
    arguments: &[&str],
    input: &[u8],
) -> Result<Vec<u8>, String> {
    let mut child = Command::new(program.as_ref())
        .args(arguments)
        .current_dir(directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that fails early reads nothing.
    child.stdin.take().unwrap().write_all(input).ok();
    let output = child.wait_with_output().unwrap();
    if output.status.success() {
        Ok(output.stdout)
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

fn openssl(directory: &Path, arguments: &str) -> Result<Vec<u8>, String> {
    let arguments: Vec<&str> = arguments.split(' ').collect();
    run(directory, "openssl", &arguments, b"")
}

fn baseline() -> Vec<u8> {
    let header = Header {
        format: FORMAT_VERSION,
        image: Image {
            name: Some("gr\u{fc}n".to_owned()),
            version: Some("1.4".to_owned()),
            digest: Some(format!("sha256:{}", "0f".repeat(32))),
            source_kind: "oci".to_owned(),
            purpose: Some("a \"web\"\nserver".to_owned()),
            ..Image::default()
        },
        sections: ["files", "users"]
            .map(|name| SectionInfo {
                name: name.to_owned(),
                revision: 1,
            })
            .into(),
        scope: Scope::default(),
    };
    let mut writer = BaselineWriter::new(&header, Vec::new()).unwrap();
    let line = Entry::new("files", "/etc/hostname").with("size", 7_u32).to_line();
    writer.push(Line::parse(&line).unwrap()).unwrap();
    writer.finish().unwrap().0
}

fn sign_with(key: &Path, file: &Path, place: Place, issued: &str) {
    let key = PrivateKey::load(key).unwrap();
    sign(
        file,
        &key,
        place,
        Issued::parse(issued).unwrap(),
        SystemTime::now(),
    )
    .unwrap();
}

const ISSUED: &str = "2026-01-01T00:00:00Z";

/// Judges a file with the keys of a directory.
fn judge_file(file: &Path, anchors: &Path) -> Trust {
    let sealed = BaselineReader::open(&fs::read(file).unwrap()[..])
        .unwrap()
        .seal()
        .unwrap();
    let beside =
        fs::read(beside(file)).map_or_else(|_| Envelopes::default(), |text| Envelopes::parse(&text).unwrap());
    let anchors = Anchors::read(anchors, Missing::Refused).unwrap();
    judge(&sealed, &beside, &anchors, SystemTime::now())
}

fn attached(file: &Path) -> Vec<Envelope> {
    let sealed = BaselineReader::open(&fs::read(file).unwrap()[..])
        .unwrap()
        .seal()
        .unwrap();
    sealed.envelopes.all().to_vec()
}

fn decoded(text: &str) -> Vec<u8> {
    BASE64.decode(text.as_bytes()).unwrap()
}

#[test]
fn openssl_reads_our_keys_and_verifies_our_signatures() {
    if !have_openssl() {
        return;
    }
    let directory = work("ours");
    let told = keygen(&directory.join("our.key")).unwrap();
    // Its own half of the key, spelled as we spell it.
    let public = openssl(&directory, "pkey -in our.key -pubout").unwrap();
    assert_eq!(public, fs::read(directory.join("our.key.pub")).unwrap());
    let private = openssl(&directory, "pkey -in our.key").unwrap();
    assert_eq!(private, fs::read(directory.join("our.key")).unwrap());
    openssl(
        &directory,
        "pkey -pubin -in our.key.pub -outform DER -out our.der",
    )
    .unwrap();
    let digest = openssl(&directory, "dgst -sha256 -r our.der").unwrap();
    let id = String::from_utf8(digest).unwrap()[..64].to_owned();
    assert!(told.contains(&format!("key id:      {id}\n")), "{told}");

    let file = directory.join("web.dcb");
    fs::write(&file, baseline()).unwrap();
    sign_with(&directory.join("our.key"), &file, Place::Attached, ISSUED);
    let [envelope] = &attached(&file)[..] else {
        panic!("one envelope");
    };
    assert_eq!(envelope.signatures[0].keyid, Some(id));
    let signed = pae(&envelope.payload_type, &decoded(&envelope.payload));
    fs::write(directory.join("signature"), decoded(&envelope.signatures[0].sig)).unwrap();
    let verify = "pkeyutl -verify -pubin -inkey our.key.pub -rawin -in signed -sigfile signature";
    fs::write(directory.join("signed"), &signed).unwrap();
    openssl(&directory, verify).unwrap();
    let mut changed = signed;
    changed[9] ^= 1;
    fs::write(directory.join("signed"), &changed).unwrap();
    openssl(&directory, verify).unwrap_err();
}

#[test]
fn we_read_the_keys_of_openssl_and_verify_its_signatures() {
    if !have_openssl() {
        return;
    }
    let directory = work("theirs");
    openssl(&directory, "genpkey -algorithm ed25519 -out their.key").unwrap();
    openssl(&directory, "pkey -in their.key -pubout -out their.pub").unwrap();
    let private = PrivateKey::load(&directory.join("their.key")).unwrap();
    let public = PublicKey::from_pem(&fs::read(directory.join("their.pub")).unwrap()).unwrap();
    assert_eq!(private.public().unwrap(), public);
    for length in [0_u8, 1, 31, 32, 33, 255] {
        let message: Vec<u8> = (0..length).collect();
        fs::write(directory.join("message"), &message).unwrap();
        let theirs = openssl(&directory, "pkeyutl -sign -inkey their.key -rawin -in message");
        // OpenSSL 3.0 cannot sign nothing.
        let Ok(theirs) = theirs else {
            assert_eq!(length, 0);
            continue;
        };
        assert_eq!(HEXLOWER.encode(&theirs), HEXLOWER.encode(&private.sign(&message)));
        assert!(public.verifies(&message, &theirs));
    }
    // Keys that are not Ed25519, or not readable as they are.
    for (make, told) in [
        ("genpkey -algorithm ed448 -out other.key", "not an Ed25519 key"),
        ("genpkey -algorithm x25519 -out other.key", "not an Ed25519 key"),
        (
            "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out other.key",
            "not an Ed25519 key",
        ),
        (
            "genpkey -algorithm ed25519 -aes256 -pass pass:x -out other.key",
            "it is encrypted; decrypt it",
        ),
    ] {
        openssl(&directory, make).unwrap();
        let why = PrivateKey::load(&directory.join("other.key")).unwrap_err().0;
        assert!(why.contains(told), "{make}: {why}");
        openssl(
            &directory,
            "pkey -in other.key -passin pass:x -pubout -out other.pub",
        )
        .unwrap();
        let public = PublicKey::from_pem(&fs::read(directory.join("other.pub")).unwrap());
        assert_eq!(public.is_err(), told.contains("not an"), "{make}");
    }
}

/// The first block of a language in the document for operators.
fn documented(language: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/signatures.md");
    let document = fs::read_to_string(path).unwrap();
    let (_, block) = document.split_once(&format!("```{language}\n")).unwrap();
    block.split_once("```\n").unwrap().0.to_owned()
}

/// Adds a signature of `securesystemslib` to an envelope on standard input. Arguments: a private and a public key.
const SIGN: &str = r#"
import hashlib, json, sys
from cryptography.hazmat.primitives import serialization
from securesystemslib.dsse import Envelope
from securesystemslib.signer import CryptoSigner, SSlibKey

private = serialization.load_pem_private_key(open(sys.argv[1], "rb").read(), None)
public = private.public_key()
der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
signer = CryptoSigner(private, SSlibKey.from_crypto(public, keyid=hashlib.sha256(der).hexdigest()))
envelope = Envelope.from_dict(json.load(sys.stdin))
envelope.sign(signer)
print(json.dumps(envelope.to_dict()))
"#;

fn ask(
    python: &Path,
    directory: &Path,
    keys: &[&str],
    threshold: &str,
    envelope: &Json,
) -> Result<Json, String> {
    let program = documented("python");
    let arguments = [&["-c", &program, threshold], keys].concat();
    let output = run(directory, python, &arguments, envelope.to_string().as_bytes())?;
    Ok(serde_json::from_slice(&output).unwrap())
}

#[test]
fn python_verifies_our_envelopes_and_statements() {
    let Some(python) = python() else { return };
    let directory = work("python");
    let file = directory.join("web.dcb");
    fs::write(&file, baseline()).unwrap();
    for name in ["a", "b", "c"] {
        keygen(&directory.join(format!("{name}.key"))).unwrap();
    }
    for name in ["a", "b"] {
        sign_with(
            &directory.join(format!("{name}.key")),
            &file,
            Place::Beside,
            ISSUED,
        );
    }
    let text = fs::read_to_string(beside(&file)).unwrap();
    let envelope: Json = serde_json::from_str(&text).unwrap();
    let keys = ["a.key.pub", "b.key.pub", "c.key.pub"];
    let told = ask(&python, &directory, &keys, "2", &envelope).unwrap();
    assert_eq!(told["payloadType"], "application/vnd.in-toto+json");
    assert_eq!(told["keys"].as_array().unwrap().len(), 2);
    let sealed = BaselineReader::open(&fs::read(&file).unwrap()[..])
        .unwrap()
        .seal()
        .unwrap();
    let statement = &told["statement"];
    assert_eq!(statement["_type"], "https://in-toto.io/Statement/v1");
    assert_eq!(
        statement["predicateType"],
        "https://driftcheck.dev/attestation/baseline/v1"
    );
    assert_eq!(
        statement["subject"],
        json!([{"name": "gr\u{fc}n:1.4", "digest": {"sha256": "0f".repeat(32)}}])
    );
    let predicate = &statement["predicate"];
    assert_eq!(predicate["digest"], sealed.end.digest);
    assert_eq!(predicate["issued"], ISSUED);
    assert_eq!(
        predicate["image"],
        serde_json::to_value(&sealed.header.image).unwrap()
    );

    // They refuse what we refuse.
    ask(&python, &directory, &keys, "3", &envelope).unwrap_err();
    ask(&python, &directory, &["c.key.pub"], "1", &envelope).unwrap_err();
    let mut changed = envelope.clone();
    changed["payload"] = changed["payload"].as_str().unwrap().replace("eyJ", "eyI").into();
    ask(&python, &directory, &keys, "1", &changed).unwrap_err();
    let mut changed = envelope;
    changed["payloadType"] = "application/json".into();
    ask(&python, &directory, &keys, "1", &changed).unwrap_err();
}

#[test]
fn we_verify_envelopes_that_python_signed() {
    let Some(python) = python() else { return };
    let directory = work("python-signs");
    let file = directory.join("web.dcb");
    fs::write(&file, baseline()).unwrap();
    for name in ["a", "b"] {
        keygen(&directory.join(format!("{name}.key"))).unwrap();
    }
    sign_with(&directory.join("a.key"), &file, Place::Beside, ISSUED);
    let text = fs::read(beside(&file)).unwrap();
    let more = run(&directory, &python, &["-c", SIGN, "b.key"], &text).unwrap();
    fs::write(beside(&file), more).unwrap();
    let anchors = directory.join("trust.d");
    fs::create_dir(&anchors).unwrap();
    for name in ["a", "b"] {
        fs::copy(
            directory.join(format!("{name}.key.pub")),
            anchors.join(format!("{name}.pem")),
        )
        .unwrap();
    }
    fs::write(
        anchors.join("two.toml"),
        "[[threshold]]\nimages = [\"**\"]\nkeys = 2\n",
    )
    .unwrap();
    let Trust::Trusted(trusted) = judge_file(&file, &anchors) else {
        panic!("both signed");
    };
    assert_eq!(
        (trusted.by, trusted.aside),
        (vec!["a".to_owned(), "b".to_owned()], Vec::new())
    );
}

#[test]
fn the_documented_anchors_are_read() {
    let directory = work("documented");
    let anchors = directory.join("trust.d");
    fs::create_dir(&anchors).unwrap();
    fs::write(anchors.join("images.toml"), documented("toml")).unwrap();
    for name in ["release", "dba"] {
        keygen(&directory.join(name)).unwrap();
        fs::copy(
            directory.join(format!("{name}.pub")),
            anchors.join(format!("{name}.pub")),
        )
        .unwrap();
    }
    let anchors = Anchors::read(&anchors, Missing::Refused).unwrap();
    assert_eq!((anchors.needed("web"), anchors.needed("db-1")), (1, 2));
}

/// RFC 8410, section 10.3: a private key that everybody knows.
const KNOWN: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";

/// The signed example of the format is what signing the plain one makes, and will stay so. `UPDATE_GOLDEN=1` writes
/// it anew.
#[test]
fn the_signed_example_is_made_as_ever() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../baseline-format/tests/golden");
    let directory = work("golden");
    let file = directory.join("signed.dcb");
    let key = PrivateKey::from_pem(KNOWN.as_bytes()).unwrap();
    for place in [Place::Beside, Place::Attached] {
        fs::copy(golden.join("example.dcb"), &file).unwrap();
        sign(
            &file,
            &key,
            place,
            Issued::parse(ISSUED).unwrap(),
            SystemTime::now(),
        )
        .unwrap();
    }
    for name in ["signed.dcb", "signed.dcb.sig"] {
        if env::var_os("UPDATE_GOLDEN").is_some() {
            fs::copy(directory.join(name), golden.join(name)).unwrap();
        }
        let known = fs::read(golden.join(name)).unwrap();
        assert!(
            known == fs::read(directory.join(name)).unwrap(),
            "{name} is not what today's code makes"
        );
    }
    let anchors = directory.join("trust.d");
    fs::create_dir(&anchors).unwrap();
    fs::write(anchors.join("known.pem"), key.public().unwrap().to_pem()).unwrap();
    assert!(matches!(
        judge_file(&golden.join("signed.dcb"), &anchors),
        Trust::Trusted(_)
    ));
}
