//! Tells root file systems, OCI layouts and Docker's archives apart, by what is in them.

use std::io::Read as _;
use std::path::Path;

use super::docker::{self, MANIFEST};
use super::files::{DOCUMENT, Directory, Files, read_small};
use super::index::LAYOUT;
use crate::source::Kind;
use crate::source::archive::Archive;
use crate::source::file_system::{Child, Fault, FileSystem as _, Node};
use crate::sys;

/// Whether a directory is an OCI image layout. One that cannot be looked at is none.
#[must_use]
pub fn is_layout(directory: &Path) -> bool {
    let files = Directory::new(directory);
    // One without its index is a damaged layout, and no root.
    files.find(LAYOUT).is_ok_and(|size| size.is_some()) && directory.join("blobs").is_dir()
}

/// What an archive holds that may hold images.
pub(super) fn kind(files: &super::outer::Outer) -> Result<Kind, Fault> {
    if files.find(LAYOUT)?.is_some() && files.has_blobs() {
        return Ok(Kind::Oci);
    }
    if files.find(MANIFEST)?.is_some_and(|size| size <= DOCUMENT) {
        let document = read_small(files, MANIFEST)?;
        if docker::is_list(&document, &mut |path| {
            files.find(path).is_ok_and(|size| size.is_some())
        }) {
            return Ok(Kind::Docker);
        }
        if files.has_layers() {
            return Err(Fault::new(
                "there are layers in it, but `manifest.json` is not the list of images that `docker save` writes: it is \
                 damaged; if it is a root file system all the same, say so (--as tar)",
            ));
        }
    }
    Ok(Kind::Tar)
}

/// Refuses an archive that was read as a root file system, but holds images beside other files, or came by a way on
/// which images cannot be read. For archives whose kind the operator did not say.
pub fn refuse_image_inside(archive: &Archive) -> Result<(), Fault> {
    let root = archive.children(archive.root())?;
    let child = |name: &[u8], kind| root.iter().find(|child| child.name == name && child.kind == kind);
    let is_layout =
        child(LAYOUT, sys::Kind::File).is_some() && child(b"blobs", sys::Kind::Directory).is_some();
    let is_docker = child(MANIFEST, sys::Kind::File).is_some_and(|manifest| {
        let document = document(archive, manifest);
        let is_list = document
            .is_some_and(|document| docker::is_list(&document, &mut |path| exists(archive, &root, path)));
        // It may be damaged, or not have been kept: then what lies beside it decides.
        is_list
            || root.iter().any(|child| {
                let layer = |below: &Child| below.name == b"layer.tar";
                match child.kind {
                    sys::Kind::Directory => {
                        let below = archive.children(child.node);
                        child.name == b"blobs" || below.is_ok_and(|below| below.iter().any(layer))
                    }
                    _ => child.name.ends_with(b".tar"),
                }
            })
    });
    if is_layout || is_docker {
        return Err(Fault::new(format!(
            "it is not plain whether it is a root file system or {} image: say which (--as); an image is read from a \
             file, not from standard input",
            if is_layout { "an OCI" } else { "a Docker" }
        )));
    }
    Ok(())
}

fn document(archive: &Archive, file: &Child) -> Option<Vec<u8>> {
    if archive.attributes(file.node).ok()?.size > DOCUMENT {
        return None;
    }
    let mut content = Vec::new();
    archive.open(file.node).ok()?.read_to_end(&mut content).ok()?;
    Some(content)
}

fn exists(archive: &Archive, root: &[Child], path: &[u8]) -> bool {
    let mut names = path.split(|byte| *byte == b'/');
    let first = names
        .next()
        .and_then(|name| root.iter().find(|child| child.name == name));
    let below = |node: Node, name: &[u8]| {
        let children = archive.children(node).ok()?;
        children
            .into_iter()
            .find(|child| child.name == name)
            .map(|child| child.node)
    };
    first
        .map(|first| first.node)
        .and_then(|first| names.try_fold(first, below))
        .is_some()
}
