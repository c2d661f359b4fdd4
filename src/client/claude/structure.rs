//! Answers that must fit a JSON Schema: checked here, whatever the service promised.

use jsonschema::Validator;
use serde_json::Value;

use super::{Failure, FailureKind, Message, Request, Role};

/// How often Claude is asked again.
pub(super) const REASKS: u32 = 2;
/// How many faults of an answer are quoted.
const QUOTED: usize = 5;

/// A schema, ready to check answers.
pub(super) struct Schema(Validator);

impl Schema {
    /// Makes one; a schema that is none is told before anything is sent. Nothing is fetched.
    pub(super) fn new(schema: &Value) -> Result<Self, Failure> {
        jsonschema::options().build(schema).map(Self).map_err(|e| {
            let message = format!("the schema is no JSON Schema: {}", short(&e.to_string()));
            Failure::new(FailureKind::BadRequest, message)
        })
    }

    /// The answer as data, or what does not fit.
    pub(super) fn check(&self, text: &str, structured: Option<Value>) -> Result<Value, String> {
        let value = match structured {
            Some(value) => value,
            None => serde_json::from_str(text.trim()).map_err(|e| format!("it is no JSON: {e}"))?,
        };
        let faults: Vec<String> = self
            .0
            .iter_errors(&value)
            .take(QUOTED)
            .map(|e| {
                let at = e.instance_path().to_string();
                let at =
                    if at.is_empty() { "the whole answer".to_owned() } else { format!("`{at}`") };
                format!("{at}: {}", short(&e.to_string()))
            })
            .collect();
        if faults.is_empty() { Ok(value) } else { Err(faults.join("; ")) }
    }
}

/// The request once more, with the answer and what is wrong with it.
pub(super) fn ask_again(request: &Request, text: &str, fault: &str) -> Request {
    let mut again = request.clone();
    if !text.trim().is_empty() {
        again.messages.push(Message { role: Role::Assistant, content: text.to_owned() });
    }
    again.messages.push(Message {
        role: Role::User,
        content: format!(
            "Your answer does not fit the schema. The validator says: {fault}\n\
             Answer again, with the corrected JSON alone."
        ),
    });
    again
}

fn short(text: &str) -> String {
    let line = text.replace('\n', " ");
    line.chars().take(300).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_answer_fits_or_is_told_why_not() {
        let schema = json!({
            "type": "object",
            "properties": {"n": {"type": "integer", "minimum": 1}},
            "required": ["n"],
            "additionalProperties": false,
        });
        let schema = Schema::new(&schema).unwrap();
        assert_eq!(schema.check(" {\"n\": 1}\n", None), Ok(json!({"n": 1})));
        assert_eq!(schema.check("prose", Some(json!({"n": 2}))), Ok(json!({"n": 2})));
        assert!(schema.check("prose", None).unwrap_err().starts_with("it is no JSON"));
        let fault = schema.check("{\"n\": 0, \"x\": 1}", None).unwrap_err();
        assert!(fault.contains("`/n`") && fault.contains("the whole answer"), "{fault}");
        assert!(Schema::new(&json!({"type": "nonsense"})).is_err());
        let again = ask_again(&Request::new("q"), "prose", &fault);
        assert_eq!(again.messages.len(), 3);
        assert!(again.messages[2].content.contains(&fault));
    }
}
