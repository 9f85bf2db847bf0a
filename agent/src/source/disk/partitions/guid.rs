//! GUIDs, and those of root partitions.

use std::fmt;

/// A GUID, as the number that its text spells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Guid(pub u128);

impl Guid {
    /// The type of an entry that is not used.
    pub const ZERO: Self = Self(0);

    /// From the bytes on disk: the first three fields are little endian, the rest is in the order of the text
    /// (UEFI 2.10, appendix A).
    #[must_use]
    pub const fn of(b: [u8; 16]) -> Self {
        Self(u128::from_be_bytes([
            b[3], b[2], b[1], b[0], b[5], b[4], b[7], b[6], b[8], b[9], b[10], b[11], b[12], b[13], b[14],
            b[15],
        ]))
    }
}

impl fmt::Display for Guid {
    /// `0FC63DAF-8483-4772-8E79-3D69D8477DE4`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = format!("{:032X}", self.0);
        for (at, digit) in digits.chars().enumerate() {
            if matches!(at, 8 | 12 | 16 | 20) {
                f.write_str("-")?;
            }
            write!(f, "{digit}")?;
        }
        Ok(())
    }
}

/// The type of any Linux file system.
pub(super) const LINUX: Guid = Guid(0x0FC6_3DAF_8483_4772_8E79_3D69_D847_7DE4);

/// The types of root partitions of all architectures (Discoverable Partitions Specification, "Defined Partition
/// Type UUIDs"). Not those of `/usr`, of which a host's root is not made.
pub(super) const ROOTS: [Guid; 21] = [
    // Alpha, ARC, 32-bit ARM, 64-bit ARM.
    Guid(0x6523_F8AE_3EB1_4E2A_A05A_18B6_95AE_656F),
    Guid(0xD27F_46ED_2919_4CB8_BD25_9531_F3C1_6534),
    Guid(0x69DA_D710_2CE4_4E3C_B16C_21A1_D49A_BED3),
    Guid(0xB921_B045_1DF0_41C3_AF44_4C6F_280D_3FAE),
    // Itanium, LoongArch.
    Guid(0x993D_8D3D_F80E_4225_855A_9DAF_8ED7_EA97),
    Guid(0x7705_5800_792C_4F94_B39A_98C9_1B76_2BB6),
    // MIPS: big endian of 32 and 64 bits, little endian of 32 and 64 bits.
    Guid(0xE943_4544_6E2C_47CC_BAE2_12D6_DEAF_B44C),
    Guid(0xD113_AF76_80EF_41B4_BDB6_0CFF_4D3D_4A25),
    Guid(0x37C5_8C8A_D913_4156_A25F_48B1_B64E_07F0),
    Guid(0x700B_DA43_7A34_4507_B179_EEB9_3D7A_7CA3),
    // PA-RISC; PowerPC of 32 and 64 bits, and of 64 bits in little endian.
    Guid(0x1AAC_DB3B_5444_4138_BD9E_E5C2_239B_2346),
    Guid(0x1DE3_F1EF_FA98_47B5_8DCD_4A86_0A65_4D78),
    Guid(0x912A_DE1D_A839_4913_8964_A10E_EE08_FBD2),
    Guid(0xC31C_45E6_3F39_412E_80FB_4809_C498_0599),
    // RISC-V of 32 and 64 bits, s390, s390x, TILE-Gx.
    Guid(0x60D5_A7FE_8E7D_435C_B714_3DD8_1621_44E1),
    Guid(0x72EC_70A6_CF74_40E6_BD49_4BDA_08E8_F224),
    Guid(0x08A7_ACEA_624C_4A20_91E8_6E0F_A67D_23F9),
    Guid(0x5EEA_D9A9_FE09_4A1E_A1D7_520D_0053_1306),
    Guid(0xC50C_DD70_3862_4CC3_90E1_809A_8C93_EE2C),
    // x86 of 32 and 64 bits.
    Guid(0x4447_9540_F297_41B2_9AF7_D131_D5F0_458A),
    Guid(0x4F68_BCE3_E8CD_4DB1_96E7_FBCA_F984_B709),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// What a GPT has on disk for a Linux partition.
    #[test]
    fn bytes_become_the_text() {
        let bytes = *b"\xaf\x3d\xc6\x0f\x83\x84\x72\x47\x8e\x79\x3d\x69\xd8\x47\x7d\xe4";
        assert_eq!(Guid::of(bytes), LINUX);
        assert_eq!(LINUX.to_string(), "0FC63DAF-8483-4772-8E79-3D69D8477DE4");
        assert_eq!(Guid(1).to_string(), "00000000-0000-0000-0000-000000000001");
    }
}
