//! Several threads look at one walk, and the results come out in its order.
//!
//! Each worker takes the next batch of the walk, looks at its items and hashes small files at once, two at a
//! time. Large files go to a common queue, so that no batch waits behind one and every worker can help. A batch
//! that is complete is handed over in order; whoever completes the next one in line feeds the observer. There
//! are no other threads, and nothing waits as long as any batch is open.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use super::content::Content;
use super::encode::{encode, is_linked};
use super::hash::{Algorithm, Digest, Hasher};
use super::inspect::{Facts, Inspected, Inspector};
use super::lanes;
use super::sink::{Encoded, Piece, Sink};
use super::stream::Stream;
use super::walk::Batch;
use super::{Observer, Scanned, Settings, Tally, Walker};
use crate::sys::{Flags, Readable, thread_cpu_nanos};

/// Batches that may be under way. Bounds memory, and how far the others can run ahead of one huge file.
const WINDOW: u64 = 96;
/// Files up to this size are read whole. Bytes.
const SMALL: u64 = 48 << 10;
/// Room for small files that are hashed together. Bytes.
const ARENA: usize = 192 << 10;
/// Large files are read in pieces of this size. Bytes.
const PIECE: usize = 128 << 10;
/// How often the number of workers is thought over. Nanoseconds of a worker's time.
const RETHINK: u64 = 20_000_000;

/// How many threads work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Depth {
    /// Processors' worth of work.
    pub threads: usize,
    /// Most workers, counting those that wait for the disk. `None`: chosen by watching how much they wait.
    pub io_depth: Option<usize>,
}

impl Depth {
    /// Workers that are used at most when nothing is said.
    const MOST: usize = 16;

    fn most(self) -> usize {
        self.io_depth.unwrap_or(Self::MOST).max(self.threads).max(1)
    }
}

/// Runs the workers until the walk has ended or the observer wants no more.
pub(super) fn run(
    walk: Walker,
    readable: &Readable,
    settings: &Settings<'_>,
    observer: &mut dyn Observer,
) -> Scanned {
    let most = settings.depth.most();
    // A depth that was asked for is used as it is; else workers join when those at work mostly wait.
    let start = if settings.depth.io_depth.is_some() {
        most
    } else {
        settings.depth.threads.max(1)
    };
    let shared = Shared {
        flags: walk.flags(),
        walk: Mutex::new(Source { walk, next: 0 }),
        queue: Mutex::new(Queue::default()),
        changed: Condvar::new(),
        parked: Condvar::new(),
        ready: Mutex::new(Ready::default()),
        sink: Mutex::new(Sink::new(observer)),
        active: AtomicUsize::new(start),
        load: Load::default(),
        settings,
        most,
    };
    let mut tally = Tally::default();
    thread::scope(|scope| {
        let shared = &shared;
        let mut workers: Vec<_> = Vec::new();
        for number in 1..most {
            let build = thread::Builder::new()
                .name(format!("scan-{number}"))
                .stack_size(512 << 10);
            // Fewer threads than hoped for is slower, not wrong.
            if let Ok(worker) = build.spawn_scoped(scope, move || Worker::new(shared, readable, number).run())
            {
                workers.push(worker);
            }
        }
        tally.add(&Worker::new(shared, readable, 0).run());
        for worker in workers {
            match worker.join() {
                Ok(more) => tally.add(&more),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
    });
    let stopped = lock(&shared.queue).stopped;
    let source = lock(&shared.walk);
    let walked = source.walk.tally();
    tally.gone += walked.gone;
    Scanned {
        tally,
        skipped: walked.skipped.clone(),
        private_view: false,
        stopped,
    }
}

struct Shared<'a> {
    flags: Flags,
    walk: Mutex<Source>,
    queue: Mutex<Queue>,
    /// For workers at work that have nothing to do.
    changed: Condvar,
    /// For workers that do not take part now. They are woken when they may, and not at every change.
    parked: Condvar,
    ready: Mutex<Ready>,
    sink: Mutex<Sink<'a>>,
    /// Workers that may take new batches.
    active: AtomicUsize,
    load: Load,
    settings: &'a Settings<'a>,
    most: usize,
}

struct Source {
    walk: Walker,
    next: u64,
}

#[derive(Default)]
struct Queue {
    large: VecDeque<Large>,
    /// Batches taken from the walk and not yet given to the observer.
    open: u64,
    walked: bool,
    stopped: bool,
    waiting: usize,
}

/// A file whose content is too long to be read whole.
pub(super) struct Large {
    batch: Arc<Mutex<Open>>,
    at: usize,
    pub(super) facts: Facts,
    pub(super) content: Content,
    pub(super) algorithm: Algorithm,
}

/// A batch that waits for its large files.
struct Open {
    number: u64,
    batch: Batch,
    facts: Vec<Option<Facts>>,
    left: usize,
}

#[derive(Default)]
struct Ready {
    batches: BTreeMap<u64, Encoded>,
    next: u64,
    feeding: bool,
}

/// How busy the workers are, in nanoseconds since the last look.
#[derive(Default)]
struct Load {
    wall: AtomicU64,
    cpu: AtomicU64,
}

enum Task {
    Batch(u64, Batch),
    Large(Box<(Large, Option<Large>)>),
    End,
}

struct Worker<'a> {
    shared: &'a Shared<'a>,
    inspector: Inspector<'a>,
    number: usize,
    arena: Vec<u8>,
    /// Small files in the arena: item, its place, and its facts.
    small: Vec<(usize, Range<usize>, Facts)>,
    digests: Vec<[u8; 32]>,
    pieces: [Vec<u8>; 2],
}

