//! The documents of the OCI image specification, and Docker's of the same shape.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::digest::Digest;
use super::platform::Platform;
use crate::source::compression::Compression;
use crate::source::file_system::Fault;

/// An index or a manifest. One type for both, so that what could be taken for either is noticed: two readers could see
/// two different images in it (CVE-2021-41190).
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Document {
    schema_version: u64,
    media_type: Option<String>,
    manifests: Option<Vec<Descriptor>>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    fs_layers: Option<IgnoredAny>,
    annotations: Option<BTreeMap<String, String>>,
}

/// What a document is.
pub(super) enum Meaning {
    Index(Vec<Descriptor>),
    Manifest(Manifest),
}

/// The manifest of one image.
pub(super) struct Manifest {
    pub(super) config: Descriptor,
    pub(super) layers: Vec<Descriptor>,
    pub(super) annotations: BTreeMap<String, String>,
}

/// What is told of a blob from outside.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Descriptor {
    #[serde(default)]
    pub(super) media_type: String,
    digest: String,
    pub(super) size: u64,
    platform: Option<PlatformOf>,
    annotations: Option<BTreeMap<String, String>>,
}

#[derive(Clone, Deserialize)]
struct PlatformOf {
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    os: String,
    variant: Option<String>,
}

/// An image's configuration.
#[derive(Deserialize)]
pub(super) struct Config {
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    os: String,
    variant: Option<String>,
    rootfs: RootFs,
    #[serde(rename = "config")]
    settings: Option<Settings>,
}

#[derive(Deserialize)]
struct RootFs {
    #[serde(rename = "type")]
    kind: String,
    diff_ids: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Settings {
    #[serde(rename = "Labels")]
    labels: Option<BTreeMap<String, Option<String>>>,
}

impl Document {
    /// What the document is, which must be what its media type says, in it and, as `expected`, outside.
    pub(super) fn meaning(self, expected: Expected) -> Result<Meaning, Fault> {
        if self.schema_version == 1 || self.fs_layers.is_some() {
            return Err(schema_1());
        }
        if self.schema_version != 2 {
            return Err(Fault::new(format!(
                "unknown schema version {}",
                self.schema_version
            )));
        }
        let told = self.media_type.as_deref().map(Expected::of);
        if told.is_some_and(|told| told != expected) {
            return Err(Fault::new("its media type is not the one in its descriptor"));
        }
        match (expected, self.manifests, self.config, self.layers) {
            (Expected::Index, Some(manifests), None, None) => Ok(Meaning::Index(manifests)),
            (Expected::Manifest, None, Some(config), Some(layers)) => Ok(Meaning::Manifest(Manifest {
                config,
                layers,
                annotations: self.annotations.unwrap_or_default(),
            })),
            (Expected::Manifest, None, Some(_), None) => {
                Err(Fault::new("a manifest without layers: not an image"))
            }
            _ => Err(Fault::new("neither a manifest nor an index, or both at once")),
        }
    }
}

/// What a media type says of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    Index,
    Manifest,
    Schema1,
    Other,
}

impl Expected {
    pub(super) fn of(media_type: &str) -> Self {
        match media_type {
            "application/vnd.oci.image.index.v1+json"
            | "application/vnd.docker.distribution.manifest.list.v2+json" => Self::Index,
            "application/vnd.oci.image.manifest.v1+json"
            | "application/vnd.docker.distribution.manifest.v2+json" => Self::Manifest,
            _ if media_type.starts_with("application/vnd.docker.distribution.manifest.v1+") => Self::Schema1,
            _ => Self::Other,
        }
    }
}

pub(super) fn schema_1() -> Fault {
    Fault::new("an image of Docker's schema 1: convert it with `skopeo copy --format oci`")
}

impl Descriptor {
    pub(super) fn digest(&self) -> Result<Digest, Fault> {
        Digest::parse(&self.digest)
    }

    pub(super) fn annotation(&self, name: &str) -> Option<&str> {
        self.annotations.as_ref()?.get(name).map(String::as_str)
    }

    pub(super) fn platform(&self) -> Option<Platform> {
        let platform = self.platform.as_ref()?;
        platform_of(&platform.os, &platform.architecture, platform.variant.as_ref())
    }

    /// Whether it is what `BuildKit` puts beside images and calls an attestation.
    pub(super) fn is_attestation(&self) -> bool {
        let unknown = self.platform.as_ref();
        let unknown = unknown
            .is_some_and(|platform| (&*platform.os, &*platform.architecture) == ("unknown", "unknown"));
        unknown || self.annotation("vnd.docker.reference.type").is_some()
    }

    /// How the layer is compressed, by its media type.
    pub(super) fn layer_compression(&self) -> Result<Compression, Fault> {
        let of = |suffix: &str| match suffix {
            "" => Some(Compression::None),
            "+gzip" | ".gzip" => Some(Compression::Gzip),
            "+zstd" | ".zstd" => Some(Compression::Zstd),
            _ => None,
        };
        let shown = self.media_type.escape_default();
        if self.media_type.contains("+encrypted") {
            return Err(Fault::new(format!(
                "it is encrypted ({shown}): decrypt it first, for instance with `skopeo copy --decryption-key`"
            )));
        }
        let suffix = TAR.iter().find_map(|tar| self.media_type.strip_prefix(tar));
        suffix.and_then(of).ok_or_else(|| {
            Fault::new(format!(
                "the media type `{shown}` is not one of layers that are supported"
            ))
        })
    }
}

/// Media types of layers, without their compression.
const TAR: [&str; 4] = [
    "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.oci.image.layer.nondistributable.v1.tar",
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.foreign.diff.tar",
];

/// Whether the media type of a manifest's configuration is an image's.
pub(super) fn is_image_config(media_type: &str) -> bool {
    matches!(
        media_type,
        "application/vnd.oci.image.config.v1+json" | "application/vnd.docker.container.image.v1+json"
    )
}

impl Config {
    /// The digests of the uncompressed layers.
    pub(super) fn diff_ids(&self) -> Result<Vec<Digest>, Fault> {
        if self.rootfs.kind != "layers" {
            return Err(Fault::new(format!(
                "its root file system is of the type `{}`, not `layers`",
                self.rootfs.kind.escape_default()
            )));
        }
        let ids = self.rootfs.diff_ids.iter().flatten();
        ids.map(|id| Digest::parse(id)).collect()
    }

    pub(super) fn platform(&self) -> Option<Platform> {
        platform_of(&self.os, &self.architecture, self.variant.as_ref())
    }

    pub(super) fn label(&self, name: &str) -> Option<String> {
        self.settings.as_ref()?.labels.as_ref()?.get(name)?.clone()
    }
}

fn platform_of(os: &str, architecture: &str, variant: Option<&String>) -> Option<Platform> {
    (!os.is_empty() && !architecture.is_empty()).then(|| Platform {
        os: os.into(),
        architecture: architecture.into(),
        variant: variant.filter(|variant| !variant.is_empty()).cloned(),
    })
}
