//! SHA-256 (FIPS 180-4) of two independent byte streams, interleaved on one core.
//!
//! A SHA-256 state is one long dependency chain: each `sha256rnds2` needs the result of the one
//! before it, so a single stream leaves the CPU's SHA unit idle for about half the time. Feeding
//! the unit two unrelated streams by turns fills those gaps (measured at 1.5 times the bytes per
//! second of one stream on Zen 5). The digests are the ordinary ones: the streams share no data,
//! only time.
//!
//! Where the CPU has no SHA extensions, or is no `x86_64`, every function here gives the same
//! results by way of the `sha2` crate, one stream after the other; [`interleaves`] tells which.
//!
//! The one `unsafe` block is the call into the routine compiled for the SHA extensions. It is
//! reached only through a `ShaNi` value, which nothing but successful detection makes.

use sha2::block_api::compress256;
use std::cmp::min;
use std::fmt;

#[cfg(target_arch = "x86_64")]
mod shani;

/// No other architecture interleaves yet: a `ShaNi` that cannot exist, so nothing to call.
#[cfg(not(target_arch = "x86_64"))]
mod shani {
    use super::Block;

    #[derive(Clone, Copy)]
    pub(crate) enum ShaNi {}

    impl ShaNi {
        pub(crate) fn detect() -> Option<Self> {
            None
        }
    }

    pub(crate) fn compress_pair(proof: ShaNi, _: &mut [u32; 8], _: &[Block], _: &mut [u32; 8], _: &[Block]) {
        match proof {}
    }
}

#[cfg(test)]
mod tests;

use self::shani::ShaNi;

/// Bytes in a block, the unit that the compression function takes (FIPS 180-4, section 1).
const BLOCK: usize = 64;

/// Bytes of a block that the message length takes in the last one (FIPS 180-4, section 5.1.1).
const LENGTH: usize = 8;

type Block = [u8; BLOCK];

/// Whether this CPU interleaves two streams; if not, pairs are hashed one after the other.
///
/// Results never depend on it. It is for a caller that chooses between pairing streams and, say,
/// using more threads. The standard library caches the detection, so asking again costs a load.
#[must_use]
#[cfg(test)]
pub(crate) fn interleaves() -> bool {
    ShaNi::detect().is_some()
}

/// The eight words that SHA-256 carries from block to block (FIPS 180-4, section 6.2.2).
///
/// It knows nothing of padding: use a [`Hasher`] or [`digest_all`] unless the blocks are already
/// padded.
#[derive(Clone)]
pub(crate) struct State([u32; 8]);

impl State {
    /// The initial hash value (FIPS 180-4, section 5.3.3).
    #[must_use]
    pub(crate) const fn new() -> Self {
        Self([
            0x6a09_e667,
            0xbb67_ae85,
            0x3c6e_f372,
            0xa54f_f53a,
            0x510e_527f,
            0x9b05_688c,
            0x1f83_d9ab,
            0x5be0_cd19,
        ])
    }

    /// The words as bytes, most significant first (FIPS 180-4, section 3.1): the digest, once the
    /// padding has been compressed too.
    #[must_use]
    pub(crate) fn to_bytes(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for (to, word) in bytes.as_chunks_mut().0.iter_mut().zip(self.0) {
            *to = word.to_be_bytes();
        }
        bytes
    }
}

impl Default for State {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for State {
    /// Hides the words: they are derived from content that may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").finish_non_exhaustive()
    }
}

/// Compresses all of `a_blocks` into `a` and all of `b_blocks` into `b` (FIPS 180-4, section
/// 6.2.2).
///
/// As many blocks as both have are interleaved, and the rest of the longer run follows alone, so
/// that callers need not cut their runs to one length.
#[cfg(test)]
pub(crate) fn compress_pair(a: &mut State, a_blocks: &[Block], b: &mut State, b_blocks: &[Block]) {
    compress_pair_on(ShaNi::detect(), a, a_blocks, b, b_blocks);
}

fn compress_pair_on(
    cpu: Option<ShaNi>,
    a: &mut State,
    a_blocks: &[Block],
    b: &mut State,
    b_blocks: &[Block],
) {
    let both = cpu.map_or(0, |_| min(a_blocks.len(), b_blocks.len()));
    let (a_both, a_rest) = a_blocks.split_at(both);
    let (b_both, b_rest) = b_blocks.split_at(both);
    if let Some(proof) = cpu
        && both > 0
    {
        shani::compress_pair(proof, &mut a.0, a_both, &mut b.0, b_both);
    }
    compress(a, a_rest);
    compress(b, b_rest);
}

