//! The table of settings, told: as a page of help, a commented file, a JSON Schema.

use std::fmt::Write as _;

use serde_json::{Value as Json, json};

use super::keys::{ALL, Form, Key, Project, Value};

/// A page for people about every key.
#[must_use]
pub fn reference() -> String {
    let mut page = "\
Settings

Flags count most, then environment variables, the project's `config.toml` in the state directory,
the user's `config.toml` (COORD_CONFIG, else $XDG_CONFIG_HOME/coord), /etc/coord/config.toml, and
the defaults. `coord config show --origin` tells where each value came from, and what lost.
"
    .to_owned();
    for key in &ALL {
        let default = if key.default.is_empty() { "nothing" } else { key.default };
        let _ = write!(
            page,
            "\n  {}\n      {}\n      {}; default: {default}; {}\n",
            key.name,
            key.doc,
            key.form.words(),
            key.env
        );
        let _ = match key.project {
            Project::May => Ok(()),
            Project::Lowers => writeln!(page, "      a project can only lower it"),
            Project::Never => writeln!(page, "      a project cannot set it"),
        };
    }
    page
}

/// A configuration file in which every key that a project may set stands as a comment.
#[must_use]
pub fn commented() -> String {
    let mut text = "# Settings of this project; `coord help config` tells of all.\n".to_owned();
    let mut open = "";
    for key in ALL.iter().filter(|key| key.project != Project::Never) {
        let (section, name) = key.name.split_once('.').unwrap_or(("", key.name));
        if section != open {
            open = section;
            let _ = write!(text, "\n[{section}]\n");
        }
        let value = key.default_value().map(|value| value.to_toml().to_string());
        let _ = writeln!(text, "# {}", key.doc);
        let _ = writeln!(text, "# {name} = {}", value.unwrap_or_else(|| "…".to_owned()).trim());
    }
    text
}

/// The JSON Schema (2020-12) of a configuration file.
#[must_use]
pub fn json_schema() -> Json {
    let mut sections = serde_json::Map::new();
    for key in &ALL {
        let (section, name) = key.name.split_once('.').unwrap_or(("", key.name));
        let section = sections.entry(section).or_insert_with(
            || json!({ "type": "object", "additionalProperties": false, "properties": {} }),
        );
        section["properties"][name] = property(key);
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "config.toml of coord",
        "type": "object",
        "additionalProperties": false,
        "properties": sections,
    })
}

fn property(key: &Key) -> Json {
    let mut about = match key.form {
        Form::Choice(words) => json!({ "type": "string", "enum": words }),
        Form::Duration => {
            json!({ "type": "string", "pattern": "^([0-9]+(ms|s|sec|m|min|h|d|w))+$|^[0-9]+$" })
        }
        Form::Number(min, max) => json!({ "type": "integer", "minimum": min, "maximum": max }),
        Form::Fraction(min, max) => json!({ "type": "number", "minimum": min, "maximum": max }),
        Form::Bool => json!({ "type": "boolean" }),
        Form::Text | Form::Path => json!({ "type": "string" }),
        Form::Url => json!({ "type": "string", "pattern": "^https?://" }),
        Form::Words => json!({ "type": "array", "items": { "type": "string" } }),
        Form::Command => json!({ "anyOf": [
            { "type": "string" },
            { "type": "array", "items": { "type": "string" }, "minItems": 1 },
        ] }),
    };
    about["description"] = json!(key.doc);
    if let Some(default) = key.default_value() {
        about["default"] = default.to_json();
    }
    about
}

impl Value {
    /// As JSON; a length of time as the text that a file would hold.
    #[must_use]
    pub fn to_json(&self) -> Json {
        match self {
            Self::Number(n) => json!(n),
            Self::Fraction(n) => json!(n),
            Self::Bool(yes) => json!(yes),
            Self::Words(words) => json!(words),
            other => json!(other.to_text()),
        }
    }

    /// As TOML.
    #[must_use]
    pub fn to_toml(&self) -> toml_edit::Value {
        match self {
            Self::Number(n) => i64::try_from(*n).unwrap_or(i64::MAX).into(),
            Self::Fraction(n) => (*n).into(),
            Self::Bool(yes) => (*yes).into(),
            Self::Words(words) => {
                words.iter().map(String::as_str).collect::<toml_edit::Array>().into()
            }
            other => other.to_text().into(),
        }
    }

    /// As one would type it.
    #[must_use]
    pub fn to_text(&self) -> String {
        match self {
            Self::Word(word) => (*word).to_owned(),
            Self::Duration(time) => {
                let ms = time.as_millis();
                let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s")];
                let unit = units.iter().find(|(unit, _)| ms > 0 && ms % unit == 0);
                unit.map_or_else(
                    || format!("{ms}ms"),
                    |(unit, name)| format!("{}{name}", ms / unit),
                )
            }
            Self::Number(n) => n.to_string(),
            Self::Fraction(n) => n.to_string(),
            Self::Bool(yes) => yes.to_string(),
            Self::Text(text) => text.clone(),
            Self::Words(words) => words.join(","),
            Self::Path(path) => path.display().to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_the_file_and_the_schema_know_every_key() {
        let (page, schema) = (reference(), json_schema());
        let mut file = String::new();
        for line in commented().lines() {
            let bare = line.strip_prefix("# ").filter(|l| l.contains(" = ") && !l.contains('…'));
            let _ = writeln!(file, "{}", bare.unwrap_or(line));
        }
        let table: toml::Table = file.parse().unwrap();
        let check = jsonschema::validator_for(&schema).unwrap();
        assert!(check.is_valid(&serde_json::to_value(&table).unwrap()), "{table}");
        assert!(!check.is_valid(&json!({ "work": { "lease": 5 } })));
        for key in &ALL {
            let (section, name) = key.name.split_once('.').unwrap();
            assert!(page.contains(key.name) && page.contains(key.env));
            assert!(schema["properties"][section]["properties"].get(name).is_some());
            let said = table.get(section).and_then(|s| s.get(name)).is_some();
            assert_eq!(said, key.project != Project::Never && !key.default.is_empty());
        }
    }
}
