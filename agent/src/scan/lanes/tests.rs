//! Every test runs on the path this CPU takes and on the fallback, against the `sha2` crate or
//! published digests.

use super::*;
use proptest::collection::vec;
use proptest::prelude::*;
use sha2::{Digest, Sha256};

/// The fallback and what this CPU does, which may be the same.
fn paths() -> [Option<ShaNi>; 2] {
    [None, ShaNi::detect()]
}

fn reference(message: &[u8]) -> [u8; 32] {
    Sha256::digest(message).into()
}

/// Bytes that no two offsets or seeds share a long run of.
fn bytes(len: usize, seed: u32) -> Vec<u8> {
    let mut x = seed.wrapping_mul(0x9e37_79b9) | 1;
    std::iter::repeat_with(|| {
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        x.to_le_bytes()[1]
    })
    .take(len)
    .collect()
}

fn hex(digest: [u8; 32]) -> String {
    digest
        .iter()
        .fold(String::new(), |hex, b| format!("{hex}{b:02x}"))
}

fn all(cpu: Option<ShaNi>, messages: &[&[u8]]) -> Vec<[u8; 32]> {
    // What was in the vector before must not matter.
    let mut out = vec![[7; 32]; 3];
    digest_all_on(cpu, messages, &mut out);
    out
}

