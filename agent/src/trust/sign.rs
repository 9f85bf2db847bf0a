//! Signing a baseline: a statement about it, a signature over that, attached to the file or beside it.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek as _, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use baseline_format::envelope::{Envelopes, PAYLOAD_TYPE, Signature, pae};
use baseline_format::statement::Statement;
use baseline_format::{BaselineReader, ReadError, Sealed};
use data_encoding::BASE64;

use super::gate::read_beside;
use super::issued::Issued;
use super::key::PrivateKey;
use crate::output::Output;
use crate::source::file_system::Fault;

/// Where a signature goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Behind the baseline, in the same file.
    Attached,
    /// Into the file that [`super::beside`] names.
    Beside,
}

/// What was signed.
#[derive(Clone, Debug)]
pub struct Signed {
    /// The file that has the signature now.
    pub file: PathBuf,
    /// The baseline's digest over everything.
    pub digest: String,
    /// The statement's time of issue.
    pub issued: Issued,
    /// The key's [`super::key::PublicKey::id`].
    pub key: String,
}

/// Signs a baseline, after it was read to its end and found sound. Signatures that are there stay. The file is
/// replaced in one step, and keeps its mode.
///
/// The same key, time and baseline give the same bytes.
pub fn sign(
    file: &Path,
    key: &PrivateKey,
    place: Place,
    issued: Issued,
    now: SystemTime,
) -> Result<Signed, Fault> {
    if issued.is_ahead_of(now) {
        return Err(Fault::new(format!(
            "the time of issue {issued} is in the future: no correct baseline could follow it"
        )));
    }
    match place {
        Place::Attached => attach(file, key, issued),
        Place::Beside => beside(file, key, issued),
    }
}

fn attach(path: &Path, key: &PrivateKey, issued: Issued) -> Result<Signed, Fault> {
    let fault = |why: &io::Error| Fault::new(format!("{}: {}", path.display(), super::told(why)));
    let file = super::open_regular(path).map_err(|why| fault(&why))?;
    let mut output = Output::create(path.as_os_str().as_bytes()).map_err(|why| fault(&why))?;
    // What is checked and what is written are the same bytes, whoever changes the file meanwhile.
    let copying = Copying {
        from: file,
        to: &mut output,
    };
    let sealed = seal(path, copying)?;
    let (signed, envelopes) = add(path, &sealed, sealed.envelopes.clone(), key, issued)?;
    behind(&mut output, sealed.length)
        .and_then(|()| output.write_all(&envelopes.to_frame()))
        .and_then(|()| output.commit())
        .map_err(|why| fault(&why))?;
    Ok(Signed {
        file: path.to_path_buf(),
        ..signed
    })
}

fn beside(path: &Path, key: &PrivateKey, issued: Issued) -> Result<Signed, Fault> {
    let file = super::open_regular(path)
        .map_err(|why| Fault::new(format!("{}: {}", path.display(), super::told(&why))))?;
    let sealed = seal(path, file)?;
    let target = super::beside(path);
    let known = read_beside(&target).map_err(|why| Fault::new(why.to_string()))?;
    let (signed, envelopes) = add(path, &sealed, known, key, issued)?;
    Output::create(target.as_os_str().as_bytes())
        .and_then(|mut output| {
            output.write_all(envelopes.to_text().as_bytes())?;
            output.commit()
        })
        .map_err(|why| Fault::new(format!("{}: {}", target.display(), super::told(&why))))?;
    Ok(Signed {
        file: target,
        ..signed
    })
}

fn seal(path: &Path, input: impl Read) -> Result<Sealed, Fault> {
    BaselineReader::open(BufReader::with_capacity(128 << 10, input))
        .and_then(BaselineReader::seal)
        .map_err(|why: ReadError| Fault::new(format!("{}: {why}", path.display())))
}

/// Adds the signature to those that are known.
fn add(
    path: &Path,
    sealed: &Sealed,
    mut known: Envelopes,
    key: &PrivateKey,
    issued: Issued,
) -> Result<(Signed, Envelopes), Fault> {
    let fault = |why: String| Fault::new(format!("{}: {why}", path.display()));
    let statement = Statement::new(&sealed.header, &sealed.end, issued.to_string());
    let payload = statement
        .map_err(|why| fault(why.to_string()))?
        .to_payload()
        .map_err(|why| fault(why.to_string()))?;
    let added = over(&payload, key).map_err(|why| fault(why.0))?;
    known
        .add(PAYLOAD_TYPE, &BASE64.encode(&payload), added)
        .map_err(|why| fault(format!("no room for another signature: {why}")))?;
    let told = Signed {
        file: path.to_path_buf(),
        digest: sealed.end.digest.clone(),
        issued,
        key: key.public()?.id(),
    };
    Ok((told, known))
}

/// The envelope of any other in-toto statement, as one line of JSON.
pub fn envelope(statement: &[u8], key: &PrivateKey) -> Result<String, Fault> {
    let mut envelopes = Envelopes::default();
    envelopes
        .add(PAYLOAD_TYPE, &BASE64.encode(statement), over(statement, key)?)
        .map_err(|why| Fault::new(why.to_string()))?;
    Ok(envelopes.to_text())
}

fn over(payload: &[u8], key: &PrivateKey) -> Result<Signature, Fault> {
    let signed = pae(PAYLOAD_TYPE, payload);
    let signature = key.sign(&signed);
    let public = key.public()?;
    // A signature that a faulty machine got wrong can give the key away.
    if !public.verifies(&signed, &signature) {
        return Err(Fault::new("the signature that was made does not verify"));
    }
    Ok(Signature {
        keyid: Some(public.id()),
        sig: BASE64.encode(&signature),
    })
}

/// Cuts what was written so far to `length` bytes, and goes on there.
fn behind(output: &mut Output, length: u64) -> io::Result<()> {
    output.flush()?;
    match output {
        Output::File { file, .. } => {
            let file: &mut File = file.get_mut();
            file.set_len(length)?;
            file.seek(SeekFrom::Start(length)).map(drop)
        }
        Output::Standard(_) => Err(io::Error::other("standard output cannot be signed")),
    }
}

/// A reader that writes down what is read from it.
struct Copying<'a, R> {
    from: R,
    to: &'a mut Output,
}

impl<R: Read> Read for Copying<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(buffer)?;
        self.to.write_all(buffer.get(..read).unwrap_or_default())?;
        Ok(read)
    }
}

#[cfg(test)]
mod tests;
