//! What is refused.

use super::*;

/// One image of one layer, and the descriptor of its manifest.
fn base() -> (Files, Value) {
    let mut files = Files::default();
    let image = files.image("linux/amd64", &[(TAR, top(), &top())]);
    (files, image)
}

fn refused(files: Files, manifests: &[Value], why: &str) {
    let told = fault(open_directory(&files.layout(manifests), &any()));
    assert!(told.contains(why), "{why}: {told}");
}

fn read(files: &Files, descriptor: &Value) -> Value {
    let path = descriptor["digest"]
        .as_str()
        .unwrap()
        .replace("sha256:", "blobs/sha256/");
    serde_json::from_slice(&files.0[&path]).unwrap()
}

/// Gives the member at a JSON pointer another value; null takes it away.
fn change(document: &mut Value, pointer: &str, value: Value) {
    let (above, name) = pointer.rsplit_once('/').unwrap();
    let above = document.pointer_mut(above).unwrap().as_object_mut().unwrap();
    if value.is_null() {
        above.remove(name);
    } else {
        above.insert(name.into(), value);
    }
}

#[test]
fn manifest_that_is_none_or_says_two_things() {
    let (files, image) = base();
    let layer = read(&files, &image)["layers"][0].clone();
    let encrypted = format!("{GZIP}+encrypted");
    let xz = format!("{TAR}+xz");
    for (pointer, value, why) in [
        ("/layers/0/mediaType", json!(encrypted), "is encrypted"),
        ("/layers/0/mediaType", json!("text/plain"), "is not one of layers"),
        ("/layers/0/mediaType", json!(xz), "is not one of layers"),
        (
            "/layers/0/mediaType",
            json!(GZIP),
            "says gzip, but its content has no compression",
        ),
        (
            "/layers/0/digest",
            json!("sha256:../../../etc/passwd"),
            "is not a SHA-256 or SHA-512 digest",
        ),
        ("/layers/0/size", json!(1), "but its descriptor says 1"),
        ("/layers/0/size", json!(-1), "invalid value: integer `-1`"),
        (
            "/layers",
            json!([layer, layer]),
            "2 layers, but the configuration says 1",
        ),
        ("/layers", json!([]), "0 layers, but the configuration says 1"),
        ("/layers", Value::Null, "a manifest without layers"),
        ("/config", Value::Null, "neither a manifest nor an index"),
        (
            "/config/mediaType",
            json!("application/vnd.cncf.helm"),
            "not an image, but something",
        ),
        ("/schemaVersion", json!(1), "schema 1: convert it"),
        ("/schemaVersion", json!(3), "unknown schema version 3"),
        ("/fsLayers", json!([]), "schema 1: convert it"),
        ("/manifests", json!([]), "or both at once"),
        ("/mediaType", json!(INDEX), "its media type is not the one"),
    ] {
        let mut files = files.clone();
        let mut manifest = read(&files, &image);
        change(&mut manifest, pointer, value);
        let image = files.document(MANIFEST, &manifest);
        refused(files, &[image], why);
    }
}

#[test]
fn configuration_that_says_otherwise() {
    let (files, image) = base();
    let other = Digest::of(b"other").to_string();
    for (pointer, value, why) in [
        ("/rootfs/type", json!("other"), "of the type `other`"),
        (
            "/rootfs/diff_ids",
            json!([other]),
            "the configuration says that its digest is",
        ),
        (
            "/rootfs/diff_ids",
            json!(["sha256:"]),
            "is not a SHA-256 or SHA-512 digest",
        ),
        (
            "/rootfs/diff_ids",
            Value::Null,
            "1 layers, but the configuration says 0",
        ),
        ("/rootfs", Value::Null, "missing field `rootfs`"),
        (
            "/architecture",
            json!("arm"),
            "but the image's configuration says linux/arm",
        ),
    ] {
        let mut files = files.clone();
        let mut manifest = read(&files, &image);
        let mut config = read(&files, &manifest["config"]);
        change(&mut config, pointer, value);
        manifest["config"] = files.document(CONFIG, &config);
        let mut changed = files.document(MANIFEST, &manifest);
        changed["platform"] = image["platform"].clone();
        refused(files, &[changed], why);
    }
}

#[test]
fn index_without_an_image() {
    let (files, mut image) = base();
    refused(files.clone(), &[], "there is no image in it");
    image["size"] = json!(1);
    refused(files.clone(), &[image.clone()], "but its descriptor says 1");
    image["mediaType"] = json!("application/vnd.docker.distribution.manifest.v1+prettyjws");
    refused(files.clone(), &[image.clone()], "schema 1: convert it");
    image["mediaType"] = json!("text/plain");
    refused(files, &[image], "there is no image in it, only: text/plain");
}

/// What happens to a blob.
type Damage = fn(&mut Vec<u8>);

