//! The parts of a `CycloneDX` 1.6 document that are written, in the order of its schema.

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::Settings;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Bom {
    #[serde(rename = "bomFormat")]
    pub(super) format: &'static str,
    pub(super) spec_version: &'static str,
    pub(super) serial_number: String,
    pub(super) version: u32,
    pub(super) metadata: Metadata,
    pub(super) components: Vec<Component>,
    pub(super) compositions: Vec<Composition>,
}

#[derive(Debug, Serialize)]
pub(super) struct Metadata {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) timestamp: Option<String>,
    pub(super) tools: Tools,
    pub(super) component: Component,
    pub(super) properties: Vec<Property>,
}

#[derive(Debug, Serialize)]
pub(super) struct Tools {
    pub(super) components: Vec<Component>,
}

#[derive(Debug, Serialize)]
pub(super) struct Component {
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    #[serde(rename = "bom-ref", skip_serializing_if = "Option::is_none")]
    pub(super) reference: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) supplier: Option<Supplier>,
    pub(super) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) version: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) hashes: Vec<Hash>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) purl: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) properties: Vec<Property>,
}

impl Component {
    pub(super) fn tool(name: &str, version: &str) -> Self {
        Self {
            kind: "application",
            reference: None,
            supplier: None,
            name: name.to_owned(),
            version: Some(version.to_owned()),
            hashes: Vec::new(),
            purl: None,
            properties: Vec::new(),
        }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct Supplier {
    pub(super) name: String,
}

#[derive(Debug, Serialize)]
pub(super) struct Hash {
    #[serde(rename = "alg")]
    pub(super) algorithm: &'static str,
    pub(super) content: String,
}

#[derive(Debug, Serialize)]
pub(super) struct Property {
    name: String,
    value: String,
}

impl Property {
    /// A property in driftcheck's own name space.
    pub(super) fn new(name: &str, value: &str) -> Self {
        Self {
            name: format!("driftcheck:{name}"),
            value: value.to_owned(),
        }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct Composition {
    pub(super) aggregate: &'static str,
    pub(super) assemblies: Vec<String>,
}

/// A UUID of version 8 (RFC 9562, section 5.8), made of all that the document is made of.
pub(super) fn serial_number(baseline: &str, settings: &Settings, timestamp: Option<&str>) -> String {
    let distribution = settings.distribution.as_ref();
    let parts = [
        "driftcheck CycloneDX 1.6",
        env!("CARGO_PKG_VERSION"),
        baseline,
        distribution.map_or("", |distribution| distribution.id.as_str()),
        distribution
            .and_then(|distribution| distribution.version.as_deref())
            .unwrap_or(""),
        timestamp.unwrap_or(""),
    ];
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    let digest: [u8; 32] = hash.finalize().into();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let mut digits = Vec::with_capacity(32);
    baseline_format::push_hex(&bytes, &mut digits);
    let mut uuid = String::from("urn:uuid:");
    for (at, digit) in digits.into_iter().enumerate() {
        if matches!(at, 8 | 12 | 16 | 20) {
            uuid.push('-');
        }
        uuid.push(char::from(digit));
    }
    uuid
}
