//! JSON Schemas, generated from the types.

use schemars::generate::SchemaSettings;
use serde_json::{Value as Json, json};

use crate::Value;
use crate::header::{Header, Trailer};
use crate::report::Report;

/// The schema of `driftcheck.report/1`, as text with a line end.
#[must_use]
pub fn report() -> String {
    text(&schema::<Report>())
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
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A line of a driftcheck baseline, format version 1",
        "oneOf": [schema::<Header>(), entry, schema::<Trailer>()],
    }))
}

/// A type's schema without references, so that it can stand inside another.
fn schema<T: schemars::JsonSchema>() -> Json {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    settings.into_generator().into_root_schema_for::<T>().to_value()
}

fn text(schema: &Json) -> String {
    // A JSON value always has a text.
    let mut text = serde_json::to_string_pretty(schema).unwrap_or_default();
    text.push('\n');
    text
}
