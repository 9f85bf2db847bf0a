mod refusals;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::digest::Digest;
use super::*;
use crate::source::archive::tests::{Builder, content, gzip, keep_all, node_at};
use crate::source::file_system::FileSystem as _;

/// The files of a layout or archive of images.
#[derive(Clone, Default)]
struct Files(BTreeMap<String, Vec<u8>>);

impl Files {
    /// Adds a blob; gives its descriptor.
    fn blob(&mut self, media_type: &str, content: &[u8]) -> Value {
        let digest = Digest::of(content);
        self.0
            .insert(String::from_utf8(digest.path()).unwrap(), content.to_vec());
        json!({"mediaType": media_type, "digest": digest.to_string(), "size": content.len()})
    }

    fn document(&mut self, media_type: &str, content: &Value) -> Value {
        self.blob(media_type, content.to_string().as_bytes())
    }

    /// Adds an image of layers that are given with their media types and the archives in them; gives the descriptor of
    /// its manifest.
    fn image(&mut self, platform: &str, layers: &[(&str, Vec<u8>, &[u8])]) -> Value {
        let (os, architecture) = platform.split_once('/').unwrap();
        let (architecture, variant) = architecture.split_once('/').unwrap_or((architecture, ""));
        let diff_ids: Vec<_> = layers
            .iter()
            .map(|(_, _, tar)| Digest::of(tar).to_string())
            .collect();
        let config = json!({
            "os": os, "architecture": architecture, "variant": variant,
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
            "config": {"Labels": {"org.opencontainers.image.version": "3.1"}},
        });
        let config = self.document(CONFIG, &config);
        let layers: Vec<_> = layers
            .iter()
            .map(|(media_type, stored, _)| self.blob(media_type, stored))
            .collect();
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers,
            "annotations": {"org.opencontainers.image.title": "demo"},
        });
        let mut descriptor = self.document(MANIFEST, &manifest);
        descriptor["platform"] = json!({"os": os, "architecture": architecture, "variant": variant});
        descriptor
    }

    fn layout(mut self, manifests: &[Value]) -> Self {
        self.0
            .insert("oci-layout".into(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec());
        let index = json!({"schemaVersion": 2, "manifests": manifests});
        self.0.insert("index.json".into(), index.to_string().into_bytes());
        self
    }

    /// As a directory, which goes away with the guard.
    fn directory(&self) -> Scratch {
        let scratch = Scratch::new();
        for (path, content) in &self.0 {
            let path = scratch.0.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        scratch
    }

    fn tar(&self) -> Vec<u8> {
        let files = self
            .0
            .iter()
            .fold(Builder::default(), |tar, (path, content)| tar.file(path, content));
        files.finish()
    }

    /// Members in the opposite order.
    fn reversed_tar(&self) -> Vec<u8> {
        let files = self
            .0
            .iter()
            .rev()
            .fold(Builder::default(), |tar, (path, content)| tar.file(path, content));
        files.finish()
    }
}

struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("driftcheck-oci-{}-{number}", process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const TAR: &str = "application/vnd.oci.image.layer.v1.tar";
const GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";

fn options<'a>(platform: Option<&'a str>, reference: Option<&'a str>) -> Options<'a> {
    Options {
        platform,
        reference,
        archive: keep_all(),
    }
}

fn any() -> Options<'static> {
    options(None, None)
}

fn open_tar(tar: Vec<u8>, options: &Options<'_>) -> Result<Image, Fault> {
    let file: Bytes = Arc::new(tar);
    look_into(&file)?
        .ok_or_else(|| Fault::new("no images"))?
        .open(options)
}

fn open_directory(files: &Files, options: &Options<'_>) -> Result<Image, Fault> {
    open_layout(&files.directory().0, options)
}

fn fault(result: Result<Image, Fault>) -> String {
    result.err().expect("a fault").0
}

fn lower() -> Vec<u8> {
    Builder::default()
        .file("etc/os", b"one")
        .file("usr/bin/a", b"a")
        .link("bin", "usr/bin")
        .finish()
}

fn upper() -> Vec<u8> {
    Builder::default()
        .file("bin/.wh.a", b"")
        .file("bin/b", b"b")
        .finish()
}

fn top() -> Vec<u8> {
    Builder::default().file("etc/os", &b"x".repeat(100_000)).finish()
}

fn three_layers(files: &mut Files) -> Value {
    let zstd = zstd::encode_all(&upper()[..], 1).unwrap();
    files.image(
        "linux/amd64",
        &[
            (GZIP, gzip(&lower()), &lower()),
            (ZSTD, zstd, &upper()),
            (TAR, top(), &top()),
        ],
    )
}

fn demo() -> Files {
    let mut files = Files::default();
    let mut image = three_layers(&mut files);
    image["annotations"] = json!({"org.opencontainers.image.ref.name": "3.1"});
    files.layout(&[image])
}

fn check_demo(image: &Image) {
    assert_eq!(content(&image.archive, "etc/os").unwrap(), b"x".repeat(100_000));
    assert_eq!(content(&image.archive, "usr/bin/b").unwrap(), b"b");
    assert_eq!(node_at(&image.archive, "usr/bin/a"), None);
    assert_eq!(image.archive.expected(), 7);
    assert_eq!(
        image.identity.platform.as_ref().unwrap().to_string(),
        "linux/amd64"
    );
    assert_eq!(image.identity.version.as_deref(), Some("3.1"));
}

#[test]
fn layout_is_read_as_directory_and_in_every_archive() {
    let files = demo();
    assert!(is_layout(&files.directory().0));
    let image = open_directory(&files, &any()).unwrap();
    check_demo(&image);
    let manifest = files
        .0
        .values()
        .find(|content| content.starts_with(br#"{"schemaVersion":2,"mediaType""#));
    assert_eq!(
        image.identity,
        Identity {
            digest: Digest::of(manifest.unwrap()).to_string(),
            platform: image.identity.platform.clone(),
            references: vec!["3.1".into()],
            title: Some("demo".into()),
            version: Some("3.1".into()),
        }
    );
    for tar in [
        files.tar(),
        files.reversed_tar(),
        gzip(&files.tar()),
        gzip(&files.reversed_tar()),
    ] {
        let again = open_tar(tar, &any()).unwrap();
        check_demo(&again);
        assert_eq!((again.kind, again.identity), (Kind::Oci, image.identity.clone()));
    }
}

/// Of a compressed archive large blobs are read in passes; what was not kept is read again.
#[test]
fn large_blobs_of_a_compressed_archive_are_read_in_passes() {
    let noise = |seed: u64| -> Vec<u8> {
        let mut state = seed;
        let mut next = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            state.to_be_bytes()[0]
        };
        (0..5 << 20).map(|_| next()).collect()
    };
    let layers = [1, 2, 3].map(|seed| {
        Builder::default()
            .file(&format!("f{seed}"), &noise(seed))
            .finish()
    });
    let mut files = Files::default();
    let told: Vec<_> = layers
        .iter()
        .map(|layer| (TAR, layer.clone(), &layer[..]))
        .collect();
    let image = files.image("linux/amd64", &told);
    let files = files.layout(&[image]);
    for tar in [gzip(&files.tar()), gzip(&files.reversed_tar())] {
        let mut options = any();
        options.archive.keep = &|path, _| path == b"f2";
        let image = open_tar(tar, &options).unwrap();
        for seed in [1, 2, 3] {
            assert!(content(&image.archive, &format!("f{seed}")).unwrap() == noise(seed));
        }
    }
}

#[test]
fn docker_archives_are_read_in_the_older_form_and_in_both() {
    let mut blobs = Files::default();
    let manifest = three_layers(&mut blobs);
    let manifest = &blobs.0[&manifest["digest"]
        .as_str()
        .unwrap()
        .replace("sha256:", "blobs/sha256/")];
    let manifest: Value = serde_json::from_slice(manifest).unwrap();
    let id = manifest["config"]["digest"].as_str().unwrap().to_owned();
    let hex = id.strip_prefix("sha256:").unwrap();
    let config = blobs.0[&format!("blobs/sha256/{hex}")].clone();
    let list = json!([{
        "Config": format!("{hex}.json"), "RepoTags": ["demo:latest"],
        "Layers": [format!("{hex}/layer.tar"), "second.tar.gz", format!("{}/layer.tar", hex.replace('0', "1"))],
    }]);
    let tar = |lower: Vec<u8>, config: &[u8]| {
        Builder::default()
            .file(&format!("{}/layer.tar", hex.replace('0', "1")), &top())
            .file("manifest.json", list.to_string().as_bytes())
            .file(&format!("{hex}/VERSION"), b"1.0")
            .link(&format!("{hex}/layer.tar"), "../third.tar")
            .file("third.tar", &lower)
            .file("second.tar.gz", &gzip(&upper()))
            .file(&format!("{hex}.json"), config)
            .finish()
    };
    for tar in [tar(lower(), &config), gzip(&tar(lower(), &config))] {
        for reference in [
            None,
            Some("demo:latest"),
            Some("demo"),
            Some("docker.io/library/demo"),
            Some(&id[..]),
        ] {
            let image = open_tar(tar.clone(), &options(Some("linux/amd64"), reference)).unwrap();
            check_demo(&image);
            assert_eq!((image.kind, &image.identity.digest), (Kind::Docker, &id));
            assert_eq!(image.identity.references, ["demo:latest"]);
        }
        assert_eq!(
            fault(open_tar(tar.clone(), &options(None, Some("other")))),
            "no image of this reference; there are: demo:latest"
        );
        assert_eq!(
            fault(open_tar(tar, &options(Some("linux/s390x"), None))),
            "no image for linux/s390x: the image is for linux/amd64"
        );
    }
    // A layer that is not what the configuration says; a configuration that is not what its name says.
    let told = fault(open_tar(tar(top(), &config), &any()));
    assert!(
        told.starts_with(&format!("layer 1 of 3 ({})", Digest::of(&lower()))),
        "{told}"
    );
    assert!(told.contains("the content is not that of"), "{told}");
    let told = fault(open_tar(tar(lower(), &[&config[..], b" "].concat()), &any()));
    assert!(told.ends_with("its content does not match its digest"), "{told}");

    // Docker since version 25 writes both forms.
    let mut both = demo();
    let list = |config: &str| {
        let list = json!([{"Config": config, "RepoTags": ["demo:3.1"], "Layers": []}]);
        list.to_string().into_bytes()
    };
    both.0
        .insert("manifest.json".into(), list(&format!("blobs/sha256/{hex}")));
    let image = open_tar(both.tar(), &any()).unwrap();
    assert_eq!(image.kind, Kind::Oci);
    check_demo(&image);
    both.0.insert(
        "manifest.json".into(),
        list(&format!("blobs/sha256/{}", hex.replace('0', "1"))),
    );
    let told = fault(open_tar(both.tar(), &any()));
    assert!(told.contains("but `manifest.json` another"), "{told}");
}

#[test]
fn platform_is_chosen_or_asked_for() {
    let mut files = Files::default();
    let layer = |name: &str| Builder::default().file(name, b"").finish();
    let mut image = |platform: &str| {
        let layer = layer(&platform.replace('/', "-"));
        files.image(platform, &[(TAR, layer.clone(), &layer)])
    };
    let here = Platform::of_this_machine().to_string();
    let mut all: Vec<_> = ["linux/arm/v6", "linux/arm/v7", "linux/s390x", &here]
        .iter()
        .map(|p| image(p))
        .collect();
    let mut attestation = image("linux/mips64le");
    attestation["platform"] = json!({"os": "unknown", "architecture": "unknown"});
    all.push(attestation);
    let nested = files.document(
        INDEX,
        &json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": all}),
    );
    let files = files.layout(&[nested]);
    for (wanted, name) in [
        (None, &here.replace('/', "-")[..]),
        (Some("linux/s390x"), "linux-s390x"),
        (Some("linux/arm/v6"), "linux-arm-v6"),
    ] {
        let image = open_directory(&files, &options(wanted, None)).unwrap();
        assert!(node_at(&image.archive, name).is_some(), "{wanted:?}");
    }
    let platforms = format!("{here}, linux/arm/v6, linux/arm/v7, linux/s390x");
    let mut sorted: Vec<_> = platforms.split(", ").collect();
    sorted.sort_unstable();
    let platforms = sorted.join(", ");
    assert_eq!(
        fault(open_directory(&files, &options(Some("linux/mips64le"), None))),
        format!("no image for linux/mips64le; say which is meant (--platform): {platforms}")
    );
    assert_eq!(
        fault(open_directory(&files, &options(Some("linux/arm"), None))),
        format!("several images for linux/arm; say which is meant (--platform): {platforms}")
    );
    assert_eq!(
        fault(open_directory(&files, &options(Some("linux"), None))),
        "`linux`: not OS/ARCHITECTURE or OS/ARCHITECTURE/VARIANT"
    );
}

/// `docker save` of one platform keeps the index of all.
#[test]
fn the_one_image_that_is_there_is_taken() {
    let mut files = Files::default();
    let absent = files.image("linux/amd64", &[]);
    let digest = absent["digest"]
        .as_str()
        .unwrap()
        .replace("sha256:", "blobs/sha256/");
    files.0.remove(&digest);
    let there = files.image("linux/s390x", &[(TAR, top(), &top())]);
    let files = files.layout(&[absent, there]);
    let image = open_directory(&files, &any()).unwrap();
    assert_eq!(image.identity.platform.unwrap().to_string(), "linux/s390x");
    assert_eq!(
        fault(open_directory(&files, &options(Some("linux/amd64"), None))),
        "no image for linux/amd64; say which is meant (--platform): linux/amd64 (not in it), linux/s390x"
    );
}

#[test]
fn reference_is_chosen_or_asked_for() {
    let mut files = Files::default();
    let mut image = |name: &str, tag: &str| {
        let layer = Builder::default().file(name, b"").finish();
        let mut image = files.image("linux/amd64", &[(TAR, layer.clone(), &layer)]);
        image["annotations"] = json!({"org.opencontainers.image.ref.name": tag});
        image
    };
    let (one, two) = (image("one", "1"), image("two", "2"));
    let again = image("one", "latest");
    let digest = two["digest"].as_str().unwrap().to_owned();
    let files = files.layout(&[one.clone(), two, again.clone()]);
    for (reference, name) in [("1", "one"), ("latest", "one"), ("2", "two"), (&digest, "two")] {
        let image = open_directory(&files, &options(None, Some(reference))).unwrap();
        assert!(node_at(&image.archive, name).is_some(), "{reference}");
    }
    assert_eq!(
        fault(open_directory(&files, &any())),
        "several images; say which is meant by its reference (--reference): 1, 2, latest"
    );
    assert_eq!(
        fault(open_directory(&files, &options(None, Some("3")))),
        "no image of this reference; there are: 1, 2, latest"
    );
    // Two names of one image are no choice.
    let files = files.layout(&[one, again]);
    let image = open_directory(&files, &any()).unwrap();
    assert_eq!(image.identity.references, ["1", "latest"]);
}

#[test]
fn only_regular_files_of_a_layout_are_read() {
    let directory = demo().directory();
    let index = directory.0.join("index.json");
    fs::rename(&index, directory.0.join("elsewhere")).unwrap();
    std::os::unix::fs::symlink("elsewhere", &index).unwrap();
    check_demo(&open_layout(&directory.0, &any()).unwrap());
    fs::remove_file(&index).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &index,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    assert_eq!(
        fault(open_layout(&directory.0, &any())),
        "`index.json`: not a regular file"
    );
}

proptest! {
    #[test]
    fn damaged_archive_of_images_is_refused_or_the_same(at: prop::sample::Index, bit in 0..8_u8) {
        let mut tar = demo().tar();
        let at = at.index(tar.len());
        tar[at] ^= 1 << bit;
        if let Ok(image) = open_tar(tar, &any()) {
            prop_assert_eq!(content(&image.archive, "usr/bin/b").unwrap(), b"b");
            prop_assert_eq!(image.archive.expected(), 7);
        }
    }
}
