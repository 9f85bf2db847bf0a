//! A header block: 512 bytes that begin every member.
//!
//! ```text
//! 0 name 100 · 100 mode 8 · 108 uid 8 · 116 gid 8 · 124 size 12 · 136 mtime 12 · 148 checksum 8 · 156 type 1
//! 157 link name 100 · 257 magic and version 8 · 265 owner 32 · 297 group 32 · 329 major 8 · 337 minor 8
//! ustar: 345 prefix of the name 155
//! GNU:   345 atime 12, ctime 12, offset 12 · 386 sparse map 96 · 482 more of the map follows 1 · 483 real size 12
//! ```

use std::borrow::Cow;

use crate::source::file_system::Fault;

/// Everything in an archive begins at a multiple of this. Bytes.
pub(super) const BLOCK: usize = 512;

pub(super) type Block = [u8; BLOCK];

/// Which meaning the bytes behind the owner's names have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    Gnu,
    Ustar,
    V7,
}

/// A header whose checksum is right.
pub(super) struct Header<'a> {
    block: &'a Block,
    dialect: Dialect,
}

impl<'a> Header<'a> {
    /// Refuses a block whose checksum does not match or whose magic is unknown.
    pub(super) fn parse(block: &'a Block) -> Result<Self, Fault> {
        check_sum(block)?;
        let dialect = match field::<257, 8>(block) {
            b"ustar  \0" => Dialect::Gnu,
            // The version is "00"; no reader looks at it, and some writers do not write it.
            [b'u', b's', b't', b'a', b'r', 0, _, _] => Dialect::Ustar,
            [0, 0, 0, 0, 0, 0, 0, 0] => Dialect::V7,
            _ => return Err(Fault::new("neither of v7, ustar, pax nor GNU tar")),
        };
        Ok(Self { block, dialect })
    }

    pub(super) const fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// The letter that tells the type.
    pub(super) const fn letter(&self) -> u8 {
        self.block[156]
    }

    /// The path, as far as it fits into the header.
    pub(super) fn path(&self) -> Cow<'_, [u8]> {
        let name = text(field::<0, 100>(self.block));
        let prefix = match self.dialect {
            Dialect::Ustar => text(field::<345, 155>(self.block)),
            Dialect::Gnu | Dialect::V7 => b"",
        };
        if prefix.is_empty() {
            Cow::Borrowed(name)
        } else {
            Cow::Owned([prefix, b"/", name].concat())
        }
    }

    /// The target of a link, as far as it fits into the header.
    pub(super) fn link(&self) -> &[u8] {
        text(field::<157, 100>(self.block))
    }

    /// Mode, whose bits beyond the permissions some writers use for the type.
    pub(super) fn permissions(&self) -> Result<u16, Fault> {
        let mode = number(field::<100, 8>(self.block)).map_err(|_| bad("mode"))?;
        let mode = u32::try_from(mode.unwrap_or(0)).map_err(|_| bad("mode"))?;
        u16::try_from(mode & 0o7777).map_err(|_| bad("mode"))
    }

    pub(super) fn uid(&self) -> Result<u32, Fault> {
        id(field::<108, 8>(self.block), "owner")
    }

    pub(super) fn gid(&self) -> Result<u32, Fault> {
        id(field::<116, 8>(self.block), "group")
    }

    /// Bytes that follow.
    pub(super) fn size(&self) -> Result<u64, Fault> {
        size(field::<124, 12>(self.block))
    }

    /// Whether the header does not say how many bytes follow, as GNU tar's for a volume's label.
    pub(super) fn has_no_size(&self) -> bool {
        number(field::<124, 12>(self.block)) == Ok(None)
    }

    /// Seconds since 1970.
    pub(super) fn mtime(&self) -> Result<i64, Fault> {
        let time = number(field::<136, 12>(self.block)).map_err(|_| bad("time"))?;
        Ok(time.unwrap_or(0))
    }

    /// Major and minor number, `None` where there is none.
    pub(super) fn device(&self) -> Result<(Option<u32>, Option<u32>), Fault> {
        if self.dialect == Dialect::V7 {
            return Ok((None, None));
        }
        let part = |bytes: &[u8]| {
            let number = number(bytes).map_err(|_| bad("device number"))?;
            let number = number.map(u32::try_from).transpose();
            number.map_err(|_| bad("device number"))
        };
        Ok((
            part(field::<329, 8>(self.block))?,
            part(field::<337, 8>(self.block))?,
        ))
    }

    /// The beginning of the map of an old GNU sparse file, in its own form.
    pub(super) const fn sparse_map(&self) -> &[u8; 96] {
        field::<386, 96>(self.block)
    }

    /// Whether the map goes on in a block of its own.
    pub(super) const fn sparse_map_continues(&self) -> bool {
        self.block[482] != 0
    }

    /// The size of an old GNU sparse file with its holes.
    pub(super) fn real_size(&self) -> Result<u64, Fault> {
        size(field::<483, 12>(self.block))
    }
}

/// The `SIZE` bytes from `AT` on.
const fn field<const AT: usize, const SIZE: usize>(block: &Block) -> &[u8; SIZE] {
    const {
        assert!(AT + SIZE <= BLOCK);
    }
    match block.split_at(AT).1.first_chunk() {
        Some(field) => field,
        // Excluded when this is compiled.
        None => &[0; SIZE],
    }
}

