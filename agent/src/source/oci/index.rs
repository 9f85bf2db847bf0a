//! OCI image layouts: from `index.json` to the layers of one image.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::files::{Files, check_size, parse, read_blob, read_small};
use super::layers::{Layer, Layers};
use super::manifest::{Config, Descriptor, Document, Expected, Manifest, Meaning, is_image_config, schema_1};
use super::platform::Platform;
use super::{Choice, Identity, docker};
use crate::source::compression::Compression;
use crate::source::file_system::Fault;

/// Finds the image that is meant.
pub(super) fn open(files: Box<dyn Files>, choice: &Choice<'_>) -> Result<(Layers, Identity), Fault> {
    check_version(&*files)?;
    let content = read_small(&*files, INDEX)?;
    let document: Document = parse(&content, "`index.json`")?;
    let Meaning::Index(top) = document
        .meaning(Expected::Index)
        .map_err(|why| Fault::new(format!("`index.json`: {why}")))?
    else {
        return Err(Fault::new("`index.json` is not an index"));
    };
    let named: Vec<Named> = top.into_iter().map(Named::new).collect::<Result<_, _>>()?;
    let meant = meant(named, choice)?;
    let mut search = Search {
        files: &*files,
        found: Vec::new(),
        passed_over: BTreeSet::new(),
        read: 0,
    };
    for named in &meant {
        search.descend(&named.descriptor, None, 0)?;
    }
    let passed_over = search.passed_over;
    let candidates = search.found.len();
    let chosen = choose(&*files, search.found, choice, &passed_over)?;
    let references = references_of(&meant);
    let (layers, identity) = read_image(files, &chosen, references)?;
    if candidates == 1 {
        docker::refuse_another_image(&layers, &chosen.config)?;
    }
    Ok((layers.into_layers()?, identity))
}

/// `oci-layout`, which says in which form the rest is.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LayoutVersion {
    image_layout_version: String,
}

fn check_version(files: &dyn Files) -> Result<(), Fault> {
    let content = read_small(files, LAYOUT)?;
    let LayoutVersion {
        image_layout_version: version,
    } = parse(&content, "`oci-layout`")?;
    if version.split('.').next() != Some("1") {
        return Err(Fault::new(format!(
            "`oci-layout`: unknown version {}",
            version.escape_default()
        )));
    }
    Ok(())
}

/// What `index.json` lists, with the names it has there.
struct Named {
    descriptor: Descriptor,
    digest: String,
}

impl Named {
    fn new(descriptor: Descriptor) -> Result<Self, Fault> {
        let digest = descriptor.digest()?.to_string();
        Ok(Self { descriptor, digest })
    }

    fn references(&self) -> impl Iterator<Item = &str> {
        ["org.opencontainers.image.ref.name", "io.containerd.image.name"]
            .into_iter()
            .filter_map(|name| self.descriptor.annotation(name))
    }
}

/// What is meant of what `index.json` lists: all of one name, or all if there are no names.
fn meant(listed: Vec<Named>, choice: &Choice<'_>) -> Result<Vec<Named>, Fault> {
    let names = references_of(&listed);
    let mut images: Vec<Named> = listed
        .into_iter()
        .filter(|named| !named.descriptor.is_attestation())
        .collect();
    if choice.reference.is_some() {
        images.retain(|named| choice.takes(&named.digest, named.references()));
        if images.is_empty() {
            return Err(Fault::new(format!(
                "no image of this reference; there are: {}",
                listed_as(&names)
            )));
        }
    }
    images.sort_by(|a, b| a.digest.cmp(&b.digest));
    // Names of one image are no choice; images of one name are, of platforms.
    let first = images.first().map(|named| named.digest.clone());
    let same_image = images.iter().all(|named| Some(&named.digest) == first.as_ref());
    let name = |named: &Named| named.references().next().map(str::to_owned);
    let same_name = images.array_windows().all(|[a, b]| name(a) == name(b));
    if !same_image && !same_name {
        return Err(Fault::new(format!(
            "several images; say which is meant by its reference (--reference): {}",
            listed_as(&names)
        )));
    }
    Ok(images)
}

fn references_of(images: &[Named]) -> Vec<String> {
    let names: BTreeSet<&str> = images.iter().flat_map(Named::references).collect();
    names.into_iter().map(str::to_owned).collect()
}

/// Some of a list's items, fit for a message.
pub(super) fn listed_as<T: ToString>(items: &[T]) -> String {
    let mut shown: Vec<String> = items
        .iter()
        .take(SHOWN)
        .map(|item| item.to_string().escape_default().to_string())
        .collect();
    match items.len().checked_sub(SHOWN) {
        Some(more @ 1..) => shown.push(format!("{more} more")),
        _ if items.is_empty() => shown.push("none with a name".into()),
        _ => {}
    }
    shown.join(", ")
}

/// One image that may be meant.
struct Candidate {
    descriptor: Descriptor,
    /// As the index says.
    platform: Option<Platform>,
    is_here: bool,
}

