//! The two checksums of ext4's metadata, in the raw form that its structures hold: no inversion, neither before nor
//! after, so that a sum over one part is the seed of the next.

/// CRC-32C (Castagnoli, RFC 3720 appendix B.4), continued from `seed`.
pub(super) fn crc32c(seed: u32, bytes: &[u8]) -> u32 {
    let (eights, rest) = bytes.as_chunks::<8>();
    let mut crc = seed;
    for &[a, b, c, d, e, f, g, h] in eights {
        let [a, b, c, d] = (crc ^ u32::from_le_bytes([a, b, c, d])).to_le_bytes();
        crc = CRC32C[7][usize::from(a)]
            ^ CRC32C[6][usize::from(b)]
            ^ CRC32C[5][usize::from(c)]
            ^ CRC32C[4][usize::from(d)]
            ^ CRC32C[3][usize::from(e)]
            ^ CRC32C[2][usize::from(f)]
            ^ CRC32C[1][usize::from(g)]
            ^ CRC32C[0][usize::from(h)];
    }
    for byte in rest {
        let [low, ..] = crc.to_le_bytes();
        crc = crc >> 8 ^ CRC32C[0][usize::from(low ^ byte)];
    }
    crc
}

/// The same with 16 bits at each of these places read as zeros: where the checksum itself is. They are in order and
/// inside.
pub(super) fn crc32c_blanking(seed: u32, bytes: &[u8], blanks: &[usize]) -> u32 {
    let (mut crc, mut from) = (seed, 0);
    for blank in blanks {
        crc = crc32c(crc, bytes.get(from..*blank).unwrap_or_default());
        crc = crc32c(crc, &[0; 2]);
        from = blank + 2;
    }
    crc32c(crc, bytes.get(from..).unwrap_or_default())
}

/// CRC-16 with the polynomial 0x8005, reflected, continued from `seed`: of group descriptors before CRC-32C.
pub(super) fn crc16(seed: u16, bytes: &[u8]) -> u16 {
    bytes.iter().fold(seed, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte), |crc, _| {
            crc >> 1 ^ if crc & 1 == 1 { 0xa001 } else { 0 }
        })
    })
}

/// `CRC32C[n][byte]`: what `byte` becomes after `n` more bytes of zero.
static CRC32C: [[u32; 256]; 8] = tables();

const fn tables() -> [[u32; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut byte = 0;
    let mut value = 0_u32;
    while byte < 256 {
        let mut crc = value;
        let mut bit = 0;
        while bit < 8 {
            crc = crc >> 1 ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 };
            bit += 1;
        }
        tables[0][byte] = crc;
        byte += 1;
        value += 1;
    }
    let mut later = 1;
    while later < 8 {
        byte = 0;
        while byte < 256 {
            let before = tables[later - 1][byte];
            tables[later][byte] = before >> 8 ^ tables[0][(before & 255) as usize];
            byte += 1;
        }
        later += 1;
    }
    tables
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sums_are_those_of_the_catalogue() {
        assert_eq!(!crc32c(!0, b"123456789"), 0xe306_9283);
        // RFC 3720, appendix B.4: 32 bytes of zeros.
        assert_eq!(!crc32c(!0, &[0; 32]), 0x8a91_36aa);
        assert_eq!(crc16(0, b"123456789"), 0xbb3d);
        assert_eq!(crc16(!0, b"123456789"), 0x4b37);
    }

    proptest! {
        #[test]
        fn parts_add_up(bytes: Vec<u8>, cut: prop::sample::Index) {
            let (head, tail) = bytes.split_at(cut.index(bytes.len() + 1));
            prop_assert_eq!(crc32c(crc32c(7, head), tail), crc32c(7, &bytes));
            prop_assert_eq!(crc16(crc16(7, head), tail), crc16(7, &bytes));
        }

        #[test]
        fn blanks_are_zeros(mut bytes in prop::collection::vec(any::<u8>(), 20..200), at in 0..16_usize) {
            let blanked = crc32c_blanking(1, &bytes, &[at, at + 2]);
            bytes[at..at + 4].fill(0);
            prop_assert_eq!(blanked, crc32c(1, &bytes));
        }
    }
}