impl<'a> Worker<'a> {
    fn new(shared: &'a Shared<'a>, readable: &'a Readable, number: usize) -> Self {
        Self {
            shared,
            inspector: Inspector::new(shared.settings.plan, readable, shared.flags),
            number,
            arena: Vec::new(),
            small: Vec::new(),
            digests: Vec::new(),
            pieces: [Vec::new(), Vec::new()],
        }
    }

    fn run(mut self) -> Tally {
        loop {
            let task = self.task();
            // Waiting for other workers is no waiting for the disk.
            let (began, cpu) = (Instant::now(), thread_cpu_nanos());
            match task {
                Task::Batch(number, batch) => self.batch(number, batch),
                Task::Large(files) => self.large(files.0, files.1),
                Task::End => return self.inspector.tally,
            }
            self.shared.rethink(began, cpu);
        }
    }

    /// Waits for something to do. Large files first, in pairs: older batches wait for them.
    fn task(&mut self) -> Task {
        let shared = self.shared;
        let mut queue = lock(&shared.queue);
        loop {
            if queue.stopped {
                return Task::End;
            }
            if queue.walked && queue.open == 0 {
                return Task::End;
            }
            // The first worker always takes part, so that whatever is open is done some time.
            if self.number >= shared.active.load(Ordering::Relaxed) {
                queue = shared.parked.wait(queue).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let may_take = !queue.walked && queue.open < WINDOW;
            if queue.large.len() >= 2 || !may_take {
                if let Some(first) = queue.large.pop_front() {
                    return Task::Large(Box::new((first, queue.large.pop_front())));
                }
            } else {
                queue.open += 1;
                drop(queue);
                return self.next_batch();
            }
            queue.waiting += 1;
            queue = shared.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
            queue.waiting -= 1;
        }
    }

    fn next_batch(&self) -> Task {
        let mut batch = Batch::default();
        let number = {
            let mut source = lock(&self.shared.walk);
            source.walk.fill(&mut batch);
            if batch.items.is_empty() {
                drop(source);
                self.shared.update(|queue| {
                    queue.walked = true;
                    queue.open -= 1;
                });
                return Task::Batch(u64::MAX, batch);
            }
            source.next += 1;
            source.next - 1
        };
        Task::Batch(number, batch)
    }

    fn batch(&mut self, number: u64, batch: Batch) {
        if batch.items.is_empty() {
            return;
        }
        let mut facts: Vec<Option<Facts>> = Vec::with_capacity(batch.items.len());
        let mut large: Vec<(usize, Facts, Content, Algorithm)> = Vec::new();
        for (at, item) in batch.items.iter().enumerate() {
            facts.push(None);
            match self.inspector.inspect(&batch, item) {
                Inspected::Nothing => {}
                Inspected::Done(done) => facts[at] = Some(done),
                Inspected::Reading(found, content, algorithm) => {
                    if let Some(rest) = self.read_small(at, found, content, algorithm, &mut facts) {
                        large.push(rest);
                    }
                }
            }
        }
        self.hash_small(&mut facts);
        self.shared
            .settings
            .progress
            .entries
            .fetch_add(batch.items.len() as u64, Ordering::Relaxed);
        if large.is_empty() {
            return self.complete(number, &batch, facts);
        }
        let open = Arc::new(Mutex::new(Open {
            number,
            batch,
            facts,
            left: large.len(),
        }));
        self.shared.update(|queue| {
            queue
                .large
                .extend(large.into_iter().map(|(at, facts, content, algorithm)| Large {
                    batch: Arc::clone(&open),
                    at,
                    facts,
                    content,
                    algorithm,
                }));
        });
    }

    /// Reads a small file whole. Gives back what must be read piece by piece.
    fn read_small(
        &mut self,
        at: usize,
        mut found: Facts,
        mut content: Content,
        algorithm: Algorithm,
        facts: &mut [Option<Facts>],
    ) -> Option<(usize, Facts, Content, Algorithm)> {
        let metadata = found.metadata?;
        if metadata.size > SMALL {
            return Some((at, found, content, algorithm));
        }
        self.arena.resize(ARENA, 0);
        let size = usize::try_from(metadata.size).unwrap_or(0);
        let mut start = self.small.last().map_or(0, |(_, place, _)| place.end);
        if start + size + 1 > ARENA {
            self.hash_small(facts);
            start = 0;
        }
        // One byte more than the size shows whether the file has grown, without another call.
        let room = start..start + size + 1;
        let mut end = start;
        while end < room.end {
            match content.read(&mut self.arena[end..room.end]) {
                Ok(0) => break,
                Ok(read) => end += read,
                Err(why) => {
                    found.unseen.push(format!("digest: {why}"));
                    facts[at] = Some(found);
                    return None;
                }
            }
            if end == start + size {
                break;
            }
        }
        if !content.is_unchanged(&metadata) {
            self.inspector
                .reread(&mut found, &mut content, algorithm, buffer(&mut self.pieces[0]));
            facts[at] = Some(found);
            return None;
        }
        self.inspector.hashed(algorithm, end as u64 - start as u64);
        if algorithm == Algorithm::Sha256 {
            self.small.push((at, start..end, found));
        } else {
            let mut hasher = Hasher::new(algorithm);
            hasher.update(&self.arena[start..end]);
            found.digest = Some(hasher.finish());
            facts[at] = Some(found);
        }
        None
    }

    fn hash_small(&mut self, facts: &mut [Option<Facts>]) {
        let messages: Vec<&[u8]> = self
            .small
            .iter()
            .map(|(_, place, _)| &self.arena[place.clone()])
            .collect();
        self.digests.clear();
        lanes::digest_all(&messages, &mut self.digests);
        let bytes: usize = messages.iter().map(|message| message.len()).sum();
        self.shared
            .settings
            .progress
            .bytes
            .fetch_add(bytes as u64, Ordering::Relaxed);
        for ((at, _, mut found), digest) in self.small.drain(..).zip(&self.digests) {
            found.digest = Some(Digest::Sha256(*digest));
            facts[at] = Some(found);
        }
    }

    /// Reads two large files side by side; when one ends, the next in the queue takes its place.
    fn large(&mut self, first: Large, second: Option<Large>) {
        let mut files = [Some(Stream::new(first)), second.map(Stream::new)];
        while files.iter().any(Option::is_some) {
            let mut read = [0, 0];
            for (slot, (buffer_of, read)) in files.iter_mut().zip(self.pieces.iter_mut().zip(&mut read)) {
                if slot.is_none() && !lock(&self.shared.queue).stopped {
                    *slot = lock(&self.shared.queue).large.pop_front().map(Stream::new);
                }
                if let Some(stream) = slot {
                    *read = stream.fill(buffer(buffer_of));
                }
            }
            let [left, right] = &self.pieces;
            let progress = &self.shared.settings.progress.bytes;
            progress.fetch_add((read[0] + read[1]) as u64, Ordering::Relaxed);
            match &mut files {
                [Some(a), Some(b)] => a.absorb_with(&left[..read[0]], b, &right[..read[1]]),
                [Some(a), None] => a.absorb(&left[..read[0]]),
                [None, Some(b)] => b.absorb(&right[..read[1]]),
                [None, None] => {}
            }
            for slot in &mut files {
                if slot.as_ref().is_some_and(|stream| stream.ended)
                    && let Some(stream) = slot.take()
                {
                    self.large_ended(stream);
                }
            }
        }
    }

    fn large_ended(&mut self, stream: Stream) {
        let Stream {
            mut file,
            hash,
            failure,
            ..
        } = stream;
        let before = file.facts.metadata;
        if let Some(why) = failure {
            file.facts.unseen.push(format!("digest: {why}"));
        } else if before.is_some_and(|before| file.content.is_unchanged(&before)) {
            file.facts.digest = Some(hash.finish());
            self.inspector.hashed(file.algorithm, file.content.position());
        } else {
            self.inspector.reread(
                &mut file.facts,
                &mut file.content,
                file.algorithm,
                buffer(&mut self.pieces[0]),
            );
        }
        drop(file.content);
        let mut open = lock(&file.batch);
        open.facts[file.at] = Some(file.facts);
        open.left -= 1;
        if open.left == 0 {
            let (batch, facts) = (std::mem::take(&mut open.batch), std::mem::take(&mut open.facts));
            let number = open.number;
            drop(open);
            self.complete(number, &batch, facts);
        }
    }

    /// Spells a batch's entries and hands them over.
    fn complete(&self, number: u64, batch: &Batch, facts: Vec<Option<Facts>>) {
        let mut encoded = Encoded::default();
        for (item, facts) in batch.items.iter().zip(facts) {
            let Some(facts) = facts else { continue };
            let path = batch.path(item);
            if is_linked(&facts) {
                encoded.pieces.push(Piece::Linked(path.to_vec(), Box::new(facts)));
            } else {
                let start = encoded.text.len();
                encode(
                    path,
                    &facts,
                    None,
                    &self.shared.settings.owners,
                    &mut encoded.text,
                );
                encoded.pieces.push(Piece::Line(start..encoded.text.len()));
            }
        }
        self.shared.hand_over(number, encoded);
    }
}

impl Shared<'_> {
    fn update(&self, change: impl FnOnce(&mut Queue)) {
        let mut queue = lock(&self.queue);
        change(&mut queue);
        if queue.waiting > 0 {
            self.changed.notify_all();
        }
        if queue.stopped || (queue.walked && queue.open == 0) {
            self.parked.notify_all();
        }
    }