/// The empty message of NIST's validation suite, those of FIPS 180-2, appendix B, and some of
/// NIST's additional examples, chosen for the lengths at which the padding changes.
fn published() -> Vec<(Vec<u8>, &'static str)> {
    vec![
        (
            vec![],
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        ),
        (
            b"abc".to_vec(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        ),
        (
            b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq".to_vec(),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
        ),
        (
            b"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmn\
              hijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu"
                .to_vec(),
            "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1",
        ),
        (
            vec![b'a'; 1_000_000],
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0",
        ),
        (
            vec![0xbd],
            "68325720aabd7c82f30f554b313d0570c95accbb7dc4b5aae11204c08ffe732b",
        ),
        (
            vec![0; 55],
            "02779466cdec163811d078815c633f21901413081449002f24aa3e80f0b88ef7",
        ),
        (
            vec![0; 56],
            "d4817aa5497628e7c77e6b606107042bbba3130888c5f47a375e6179be789fbb",
        ),
        (
            vec![0; 57],
            "65a16cb7861335d5ace3c60718b5052e44660726da4cd13bb745381b235a1785",
        ),
        (
            vec![0; 64],
            "f5a5fd42d16a20302798ef6ed309979b43003d2320d9f0e8ea9831a92759fb4b",
        ),
        (
            vec![0; 1000],
            "541b3e9daa09b20bf85fa273e5cbd3e80185aa4ec298e765db87742b70138a53",
        ),
    ]
}

#[test]
fn published_digests() {
    let published = published();
    let messages: Vec<&[u8]> = published.iter().map(|(m, _)| m.as_slice()).collect();
    for cpu in paths() {
        let digests = all(cpu, &messages);
        for ((message, expected), digest) in published.iter().zip(digests) {
            assert_eq!(hex(digest), *expected, "{} bytes in digest_all", message.len());
            let (mut a, mut b) = (Hasher::new(), Hasher::default());
            update_pair_on(cpu, &mut a, message, &mut b, message);
            let (a, b) = finish_pair_on(cpu, a, b);
            assert_eq!(hex(a), *expected, "{} bytes in lane a", message.len());
            assert_eq!(hex(b), *expected, "{} bytes in lane b", message.len());
        }
    }
    for (message, expected) in &published {
        let mut hasher = Hasher::new();
        hasher.update(message);
        assert_eq!(hex(hasher.finish()), *expected, "{} bytes alone", message.len());
    }
}

#[test]
fn all_pairs_of_short_lengths() {
    // Off by one, so that no message is aligned.
    let (a_bytes, b_bytes) = (bytes(201, 1), bytes(201, 2));
    let (a_bytes, b_bytes) = (&a_bytes[1..], &b_bytes[1..]);
    let a_expected: Vec<_> = (0..=200).map(|n| reference(&a_bytes[..n])).collect();
    let b_expected: Vec<_> = (0..=200).map(|n| reference(&b_bytes[..n])).collect();
    for cpu in paths() {
        for (a_len, a_expected) in a_expected.iter().enumerate() {
            for (b_len, b_expected) in b_expected.iter().enumerate() {
                let (a_data, b_data) = (&a_bytes[..a_len], &b_bytes[..b_len]);
                let expected = (*a_expected, *b_expected);
                let (mut a, mut b) = (Hasher::new(), Hasher::new());
                update_pair_on(cpu, &mut a, a_data, &mut b, b_data);
                assert_eq!(finish_pair_on(cpu, a, b), expected, "{a_len} and {b_len}");
                let digests = all(cpu, &[a_data, b_data]);
                assert_eq!(digests, [expected.0, expected.1], "{a_len} and {b_len}");
            }
        }
    }
}

#[test]
fn every_buffer_filling_beside_every_other() {
    let data = bytes(64 + 200, 3);
    let fillings = [0, 1, 2, 31, 32, 33, 55, 56, 62, 63, 64];
    let cuts = [0, 1, 2, 31, 32, 33, 62, 63, 64, 65, 127, 128, 129, 200];
    for cpu in paths() {
        for a_filled in fillings {
            for b_filled in fillings {
                for (a_more, b_more) in cuts.iter().flat_map(|a| cuts.map(|b| (*a, b))) {
                    let a_data = &data[..a_filled + a_more];
                    let b_data = &data[..b_filled + b_more];
                    let (mut a, mut b) = (Hasher::new(), Hasher::new());
                    a.update(&a_data[..a_filled]);
                    b.update(&b_data[..b_filled]);
                    update_pair_on(cpu, &mut a, &a_data[a_filled..], &mut b, &b_data[b_filled..]);
                    // The state and buffer say the same as the digest would, and cost less.
                    let (mut a_one, mut b_one) = (Hasher::new(), Hasher::new());
                    a_one.update(a_data);
                    b_one.update(b_data);
                    for (pair, one) in [(&a, &a_one), (&b, &b_one)] {
                        assert_eq!(pair.state.0, one.state.0);
                        assert_eq!(pair.length, one.length);
                        assert_eq!(pair.filled, one.filled);
                        assert_eq!(pair.buffer[..pair.filled], one.buffer[..one.filled]);
                    }
                }
            }
        }
    }
}

#[test]
fn padding_at_every_length() {
    for len in 0..BLOCK {
        let rest = bytes(len, 4);
        let total = (1 << 29) + len as u64;
        let tail = Tail::new(&rest, total);
        let padded = tail.blocks().as_flattened();
        assert_eq!(padded.len(), if len < 56 { 64 } else { 128 });
        let (message, padding) = padded.split_at(len);
        assert_eq!(message, rest);
        let (zeros, length) = padding[1..].split_at(padding.len() - 9);
        assert_eq!(padding[0], 0x80);
        assert!(zeros.iter().all(|b| *b == 0));
        // A length in bits of more than 32 bits.
        assert_eq!(length, ((1_u64 << 32) + 8 * len as u64).to_be_bytes());
    }
}

#[test]
fn debug_output_holds_no_content() {
    let mut hasher = Hasher::new();
    hasher.update(b"secret");
    assert_eq!(format!("{hasher:?}"), "Hasher { length: 6, .. }");
    assert_eq!(format!("{:?}", State::new()), "State { .. }");
}

#[cfg(target_arch = "x86_64")]
#[test]
fn interleaves_where_the_cpu_can() {
    let can = is_x86_feature_detected!("sha")
        && is_x86_feature_detected!("ssse3")
        && is_x86_feature_detected!("sse4.1");
    assert_eq!(interleaves(), can);
}

/// Cuts `data` into pieces at the given places, taken modulo what is left.
fn pieces<'d>(mut data: &'d [u8], cuts: &[usize]) -> Vec<&'d [u8]> {
    let mut pieces = Vec::new();
    for cut in cuts {
        let (piece, rest) = data.split_at(cut % (data.len() + 1));
        pieces.push(piece);
        data = rest;
    }
    pieces.push(data);
    pieces
}

