//! Reading ahead on another thread, so that decompressing and hashing have a processor each.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use crate::source::file_system::Fault;

/// How much is handed over at once, and how many such pieces there are. Bytes.
const CHUNK: usize = 256 << 10;
const CHUNKS: usize = 4;

/// Reads `reader` on a thread of its own, at most 1 MiB ahead of whoever reads the result. Its bytes, its end and its
/// error come out as they came; if it panics, that is an error too. When the result is dropped the thread ends after
/// the read that it is in.
pub fn ahead<R: Read + Send + 'static>(reader: R) -> Result<Ahead, Fault> {
    let (full, filled) = sync_channel(CHUNKS);
    let (empty, emptied) = sync_channel(CHUNKS);
    for _ in 0..CHUNKS {
        // There is room for all of them.
        empty.send(Vec::new()).ok();
    }
    thread::Builder::new()
        .name("read-ahead".into())
        .spawn(move || run(reader, &full, &emptied))
        .map_err(|why| Fault::new(format!("cannot start a thread to read ahead: {why}")))?;
    Ok(Ahead {
        filled,
        empty,
        chunk: Vec::new(),
        at: 0,
        ended: false,
    })
}

/// What [`ahead`] gives.
pub struct Ahead {
    filled: Receiver<Filled>,
    empty: SyncSender<Vec<u8>>,
    chunk: Vec<u8>,
    /// How much of the chunk was read.
    at: usize,
    ended: bool,
}

enum Filled {
    Chunk(Vec<u8>),
    End,
    Error(io::Error),
}

/// Fills chunks until the reader ends or nobody wants them any more.
fn run(mut reader: impl Read, full: &SyncSender<Filled>, emptied: &Receiver<Vec<u8>>) {
    while let Ok(mut chunk) = emptied.recv() {
        chunk.resize(CHUNK, 0);
        let (count, last) = fill(&mut reader, &mut chunk);
        chunk.truncate(count);
        if count > 0 && full.send(Filled::Chunk(chunk)).is_err() {
            return;
        }
        if let Some(last) = last {
            // Nobody may be there to hear it.
            full.send(last).ok();
            return;
        }
    }
}

/// Fills a chunk as far as it goes: how far, and what came instead of the rest.
fn fill(reader: &mut impl Read, chunk: &mut [u8]) -> (usize, Option<Filled>) {
    let mut count = 0;
    while count < chunk.len() {
        match reader.read(&mut chunk[count..]) {
            Ok(0) => return (count, Some(Filled::End)),
            Ok(more) => count += more,
            Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
            Err(why) => return (count, Some(Filled::Error(why))),
        }
    }
    (count, None)
}

impl Read for Ahead {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        while self.at == self.chunk.len() {
            if self.ended {
                return Ok(0);
            }
            match self.filled.recv() {
                Ok(Filled::Chunk(chunk)) => {
                    let empty = std::mem::replace(&mut self.chunk, chunk);
                    self.at = 0;
                    // The thread may have ended already.
                    self.empty.send(empty).ok();
                }
                Ok(Filled::End) => self.ended = true,
                Ok(Filled::Error(why)) => return Err(why),
                // It told neither an end nor an error: after an error, or because it panicked.
                Err(_) => return Err(io::Error::other("the thread that reads ahead has stopped")),
            }
        }
        let rest = self.chunk.get(self.at..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        self.at += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use super::*;

    /// Gives `size` bytes in pieces of different lengths, then what `last` says.
    struct Pieces<L> {
        size: usize,
        at: usize,
        last: L,
        alive: Arc<()>,
    }

    impl<L: FnMut() -> io::Result<usize>> Read for Pieces<L> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = buffer.len().min(self.size - self.at).min(1 + self.at % 100_000);
            for (offset, byte) in buffer[..count].iter_mut().enumerate() {
                *byte = byte_at(self.at + offset);
            }
            self.at += count;
            if count == 0 { (self.last)() } else { Ok(count) }
        }
    }

    fn byte_at(at: usize) -> u8 {
        u8::try_from(at % 251).unwrap()
    }

    fn pieces<L>(size: usize, last: L) -> Pieces<L> {
        Pieces {
            size,
            at: 0,
            last,
            alive: Arc::default(),
        }
    }

    #[test]
    fn bytes_and_end_come_as_they_are() {
        for size in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 20 * CHUNK + 7] {
            let mut reader = ahead(pieces(size, || Ok(0))).unwrap();
            let mut bytes = Vec::new();
            reader.read_to_end(&mut bytes).unwrap();
            assert_eq!(bytes.len(), size);
            assert!(bytes.iter().enumerate().all(|(at, byte)| *byte == byte_at(at)));
            assert_eq!(reader.read(&mut [0; 9]).unwrap(), 0);
        }
    }

    #[test]
    fn errors_come_behind_the_bytes_before_them() {
        for size in [0, 1, 3 * CHUNK] {
            let mut reader = ahead(pieces(size, || Err(io::Error::other("broken")))).unwrap();
            let mut bytes = Vec::new();
            let why = reader.read_to_end(&mut bytes).unwrap_err();
            assert_eq!((bytes.len(), why.to_string()), (size, "broken".into()));
            assert!(reader.read(&mut [0; 9]).is_err());
        }
    }

    #[test]
    fn panic_is_an_error() {
        let mut reader = ahead(pieces(5, || panic!("as this test wants"))).unwrap();
        let why = reader.read_to_end(&mut Vec::new()).unwrap_err();
        assert_eq!(why.to_string(), "the thread that reads ahead has stopped");
    }

    #[test]
    fn dropping_ends_the_thread() {
        for taken in [0, 1, 3 * CHUNK] {
            let endless = pieces(usize::MAX, || Ok(0));
            let alive = Arc::downgrade(&endless.alive);
            let mut reader = ahead(endless).unwrap();
            reader.read_exact(&mut vec![0; taken]).unwrap();
            drop(reader);
            let start = Instant::now();
            while alive.upgrade().is_some() {
                assert!(start.elapsed() < Duration::from_mins(1), "the thread goes on");
                thread::sleep(Duration::from_millis(1));
            }
        }
    }
}
