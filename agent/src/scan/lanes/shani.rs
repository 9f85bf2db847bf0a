//! The compression function for two states at a time, by the x86 SHA extensions.

use super::Block;
use std::arch::x86_64::{
    __m128i, _mm_add_epi32, _mm_alignr_epi8, _mm_extract_epi32, _mm_set_epi32, _mm_set_epi64x,
    _mm_setzero_si128, _mm_sha256msg1_epu32, _mm_sha256msg2_epu32, _mm_sha256rnds2_epu32, _mm_shuffle_epi8,
    _mm_shuffle_epi32, _mm_unpackhi_epi64, _mm_unpacklo_epi64,
};

/// Proof that this CPU has all that `interleaved` is compiled for: only `detect` makes one.
#[derive(Clone, Copy)]
pub(super) struct ShaNi(());

impl ShaNi {
    pub(super) fn detect() -> Option<Self> {
        (is_x86_feature_detected!("sha")
            && is_x86_feature_detected!("ssse3")
            && is_x86_feature_detected!("sse4.1"))
        .then_some(Self(()))
    }
}

/// Compresses as many blocks into each state as both runs have.
#[expect(unsafe_code, reason = "the callee is compiled for more than every x86_64 has")]
pub(super) fn compress_pair(
    _proof: ShaNi,
    a: &mut [u32; 8],
    a_blocks: &[Block],
    b: &mut [u32; 8],
    b_blocks: &[Block],
) {
    // SAFETY: the callee is safe code but for the CPU features in its `target_feature`: sha,
    // ssse3 and sse4.1. A `ShaNi` exists only where `detect` found all three, since its field
    // is private to this module and `detect` is the one place here that makes it.
    unsafe { interleaved(a, a_blocks, b, b_blocks) }
}

/// The round constants (FIPS 180-4, section 4.2.2): sixteen to a group, four to a step.
const K: [[[u32; 4]; 4]; 4] = [
    [
        [0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5],
        [0x3956_c25b, 0x59f1_11f1, 0x923f_82a4, 0xab1c_5ed5],
        [0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3],
        [0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174],
    ],
    [
        [0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc],
        [0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da],
        [0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7],
        [0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967],
    ],
    [
        [0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13],
        [0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85],
        [0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3],
        [0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070],
    ],
    [
        [0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5],
        [0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3],
        [0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208],
        [0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2],
    ],
];

/// For `_mm_shuffle_epi32`: swaps the words within each half.
const SWAP: i32 = 0b10_11_00_01;

/// For `_mm_shuffle_epi32`: moves the high half down.
const HIGH: i32 = 0b00_00_11_10;

/// One stream in registers.
#[derive(Clone, Copy)]
struct Lane {
    /// The working variables a, b, e and f, then c, d, g and h, each four from the most
    /// significant word down: the division that `sha256rnds2` works on.
    abef: __m128i,
    cdgh: __m128i,
    /// The latest sixteen words of the message schedule, earlier words lower.
    w: [__m128i; 4],
}

/// FIPS 180-4, section 6.2.2, for as many blocks as both runs have.
///
/// Both lanes take each step before either takes the next one, so that their instructions
/// lie close enough together for the CPU to overlap them.
#[target_feature(enable = "sha,ssse3,sse4.1")]
fn interleaved(a: &mut [u32; 8], a_blocks: &[Block], b: &mut [u32; 8], b_blocks: &[Block]) {
    let [unscheduled, scheduled @ ..] = &K;
    let mut a_lane = Lane::load(a);
    let mut b_lane = Lane::load(b);
    for (a_block, b_block) in a_blocks.iter().zip(b_blocks) {
        let (a_before, b_before) = (a_lane, b_lane);
        a_lane.w = load_block(a_block);
        b_lane.w = load_block(b_block);
        for (i, k) in unscheduled.iter().enumerate() {
            a_lane.four_rounds(i, k);
            b_lane.four_rounds(i, k);
        }
        for group in scheduled {
            for (i, k) in group.iter().enumerate() {
                a_lane.schedule(i);
                a_lane.four_rounds(i, k);
                b_lane.schedule(i);
                b_lane.four_rounds(i, k);
            }
        }
        a_lane.add(&a_before);
        b_lane.add(&b_before);
    }
    a_lane.store(a);
    b_lane.store(b);
}

