//! PEM as RFC 7468 has it: one block, nothing around it but white space.

use data_encoding::BASE64;

use crate::source::file_system::Fault;

/// Longest PEM that is read. Bytes; a key has about 120.
pub(super) const LIMIT: usize = 16 << 10;

/// Label of a public key (SPKI, RFC 5280).
pub(super) const PUBLIC: &str = "PUBLIC KEY";

/// Label of a private key (PKCS #8, RFC 5958).
pub(super) const PRIVATE: &str = "PRIVATE KEY";

/// Digits a line, as OpenSSL writes them.
const WIDTH: usize = 64;

/// What stands in the one block of a text, which must have this label.
pub(super) fn decode(text: &[u8], label: &str) -> Result<Vec<u8>, Fault> {
    if text.len() > LIMIT {
        return Err(Fault::new(format!("longer than {LIMIT} bytes")));
    }
    let text = std::str::from_utf8(text).map_err(|_| Fault::new("it is not PEM: it is not text"))?;
    let inner = text.trim_ascii().strip_prefix("-----BEGIN ").ok_or_else(|| {
        Fault::new(format!(
            "it is not PEM: it does not begin with -----BEGIN {label}-----"
        ))
    })?;
    let (found, rest) = inner
        .split_once("-----")
        .ok_or_else(|| Fault::new("it is not PEM: its first line has no end"))?;
    if found != label {
        return Err(Fault::new(wrong_label(found, label)));
    }
    let (digits, after) = rest
        .split_once("-----END ")
        .ok_or_else(|| Fault::new("it is cut: it has no -----END line"))?;
    if after != format!("{label}-----") {
        return Err(Fault::new("something follows the key: a file holds one key"));
    }
    let digits: String = digits.split_ascii_whitespace().collect();
    BASE64
        .decode(digits.as_bytes())
        .map_err(|why| Fault::new(format!("its base64 is wrong: {why}")))
}

/// Says what somebody probably did.
fn wrong_label(found: &str, wanted: &str) -> String {
    match (found, wanted) {
        (_, PUBLIC) if found.ends_with("PRIVATE KEY") => {
            "it is a private key, which belongs on no host; put the public key here".to_owned()
        }
        ("PUBLIC KEY", PRIVATE) => "it is a public key; signing needs the private one".to_owned(),
        ("ENCRYPTED PRIVATE KEY", PRIVATE) => {
            "it is encrypted; decrypt it into a pipe or a file of mode 0600: openssl pkey -in KEY".to_owned()
        }
        _ => format!("it is a {}, not a {wanted}", found.escape_debug()),
    }
}

/// One block.
pub(super) fn encode(content: &[u8], label: &str) -> String {
    let digits = BASE64.encode(content);
    let mut text = format!("-----BEGIN {label}-----\n");
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && at.is_multiple_of(WIDTH) {
            text.push('\n');
        }
        text.push(digit);
    }
    text + "\n-----END " + label + "-----\n"
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_no_pem_is_named() {
        let good = encode(b"abc", PUBLIC);
        assert_eq!(
            good,
            "-----BEGIN PUBLIC KEY-----\nYWJj\n-----END PUBLIC KEY-----\n"
        );
        for (text, told) in [
            (
                String::new(),
                "it is not PEM: it does not begin with -----BEGIN PUBLIC KEY-----",
            ),
            (
                format!("x{good}"),
                "it is not PEM: it does not begin with -----BEGIN PUBLIC KEY-----",
            ),
            (
                "-----BEGIN PUBLIC".into(),
                "it is not PEM: its first line has no end",
            ),
            (good.replace("-----END", ""), "it is cut: it has no -----END line"),
            (
                format!("{good}{good}"),
                "something follows the key: a file holds one key",
            ),
            (
                good.replace("YWJj", "YWJ"),
                "its base64 is wrong: invalid length at 0",
            ),
            (
                good.replace("YWJj", "YWI_"),
                "its base64 is wrong: invalid symbol at 3",
            ),
            (
                good.replace("YWJj", "YW=="),
                "its base64 is wrong: non-zero trailing bits at 1",
            ),
            (
                good.replace("PUBLIC", "OTHER"),
                "it is a OTHER KEY, not a PUBLIC KEY",
            ),
            (
                good.replace("PUBLIC", "EC PRIVATE"),
                "it is a private key, which belongs on no host; put the public key here",
            ),
            (" ".repeat(LIMIT + 1), "longer than 16384 bytes"),
        ] {
            assert_eq!(decode(text.as_bytes(), PUBLIC).unwrap_err().0, told, "{text}");
        }
        let told = decode(good.as_bytes(), PRIVATE).unwrap_err().0;
        assert_eq!(told, "it is a public key; signing needs the private one");
    }

    proptest! {
        #[test]
        fn written_is_read(content in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert_eq!(decode(encode(&content, PRIVATE).as_bytes(), PRIVATE).unwrap(), content);
        }

        #[test]
        fn any_bytes_end(bytes: Vec<u8>, label in "[A-Z ]{0,20}") {
            prop_assert!(decode(&bytes, &label).is_err());
        }
    }
}