/// The sum of all bytes, with spaces in the sum's own place. POSIX adds unsigned bytes; some old writers added signed
/// ones, and GNU tar takes both.
fn check_sum(block: &Block) -> Result<(), Fault> {
    let stored = field::<148, 8>(block);
    let sum = |bytes: &[u8]| bytes.iter().map(|byte| i32::from(*byte)).sum::<i32>();
    let high = |bytes: &[u8]| bytes.iter().map(|byte| i32::from(byte >> 7)).sum::<i32>();
    let unsigned = sum(block) - sum(stored) + 8 * i32::from(b' ');
    let signed = unsigned - 256 * (high(block) - high(stored));
    match number(stored) {
        Ok(Some(told)) if told == i64::from(unsigned) || told == i64::from(signed) => Ok(()),
        Ok(_) => Err(Fault::new("its checksum does not match")),
        Err(NotANumber) => Err(Fault::new("its checksum is not a number")),
    }
}

/// What a field of text holds before its first NUL, if it has one.
fn text(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or(field)
}

/// A number of bytes, which a header always tells.
pub(super) fn size(field: &[u8]) -> Result<u64, Fault> {
    match number(field) {
        Ok(Some(size)) => u64::try_from(size).map_err(|_| bad("size")),
        _ => Err(bad("size")),
    }
}

fn id(field: &[u8], what: &str) -> Result<u32, Fault> {
    let number = number(field).map_err(|_| bad(what))?;
    u32::try_from(number.unwrap_or(0)).map_err(|_| bad(what))
}

fn bad(what: &str) -> Fault {
    Fault::new(format!("its {what} is not a number that can be"))
}

/// A field holds something else than a number.
#[derive(Debug, PartialEq, Eq)]
struct NotANumber;

/// The number in a field: octal digits between spaces and NULs, or, where the first bit is set, a two's complement
/// number of all the other bits, most significant first. `None` for a blank field.
fn number(field: &[u8]) -> Result<Option<i64>, NotANumber> {
    let first = *field.first().ok_or(NotANumber)?;
    if first & 0x80 != 0 {
        return base_256(field, first & 0x40 != 0).map(Some).ok_or(NotANumber);
    }
    let is_digit = |byte: &u8| !matches!(byte, b' ' | 0);
    let Some(start) = field.iter().position(is_digit) else {
        return Ok(None);
    };
    let end = field.iter().rposition(is_digit).unwrap_or(start);
    octal(field.get(start..=end).unwrap_or_default())
        .map(Some)
        .ok_or(NotANumber)
}

fn octal(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0_i64, |number, digit| {
        let digit = char::from(*digit).to_digit(8)?;
        number.checked_mul(8)?.checked_add(i64::from(digit))
    })
}

fn base_256(field: &[u8], negative: bool) -> Option<i64> {
    // The bit that says how the number is written takes the sign's value.
    let mut number = if negative { -1 } else { 0 };
    for (at, byte) in field.iter().enumerate() {
        let byte = match (at, negative) {
            (0, true) => byte | 0x80,
            (0, false) => byte & 0x7f,
            _ => *byte,
        };
        number = i64::checked_mul(number, 256)?.checked_add(i64::from(byte))?;
    }
    Some(number)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_are_octal_or_binary() {
        for (field, value) in [
            (&b"0000755\0"[..], Ok(Some(0o755))),
            (b"000755 \0", Ok(Some(0o755))),
            (b"   755 \0", Ok(Some(0o755))),
            (b"77777777", Ok(Some(0o77_777_777))),
            (b"\0\0\0\0\0\0\0\0", Ok(None)),
            (b"        ", Ok(None)),
            (b"0000758\0", Err(NotANumber)),
            (b"755\x00755\0", Err(NotANumber)),
            (b"7 5 5  \0", Err(NotANumber)),
            (b"-000755\0", Err(NotANumber)),
            (b"0x00755\0", Err(NotANumber)),
            (b"\x80\0\0\0\0\x20\0\0", Ok(Some(0x20_0000))),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff", Ok(Some(-1))),
            (b"\xff\xff\xff\xff\xff\xff\xff\0", Ok(Some(-256))),
            (b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff", Ok(Some(i64::MAX))),
            (b"\x80\0\0\0\x80\0\0\0\0\0\0\0", Err(NotANumber)),
            (b"\xff\xff\xff\xff\x80\0\0\0\0\0\0\0", Ok(Some(i64::MIN))),
            (
                b"\xff\xff\xff\xff\x7f\xff\xff\xff\xff\xff\xff\xff",
                Err(NotANumber),
            ),
            (b"", Err(NotANumber)),
        ] {
            assert_eq!(number(field), value, "{}", field.escape_ascii());
        }
    }

    proptest! {
        #[test]
        fn base_256_comes_back(value: i64) {
            let mut field = [if value < 0 { 0xff } else { 0 }; 12];
            field[4..].copy_from_slice(&value.to_be_bytes());
            field[0] |= 0x80;
            prop_assert_eq!(number(&field), Ok(Some(value)));
        }

        #[test]
        fn any_field_ends(field: Vec<u8>) {
            number(&field).ok();
        }
    }
}
