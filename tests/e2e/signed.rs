//! From the image to the host: recorded, signed, verified, tampered with and refused.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use driftcheck_tests::{Need, Ran, Run, Scratch, Tree, met, tool};
use serde_json::Value;

/// A builder's key, a host's trust directory with its public half, and a signed baseline of a small root.
struct Signed {
    scratch: Scratch,
    tree: Tree,
    baseline: PathBuf,
    trust: PathBuf,
    state: PathBuf,
}

impl Signed {
    fn new(name: &str) -> Self {
        let scratch = Scratch::new(name);
        let tree = Tree::small(scratch.join("root"));
        let signed = Self {
            tree,
            baseline: scratch.join("web.dcb"),
            trust: scratch.join("trust.d"),
            state: scratch.join("state"),
            scratch,
        };
        for directory in [&signed.trust, &signed.state] {
            fs::create_dir(directory).unwrap();
            fs::set_permissions(directory, fs::Permissions::from_mode(0o700)).unwrap();
        }
        signed.keygen("builders");
        signed.trust("builders", "builders.pem");
        signed.record("1.4", "2026-05-01T00:00:00Z", &signed.baseline);
        signed
    }

    fn keygen(&self, name: &str) {
        let key = self.scratch.join(name);
        Run::new(["baseline", "keygen"]).and([&key]).run().expect_code(0);
    }

    fn trust(&self, key: &str, name: &str) {
        let public = self.scratch.join(format!("{key}.pub"));
        let trusted = self.trust.join(name);
        fs::copy(public, &trusted).unwrap();
        fs::set_permissions(&trusted, fs::Permissions::from_mode(0o644)).unwrap();
    }

    fn record(&self, version: &str, issued: &str, baseline: &Path) {
        Run::record(self.tree.path(), baseline)
            .and(["--name", "web", "--image-version", version])
            .run()
            .expect_code(0);
        self.sign("builders", &["--issued", issued], baseline)
            .expect_code(0);
    }

    fn sign(&self, key: &str, more: &[&str], baseline: &Path) -> Ran {
        let key = self.scratch.join(key);
        Run::new(["baseline", "sign"])
            .and([baseline])
            .and(["--key".as_ref(), key.as_os_str()])
            .and(more)
            .run()
    }

    fn audit(&self, baseline: &Path, more: &[&str]) -> Ran {
        Run::audit(self.tree.path(), baseline)
            .and(["--trust".as_ref(), self.trust.as_os_str()])
            .and(["--state".as_ref(), self.state.as_os_str()])
            .and(more)
            .run()
    }
}

fn refused(ran: &Ran, why: &str) {
    assert_eq!(ran.code, 65, "{why}: {}", ran.stderr);
    assert!(ran.stderr.contains(why), "{why}: {}", ran.stderr);
    assert!(ran.stdout.is_empty(), "a report of a baseline that was refused");
}

fn signature(ran: &Ran) -> (String, String) {
    let report: Value = serde_json::from_slice(&ran.stdout).unwrap();
    let baseline = &report["baseline"];
    (
        baseline["signature"]["status"].as_str().unwrap().to_owned(),
        baseline["trust"].to_string(),
    )
}

