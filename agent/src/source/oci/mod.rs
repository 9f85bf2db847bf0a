//! Container images as they lie in a file or a directory: OCI image layouts, layouts in a tar archive, and the
//! archives that `docker save` and its like write.
//!
//! An image's layers are read once, in their order, without unpacking anything ([`Archive`]). Every blob is found by
//! its digest and verified while it is read: size and digest of the index, the manifest, the configuration and the
//! layers against their descriptors. Archives of Docker's older form do not tell the digests of their layers as they
//! are stored; there, the digests of the uncompressed layers in the configuration (`rootfs.diff_ids`) are verified,
//! and the configuration is the image's identity.
//!
//! Sources: OCI image specification 1.1 (`image-layout.md`, `image-index.md`, `manifest.md`, `config.md`,
//! `layer.md`), Docker's "Image Manifest Version 2, Schema 2" and "Docker Image Specification v1.2".
//!
//! Refused, with the reason: a blob that is missing, too short, too long or not what its digest says; encrypted
//! layers; images of schema 1; a layer whose compression is not that of its media type; documents longer than 4 MiB and
//! indexes nested more than four deep; and a choice between several images or platforms that nobody made.

mod digest;
mod docker;
mod files;
mod index;
mod layers;
mod manifest;
mod outer;
mod platform;
mod recognise;

#[cfg(test)]
mod tests;

use std::path::Path;

use self::files::{Directory, Files};
use self::outer::Outer;
use super::Kind;
use super::archive::{self, Archive, Rules};
use super::bytes::Bytes;
use super::file_system::Fault;

pub use self::platform::Platform;
pub use self::recognise::{is_layout, refuse_image_inside};

/// Which image is meant, and how it is read.
pub struct Options<'a> {
    /// Its platform: `OS/ARCHITECTURE` or `OS/ARCHITECTURE/VARIANT`. If nothing is said and there are several, Linux
    /// on this machine's architecture.
    pub platform: Option<&'a str>,
    /// Its reference (`org.opencontainers.image.ref.name`, a tag of `RepoTags`) or its digest, where there are several.
    pub reference: Option<&'a str>,
    /// How its files are read.
    pub archive: archive::Options<'a>,
}

/// A container image.
pub struct Image {
    /// Its merged file system.
    pub archive: Archive,
    /// Whether it came from an OCI layout or from an archive of Docker's own form.
    pub kind: Kind,
    /// What it is.
    pub identity: Identity,
}

/// What an image is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// `sha256:...` of the manifest; of the configuration, which Docker calls the image id, in archives of Docker's
    /// own form.
    pub digest: String,
    /// Operating system and architecture, as the configuration says; `None` if it does not.
    pub platform: Option<Platform>,
    /// The references under which the image is in the layout or archive.
    pub references: Vec<String>,
    /// `org.opencontainers.image.title`, from the manifest's annotations or else the image's labels.
    pub title: Option<String>,
    /// `org.opencontainers.image.version`, likewise.
    pub version: Option<String>,
}

/// A tar archive that holds images.
pub struct ImageArchive {
    files: Outer,
    kind: Kind,
}

/// Opens an image in the OCI image layout that is this directory.
pub fn open_layout(directory: &Path, options: &Options<'_>) -> Result<Image, Fault> {
    open_image(Box::new(Directory::new(directory)), Kind::Oci, options)
}

/// Looks what a tar archive, compressed or not, holds: images, or a root file system (`None`). Of a compressed
/// archive that holds images this takes a pass over the whole.
pub fn look_into(file: &Bytes) -> Result<Option<ImageArchive>, Fault> {
    let Some(files) = Outer::read_if_images(file)? else {
        return Ok(None);
    };
    let kind = recognise::kind(&files)?;
    Ok((kind != Kind::Tar).then_some(ImageArchive { files, kind }))
}

/// Opens an image in a tar archive that holds images in the form that the operator says.
pub fn open_archive(file: &Bytes, kind: Kind, options: &Options<'_>) -> Result<Image, Fault> {
    open_image(Box::new(Outer::read(file)?), kind, options)
}

impl ImageArchive {
    /// [`Kind::Oci`] or [`Kind::Docker`].
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Opens an image in it.
    pub fn open(self, options: &Options<'_>) -> Result<Image, Fault> {
        open_image(Box::new(self.files), self.kind, options)
    }
}

fn open_image(files: Box<dyn Files>, kind: Kind, options: &Options<'_>) -> Result<Image, Fault> {
    let platform = options.platform.map(|text| {
        text.parse()
            .map_err(|why| Fault::new(format!("`{}`: {why}", text.escape_default())))
    });
    let choice = Choice {
        platform: platform.transpose()?,
        reference: options.reference,
    };
    let (layers, identity) = match kind {
        Kind::Docker => docker::open(files, &choice)?,
        _ => index::open(files, &choice)?,
    };
    let archive = Archive::read(Box::new(layers), Rules::Layers, &options.archive)?;
    Ok(Image {
        archive,
        kind,
        identity,
    })
}

/// Which image is meant.
struct Choice<'a> {
    platform: Option<Platform>,
    reference: Option<&'a str>,
}

impl Choice<'_> {
    /// Whether the image with this digest or one of these references is meant; everyone is if nothing was said.
    fn takes<'r>(&self, digest: &str, mut references: impl Iterator<Item = &'r str>) -> bool {
        self.reference.is_none_or(|wanted| {
            wanted == digest || references.any(|reference| full_name(reference) == full_name(wanted))
        })
    }
}

/// Docker leaves out the registry's name where it is its own, and the tag where it is `latest`; what it writes into
/// its files may have them or not.
fn full_name(reference: &str) -> String {
    let short = reference.strip_prefix("docker.io/").unwrap_or(reference);
    let short = short.strip_prefix("library/").unwrap_or(short);
    short.strip_suffix(":latest").unwrap_or(short).to_owned()
}
