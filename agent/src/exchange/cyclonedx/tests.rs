use baseline_format::header::{FORMAT_VERSION, Image, Scope, SectionInfo};
use baseline_format::{BaselineWriter, Entry};
use serde_json::Value as Json;

use super::*;

fn baseline(entries: &[Entry], image: Image) -> Vec<u8> {
    let header = Header {
        format: FORMAT_VERSION,
        image,
        sections: vec![SectionInfo {
            name: SECTION.into(),
            revision: 1,
        }],
        scope: Scope::default(),
    };
    let mut writer = BaselineWriter::new(&header, Vec::new()).unwrap();
    for entry in entries {
        writer.push(Line::parse(&entry.to_line()).unwrap()).unwrap();
    }
    writer.finish().unwrap().0
}

fn image() -> Image {
    Image {
        name: Some("web".into()),
        version: Some("1.4".into()),
        digest: Some(format!("sha256:{}", "ab".repeat(32))),
        source_kind: "oci-layout".into(),
        ..Image::default()
    }
}

fn debian() -> Settings {
    Settings {
        distribution: Some(Distribution {
            id: "debian".into(),
            version: Some("12".into()),
        }),
        timestamp: None,
    }
}

fn package(key: &str) -> Entry {
    Entry::new(SECTION, key)
}

fn exported(bytes: &[u8], settings: &Settings) -> (Exported, Json, Vec<u8>) {
    let mut out = Vec::new();
    let exported = write(BaselineReader::open(bytes).unwrap(), settings, &mut out).unwrap();
    let json = serde_json::from_slice(&out).unwrap();
    (exported, json, out)
}

#[test]
fn packages_are_components_and_the_rest_is_told() {
    let entries = [
        package("alternative/awk").with("mode", "auto"),
        package("deb/broken:all").unseen(ALL, "line 3: no Version field"),
        package("deb/gone:amd64")
            .with("version", "1")
            .with("architecture", "amd64")
            .with("status", "config-files"),
        package("deb/half:amd64")
            .with("version", "1")
            .with("architecture", "amd64")
            .with("status", "install ok half-configured"),
        package("deb/libc6:amd64")
            .with("architecture", "amd64")
            .with("automatic", true)
            .with("source", "glibc")
            .with("vendor", "Maintainers <a@b>")
            .with("version", "2.36-9+deb12u10"),
        package("rpm/gpg-pubkey-1-2").with("version", "1-2"),
        package("rpm/kernel.x86_64")
            .with("architecture", "x86_64")
            .with("version", Value::list(["1:6.10-1", "1:6.10-1", "6.9-1"])),
    ];
    let bytes = baseline(&entries, image());
    let (told, json, _) = exported(&bytes, &debian());
    assert_eq!(told.components, 4);
    assert!(!told.complete);
    let losses: Vec<String> = told.losses.iter().map(ToString::to_string).collect();
    assert_eq!(
        losses,
        [
            "1 entry: a key that rpm trusts, which is no software",
            "1 entry: a package that is removed: only its configuration is left",
            "1 entry: a package whose record in the database is damaged",
            "1 entry: an alternative",
        ]
    );
    let components = json["components"].as_array().unwrap();
    let purls: Vec<&str> = components.iter().map(|c| c["purl"].as_str().unwrap()).collect();
    assert_eq!(
        purls,
        [
            "pkg:deb/debian/half@1?arch=amd64&distro=debian-12",
            "pkg:deb/debian/libc6@2.36-9%2Bdeb12u10?arch=amd64&distro=debian-12",
            "pkg:rpm/debian/kernel@6.10-1?arch=x86_64&distro=debian-12&epoch=1",
            "pkg:rpm/debian/kernel@6.9-1?arch=x86_64&distro=debian-12",
        ]
    );
    let references: Vec<&str> = components
        .iter()
        .map(|c| c["bom-ref"].as_str().unwrap())
        .collect();
    assert_eq!(
        references,
        [
            "deb/half:amd64",
            "deb/libc6:amd64",
            "rpm/kernel.x86_64@1:6.10-1",
            "rpm/kernel.x86_64@6.9-1"
        ]
    );
    assert_eq!(
        components[1],
        serde_json::json!({
            "type": "library",
            "bom-ref": "deb/libc6:amd64",
            "supplier": {"name": "Maintainers <a@b>"},
            "name": "libc6",
            "version": "2.36-9+deb12u10",
            "purl": purls[1],
            "properties": [
                {"name": "driftcheck:architecture", "value": "amd64"},
                {"name": "driftcheck:automatic", "value": "true"},
                {"name": "driftcheck:source", "value": "glibc"},
            ],
        })
    );
    let metadata = &json["metadata"];
    assert_eq!(metadata["component"]["type"], "container");
    assert_eq!(metadata["component"]["hashes"][0]["content"], "ab".repeat(32));
    assert_eq!(metadata.get("timestamp"), None);
    assert_eq!(json["compositions"][0]["aggregate"], "incomplete");
    assert!(metadata.to_string().contains("a package that is removed"));
}

#[test]
fn the_same_baseline_gives_the_same_bytes() {
    let one = baseline(&[package("apk/a").with("version", "1")], image());
    let other = baseline(&[package("apk/a").with("version", "2")], image());
    let (told, json, bytes) = exported(&one, &debian());
    assert!(told.complete);
    assert_eq!(exported(&one, &debian()).2, bytes);
    let serial = json["serialNumber"].as_str().unwrap();
    assert_eq!(serial.len(), 45);
    assert_eq!(serial.as_bytes()[23], b'8', "{serial}");
    assert_ne!(exported(&other, &debian()).1["serialNumber"], serial);
    assert_ne!(exported(&one, &Settings::default()).1["serialNumber"], serial);
    let dated = Settings {
        timestamp: Some(SystemTime::UNIX_EPOCH),
        ..debian()
    };
    let (_, json, _) = exported(&one, &dated);
    assert_eq!(json["metadata"]["timestamp"], "1970-01-01T00:00:00Z");
    assert_ne!(json["serialNumber"], serial);
    let beyond = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1 << 40);
    let undated = Settings {
        timestamp: Some(beyond),
        ..debian()
    };
    assert!(write(BaselineReader::open(&one[..]).unwrap(), &undated, &mut Vec::new()).is_err());
}

#[test]
fn what_is_not_known_is_not_made_up() {
    let unnamed = Image {
        source_kind: "directory".into(),
        ..Image::default()
    };
    let entries = [
        package("deb").unseen(ALL, "denied").unseen(BELOW, "denied"),
        Entry::new(SECTION, OsText::new(b"deb/a\xff")).with("version", "1"),
        package("deb/b").with("version", ""),
    ];
    let (told, json, _) = exported(&baseline(&entries, unnamed), &Settings::default());
    assert_eq!((told.components, told.complete), (1, false));
    assert_eq!(told.losses.len(), 3);
    assert_eq!(json["components"][0].get("purl"), None);
    assert_eq!(json["metadata"]["component"]["type"], "operating-system");
    assert_eq!(json["metadata"]["component"]["name"], "unnamed image");
}

#[test]
fn a_cut_baseline_gives_nothing() {
    let bytes = baseline(&[package("apk/a").with("version", "1")], image());
    let mut out = Vec::new();
    for end in 0..bytes.len() {
        if let Ok(reader) = BaselineReader::open(&bytes[..end]) {
            assert!(write(reader, &Settings::default(), &mut out).is_err());
        }
    }
    assert_eq!(out, b"");
}
