//! What is asked, apart from who is asked and how.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Who wrote a message.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// We did.
    User,
    /// Claude did.
    Assistant,
}

/// One message of a conversation.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Message {
    /// Who wrote it.
    pub role: Role,
    /// Its text.
    pub content: String,
}

/// How hard Claude should think.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Effort {
    /// Enough for decisions about work.
    #[default]
    Low,
    /// More.
    Medium,
    /// Much.
    High,
    /// Very much.
    Xhigh,
    /// As much as can be.
    Max,
}

impl Effort {
    /// The service's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Xhigh => "xhigh",
            Self::Max => "max",
        }
    }
}

/// What is asked. The model comes from the ladder.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Request {
    /// What Claude is told about its task.
    pub system: Option<String>,
    /// The conversation; at least one message of the user.
    pub messages: Vec<Message>,
    /// The preferred model, ahead of the configured ones.
    pub model: Option<String>,
    /// How many tokens may be written, thinking included; default: as configured.
    pub max_tokens: Option<u32>,
    /// How hard to think; default: as configured.
    pub effort: Option<Effort>,
    /// A JSON Schema that the answer must fit.
    pub schema: Option<Value>,
}

impl Request {
    /// A question.
    #[must_use]
    pub fn new(prompt: impl Into<String>) -> Self {
        let message = Message { role: Role::User, content: prompt.into() };
        Self { messages: vec![message], ..Self::default() }
    }

    /// The body of `POST /v1/messages`. The defaults were filled in before.
    #[must_use]
    pub fn body(&self, model: &str, stream: bool) -> Value {
        let mut body = json!({
            "model": model,
            "max_tokens": self.max_tokens.unwrap_or(1),
            "messages": self.messages,
        });
        if let Some(system) = &self.system {
            body["system"] = json!(system);
        }
        let mut output = serde_json::Map::new();
        if let Some(effort) = self.effort {
            output.insert("effort".to_owned(), json!(effort));
        }
        if let Some(schema) = &self.schema {
            output.insert("format".to_owned(), json!({"type": "json_schema", "schema": schema}));
        }
        if !output.is_empty() {
            body["output_config"] = Value::Object(output);
        }
        if stream {
            body["stream"] = json!(true);
        }
        body
    }
}