/// One stream alone, which the `sha2` crate does as fast as this CPU can. Often there is nothing
/// to do, and then not even the call is made.
fn compress(state: &mut State, blocks: &[Block]) {
    if !blocks.is_empty() {
        compress256(&mut state.0, blocks);
    }
}

/// A SHA-256 computation over a stream that arrives in pieces of any size.
///
/// Two of them can be fed at once with [`update_pair`]; alone, one is as fast as the `sha2` crate.
#[derive(Clone)]
pub(crate) struct Hasher {
    state: State,
    /// Bytes absorbed so far, those in `buffer` included. FIPS 180-4 defines SHA-256 for fewer
    /// than 2^64 bits, which no real stream reaches; past that the count wraps.
    length: u64,
    /// Its first `filled` bytes are the start of the next block.
    buffer: Block,
    /// Less than `BLOCK` between calls: a full block is compressed at once.
    filled: usize,
}

impl Hasher {
    /// A computation that has absorbed nothing yet.
    #[must_use]
    pub(crate) const fn new() -> Self {
        Self {
            state: State::new(),
            length: 0,
            buffer: [0; BLOCK],
            filled: 0,
        }
    }

    /// Absorbs `data`. Any division of a stream into such pieces gives the same digest.
    pub(crate) fn update(&mut self, data: &[u8]) {
        let (first, rest) = self.take_blocks(data);
        compress(&mut self.state, first.as_slice());
        compress(&mut self.state, rest);
    }

    /// The digest of everything absorbed.
    #[must_use]
    pub(crate) fn finish(mut self) -> [u8; 32] {
        let tail = self.tail();
        compress(&mut self.state, tail.blocks());
        self.state.to_bytes()
    }

    /// Counts `data` in and returns the blocks that it completes, for the caller to compress in
    /// this order: the buffered one if it filled up, then those that lie whole in `data`. What
    /// is left over is buffered.
    fn take_blocks<'d>(&mut self, mut data: &'d [u8]) -> (Option<Block>, &'d [Block]) {
        // A slice is at most isize::MAX bytes long, so the conversion loses nothing.
        self.length = self.length.wrapping_add(data.len() as u64);
        let mut first = None;
        if self.filled > 0 {
            let missing = &mut self.buffer[self.filled..];
            let (now, later) = data.split_at(min(missing.len(), data.len()));
            missing[..now.len()].copy_from_slice(now);
            self.filled += now.len();
            data = later;
            if self.filled < BLOCK {
                return (None, &[]);
            }
            first = Some(self.buffer);
        }
        let (whole, rest) = data.as_chunks();
        self.buffer[..rest.len()].copy_from_slice(rest);
        self.filled = rest.len();
        (first, whole)
    }

    fn tail(&self) -> Tail {
        Tail::new(&self.buffer[..self.filled], self.length)
    }
}

impl Default for Hasher {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Hasher {
    /// Hides the state and the buffer: they hold content that may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hasher")
            .field("length", &self.length)
            .finish_non_exhaustive()
    }
}

/// Absorbs all of `a_data` into `a` and all of `b_data` into `b`, interleaving what both have.
///
/// The lengths and what either has buffered may differ; pieces of like length gain the most,
/// since what one has beyond the other is hashed alone.
pub(crate) fn update_pair(a: &mut Hasher, a_data: &[u8], b: &mut Hasher, b_data: &[u8]) {
    update_pair_on(ShaNi::detect(), a, a_data, b, b_data);
}

fn update_pair_on(cpu: Option<ShaNi>, a: &mut Hasher, a_data: &[u8], b: &mut Hasher, b_data: &[u8]) {
    let (a_first, a_whole) = a.take_blocks(a_data);
    let (b_first, b_whole) = b.take_blocks(b_data);
    // A completed buffer is compressed beside the other's, or else beside one of the other's
    // whole blocks, so that neither goes alone while the other stream has work.
    let (a_first, a_rest) = split_first(a_first.as_ref(), a_whole, b_first.is_some());
    let (b_first, b_rest) = split_first(b_first.as_ref(), b_whole, a_first.len() == 1);
    compress_pair_on(cpu, &mut a.state, a_first, &mut b.state, b_first);
    compress_pair_on(cpu, &mut a.state, a_rest, &mut b.state, b_rest);
}

/// Divides a stream's blocks into a first step of at most one block and the rest: the step is the
/// completed buffer, or, if the other stream wants `company`, the first whole block.
fn split_first<'d>(
    buffered: Option<&'d Block>,
    whole: &'d [Block],
    company: bool,
) -> (&'d [Block], &'d [Block]) {
    match buffered {
        Some(block) => (std::slice::from_ref(block), whole),
        None => whole.split_at(min(usize::from(company), whole.len())),
    }
}

