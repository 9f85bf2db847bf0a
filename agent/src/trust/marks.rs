//! What was trusted before: for each image the newest baseline, so that an older one is not taken for it.
//!
//! The marks are one small file in the state directory. They only ever rise. A file that cannot be understood is
//! refused: learning anew would be just what somebody wants who put an old baseline in place.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::guarded::Guarded;
use super::issued::Issued;
use crate::output::Output;
use crate::source::file_system::Fault;

/// Where what was trusted before is kept.
pub const DIRECTORY: &str = "/var/lib/driftcheck";

/// For each image's name, the newest baseline that was trusted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks(BTreeMap<String, Mark>);

/// A baseline that was trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// When it was issued.
    pub issued: Issued,
    /// Its digest over everything.
    pub digest: String,
}

/// How old a baseline is, against the one of the same image that was trusted before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Age {
    /// None was.
    First,
    /// It is that one, or newer.
    Current,
    /// It is older than this one.
    Older(Mark),
    /// It is another one of the same time as this one.
    Rival(Mark),
}

impl Marks {
    /// Reads the file's text.
    pub fn parse(text: &[u8]) -> Result<Self, Fault> {
        let raw: RawMarks = serde_json::from_slice(text).map_err(|why| Fault::new(why.to_string()))?;
        if raw.version != VERSION {
            return Err(Fault::new(format!(
                "written in version {}; this release knows version {VERSION}",
                raw.version
            )));
        }
        let mut marks = BTreeMap::new();
        for mark in raw.images {
            let issued = Issued::parse(&mark.issued)?;
            let digest = mark.digest;
            if marks.insert(mark.name.clone(), Mark { issued, digest }).is_some() {
                return Err(Fault::new(format!("two marks of `{}`", mark.name.escape_debug())));
            }
        }
        Ok(Self(marks))
    }

    /// The file's text, with a line end.
    pub fn to_text(&self) -> Result<String, Fault> {
        let images = self.0.iter().map(|(name, mark)| RawMark {
            name: name.clone(),
            issued: mark.issued.to_string(),
            digest: mark.digest.clone(),
        });
        let raw = RawMarks {
            version: VERSION,
            images: images.collect(),
        };
        let text = serde_json::to_string_pretty(&raw).map_err(|why| Fault::new(why.to_string()))?;
        Ok(text + "\n")
    }

    /// How old a baseline is.
    #[must_use]
    pub fn age(&self, image: &str, found: &Mark) -> Age {
        match self.0.get(image) {
            None => Age::First,
            // The same content is no older for having been signed earlier as well.
            Some(mark) if mark.digest == found.digest => Age::Current,
            Some(mark) if mark.issued < found.issued => Age::Current,
            Some(mark) if mark.issued == found.issued => Age::Rival(mark.clone()),
            Some(mark) => Age::Older(mark.clone()),
        }
    }

    /// Raises an image's mark to this baseline; whether that changed anything. A mark is never lowered.
    pub fn raise(&mut self, image: &str, found: &Mark) -> bool {
        match self.0.get_mut(image) {
            None => {
                self.0.insert(image.to_owned(), found.clone());
                true
            }
            Some(mark) if mark.issued < found.issued => {
                *mark = found.clone();
                true
            }
            Some(_) => false,
        }
    }
}

/// The directory that holds the marks.
#[derive(Debug)]
pub struct State(Guarded);

impl State {
    /// Opens a state directory; `None` if there is none.
    pub fn open(path: &Path) -> Result<Option<Self>, Fault> {
        Ok(Guarded::open(path)?.map(Self))
    }

    /// Says how old a baseline is, and changes nothing.
    pub fn look(&self, image: &str, found: &Mark) -> Result<Age, Fault> {
        Ok(self.read()?.age(image, found))
    }

