//! Archives of Docker's own form: `manifest.json` names the configuration and the layers of each image by their paths
//! in the archive ("Docker Image Specification v1.2", "Combined Image JSON + Filesystem Changeset Format").

use serde::Deserialize;

use super::digest::Digest;
use super::files::{Files, parse, read_small};
use super::index::{Found, listed_as};
use super::layers::{Layer, Layers};
use super::manifest::Config;
use super::{Choice, Identity};
use crate::source::file_system::Fault;

/// One image in `manifest.json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Listed {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

/// Finds the image that is meant.
pub(super) fn open(files: Box<dyn Files>, choice: &Choice<'_>) -> Result<(Layers, Identity), Fault> {
    let mut images = Vec::new();
    for listed in list(&*files)? {
        let content = read_small(&*files, &normal(&listed.config)?)?;
        let id = Digest::of(&content);
        if id_in(&listed.config).is_some_and(|told| told != id) {
            return Err(Fault::new(format!(
                "configuration `{}`: its content does not match its digest",
                listed.config.escape_default()
            )));
        }
        images.push((listed, content, id));
    }
    let all: Vec<String> = images.iter().map(|(listed, _, id)| listed.shown(id)).collect();
    images.retain(|(listed, _, id)| choice.takes(&id.to_string(), listed.tags()));
    let (listed, content, id) = match (images.pop(), images.is_empty()) {
        (Some(image), true) => image,
        (None, _) => {
            return Err(Fault::new(format!(
                "no image of this reference; there are: {}",
                listed_as(&all)
            )));
        }
        (Some(_), false) => {
            return Err(Fault::new(format!(
                "several images; say which is meant by its reference (--reference): {}",
                listed_as(&all)
            )));
        }
    };
    let config: Config = parse(&content, &format!("configuration {id}"))?;
    let platform = config.platform();
    if let Some(wanted) = &choice.platform
        && !platform.as_ref().is_some_and(|found| wanted.takes(found))
    {
        let found = platform.map_or_else(|| "an unknown platform".into(), |found| found.to_string());
        return Err(Fault::new(format!(
            "no image for {wanted}: the image is for {found}"
        )));
    }
    let diff_ids = config
        .diff_ids()
        .map_err(|why| Fault::new(format!("configuration {id}: {why}")))?;
    if listed.layers.len() != diff_ids.len() {
        return Err(Fault::new(format!(
            "`manifest.json`: {} layers, but the configuration says {}",
            listed.layers.len(),
            diff_ids.len()
        )));
    }
    let layers: Result<_, Fault> = listed
        .layers
        .iter()
        .zip(diff_ids)
        .map(|(path, diff_id)| {
            Ok(Layer {
                path: normal(path)?,
                stored: None,
                diff_id,
            })
        })
        .collect();
    let identity = Identity {
        digest: id.to_string(),
        platform,
        references: listed.tags().map(str::to_owned).collect(),
        title: config.label("org.opencontainers.image.title"),
        version: config.label("org.opencontainers.image.version"),
    };
    Ok((Layers::new(files, layers?)?, identity))
}

/// The images that `manifest.json` lists.
pub(super) fn list(files: &dyn Files) -> Result<Vec<Listed>, Fault> {
    let listed: Vec<Listed> = parse(&read_small(files, MANIFEST)?, "`manifest.json`")?;
    if listed.is_empty() || listed.len() > IMAGES {
        return Err(Fault::new(format!("`manifest.json`: {} images", listed.len())));
    }
    Ok(listed)
}

/// Whether a document lists images whose configurations `exists` knows.
pub(super) fn is_list(document: &[u8], exists: &mut dyn FnMut(&[u8]) -> bool) -> bool {
    let listed: Result<Vec<Listed>, _> = parse(document, "");
    listed.is_ok_and(|listed| {
        let known = |image: &Listed| normal(&image.config).is_ok_and(|path| exists(&path));
        !listed.is_empty() && listed.iter().all(known)
    })
}

/// Refuses an archive of both forms whose `manifest.json` does not list the image that `index.json` gave: what is
/// recorded must be what is loaded, whatever loads it.
pub(super) fn refuse_another_image(found: &Found, config: &[u8]) -> Result<(), Fault> {
    if found.files.find(MANIFEST)?.is_none() {
        return Ok(());
    }
    let Ok(listed) = list(&*found.files) else {
        return Ok(());
    };
    let id = Digest::of(config);
    if listed
        .iter()
        .any(|image| id_in(&image.config).is_none_or(|told| told == id))
    {
        return Ok(());
    }
    Err(Fault::new(format!(
        "`index.json` gives the image {id}, but `manifest.json` another: say which of the two is meant (--as)"
    )))
}

impl Listed {
    fn tags(&self) -> impl Iterator<Item = &str> {
        self.repo_tags.iter().flatten().map(String::as_str)
    }

    fn shown(&self, id: &Digest) -> String {
        self.tags().next().map_or_else(|| id.to_string(), str::to_owned)
    }
}

/// The digest that a configuration's path tells, if it does: `HEX.json`, `blobs/sha256/HEX` or `sha256:HEX`.
fn id_in(path: &str) -> Option<Digest> {
    let hex = path
        .strip_prefix("blobs/sha256/")
        .or_else(|| path.strip_prefix("sha256:"));
    let hex = hex.or_else(|| path.strip_suffix(".json"))?;
    Digest::parse(&format!("sha256:{hex}")).ok()
}

/// A path in the archive as its members have it.
fn normal(path: &str) -> Result<Vec<u8>, Fault> {
    let names: Vec<&str> = path
        .split('/')
        .filter(|name| !matches!(*name, "" | "."))
        .collect();
    if names.is_empty() || names.contains(&"..") {
        return Err(Fault::new(format!(
            "`manifest.json`: `{}` is not a path in the archive",
            path.escape_default()
        )));
    }
    Ok(names.join("/").into_bytes())
}

pub(super) const MANIFEST: &[u8] = b"manifest.json";
/// Most images in one archive.
const IMAGES: usize = 4096;