/// Goes through indexes that may be nested.
struct Search<'a> {
    files: &'a dyn Files,
    found: Vec<Candidate>,
    /// Media types of what is no image.
    passed_over: BTreeSet<String>,
    /// Descriptors looked at.
    read: usize,
}

impl Search<'_> {
    fn descend(
        &mut self,
        descriptor: &Descriptor,
        platform: Option<&Platform>,
        depth: u32,
    ) -> Result<(), Fault> {
        self.read += 1;
        if self.read > DESCRIPTORS {
            return Err(Fault::new(format!(
                "indexes that list more than {DESCRIPTORS} manifests"
            )));
        }
        if descriptor.is_attestation() {
            return Ok(());
        }
        let own = descriptor.platform();
        let platform = own.as_ref().or(platform);
        match Expected::of(&descriptor.media_type) {
            Expected::Manifest => {
                let digest = descriptor.digest()?;
                if self
                    .found
                    .iter()
                    .any(|known| known.descriptor.digest().is_ok_and(|known| known == digest))
                {
                    return Ok(());
                }
                self.found.push(Candidate {
                    descriptor: descriptor.clone(),
                    platform: platform.cloned(),
                    is_here: self.files.find(&digest.path())?.is_some(),
                });
                Ok(())
            }
            Expected::Index if depth == DEPTH => Err(Fault::new(format!(
                "indexes that are nested more than {DEPTH} deep"
            ))),
            Expected::Index => {
                let content = read_blob(self.files, descriptor, "index")?;
                match read_document(&content, descriptor, "index")? {
                    Meaning::Index(below) => below
                        .iter()
                        .try_for_each(|below| self.descend(below, platform, depth + 1)),
                    Meaning::Manifest(_) => Err(Fault::new("a manifest where an index should be")),
                }
            }
            Expected::Schema1 => Err(schema_1()),
            Expected::Other => {
                self.passed_over
                    .insert(descriptor.media_type.escape_default().to_string());
                Ok(())
            }
        }
    }
}

fn read_document(content: &[u8], descriptor: &Descriptor, what: &str) -> Result<Meaning, Fault> {
    let what = format!("{what} {}", descriptor.digest()?);
    let document: Document = parse(content, &what)?;
    document
        .meaning(Expected::of(&descriptor.media_type))
        .map_err(|why| Fault::new(format!("{what}: {why}")))
}

/// A manifest and its configuration, both verified.
struct Chosen {
    digest: String,
    manifest: Manifest,
    config: Vec<u8>,
    parsed: Config,
}

/// Chooses by platform.
fn choose(
    files: &dyn Files,
    found: Vec<Candidate>,
    choice: &Choice<'_>,
    passed_over: &BTreeSet<String>,
) -> Result<Chosen, Fault> {
    if found.is_empty() {
        let others: Vec<&String> = passed_over.iter().collect();
        let only = if others.is_empty() {
            String::new()
        } else {
            format!(", only: {}", listed_as(&others))
        };
        return Err(Fault::new(format!("there is no image in it{only}")));
    }
    let several = found.len() > 1;
    let (here, elsewhere): (Vec<_>, Vec<_>) = found.into_iter().partition(|candidate| candidate.is_here);
    let mut all: Vec<String> = elsewhere
        .iter()
        .map(|absent| told(absent.platform.as_ref(), " (not in it)"))
        .collect();
    if here.is_empty() {
        return Err(Fault::new(format!(
            "the manifests are missing: {}",
            listed_as(&all)
        )));
    }
    // Where the index tells of all platforms, only the one that is meant is read.
    let wanted = match &choice.platform {
        Some(platform) => Some(platform.clone()),
        None if several && here.len() > 1 => Some(Platform::of_this_machine()),
        None => None,
    };
    let mut fitting = Vec::new();
    for candidate in here {
        let mut read = None;
        let mut platform = candidate.platform.clone();
        if platform.is_none() {
            let chosen = read_chosen(files, &candidate.descriptor)?;
            platform = chosen.parsed.platform();
            read = Some(chosen);
        }
        all.push(told(platform.as_ref(), ""));
        let fits = |wanted: &Platform| platform.as_ref().is_some_and(|found| wanted.takes(found));
        if wanted.as_ref().is_none_or(fits) {
            fitting.push((candidate, platform, read));
        }
    }
    all.sort();
    // Several variants fit if none was asked for: then the one without is meant.
    if fitting.len() > 1 {
        let plain =
            |platform: Option<&Platform>| platform.is_some_and(|platform| platform.told_variant().is_none());
        if fitting
            .iter()
            .filter(|(_, platform, _)| plain(platform.as_ref()))
            .count()
            == 1
        {
            fitting.retain(|(_, platform, _)| plain(platform.as_ref()));
        }
    }
    let wanted_shown = wanted
        .as_ref()
        .map_or_else(String::new, |wanted| format!(" for {wanted}"));
    let mut fitting = fitting.into_iter();
    match (fitting.next(), fitting.next()) {
        (Some((candidate, platform, read)), None) => {
            let chosen = match read {
                Some(chosen) => chosen,
                None => read_chosen(files, &candidate.descriptor)?,
            };
            check_platform(platform.as_ref(), &chosen)?;
            Ok(chosen)
        }
        (None, _) => Err(Fault::new(format!(
            "no image{wanted_shown}; say which is meant (--platform): {}",
            listed_as(&all)
        ))),
        (Some(_), Some(_)) => Err(Fault::new(format!(
            "several images{wanted_shown}; say which is meant (--platform): {}",
            listed_as(&all)
        ))),
    }
}

