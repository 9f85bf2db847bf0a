//! Finding out what a source is, and opening it.
//!
//! What decides is the content, never a name's ending. What an image says of other files (a backing file, a layer) is
//! not believed: files are opened because the operator named them.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use sha2::{Digest as _, Sha256};

use super::archive::{self, Archive};
use super::bytes::Bytes;
use super::disk::qcow2::chain::{self, Allowed};
use super::disk::recognise::{Recognised, recognise};
use super::disk::{file, partitions};
use super::ext4::Ext4;
use super::file_system::Fault;
use super::kernel_mount::KernelMount;
use super::oci;
use super::{Kind, Options, Source, SourceError};
use crate::host;
use crate::probes;
use crate::scan::Progress;
use crate::tree::LiveTree;

/// Opens what is found at `path` of this machine; `-` is a tar archive from standard input.
pub(super) fn open(path: &[u8], options: &Options, progress: &Progress) -> Result<Source, SourceError> {
    let opening = Opening {
        path: host::as_path(path).to_path_buf(),
        options,
        progress,
    };
    let refused = |why: Fault| {
        let path = baseline_format::OsText::new(path);
        // Some readers name the file, others cannot.
        let named = format!("{}: ", opening.path.display());
        let why = why.0.strip_prefix(&named).map(Fault::new).unwrap_or(why.clone());
        SourceError::Refused { path, why }
    };
    let source = open_what_it_is(&opening, path, &refused)?;
    opening.refuse_idle_options(source.kind).map_err(refused)?;
    Ok(source)
}

fn open_what_it_is(
    opening: &Opening<'_>,
    path: &[u8],
    refused: &dyn Fn(Fault) -> SourceError,
) -> Result<Source, SourceError> {
    if path == b"-" {
        return opening.standard_input().map_err(refused);
    }
    // What is not there, or must not be looked at, is told as for a directory, which is what most roots are.
    if !opening.path.exists() {
        return Source::directory(path);
    }
    let is_directory = opening.path.is_dir();
    match opening.options.kind {
        Some(Kind::Directory) => Source::directory(path),
        None if is_directory && !oci::is_layout(&opening.path) => Source::directory(path),
        Some(Kind::Oci) | None if is_directory => opening.layout().map_err(refused),
        Some(kind) if is_directory => Err(refused(Fault::new(format!(
            "it is a directory, and cannot be read as {}",
            kind.name()
        )))),
        _ => opening.file().map_err(refused),
    }
}

/// One source that is being opened.
struct Opening<'a> {
    path: PathBuf,
    options: &'a Options,
    progress: &'a Progress,
}

