//! What a password field says, without the password: state, scheme and cost, by crypt(5).
//!
//! The hash and the salt are looked at and left behind; no type here has room for them.

/// State of a password field of `/etc/shadow`, `/etc/gshadow` or, in old style, `/etc/passwd`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Password {
    /// Nothing in the field: no password is asked for.
    Empty,
    /// A text that no password can produce, such as `*`, `!` or `!!`.
    Unusable,
    /// A hash behind `!` or `*`: it cannot be used, but comes back with one keystroke.
    Locked(Hash),
    /// A usable hash.
    Set(Hash),
}

/// How a password is hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hash {
    /// Name of the scheme as in crypt(5), e.g. `yescrypt`; `unknown` for a text of no known form.
    pub scheme: &'static str,
    /// What one attempt costs, where the scheme has such a parameter.
    pub cost: Option<Cost>,
}

/// What one attempt costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cost {
    /// Number of rounds.
    Rounds(u32),
    /// Binary logarithm of the number of iterations or blocks (`N` of scrypt and yescrypt).
    Log2(u32),
}

impl Password {
    /// Reads a password field.
    #[must_use]
    pub fn of(field: &[u8]) -> Self {
        if field.is_empty() {
            return Self::Empty;
        }
        let bare = field
            .iter()
            .position(|byte| !matches!(byte, b'!' | b'*'))
            .unwrap_or(field.len());
        let hash = Hash::of(&field[bare..]);
        match (hash, bare) {
            (Some(hash), 0) => Self::Set(hash),
            (Some(hash), _) => Self::Locked(hash),
            // Every scheme gives at least 13 characters, so a shorter word is a mark like `x` or `NP`.
            (None, 0) if field.len() >= 13 => Self::Set(Hash::UNKNOWN),
            (None, _) => Self::Unusable,
        }
    }

    /// `empty`, `unusable`, `locked` or `set`.
    #[must_use]
    pub const fn state(&self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Unusable => "unusable",
            Self::Locked(_) => "locked",
            Self::Set(_) => "set",
        }
    }

    /// How it is hashed, if there is a hash.
    #[must_use]
    pub const fn hash(&self) -> Option<Hash> {
        match self {
            Self::Locked(hash) | Self::Set(hash) => Some(*hash),
            Self::Empty | Self::Unusable => None,
        }
    }
}

impl Hash {
    const UNKNOWN: Self = Self {
        scheme: "unknown",
        cost: None,
    };

    /// Recognises a hash by its form; `None` for what cannot be one.
    fn of(text: &[u8]) -> Option<Self> {
        let plain = |scheme| Some(Self { scheme, cost: None });
        let with = |scheme, cost: Option<Cost>| Some(Self { scheme, cost });
        let Some(rest) = text.strip_prefix(b"$") else {
            return match text {
                [b'_', count @ ..] if count.len() == 19 && is_base64(count) => {
                    with("bsdicrypt", little_endian(&count[..4]).map(Cost::Rounds))
                }
                _ if !is_base64(text) => None,
                _ if text.len() == 13 => plain("des"),
                _ if text.len() > 13 && (text.len() - 2).is_multiple_of(11) => plain("bigcrypt"),
                _ => None,
            };
        };
        let mut parts = rest.split(|byte| *byte == b'$');
        let (id, first) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        match id {
            b"1" => plain("md5"),
            b"2a" | b"2b" | b"2x" | b"2y" => with("bcrypt", decimal(first).map(Cost::Log2)),
            b"3" => plain("nthash"),
            b"5" => with("sha256", Some(sha_rounds(first))),
            b"6" => with("sha512", Some(sha_rounds(first))),
            b"7" => with(
                "scrypt",
                first.first().and_then(|byte| digit(*byte)).map(Cost::Log2),
            ),
            b"y" => with("yescrypt", yescrypt_cost(first)),
            b"gy" => with("gost-yescrypt", yescrypt_cost(first)),
            b"sm3" => with("sm3", Some(sha_rounds(first))),
            b"sm3y" => with("sm3-yescrypt", yescrypt_cost(first)),
            b"sha1" => with("sha1", decimal(first).map(Cost::Rounds)),
            b"apr1" => plain("apr1"),
            b"argon2d" => plain("argon2d"),
            b"argon2i" => plain("argon2i"),
            b"argon2id" => plain("argon2id"),
            b"md5" => plain("sunmd5"),
            _ => match id.strip_prefix(b"md5,rounds=") {
                Some(rounds) => with("sunmd5", decimal(rounds).map(Cost::Rounds)),
                None => Some(Self::UNKNOWN),
            },
        }
    }
}

/// The rounds of SHA-crypt and its relatives; without the parameter they are 5000.
fn sha_rounds(parameter: &[u8]) -> Cost {
    Cost::Rounds(
        parameter
            .strip_prefix(b"rounds=")
            .and_then(decimal)
            .unwrap_or(5000),
    )
}

