//! JSON Schemas, generated from the types.

use schemars::generate::SchemaSettings;
use serde_json::{Value as Json, json};

use crate::Value;
use crate::header::{Header, Trailer};
use crate::image_check::ImageCheck;
use crate::report::Report;

const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// The schema of `driftcheck.report/1`, as text with a line end.
#[must_use]
pub fn report() -> String {
    let mut report = schema::<Report>();
    report["$schema"] = DIALECT.into();
    text(&report)
}

/// The schema of `driftcheck.image-check/1`, as text with a line end.
#[must_use]
pub fn image_check() -> String {
    let mut check = schema::<ImageCheck>();
    check["$schema"] = DIALECT.into();
    text(&check)
}

/// The schema of one line of a baseline: header, entry or trailer; as text with a line end.
#[must_use]
pub fn baseline() -> String {
    let entry = json!({
        "title": "Entry",
        "description": "Section, key, and attributes sorted by name.",
        "type": "array",
        "prefixItems": [
            {"type": "string", "pattern": "^[a-z0-9-]+$"},
            {"type": "string"},
            {"type": "object", "additionalProperties": schema::<Value>()},
        ],
        "items": false,
        "minItems": 3,
    });
    text(&json!({
        "$schema": DIALECT,
        "title": "A line of a driftcheck baseline, format version 1",
        "oneOf": [schema::<Header>(), entry, schema::<Trailer>()],
    }))
}

/// A type's schema without references, so that it can stand inside another.
fn schema<T: schemars::JsonSchema>() -> Json {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let mut schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    // Only the root of a document may name its dialect.
    if let Some(members) = schema.as_object_mut() {
        members.shift_remove("$schema");
    }
    schema
}

fn text(schema: &Json) -> String {
    // A JSON value always has a text.
    let mut text = serde_json::to_string_pretty(schema).unwrap_or_default();
    text.push('\n');
    text
}