impl Opening<'_> {
    /// An option that has no meaning for what was opened was meant for something else.
    fn refuse_idle_options(&self, kind: &str) -> Result<(), Fault> {
        let options = self.options;
        let is_disk = kind == Kind::Disk.name();
        let is_image = kind == Kind::Oci.name() || kind == Kind::Docker.name();
        for (given, meant, option) in [
            (options.partition.is_some(), is_disk, "--partition"),
            (!options.backing.is_empty(), is_disk, "--backing"),
            (options.mount, is_disk, "--mount"),
            (options.platform.is_some(), is_image, "--platform"),
            (options.reference.is_some(), is_image, "--reference"),
        ] {
            if given && !meant {
                return Err(Fault::new(format!(
                    "{option} has no meaning for it: it is read as {kind}"
                )));
            }
        }
        Ok(())
    }

    /// A file or a block device, of whatever kind it is.
    fn file(&self) -> Result<Source, Fault> {
        let file = file::open_file(&self.path)?;
        let is_file = file.metadata().is_ok_and(|metadata| metadata.is_file());
        let bytes = file::open(&self.path)?;
        let recognised = match self.options.kind {
            Some(Kind::Disk) => None,
            _ => Some(recognise(&*bytes)?),
        };
        match (self.options.kind, recognised) {
            (Some(Kind::Tar | Kind::Oci | Kind::Docker), _)
            | (_, Some(Recognised::Gzip | Recognised::Xz | Recognised::Zstd | Recognised::Tar)) => {
                self.archive(file, &bytes)
            }
            _ => self.disk(is_file.then_some(file)),
        }
    }

    fn archive(&self, file: File, bytes: &Bytes) -> Result<Source, Fault> {
        match self.options.kind {
            Some(Kind::Tar) => self.root_file_system(file, bytes),
            Some(kind) => oci::open_archive(bytes, kind, &self.oci()).map(container),
            None => match oci::look_into(bytes)? {
                Some(images) => images.open(&self.oci()).map(container),
                None => self.root_file_system(file, bytes),
            },
        }
    }

    fn root_file_system(&self, file: File, bytes: &Bytes) -> Result<Source, Fault> {
        // The file is read a second time for its own digest, beside the pass over its members.
        let both: Result<_, Fault> = thread::scope(|scope| {
            let digest = scope.spawn(|| self.digest(Some(file)));
            let archive = Archive::from_file(Arc::clone(bytes), &self.keeping())?;
            if self.options.kind.is_none() {
                oci::refuse_image_inside(&archive)?;
            }
            let digest = digest
                .join()
                .map_err(|_| Fault::new("its digest: hashing failed"))?;
            Ok((archive, digest?))
        });
        let (archive, digest) = both?;
        let mut source = Source::image(Arc::new(archive), Kind::Tar);
        source.digest = digest;
        Ok(source)
    }

    fn layout(&self) -> Result<Source, Fault> {
        oci::open_layout(&self.path, &self.oci()).map(container)
    }

    fn standard_input(&self) -> Result<Source, Fault> {
        if !matches!(self.options.kind, None | Some(Kind::Tar)) {
            return Err(Fault::new(
                "only a root file system in a tar archive can come from standard input: save it to a file",
            ));
        }
        let hash = Arc::new(Mutex::new(Sha256::new()));
        let input = HashedInput {
            input: io::stdin(),
            hash: Arc::clone(&hash),
        };
        let archive = Archive::from_pipe(Box::new(input), &self.keeping()).map_err(|why| {
            let hint = "only a root file system in a tar archive can come from standard input";
            Fault::new(format!("{why} ({hint}; save anything else to a file)"))
        })?;
        if self.options.kind.is_none() {
            oci::refuse_image_inside(&archive)?;
        }
        let mut source = Source::image(Arc::new(archive), Kind::Tar);
        let hash = hash.lock().unwrap_or_else(PoisonError::into_inner).clone();
        source.digest = Some(labelled(hash));
        Ok(source)
    }

    /// A disk, a part of one, or a file system; `file` is the regular file that it is.
    fn disk(&self, file: Option<File>) -> Result<Source, Fault> {
        let allowed: Vec<Allowed> = self
            .options
            .backing
            .iter()
            .map(|value| Allowed::parse(host::as_path(value).as_os_str()))
            .collect();
        let bytes = file::open(&self.path)?;
        let image = recognise(&*bytes)?;
        let (disk, alone) = if image == Recognised::Qcow2 {
            let chain = chain::open(&self.path, &allowed)?;
            (chain.disk, chain.files.len() == 1)
        } else {
            (bytes, true)
        };
        let (part, start, kind, remarks) = self.part(&disk)?;
        // A file system that is part of a file can be mounted from it; one in a qcow2 cannot.
        let mut source = match kind {
            Recognised::Ext => Source::image(Arc::new(Ext4::open(part)?), Kind::Disk),
            _ if kind.is_mountable() && self.options.mount => {
                if image == Recognised::Qcow2 {
                    return Err(Fault::new(format!(
                        "the kernel mounts no qcow2: make a raw image with `qemu-img convert -O raw`, and record that \
                         with `--mount` ({} inside)",
                        kind.name()
                    )));
                }
                let mount = KernelMount::new(&self.path, start, part.size(), kind)?;
                let root = mount.root()?;
                let tree = LiveTree::of_hidden_mount(root).map_err(|why| Fault::new(why.to_string()))?;
                Source::mounted(tree, mount)
            }
            _ => {
                let why = kind.way_out(&self.path);
                return Err(Fault::new(
                    why.unwrap_or_else(|| format!("{} is not a file system", kind.name())),
                ));
            }
        };
        // What is published is one file; of several, none has the digest of the image.
        source.digest = self.digest(file.filter(|_| alone))?;
        source.remarks = remarks;
        Ok(source)
    }

    /// The part of a disk that holds the root file system: its bytes, where they start, what they are, and what is odd
    /// about the disk.
    fn part(&self, disk: &Bytes) -> Result<(Bytes, u64, Recognised, Vec<String>), Fault> {
        let wanted = self.options.partition.map(|number| number.to_string());
        match recognise(&**disk)? {
            Recognised::Partitioned => {
                let Some(table) = partitions::table(&**disk)? else {
                    return Err(Fault::new("partition table: there is none"));
                };
                let partition = table.root(wanted.as_deref())?;
                let bytes = partition.of(Arc::clone(disk))?;
                let at = |why| Fault::new(format!("partition {}: {why}", partition.number));
                let kind = recognise(&*bytes).map_err(|why| at(why.0))?;
                if kind != Recognised::Ext && !kind.is_mountable() {
                    let why = kind.way_out(&self.path);
                    return Err(at(
                        why.unwrap_or_else(|| format!("{} is not a file system", kind.name()))
                    ));
                }
                let remarks = table
                    .remarks
                    .iter()
                    .map(|remark| format!("partition table: {remark}"));
                Ok((bytes, partition.start, kind, remarks.collect()))
            }
            kind if wanted.is_none() => Ok((Arc::clone(disk), 0, kind, Vec::new())),
            kind => Err(Fault::new(format!(
                "there is no partition table to take `--partition` from: it is {}",
                kind.name()
            ))),
        }
    }

    fn keeping(&self) -> archive::Options<'_> {
        archive::Options {
            keep: &probes::may_read,
            size_limit: self.options.size_limit,
            weak: self.options.weak_digests,
            progress: Some(self.progress),
        }
    }

    fn oci(&self) -> oci::Options<'_> {
        oci::Options {
            platform: self.options.platform.as_deref(),
            reference: self.options.reference.as_deref(),
            archive: self.keeping(),
        }
    }

    /// The digest of a file, if somebody wants to know it.
    fn digest(&self, file: Option<File>) -> Result<Option<String>, Fault> {
        let file = file.filter(|_| self.options.digest);
        let digest = file.map(digest_of).transpose();
        digest.map_err(|why| Fault::new(format!("its digest: {why}")))
    }
}

fn container(image: oci::Image) -> Source {
    let mut source = Source::image(Arc::new(image.archive), image.kind);
    source.digest = Some(image.identity.digest);
    source
}

/// SHA-256 of a whole file.
fn digest_of(mut file: File) -> io::Result<String> {
    let mut hash = Sha256::new();
    let mut piece = vec![0; 256 << 10];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(labelled(hash)),
            read => hash.update(&piece[..read]),
        }
    }
}

fn labelled(hash: Sha256) -> String {
    let mut text = Vec::from(*b"sha256:");
    baseline_format::push_hex(&hash.finalize(), &mut text);
    text.into_iter().map(char::from).collect()
}

/// Standard input, hashed as it passes.
struct HashedInput {
    input: io::Stdin,
    hash: Arc<Mutex<Sha256>>,
}

impl Read for HashedInput {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        let mut hash = self.hash.lock().unwrap_or_else(PoisonError::into_inner);
        hash.update(&buffer[..read]);
        Ok(read)
    }
}