    /// Says how old a baseline is, and raises the mark to it if it is not older.
    pub fn raise(&self, image: &str, found: &Mark) -> Result<Age, Fault> {
        // Two audits at once must not lose each other's marks. Others may read the directory, and could hold a lock
        // on it; this file only its owner can open.
        let lock = self.0.path().join(LOCK);
        let fault = |why: std::io::Error| Fault::new(format!("{}: {}", lock.display(), super::told(&why)));
        let locked = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&lock)
            .map_err(fault)?;
        locked.lock().map_err(fault)?;
        let mut marks = self.read()?;
        let age = marks.age(image, found);
        if matches!(age, Age::First | Age::Current) && marks.raise(image, found) {
            self.write(&marks)?;
        }
        Ok(age)
    }

    fn file(&self) -> PathBuf {
        self.0.path().join(FILE)
    }

    fn read(&self) -> Result<Marks, Fault> {
        let Some(text) = self.0.read(FILE, LIMIT)? else {
            return Ok(Marks::default());
        };
        Marks::parse(&text).map_err(|why| {
            Fault::new(format!(
                "{}: it cannot be understood: {why}; if nobody can mend it, remove it, and make sure that the next \
                 baseline is the newest",
                self.file().display()
            ))
        })
    }

    fn write(&self, marks: &Marks) -> Result<(), Fault> {
        let fault = |why: &str| Fault::new(format!("{}: {why}", self.file().display()));
        let text = marks.to_text()?;
        if text.len() > LIMIT {
            return Err(fault("it has no room for another image"));
        }
        Output::create(self.file().as_os_str().as_bytes())
            .and_then(|mut output| {
                output.write_all(text.as_bytes())?;
                output.commit()
            })
            .map_err(|why| fault(&super::told(&why)))
    }
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct RawMarks {
    #[serde(rename = "driftcheck-marks")]
    version: u32,
    images: Vec<RawMark>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct RawMark {
    name: String,
    issued: String,
    digest: String,
}

/// Version of the file's format.
const VERSION: u32 = 1;

/// Longest file. Bytes.
const LIMIT: usize = 1 << 20;

const FILE: &str = "marks.json";

const LOCK: &str = "marks.lock";

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::*;
    use crate::trust::testing::scratch;

    fn mark(day: u32, digest: &str) -> Mark {
        Mark {
            issued: Issued::parse(&format!("2026-01-{day:02}T00:00:00Z")).unwrap(),
            digest: digest.to_owned(),
        }
    }

    #[test]
    fn marks_rise_and_never_fall() {
        let mut marks = Marks::default();
        assert_eq!(marks.age("web", &mark(5, "b")), Age::First);
        assert!(marks.raise("web", &mark(5, "b")));
        for (found, age) in [
            (mark(5, "b"), Age::Current),
            (mark(6, "c"), Age::Current),
            (mark(4, "b"), Age::Current),
            (mark(4, "a"), Age::Older(mark(5, "b"))),
            (mark(5, "a"), Age::Rival(mark(5, "b"))),
        ] {
            assert_eq!(marks.age("web", &found), age);
        }
        assert!(!marks.raise("web", &mark(4, "a")) && !marks.raise("web", &mark(5, "a")));
        assert!(
            marks.raise("web", &mark(6, "b")),
            "the same baseline, signed again"
        );
        assert_eq!(marks.age("web", &mark(6, "b")), Age::Current);
        assert_eq!(marks.age("db", &mark(1, "a")), Age::First, "images do not mix");
    }

    #[test]
    fn a_broken_file_is_refused_and_left_alone() {
        let directory = scratch("marks-broken");
        let state = State::open(&directory).unwrap().unwrap();
        assert_eq!(state.raise("web", &mark(5, "b")).unwrap(), Age::First);
        assert_eq!(
            state.look("web", &mark(4, "a")).unwrap(),
            Age::Older(mark(5, "b"))
        );
        let file = directory.join(FILE);
        let good = fs::read_to_string(&file).unwrap();
        for (broken, why) in [
            (String::new(), "EOF while parsing a value"),
            (
                good.replace("marks\": 1", "marks\": 2"),
                "written in version 2; this release knows version 1",
            ),
            (good.replace("2026-01-05", "2026-01-5"), "is not a time like"),
            (good.replace("\"name\"", "\"nam\""), "unknown field `nam`"),
            (good[..good.len() - 3].to_owned(), "EOF while parsing"),
            ("x".repeat(LIMIT + 1), "longer than 1048576 bytes"),
        ] {
            fs::write(&file, &broken).unwrap();
            let told = state.raise("web", &mark(6, "c")).unwrap_err().0;
            assert!(told.contains(why), "{told}");
            assert_eq!(fs::read_to_string(&file).unwrap(), broken);
        }
        let double = good.replace(
            "\"images\": [",
            "\"images\": [{\"name\":\"web\",\"issued\":\"2026-01-01T00:00:00Z\",\"digest\":\"a\"},",
        );
        assert_eq!(
            Marks::parse(double.as_bytes()).unwrap_err().0,
            "two marks of `web`"
        );
    }

    #[test]
    fn two_at_once_lose_nothing() {
        let directory = scratch("marks-threads");
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let directory = &directory;
                scope.spawn(move || {
                    let state = State::open(directory).unwrap().unwrap();
                    for day in 1..=20 {
                        state
                            .raise(&format!("image-{thread}"), &mark(day, &day.to_string()))
                            .unwrap();
                    }
                });
            }
        });
        let state = State::open(&directory).unwrap().unwrap();
        for thread in 0..4 {
            let age = state.look(&format!("image-{thread}"), &mark(1, "x")).unwrap();
            assert_eq!(age, Age::Older(mark(20, "20")));
        }
        let mut names: Vec<_> = fs::read_dir(&directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        assert_eq!(names, [FILE, LOCK]);
    }

    proptest! {
        #[test]
        fn written_is_read(images in prop::collection::btree_map(any::<String>(), (1..=28_u32, any::<String>()), 0..9)) {
            let mut marks = Marks::default();
            for (name, (day, digest)) in &images {
                marks.raise(name, &mark(*day, digest));
            }
            prop_assert_eq!(Marks::parse(marks.to_text().unwrap().as_bytes()).unwrap(), marks);
        }

        #[test]
        fn any_bytes_end(bytes: Vec<u8>) {
            prop_assert!(Marks::parse(&bytes).is_err());
        }
    }
}
