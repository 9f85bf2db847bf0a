//! A tree that is a directory of the machine that runs the test; links are resolved inside it.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use driftcheck_agent::tree::{Stat, Tree, TreeError};

/// The directory that is the root.
pub(crate) struct DirTree(pub(crate) PathBuf);

#[derive(Clone, Copy)]
enum Last {
    Followed,
    Kept,
}

impl DirTree {
    fn resolve(&self, path: &[u8], last: Last) -> Result<PathBuf, TreeError> {
        let parts = |path: &[u8]| -> Vec<Vec<u8>> {
            path.split(|byte| *byte == b'/')
                .filter(|part| !matches!(*part, b"" | b"."))
                .rev()
                .map(Into::into)
                .collect()
        };
        let mut todo = parts(path);
        let mut done: Vec<Vec<u8>> = Vec::new();
        let mut hops = 0;
        while let Some(part) = todo.pop() {
            if part == b".." {
                done.pop();
                continue;
            }
            done.push(part);
            let here = self.host_path(&done);
            let follow = !todo.is_empty() || matches!(last, Last::Followed);
            let is_link = follow && fs::symlink_metadata(&here).is_ok_and(|found| found.is_symlink());
            if is_link {
                hops += 1;
                if hops > 40 {
                    return Err(TreeError::Failed("too many levels of symbolic links".into()));
                }
                let target = fs::read_link(&here)
                    .map_err(|why| failed(&why))?
                    .into_os_string()
                    .into_vec();
                done.pop();
                if target.starts_with(b"/") {
                    done.clear();
                }
                todo.extend(parts(&target));
            }
        }
        Ok(self.host_path(&done))
    }

    fn host_path(&self, parts: &[Vec<u8>]) -> PathBuf {
        parts
            .iter()
            .fold(self.0.clone(), |path, part| path.join(OsStr::from_bytes(part)))
    }
}

impl Tree for DirTree {
    fn read(&self, path: &[u8], limit: u64) -> Result<Vec<u8>, TreeError> {
        let path = self.resolve(path, Last::Followed)?;
        if !fs::symlink_metadata(&path).map_err(|why| failed(&why))?.is_file() {
            return Err(TreeError::WrongType);
        }
        let mut content = Vec::new();
        let file = fs::File::open(&path).map_err(|why| failed(&why))?;
        file.take(limit + 1)
            .read_to_end(&mut content)
            .map_err(|why| failed(&why))?;
        if content.len() as u64 > limit {
            Err(TreeError::TooLarge(limit))
        } else {
            Ok(content)
        }
    }

    fn list(&self, path: &[u8]) -> Result<Vec<Vec<u8>>, TreeError> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.resolve(path, Last::Followed)?).map_err(|why| failed(&why))? {
            names.push(entry.map_err(|why| failed(&why))?.file_name().into_vec());
        }
        names.sort_unstable();
        Ok(names)
    }

    fn stat(&self, path: &[u8]) -> Result<Stat, TreeError> {
        stat(&self.resolve(path, Last::Followed)?)
    }

    fn lstat(&self, path: &[u8]) -> Result<Stat, TreeError> {
        stat(&self.resolve(path, Last::Kept)?)
    }

    fn read_link(&self, path: &[u8]) -> Result<Vec<u8>, TreeError> {
        let path = self.resolve(path, Last::Kept)?;
        match fs::read_link(path) {
            Ok(target) => Ok(target.into_os_string().into_vec()),
            Err(why) if why.kind() == io::ErrorKind::InvalidInput => Err(TreeError::WrongType),
            Err(why) => Err(failed(&why)),
        }
    }
}

fn stat(path: &Path) -> Result<Stat, TreeError> {
    let found = fs::symlink_metadata(path).map_err(|why| failed(&why))?;
    Ok(Stat {
        mode: found.mode(),
        uid: found.uid(),
        gid: found.gid(),
        size: found.size(),
    })
}

fn failed(why: &io::Error) -> TreeError {
    match why.kind() {
        io::ErrorKind::NotFound => TreeError::NotFound,
        io::ErrorKind::PermissionDenied => TreeError::Denied,
        io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory => TreeError::WrongType,
        _ => TreeError::Failed(why.to_string()),
    }
}