fn told(platform: Option<&Platform>, more: &str) -> String {
    let platform = platform.map_or_else(|| "unknown".to_owned(), ToString::to_string);
    format!("{platform}{more}")
}

/// An index that says otherwise than the configuration chose another image than the operator did.
fn check_platform(told: Option<&Platform>, chosen: &Chosen) -> Result<(), Fault> {
    match (told, chosen.parsed.platform()) {
        (Some(told), Some(found)) if (&told.os, &told.architecture) != (&found.os, &found.architecture) => {
            Err(Fault::new(format!(
                "manifest {}: the index says {told}, but the image's configuration says {found}",
                chosen.digest
            )))
        }
        _ => Ok(()),
    }
}

fn read_chosen(files: &dyn Files, descriptor: &Descriptor) -> Result<Chosen, Fault> {
    let digest = descriptor.digest()?.to_string();
    let content = read_blob(files, descriptor, "manifest")?;
    let Meaning::Manifest(manifest) = read_document(&content, descriptor, "manifest")? else {
        return Err(Fault::new(format!("manifest {digest}: it is an index")));
    };
    if !is_image_config(&manifest.config.media_type) {
        return Err(Fault::new(format!(
            "manifest {digest}: not an image, but something with a configuration of the type `{}`",
            manifest.config.media_type.escape_default()
        )));
    }
    let config = read_blob(files, &manifest.config, "configuration")?;
    let parsed: Config = parse(&config, &format!("configuration {}", manifest.config.digest()?))?;
    Ok(Chosen {
        digest,
        manifest,
        config,
        parsed,
    })
}

/// An image that was found, before its layers are read.
pub(super) struct Found {
    pub(super) files: Box<dyn Files>,
    layers: Vec<Layer>,
}

impl Found {
    fn into_layers(self) -> Result<Layers, Fault> {
        Layers::new(self.files, self.layers)
    }
}

fn read_image(
    files: Box<dyn Files>,
    chosen: &Chosen,
    references: Vec<String>,
) -> Result<(Found, Identity), Fault> {
    let fault = |why: Fault| Fault::new(format!("manifest {}: {why}", chosen.digest));
    let diff_ids = chosen.parsed.diff_ids().map_err(fault)?;
    let told = &chosen.manifest.layers;
    if told.len() != diff_ids.len() {
        return Err(fault(Fault::new(format!(
            "{} layers, but the configuration says {}",
            told.len(),
            diff_ids.len()
        ))));
    }
    let mut layers = Vec::with_capacity(told.len());
    for (number, (descriptor, diff_id)) in told.iter().zip(diff_ids).enumerate() {
        let digest = descriptor.digest().map_err(fault)?;
        let fault = |why: Fault| {
            Fault::new(format!(
                "layer {} of {} ({digest}): {why}",
                number + 1,
                told.len()
            ))
        };
        let compression = descriptor.layer_compression().map_err(fault)?;
        check_size(&*files, &digest, descriptor.size).map_err(fault)?;
        // Of a layer that is stored as it is there is one digest, told twice.
        if compression == Compression::None && diff_id != digest && digest.is_sha256() && diff_id.is_sha256()
        {
            return Err(fault(Fault::new(format!(
                "the configuration says that its digest is {diff_id}"
            ))));
        }
        layers.push(Layer {
            path: digest.path(),
            stored: Some((digest, compression)),
            diff_id,
        });
    }
    let label = |name: &str| {
        let annotation = chosen.manifest.annotations.get(name).cloned();
        annotation.or_else(|| chosen.parsed.label(name))
    };
    let identity = Identity {
        digest: chosen.digest.clone(),
        platform: chosen.parsed.platform(),
        references,
        title: label("org.opencontainers.image.title"),
        version: label("org.opencontainers.image.version"),
    };
    Ok((Found { files, layers }, identity))
}

pub(super) const INDEX: &[u8] = b"index.json";
pub(super) const LAYOUT: &[u8] = b"oci-layout";
/// How deep indexes may be nested below `index.json`.
const DEPTH: u32 = 4;
/// Most descriptors of manifests that are looked at.
const DESCRIPTORS: usize = 4096;
/// Items of a list that a message shows.
const SHOWN: usize = 20;
