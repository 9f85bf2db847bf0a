//! Operating system and architecture, in the words of the OCI image specification.

use std::env::consts::ARCH;
use std::fmt;
use std::str::FromStr;

/// What an image runs on, written `linux/arm/v7`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Platform {
    /// Operating system, such as `linux`.
    pub os: String,
    /// Architecture, such as `amd64`.
    pub architecture: String,
    /// Variant of the architecture, such as `v7`; `None` stands for any, or for the one that is always meant.
    pub variant: Option<String>,
}

impl Platform {
    /// Linux on this machine's architecture.
    #[must_use]
    pub fn of_this_machine() -> Self {
        let architecture = match ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            "x86" => "386",
            "powerpc64" if cfg!(target_endian = "little") => "ppc64le",
            "powerpc64" => "ppc64",
            "loongarch64" => "loong64",
            // `arm`, `riscv64` and `s390x` are called the same.
            other => other,
        };
        Self {
            os: "linux".into(),
            architecture: architecture.into(),
            variant: None,
        }
    }

    /// Whether an image of the platform `found` is what was asked for.
    #[must_use]
    pub fn takes(&self, found: &Self) -> bool {
        (&self.os, &self.architecture) == (&found.os, &found.architecture)
            && (self.variant.is_none() || self.told_variant() == found.told_variant())
    }

    /// The variant, unless it is the one that is meant when none is told.
    #[must_use]
    pub fn told_variant(&self) -> Option<&str> {
        let always = match &*self.architecture {
            "amd64" => "v1",
            "arm64" => "v8",
            _ => "",
        };
        self.variant
            .as_deref()
            .filter(|variant| *variant != always && !variant.is_empty())
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}/{}",
            self.os.escape_default(),
            self.architecture.escape_default()
        )?;
        match &self.variant {
            Some(variant) if !variant.is_empty() => write!(f, "/{}", variant.escape_default()),
            _ => Ok(()),
        }
    }
}

impl FromStr for Platform {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split('/').collect();
        let word = |part: &&str| {
            let known =
                |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
            !part.is_empty() && part.bytes().all(known)
        };
        let (os, architecture, variant) = match *parts {
            [os, architecture] => (os, architecture, None),
            [os, architecture, variant] => (os, architecture, Some(variant.to_owned())),
            _ => return Err("not OS/ARCHITECTURE or OS/ARCHITECTURE/VARIANT".into()),
        };
        if !parts.iter().all(word) {
            return Err("not a platform such as linux/amd64 or linux/arm/v7".into());
        }
        Ok(Self {
            os: os.into(),
            architecture: architecture.into(),
            variant,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn platform(text: &str) -> Platform {
        text.parse().unwrap()
    }

    #[test]
    fn platforms_are_read_and_written() {
        for text in ["linux/amd64", "linux/arm/v7", "windows/amd64"] {
            assert_eq!(platform(text).to_string(), text);
        }
        for bad in [
            "",
            "linux",
            "linux/",
            "/amd64",
            "linux/arm/",
            "linux/arm/v7/x",
            "Linux/amd64",
            "linux/am d64",
        ] {
            assert!(bad.parse::<Platform>().is_err(), "{bad}");
        }
    }

    #[test]
    fn variant_that_is_always_meant_makes_no_difference() {
        assert!(platform("linux/arm64").takes(&platform("linux/arm64/v8")));
        assert!(platform("linux/arm64/v8").takes(&platform("linux/arm64")));
        assert!(platform("linux/arm").takes(&platform("linux/arm/v7")));
        assert!(!platform("linux/arm/v6").takes(&platform("linux/arm/v7")));
        assert!(!platform("linux/arm/v6").takes(&platform("linux/arm")));
        assert!(!platform("linux/amd64/v3").takes(&platform("linux/amd64")));
        assert!(!platform("linux/amd64").takes(&platform("windows/amd64")));
    }
}