impl Lane {
    #[inline]
    #[target_feature(enable = "sha,ssse3,sse4.1")]
    fn load(state: &[u32; 8]) -> Self {
        let s = state.map(u32::cast_signed);
        let abcd = _mm_set_epi32(s[3], s[2], s[1], s[0]);
        let efgh = _mm_set_epi32(s[7], s[6], s[5], s[4]);
        Self {
            abef: _mm_shuffle_epi32::<SWAP>(_mm_unpacklo_epi64(efgh, abcd)),
            cdgh: _mm_shuffle_epi32::<SWAP>(_mm_unpackhi_epi64(efgh, abcd)),
            w: [_mm_setzero_si128(); 4],
        }
    }

    #[inline]
    #[target_feature(enable = "sha,ssse3,sse4.1")]
    fn store(&self, state: &mut [u32; 8]) {
        let abef = _mm_shuffle_epi32::<SWAP>(self.abef);
        let cdgh = _mm_shuffle_epi32::<SWAP>(self.cdgh);
        let abcd = _mm_unpackhi_epi64(abef, cdgh);
        let efgh = _mm_unpacklo_epi64(abef, cdgh);
        *state = [
            _mm_extract_epi32::<0>(abcd),
            _mm_extract_epi32::<1>(abcd),
            _mm_extract_epi32::<2>(abcd),
            _mm_extract_epi32::<3>(abcd),
            _mm_extract_epi32::<0>(efgh),
            _mm_extract_epi32::<1>(efgh),
            _mm_extract_epi32::<2>(efgh),
            _mm_extract_epi32::<3>(efgh),
        ]
        .map(i32::cast_unsigned);
    }

    /// Four rounds with the schedule words `w[i]` and their constants. `sha256rnds2` does two
    /// rounds with the low half of its last operand; as they turn the old a, b, e, f into the
    /// new c, d, g, h, the two vectors swap roles from one call to the next.
    #[inline]
    #[target_feature(enable = "sha,ssse3,sse4.1")]
    fn four_rounds(&mut self, i: usize, k: &[u32; 4]) {
        let [k0, k1, k2, k3] = k.map(u32::cast_signed);
        let low = _mm_add_epi32(self.w[i], _mm_set_epi32(k3, k2, k1, k0));
        let high = _mm_shuffle_epi32::<HIGH>(low);
        self.cdgh = _mm_sha256rnds2_epu32(self.cdgh, self.abef, low);
        self.abef = _mm_sha256rnds2_epu32(self.abef, self.cdgh, high);
    }

    /// Puts the next four schedule words where the oldest four are, at `w[i]`: each is
    /// sigma1(w[t-2]) + w[t-7] + sigma0(w[t-15]) + w[t-16]. `sha256msg1` adds up the last two
    /// terms and `sha256msg2` adds the first.
    #[inline]
    #[target_feature(enable = "sha,ssse3,sse4.1")]
    fn schedule(&mut self, i: usize) {
        let [w16, w12, w8, w4] = [0, 1, 2, 3].map(|back| self.w[(i + back) % 4]);
        let w7 = _mm_alignr_epi8::<4>(w4, w8);
        let sum = _mm_add_epi32(_mm_sha256msg1_epu32(w16, w12), w7);
        self.w[i] = _mm_sha256msg2_epu32(sum, w4);
    }

    /// Ends a block: adds the working variables to the hash value from before it.
    #[inline]
    #[target_feature(enable = "sha,ssse3,sse4.1")]
    fn add(&mut self, before: &Self) {
        self.abef = _mm_add_epi32(self.abef, before.abef);
        self.cdgh = _mm_add_epi32(self.cdgh, before.cdgh);
    }
}

/// The block's sixteen big-endian words (FIPS 180-4, section 5.2.1). Each vector is put
/// together from two integers because that is safe code; it compiles to one unaligned load.
#[inline]
#[target_feature(enable = "sha,ssse3,sse4.1")]
fn load_block(block: &Block) -> [__m128i; 4] {
    let swap_words = _mm_set_epi64x(0x0c0d_0e0f_0809_0a0b, 0x0405_0607_0001_0203);
    let halves = block.as_chunks().0;
    [0, 2, 4, 6].map(|i| {
        let low = i64::from_le_bytes(halves[i]);
        let high = i64::from_le_bytes(halves[i + 1]);
        _mm_shuffle_epi8(_mm_set_epi64x(high, low), swap_words)
    })
}