#[test]
fn a_trusted_baseline_is_used_and_named() {
    let signed = Signed::new("signed-used");
    let ran = signed.audit(&signed.baseline, &[]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let (status, trust) = signature(&ran);
    assert_eq!(status, "trusted");
    assert!(
        trust.contains("builders") && trust.contains("2026-05-01"),
        "{trust}"
    );
}

#[test]
fn what_nobody_signed_is_refused_or_marked() {
    let signed = Signed::new("signed-not");
    let plain = signed.scratch.join("plain.dcb");
    Run::record(signed.tree.path(), &plain)
        .and(["--name", "web"])
        .run()
        .expect_code(0);
    refused(&signed.audit(&plain, &[]), "not signed");
    let allowed = signed.audit(&plain, &["--allow-unsigned"]);
    assert_eq!(allowed.code, 0, "{}", allowed.stderr);
    let (status, trust) = signature(&allowed);
    assert_eq!(status, "unsigned");
    assert!(trust.contains("--allow-unsigned"), "{trust}");
    // Where nobody set up keys, one can still be demanded.
    let demanded = Run::audit(signed.tree.path(), &plain)
        .and(["--require-signature"])
        .run();
    refused(&demanded, "not signed");
}

#[test]
fn a_key_beside_the_data_is_no_trust_anchor() {
    let signed = Signed::new("signed-beside");
    let foreign = signed.scratch.join("foreign");
    fs::create_dir(&foreign).unwrap();
    let baseline = foreign.join("web.dcb");
    Run::record(signed.tree.path(), &baseline)
        .and(["--name", "web"])
        .run()
        .expect_code(0);
    signed.keygen("stranger");
    signed.sign("stranger", &["--beside"], &baseline).expect_code(0);
    fs::create_dir(foreign.join("trust.d")).unwrap();
    fs::copy(
        signed.scratch.join("stranger.pub"),
        foreign.join("trust.d/stranger.pem"),
    )
    .unwrap();
    refused(&signed.audit(&baseline, &[]), "not trusted");
}

#[test]
fn tampering_is_refused() {
    let signed = Signed::new("signed-tampered");
    let whole = fs::read(&signed.baseline).unwrap();
    let damaged = signed.scratch.join("damaged.dcb");
    // The attached signatures are the last frame: RFC 8878, a skippable frame.
    let frame = whole
        .windows(4)
        .rposition(|bytes| bytes == 0x184D_2A5D_u32.to_le_bytes())
        .unwrap();
    let text = String::from_utf8(whole[frame + 8..].to_vec()).unwrap();
    let place = |word: &str| frame + 8 + text.find(word).unwrap() + word.len() + 4;
    for (class, at) in [
        ("content", frame / 2),
        ("the header of the frame of signatures", frame + 5),
        ("payload", place("\"payload\":\"")),
        ("payload type", place("\"payloadType\":\"")),
        ("signature", place("\"sig\":\"")),
        ("key id", place("\"keyid\":\"")),
    ] {
        let mut flipped = whole.clone();
        flipped[at] ^= 1;
        fs::write(&damaged, &flipped).unwrap();
        let ran = signed.audit(&damaged, &[]);
        assert_eq!(ran.code, 65, "{class}: {}", ran.stderr);
        assert!(ran.stdout.is_empty(), "{class}");
    }
    // Without the signatures it is sound, and not signed.
    fs::write(&damaged, &whole[..frame]).unwrap();
    refused(&signed.audit(&damaged, &[]), "not signed");
    // The signatures of another baseline.
    signed.tree.file("etc/motd", "be evil\n", 0o644);
    let other = signed.scratch.join("other.dcb");
    Run::record(signed.tree.path(), &other)
        .and(["--name", "web", "--image-version", "1.4"])
        .run()
        .expect_code(0);
    let swapped = [&fs::read(&other).unwrap()[..], &whole[frame..]].concat();
    fs::write(&damaged, swapped).unwrap();
    refused(&signed.audit(&damaged, &[]), "not trusted");
}

#[test]
fn a_threshold_counts_keys_and_not_signatures() {
    let signed = Signed::new("signed-threshold");
    signed.keygen("reviewers");
    fs::remove_file(signed.trust.join("builders.pem")).unwrap();
    for key in ["builders", "reviewers"] {
        signed.trust(key, &format!("{key}.pub"));
    }
    let policy = signed.trust.join("web.toml");
    let text = "[[key]]\nname = \"builders\"\npublic-key = \"builders.pub\"\nimages = [\"web\"]\n\n\
        [[key]]\nname = \"reviewers\"\npublic-key = \"reviewers.pub\"\nimages = [\"web\"]\n\n\
        [[threshold]]\nimages = [\"web\"]\nkeys = 2\n";
    fs::write(&policy, text).unwrap();
    fs::set_permissions(&policy, fs::Permissions::from_mode(0o644)).unwrap();
    // The same key again does not make two.
    signed
        .sign(
            "builders",
            &["--issued", "2026-05-02T00:00:00Z"],
            &signed.baseline,
        )
        .expect_code(0);
    refused(&signed.audit(&signed.baseline, &[]), "1 of 2");
    signed
        .sign(
            "reviewers",
            &["--issued", "2026-05-02T00:00:00Z"],
            &signed.baseline,
        )
        .expect_code(0);
    let ran = signed.audit(&signed.baseline, &[]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(signature(&ran).0, "trusted");
}

#[test]
fn an_older_baseline_is_refused_unless_forced() {
    let signed = Signed::new("signed-rollback");
    let newer = signed.scratch.join("newer.dcb");
    signed.record("1.5", "2026-06-01T00:00:00Z", &newer);
    assert_eq!(signed.audit(&newer, &[]).code, 0);
    refused(&signed.audit(&signed.baseline, &[]), "older");
    let forced = signed.audit(&signed.baseline, &["--allow-rollback"]);
    assert_eq!(forced.code, 0, "{}", forced.stderr);
    assert!(
        signature(&forced).1.contains("--allow-rollback"),
        "{}",
        signature(&forced).1
    );
    // That did not lower the mark.
    refused(&signed.audit(&signed.baseline, &[]), "older");
}

#[test]
fn the_result_of_the_gate_is_signed_as_openssl_verifies_it() {
    if !met(&[Need::Tool("openssl"), Need::Tool("python3")]) {
        return;
    }
    let signed = Signed::new("signed-gate");
    let file = |name: &str| signed.scratch.join(name).into_os_string().into_string().unwrap();
    let (key, attestation) = (file("builders"), file("web.intoto.jsonl"));
    let ran = Run::new(["verify-image", "--attestation", &attestation, "--key", &key])
        .and([signed.tree.path()])
        .run();
    // Whatever the gate says of this root, it says it signed.
    assert!((0..=3).contains(&ran.code), "{}", ran.stderr);
    // DSSE's pre-authentication encoding, and the bare signature.
    let unpack = "
import base64, json, sys
envelope = json.loads(open(sys.argv[1]).read())
payload = base64.b64decode(envelope['payload'])
kind = envelope['payloadType'].encode()
open(sys.argv[2], 'wb').write(b'DSSEv1 %d %s %d %s' % (len(kind), kind, len(payload), payload))
open(sys.argv[3], 'wb').write(base64.b64decode(envelope['signatures'][0]['sig']))
print(json.loads(payload)['predicateType'])
";
    let (pae, sig) = (file("pae"), file("sig"));
    let kind = tool("python3", ["-c", unpack, &attestation, &pae, &sig]);
    assert_eq!(kind.trim(), "https://in-toto.io/attestation/test-result/v0.1");
    let public = file("builders.pub");
    let verify = [
        "pkeyutl", "-verify", "-pubin", "-inkey", &public, "-rawin", "-in", &pae, "-sigfile", &sig,
    ];
    // It fails unless the signature verifies.
    tool("openssl", verify);
}