/// `N` of yescrypt's parameters: one number for the flavour, one for the logarithm. Both fit one character in
/// all settings that crypt(5) knows; anything else gives no cost rather than a wrong one.
fn yescrypt_cost(parameters: &[u8]) -> Option<Cost> {
    let [flavour, log2, _, ..] = parameters else {
        return None;
    };
    let single = |byte: u8| digit(byte).filter(|value| *value <= 47);
    single(*flavour)?;
    Some(Cost::Log2(single(*log2)? + 1))
}

fn decimal(text: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(text)
        .ok()
        .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
    text.parse().ok()
}

fn little_endian(digits: &[u8]) -> Option<u32> {
    digits
        .iter()
        .rev()
        .try_fold(0, |sum, byte| Some(sum << 6 | digit(*byte)?))
}

fn is_base64(text: &[u8]) -> bool {
    text.iter().all(|byte| digit(*byte).is_some())
}

/// Value of a digit in crypt's own base 64.
fn digit(byte: u8) -> Option<u32> {
    Some(u32::from(match byte {
        b'.' => 0,
        b'/' => 1,
        b'0'..=b'9' => byte - b'0' + 2,
        b'A'..=b'Z' => byte - b'A' + 12,
        b'a'..=b'z' => byte - b'a' + 38,
        _ => return None,
    }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn schemes_of_crypt_5() {
        let set = |scheme, cost| Password::Set(Hash { scheme, cost });
        for (field, expected) in [
            ("", Password::Empty),
            ("*", Password::Unusable),
            ("!", Password::Unusable),
            ("!!", Password::Unusable),
            ("!*", Password::Unusable),
            ("*LK*", Password::Unusable),
            ("x", Password::Unusable),
            ("abJnggxhB/yWI", set("des", None)),
            ("abJnggxhB/yWIabJnggxhB/y", set("bigcrypt", None)),
            ("_J9..SDizh.vll5VED9g", set("bsdicrypt", Some(Cost::Rounds(725)))),
            ("$1$salt$qJH7.N4xYta3aEG/dfqo/0", set("md5", None)),
            (
                "$2b$12$GhvMmNVjRW29ulnudl.LbuAnUtN",
                set("bcrypt", Some(Cost::Log2(12))),
            ),
            ("$5$salt$hash", set("sha256", Some(Cost::Rounds(5000)))),
            (
                "$6$rounds=656000$salt$hash",
                set("sha512", Some(Cost::Rounds(656_000))),
            ),
            ("$7$CU..../....salt$hash", set("scrypt", Some(Cost::Log2(14)))),
            (
                "$y$j9T$F5Jx5fExrKuPp53xLKQ..1$X3DX6M94c7o.9agCG9G317fhZg9SqC.5i5rd.RhAtQ7",
                { set("yescrypt", Some(Cost::Log2(12))) },
            ),
            ("$y$j75$salt$hash", set("yescrypt", Some(Cost::Log2(10)))),
            ("$gy$j9T$salt$hash", set("gost-yescrypt", Some(Cost::Log2(12)))),
            ("$sm3$rounds=9$salt$hash", set("sm3", Some(Cost::Rounds(9)))),
            ("$sha1$40000$salt$hash", set("sha1", Some(Cost::Rounds(40000)))),
            (
                "$md5,rounds=5000$salt$$hash",
                set("sunmd5", Some(Cost::Rounds(5000))),
            ),
            ("$newer$thing", set("unknown", None)),
            ("not a hash of any kind", set("unknown", None)),
            (
                "!$6$salt$hash",
                Password::Locked(Hash {
                    scheme: "sha512",
                    cost: Some(Cost::Rounds(5000)),
                }),
            ),
            (
                "!!$1$a$b",
                Password::Locked(Hash {
                    scheme: "md5",
                    cost: None,
                }),
            ),
            (
                "*abJnggxhB/yWI",
                Password::Locked(Hash {
                    scheme: "des",
                    cost: None,
                }),
            ),
        ] {
            assert_eq!(Password::of(field.as_bytes()), expected, "{field}");
        }
    }

    proptest! {
        #[test]
        fn any_field_has_a_state(field: Vec<u8>) {
            prop_assert!(["empty", "unusable", "locked", "set"].contains(&Password::of(&field).state()));
        }

        /// Whatever follows the parameters, nothing of it is kept: the value depends on the form alone.
        #[test]
        fn salt_and_hash_leave_no_trace(salt in "[./0-9A-Za-z]{1,16}", hash in "[./0-9A-Za-z]{43}") {
            for form in ["$y$j9T$SALT$HASH", "$6$SALT$HASH", "$2b$10$SALTHASH", "$7$CU..../....SALT$HASH"] {
                let one = form.replace("SALT", &salt).replace("HASH", &hash);
                let other = form.replace("SALT", "0").replace("HASH", "1");
                prop_assert_eq!(Password::of(one.as_bytes()), Password::of(other.as_bytes()));
            }
        }
    }
}