    /// Puts a batch in line, and feeds the observer with all that is in line, unless another worker does.
    fn hand_over(&self, number: u64, encoded: Encoded) {
        let mut ready = lock(&self.ready);
        ready.batches.insert(number, encoded);
        if ready.feeding {
            return;
        }
        ready.feeding = true;
        loop {
            let next = ready.next;
            let Some(encoded) = ready.batches.remove(&next) else {
                break;
            };
            ready.next += 1;
            drop(ready);
            let fed = lock(&self.sink).feed(&encoded, self.settings);
            self.update(|queue| {
                queue.open -= 1;
                queue.stopped |= fed.is_err();
            });
            ready = lock(&self.ready);
        }
        ready.feeding = false;
    }

    /// Lets more workers take part if those at work mostly wait, and fewer if they do not. By Little's law, as
    /// many are needed to keep `threads` processors busy as `threads` times wall time over processor time.
    fn rethink(&self, began: Instant, cpu: u64) {
        if self.settings.depth.io_depth.is_some() {
            return;
        }
        let wall = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let total = self.load.wall.fetch_add(wall, Ordering::Relaxed) + wall;
        let busy = self
            .load
            .cpu
            .fetch_add(thread_cpu_nanos() - cpu, Ordering::Relaxed);
        if total < RETHINK {
            return;
        }
        self.load.wall.store(0, Ordering::Relaxed);
        self.load.cpu.store(0, Ordering::Relaxed);
        let threads = self.settings.depth.threads.max(1) as u64;
        let wanted = usize::try_from((threads * total).div_ceil(busy.max(1))).unwrap_or(self.most);
        // A little waiting is no reason: it would only add switches between threads.
        let wanted = if total < busy + busy / 3 {
            self.settings.depth.threads.max(1)
        } else {
            wanted
        };
        let wanted = wanted.clamp(self.settings.depth.threads.max(1), self.most);
        // Changed under the lock, or else a worker could look at the old number and miss the call.
        let queue = lock(&self.queue);
        if self.active.swap(wanted, Ordering::Relaxed) < wanted {
            self.parked.notify_all();
        }
        drop(queue);
    }
}

/// A buffer that takes its room when it is first used: most workers of an idle disk never do.
fn buffer(of: &mut Vec<u8>) -> &mut [u8] {
    of.resize(PIECE, 0);
    of
}

/// A lock whose holder panicked is taken all the same: the panic itself is passed on when threads are joined.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