/// The digests of everything that `a` and `b` absorbed, their last blocks interleaved.
#[must_use]
#[cfg(test)]
pub(crate) fn finish_pair(a: Hasher, b: Hasher) -> ([u8; 32], [u8; 32]) {
    finish_pair_on(ShaNi::detect(), a, b)
}

#[cfg(test)]
fn finish_pair_on(cpu: Option<ShaNi>, mut a: Hasher, mut b: Hasher) -> ([u8; 32], [u8; 32]) {
    let (a_tail, b_tail) = (a.tail(), b.tail());
    compress_pair_on(cpu, &mut a.state, a_tail.blocks(), &mut b.state, b_tail.blocks());
    (a.state.to_bytes(), b.state.to_bytes())
}

/// The end of a message: its last incomplete block and the padding (FIPS 180-4, section 5.1.1).
struct Tail {
    blocks: [Block; 2],
    /// Whether the length did not fit behind the message's bytes and takes a second block.
    two: bool,
}

impl Tail {
    /// `rest` is what follows the message's last whole block; `length` counts the whole message.
    fn new(rest: &[u8], length: u64) -> Self {
        let two = rest.len() >= BLOCK - LENGTH;
        let mut blocks = [[0; BLOCK]; 2];
        blocks[0][..rest.len()].copy_from_slice(rest);
        blocks[0][rest.len()] = 0x80;
        blocks[usize::from(two)][BLOCK - LENGTH..].copy_from_slice(&length.wrapping_mul(8).to_be_bytes());
        Self { blocks, two }
    }

    fn blocks(&self) -> &[Block] {
        &self.blocks[..=usize::from(self.two)]
    }
}

/// Replaces the content of `out` with the digests of `messages`, in their order.
///
/// Two messages are hashed at a time, and when one ends the next takes its place, so lengths may
/// be mixed freely. Only the message that ends last is partly hashed alone: where one is much
/// longer than the others, put it first.
pub(crate) fn digest_all(messages: &[&[u8]], out: &mut Vec<[u8; 32]>) {
    digest_all_on(ShaNi::detect(), messages, out);
}

fn digest_all_on(cpu: Option<ShaNi>, messages: &[&[u8]], out: &mut Vec<[u8; 32]>) {
    out.clear();
    out.resize(messages.len(), [0; 32]);
    let mut jobs = messages.iter().zip(out).map(|(m, out)| Job::new(m, out));
    let mut a_lane = jobs.next();
    let mut b_lane = jobs.next();
    while let (Some(a), Some(b)) = (&mut a_lane, &mut b_lane) {
        let (a_state, a_run) = a.next_run();
        let (b_state, b_run) = b.next_run();
        let n = min(a_run.len(), b_run.len());
        compress_pair_on(cpu, a_state, &a_run[..n], b_state, &b_run[..n]);
        if a.advance(n) {
            a_lane = jobs.next();
        }
        if b.advance(n) {
            b_lane = jobs.next();
        }
    }
    for mut job in [a_lane, b_lane].into_iter().flatten() {
        loop {
            let (state, run) = job.next_run();
            let n = run.len();
            compress(state, run);
            if job.advance(n) {
                break;
            }
        }
    }
}

/// A whole message on its way through a lane.
struct Job<'m> {
    state: State,
    /// The whole blocks still to compress.
    body: &'m [Block],
    /// What follows them, of which `tail_done` blocks are compressed.
    tail: Tail,
    tail_done: usize,
    /// Where the digest goes.
    out: &'m mut [u8; 32],
}

impl<'m> Job<'m> {
    fn new(message: &'m [u8], out: &'m mut [u8; 32]) -> Self {
        let (body, rest) = message.as_chunks();
        Self {
            state: State::new(),
            body,
            tail: Tail::new(rest, message.len() as u64),
            tail_done: 0,
            out,
        }
    }

    /// The state and the blocks that it takes next: never none before the job has ended.
    fn next_run(&mut self) -> (&mut State, &[Block]) {
        let run = if self.body.is_empty() {
            &self.tail.blocks()[self.tail_done..]
        } else {
            self.body
        };
        (&mut self.state, run)
    }

    /// Takes note that `n` blocks of the run were compressed. Gives the digest out and returns
    /// true if they were the last.
    fn advance(&mut self, n: usize) -> bool {
        if self.body.is_empty() {
            self.tail_done += n;
        } else {
            self.body = &self.body[n..];
        }
        let ended = self.body.is_empty() && self.tail_done == self.tail.blocks().len();
        if ended {
            *self.out = self.state.to_bytes();
        }
        ended
    }
}
