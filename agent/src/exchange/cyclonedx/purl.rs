//! Package URLs. Source: ECMA-427 (purl), and the type definitions of `apk`, `alpm`, `deb` and `rpm`.

use std::fmt::Write as _;

use super::Distribution;

/// The package URL of a package, in its canonical form. `None` if it has none: a name or version that is not UTF-8
/// or empty, or a type that needs a distribution where none is known.
pub(super) fn of(
    kind: &str,
    name: &[u8],
    version: &[u8],
    architecture: Option<&str>,
    distribution: Option<&Distribution>,
) -> Option<String> {
    let (name, version) = (str::from_utf8(name).ok()?, str::from_utf8(version).ok()?);
    let distribution = distribution.filter(|distribution| !distribution.id.is_empty());
    if name.is_empty() || version.is_empty() || (kind != "rpm" && distribution.is_none()) {
        return None;
    }
    let mut purl = format!("pkg:{kind}/");
    if let Some(distribution) = distribution {
        push(&namespace(&distribution.id), &mut purl);
        purl.push('/');
    }
    // The names of all types but rpm are not case sensitive.
    if kind == "rpm" {
        push(name, &mut purl);
    } else {
        push(&name.to_lowercase(), &mut purl);
    }
    purl.push('@');
    let (epoch, version) = match version.split_once(':') {
        Some((epoch, rest)) if kind == "rpm" => (Some(epoch), rest),
        _ => (None, version),
    };
    push(version, &mut purl);
    let distribution = distribution.map(|Distribution { id, version }| match version {
        Some(version) if !version.is_empty() => format!("{id}-{version}"),
        _ => id.clone(),
    });
    // Sorted by name, as the canonical form has them.
    let qualifiers = [
        ("arch", architecture),
        ("distro", distribution.as_deref()),
        ("epoch", epoch),
    ];
    let mut separator = '?';
    for (name, value) in qualifiers {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            purl.push(separator);
            purl.push_str(name);
            purl.push('=');
            push(value, &mut purl);
            separator = '&';
        }
    }
    Some(purl)
}

/// The vendor's name in a package URL, which for some distributions is not their `ID`.
fn namespace(id: &str) -> String {
    match id.to_lowercase() {
        id if id == "rhel" => "redhat".to_owned(),
        id if id.starts_with("opensuse-") => "opensuse".to_owned(),
        id => id,
    }
}

/// Appends a text, each byte but those of letters, digits and `.-_~:` as `%HH`.
fn push(text: &str, out: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'~' | b':') {
            out.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            write!(out, "%{byte:02X}").unwrap_or_default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(kind: &str, name: &str, version: &str, architecture: &str, distribution: &str) -> Option<String> {
        let distribution = (!distribution.is_empty()).then(|| match distribution.rsplit_once('-') {
            Some((id, version)) => Distribution {
                id: id.into(),
                version: Some(version.into()),
            },
            None => Distribution {
                id: distribution.into(),
                version: None,
            },
        });
        let architecture = Some(architecture);
        of(
            kind,
            name.as_bytes(),
            version.as_bytes(),
            architecture,
            distribution.as_ref(),
        )
    }

    #[test]
    fn as_the_type_definitions_have_them() {
        for (purl, [kind, name, version, architecture, distribution]) in [
            (
                "pkg:deb/debian/curl@7.50.3-1?arch=i386&distro=debian-8",
                ["deb", "curl", "7.50.3-1", "i386", "debian-8"],
            ),
            (
                "pkg:deb/ubuntu/dpkg@1.19.0.4?arch=amd64&distro=ubuntu",
                ["deb", "dpkg", "1.19.0.4", "amd64", "ubuntu"],
            ),
            (
                "pkg:deb/debian/attr@1:2.4.47-2%2Bb1?arch=amd64&distro=debian",
                ["deb", "attr", "1:2.4.47-2+b1", "amd64", "debian"],
            ),
            (
                "pkg:deb/debian/libstdc%2B%2B6@12.2.0-14~bpo1?arch=amd64&distro=debian-12",
                ["deb", "libstdc++6", "12.2.0-14~bpo1", "amd64", "debian-12"],
            ),
            (
                "pkg:rpm/fedora/curl@7.50.3-1.fc25?arch=i386&distro=fedora-25",
                ["rpm", "curl", "7.50.3-1.fc25", "i386", "fedora-25"],
            ),
            (
                "pkg:rpm/centerim@4.22.10-1.el6?arch=i686&epoch=1",
                ["rpm", "centerim", "1:4.22.10-1.el6", "i686", ""],
            ),
            (
                "pkg:rpm/redhat/NetworkManager@1.40-1?arch=x86_64&distro=rhel-9.2&epoch=1",
                ["rpm", "NetworkManager", "1:1.40-1", "x86_64", "rhel-9.2"],
            ),
            (
                "pkg:rpm/opensuse/a@1%5E2-3?arch=noarch&distro=opensuse-leap-15.5",
                ["rpm", "a", "1^2-3", "noarch", "opensuse-leap-15.5"],
            ),
            (
                "pkg:apk/alpine/curl@7.83.0-r0?arch=x86&distro=alpine",
                ["apk", "curl", "7.83.0-r0", "x86", "alpine"],
            ),
            (
                "pkg:alpm/arch/containers-common@1:0.47.4-4?arch=x86_64&distro=arch",
                ["alpm", "containers-common", "1:0.47.4-4", "x86_64", "arch"],
            ),
            (
                "pkg:deb/a%40b%2Fc/x@1%25?distro=A%40b%2Fc",
                ["deb", "X", "1%", "", "A@b/c"],
            ),
        ] {
            assert_eq!(
                url(kind, name, version, architecture, distribution).as_deref(),
                Some(purl)
            );
        }
        assert_eq!(url("deb", "curl", "1", "amd64", ""), None);
        assert_eq!(url("rpm", "", "1", "amd64", ""), None);
        assert_eq!(of("rpm", b"a\xff", b"1", None, None), None);
    }
}
