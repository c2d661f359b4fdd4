//! The JSON Schemas of all that is printed under `--json`, made from the very types that are printed.
//!
//! Nothing here runs unless somebody asks for a schema.

use schemars::generate::{SchemaGenerator, SchemaSettings};
use schemars::{JsonSchema, Schema};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::View;
use super::ui::{Complaint, Warning};

/// The machine form of something that is printed: its name, and how its JSON Schema is made.
#[derive(Clone, Copy)]
pub struct Shape {
    /// The name and version, such as `coord.work.claim/v1`.
    pub name: &'static str,
    make: fn(&'static str) -> Value,
}

/// What any command may write to standard error under `--json`.
pub const MESSAGES: &[Shape] = &[
    Shape { name: Complaint::SCHEMA, make: beside::<Complaint> },
    Shape { name: Warning::SCHEMA, make: beside::<Warning> },
];

impl Shape {
    /// The machine form of a view.
    #[must_use]
    pub const fn of<V: View>() -> Self {
        Self { name: V::SCHEMA, make: around::<V> }
    }

    /// Its JSON Schema, draft 2020-12, for the whole object that is printed.
    #[must_use]
    pub fn document(&self) -> Value {
        (self.make)(self.name)
    }
}

/// The schema of an answer, `{"schema": NAME, "data": …}`.
fn around<V: View>(name: &'static str) -> Value {
    whole(name, |generator| {
        let data = generator.subschema_for::<V>();
        Map::from_iter([("data".to_owned(), data.to_value())])
    })
}

/// The schema of a message, whose fields stand beside its name.
fn beside<T: JsonSchema + Serialize>(name: &'static str) -> Value {
    whole(name, |generator| {
        let schema: Schema = T::json_schema(generator);
        let fields = schema.get("properties").and_then(Value::as_object);
        fields.cloned().unwrap_or_default()
    })
}

fn whole(
    name: &'static str,
    fields: impl FnOnce(&mut SchemaGenerator) -> Map<String, Value>,
) -> Value {
    let mut generator = SchemaSettings::draft2020_12().for_serialize().into_generator();
    let mut properties = fields(&mut generator);
    properties.insert("schema".to_owned(), json!({ "const": name }));
    let required: Vec<String> = properties.keys().cloned().collect();
    let mut document = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": name,
        "type": "object",
        "properties": properties,
        "required": required,
    });
    let types = generator.take_definitions(true);
    if !types.is_empty() {
        document["$defs"] = Value::Object(types);
    }
    document
}