#[test]
fn damaged_blob_is_refused_by_its_name() {
    let files = demo();
    for path in files.0.keys().filter(|path| path.starts_with("blobs/")) {
        let hex = path.strip_prefix("blobs/sha256/").unwrap();
        let damages: [Damage; 5] = [
            |content| content.truncate(content.len() / 2),
            |content| content.push(0),
            |content| content.clear(),
            |content| {
                let middle = content.len() / 2;
                content[middle] ^= 1;
            },
            |content| *content.last_mut().unwrap() ^= 1,
        ];
        for (number, damage) in damages.iter().enumerate() {
            let mut files = files.clone();
            damage(files.0.get_mut(path).unwrap());
            let directory = fault(open_directory(&files, &any()));
            assert!(directory.contains(hex), "{path} {number}: {directory}");
            let archive = fault(open_tar(files.tar(), &any()));
            assert!(archive.contains(hex), "{path} {number}: {archive}");
        }
        let mut files = files.clone();
        files.0.remove(path);
        let told = fault(open_directory(&files, &any()));
        assert!(told.contains("missing"), "{path}: {told}");
    }
}

#[test]
fn documents_are_bounded() {
    let with_index = |index: &[u8]| {
        let mut files = demo();
        files.0.insert("index.json".into(), index.to_vec());
        fault(open_directory(&files, &any()))
    };
    assert!(with_index(&b" ".repeat((4 << 20) + 1)).ends_with("more than 4 MiB are not read"));
    let deep = format!(
        r#"{{"schemaVersion":2,"manifests":[],"x":{}{}}}"#,
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    assert_eq!(with_index(deep.as_bytes()), "there is no image in it");
    let deep = deep.replace(
        r#""manifests":[]"#,
        &format!(r#""manifests":{}"#, "[".repeat(100_000)),
    );
    assert!(with_index(deep.as_bytes()).starts_with("`index.json`: "));
    let twice = br#"{"schemaVersion":2,"manifests":[],"manifests":[]}"#;
    assert!(with_index(twice).contains("duplicate field `manifests`"));
    assert!(with_index(b"").contains("`index.json`: EOF"));
    // An index that nests deeper than any tool makes it.
    let mut files = Files::default();
    let mut below = files.image("linux/amd64", &[]);
    for _ in 0..5 {
        below = files.document(INDEX, &json!({"schemaVersion": 2, "manifests": [below]}));
    }
    let told = fault(open_directory(&files.layout(&[below]), &any()));
    assert_eq!(told, "indexes that are nested more than 4 deep");
    let mut files = demo();
    files
        .0
        .insert("oci-layout".into(), br#"{"imageLayoutVersion":"2.0.0"}"#.to_vec());
    assert_eq!(
        fault(open_directory(&files, &any())),
        "`oci-layout`: unknown version 2.0.0"
    );
}

#[test]
fn root_file_systems_are_told_from_images() {
    let none = |tar: Vec<u8>| {
        for tar in [gzip(&tar), tar] {
            assert!(look_into(&(Arc::new(tar) as Bytes)).unwrap().is_none());
        }
    };
    none(lower());
    none(Builder::default().finish());
    none(Builder::default().file("manifest.json", b"{}").finish());
    none(
        Builder::default()
            .file("manifest.json", br#"[{"Config":"x.json","Layers":[]}]"#)
            .finish(),
    );
    none(
        Builder::default()
            .file("oci-layout", b"{}")
            .file("index.json", b"{}")
            .finish(),
    );
    // Unexpected files in front: not plain.
    let mut files = demo();
    files.0.insert("Readme".into(), b"read me".to_vec());
    none(files.tar());
    let archive = Archive::from_file(Arc::new(files.tar()), &keep_all()).unwrap();
    let told = refuse_image_inside(&archive).unwrap_err().0;
    assert!(
        told.contains("root file system or an OCI image: say which (--as)"),
        "{told}"
    );
    let file: Bytes = Arc::new(files.tar());
    check_demo(&open_archive(&file, Kind::Oci, &any()).unwrap());
    let docker = Builder::default()
        .file("Readme", b"read me")
        .file("a/x.json", b"{}")
        .file("manifest.json", br#"[{"Config":"a/x.json","Layers":[]}]"#)
        .finish();
    let archive = Archive::from_file(Arc::new(docker), &keep_all()).unwrap();
    let told = refuse_image_inside(&archive).unwrap_err().0;
    assert!(told.contains("root file system or a Docker image"), "{told}");
    let archive = Archive::from_file(Arc::new(lower()), &keep_all()).unwrap();
    refuse_image_inside(&archive).unwrap();
}

#[test]
fn second_member_of_one_path_is_refused_in_an_archive_of_images() {
    let tar = demo()
        .0
        .iter()
        .fold(Builder::default(), |tar, (path, content)| tar.file(path, content));
    let tar = tar.file("index.json", b"{}").finish();
    for tar in [gzip(&tar), tar] {
        let told = fault(open_tar(tar, &any()));
        assert!(
            told.starts_with("`index.json`: a second member of the same path"),
            "{told}"
        );
    }
}
