//! Where an old record stands: pending, done or failed, since when, by whom.

use serde_json::Value;

use super::fields::{Fields, short};
use super::time;
use super::words::{self, Meaning};
use crate::domain::time::rfc3339;
use crate::domain::work::{Item, Status};

/// Where the item stands, from `status`, the agent, the times, the progress and the result.
///
/// An item that somebody had is pending: the old system had no leases, so that the claim of an agent
/// that is gone would stand for ever. The note tells who had it.
pub(super) fn life(item: &mut Item, fields: &mut Fields, agent_key: &str) {
    let agent = fields.agent(agent_key);
    let claimed_at = fields.time("claimed_at");
    let mut finished_at = fields.time("completed_at");
    let progress = fields.number("progress", 100).and_then(|p| u8::try_from(p).ok());
    let status = fields.text("status");
    let created_at = fields.time("created_at").or_else(|| time::of_id(item.id.as_str()));
    item.created_at = match (created_at, claimed_at) {
        (Some(created), Some(claimed)) => created.min(claimed),
        (created, claimed) => created.or(claimed).or(finished_at).unwrap_or(item.created_at),
    };
    item.result = fields.text("result");
    let original = status.clone();
    let meaning = match status.as_deref().map(words::meaning) {
        Some(Some(meaning)) => meaning,
        other => {
            let by_time = if finished_at.is_some() {
                Meaning::Finished(Status::Done)
            } else if agent.is_some() && claimed_at.is_some() {
                Meaning::Held
            } else {
                Meaning::Open
            };
            let taken = match by_time {
                Meaning::Finished(_) => "done, because it has a time of completion",
                Meaning::Held => "claimed",
                Meaning::Open => "pending",
            };
            match (other, status) {
                (Some(_), Some(text)) => {
                    fields.tell(format!(
                        "`status` `{}` is free text: taken as {taken}",
                        short(&text)
                    ));
                    item.note = Some(text.clone());
                    fields.keep("status", text);
                }
                _ => fields.tell(format!("`status` is empty: taken as {taken}")),
            }
            by_time
        }
    };
    match meaning {
        Meaning::Finished(status) => {
            item.status = status;
            item.progress = if status == Status::Done { 100 } else { progress.unwrap_or(0) };
            item.attempt = 1;
            item.agent = agent;
            item.claimed_at = claimed_at;
            if finished_at.is_none() {
                finished_at = fields.time("last_update").or(claimed_at).or(Some(item.created_at));
                fields.tell("it has no time of completion: the last known time stands for it");
            }
            item.finished_at = finished_at;
        }
        Meaning::Held => {
            let holder = agent.as_ref().map_or("somebody", |a| a.as_str());
            let far = progress.map_or(String::new(), |p| format!(" and was at {p} %"));
            fields.tell(match &agent {
                Some(agent) => {
                    format!("`{agent}` had it without a lease{far}: it is pending again")
                }
                None => "it was in work, nobody knows whose: it is pending again".to_owned(),
            });
            let before = item.note.take().map_or(String::new(), |n| format!(": {n}"));
            item.note = Some(format!("{holder} had it in the old system{far}{before}"));
            for (key, value) in [
                ("agent_id", agent.map(|a| a.to_string().into())),
                ("claimed_at", claimed_at.map(|t| rfc3339(t).into())),
                ("progress", progress.map(Into::<Value>::into)),
                ("status", original.map(Into::into)),
            ] {
                if let Some(value) = value {
                    fields.keep(key, value);
                }
            }
        }
        Meaning::Open => {
            if let Some(agent) = agent {
                fields.keep(agent_key, agent.to_string());
            }
            if let Some(time) = finished_at {
                fields.tell("it has a time of completion although it is open: kept aside");
                fields.keep("completed_at", rfc3339(time));
            }
        }
    }
}