fn blocks(max: usize) -> impl Strategy<Value = Vec<Block>> {
    vec(any::<[u8; 32]>(), 0..=2 * max).prop_map(|halves| {
        let (blocks, _) = halves.as_flattened().as_chunks();
        blocks.to_vec()
    })
}

proptest! {
    #[test]
    fn any_blocks_into_any_states(
        a_words in any::<[u32; 8]>(),
        b_words in any::<[u32; 8]>(),
        a_blocks in blocks(12),
        b_blocks in blocks(12),
    ) {
        let (mut a_expected, mut b_expected) = (a_words, b_words);
        compress256(&mut a_expected, &a_blocks);
        compress256(&mut b_expected, &b_blocks);
        for cpu in paths() {
            let (mut a, mut b) = (State(a_words), State(b_words));
            compress_pair_on(cpu, &mut a, &a_blocks, &mut b, &b_blocks);
            prop_assert_eq!(a.0, a_expected);
            prop_assert_eq!(b.0, b_expected);
        }
    }

    #[test]
    fn any_lengths_in_any_pieces(
        a_data in vec(any::<u8>(), 0..5000),
        b_data in vec(any::<u8>(), 0..5000),
        cuts in vec((0..700_usize, 0..700_usize), 0..20),
        alone in vec(any::<bool>(), 21),
    ) {
        let (a_cuts, b_cuts): (Vec<_>, Vec<_>) = cuts.into_iter().unzip();
        let expected = (reference(&a_data), reference(&b_data));
        for cpu in paths() {
            let (mut a, mut b) = (Hasher::new(), Hasher::new());
            let pairs = pieces(&a_data, &a_cuts).into_iter().zip(pieces(&b_data, &b_cuts));
            for ((a_piece, b_piece), alone) in pairs.zip(&alone) {
                if *alone {
                    a.update(a_piece);
                    b.update(b_piece);
                } else {
                    update_pair_on(cpu, &mut a, a_piece, &mut b, b_piece);
                }
            }
            prop_assert_eq!((a.clone().finish(), b.clone().finish()), expected);
            prop_assert_eq!(finish_pair_on(cpu, a, b), expected);
        }
    }

    #[test]
    fn any_messages(messages in vec(
        prop_oneof![vec(any::<u8>(), 0..200), vec(any::<u8>(), 0..3000)],
        0..=50,
    )) {
        let messages: Vec<&[u8]> = messages.iter().map(Vec::as_slice).collect();
        let expected: Vec<_> = messages.iter().map(|m| reference(m)).collect();
        for cpu in paths() {
            prop_assert_eq!(&all(cpu, &messages), &expected);
        }
    }

    #[test]
    fn public_functions_agree(
        a_data in vec(any::<u8>(), 0..3000),
        b_data in vec(any::<u8>(), 0..3000),
        a_blocks in blocks(4),
        b_blocks in blocks(4),
    ) {
        let expected = (reference(&a_data), reference(&b_data));
        let (mut a, mut b) = (Hasher::new(), Hasher::new());
        update_pair(&mut a, &a_data, &mut b, &b_data);
        prop_assert_eq!(finish_pair(a, b), expected);
        let mut out = Vec::new();
        digest_all(&[&a_data, &b_data], &mut out);
        prop_assert_eq!(out, [expected.0, expected.1]);

        let (mut a, mut b) = (State::new(), State::default());
        compress_pair(&mut a, &a_blocks, &mut b, &b_blocks);
        let (mut a_alone, mut b_alone) = (State::new(), State::new());
        compress(&mut a_alone, &a_blocks);
        compress(&mut b_alone, &b_blocks);
        prop_assert_eq!(a.to_bytes(), a_alone.to_bytes());
        prop_assert_eq!(b.to_bytes(), b_alone.to_bytes());
    }
}
