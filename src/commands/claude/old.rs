//! What the old command line asks: the same questions, through the same layer, with its own rules to
//! fall back on.

use std::time::Duration;

use serde_json::Value;

use super::analysis::Scene;
use super::reach::Reach;
use crate::client::claude::{Ask, Claude, Request, Source};
use crate::commands::{Context, guard};
use crate::domain::claude::{Kind, Preset};
use crate::domain::time::human_duration;
use crate::error::Result;

/// An answer of Claude's and what it rests on, for people; or why there is none.
pub(in crate::commands) type Asked = Result<(Value, String), String>;

/// Asks for an analysis of the store. Without a key or a program nobody is contacted.
pub(in crate::commands) fn analysis(cx: &mut Context, kind: Kind) -> Result<Asked> {
    let claude = match layer(cx) {
        Ok(claude) => claude,
        Err(why) => return Ok(Err(why)),
    };
    let signals = guard::signals()?;
    let scene = Scene::read(cx)?;
    let stop = || signals.take_stop();
    let told = scene.analyse(cx, &claude, kind, &Reach::default(), &stop)?;
    Ok(match told.source {
        Source::Heuristic => Err("Claude gave no answer".to_owned()),
        source => Ok((told.analysis, rests_on(source, told.model.as_deref(), told.age_s))),
    })
}

/// Asks a ready question about some data. The answer is JSON.
pub(in crate::commands) fn filter(cx: &mut Context, preset: Preset, data: &str) -> Result<Asked> {
    let claude = match layer(cx) {
        Ok(claude) => claude,
        Err(why) => return Ok(Err(why)),
    };
    let signals = guard::signals()?;
    let stop = || signals.take_stop();
    let command = cx.command.clone();
    let request = Request {
        system: Some(preset.system()),
        schema: Some(preset.schema()),
        ..Request::new(Preset::prompt(None, data))
    };
    let ask = Ask { stop: &stop, ..Ask::new(request, &command) };
    let answer = super::ask(cx, &claude, ask).map_err(super::failed)?;
    super::notice(cx, &answer);
    let rests = rests_on(answer.source, answer.model.as_deref(), answer.age_s);
    Ok(Ok((answer.structured.unwrap_or_default(), rests)))
}

/// The names and ages of the answers that are cached, the newest first.
pub(in crate::commands) fn reports(cx: &mut Context) -> Vec<(String, u64)> {
    let Ok(claude) = super::layer(cx) else { return Vec::new() };
    let now = cx.clock.wall();
    let (entries, _) = claude.cache().list();
    entries.into_iter().map(|(entry, _)| (entry.model.clone(), entry.age(now).as_secs())).collect()
}

fn layer(cx: &mut Context) -> Result<Claude, String> {
    match super::layer(cx) {
        Ok(claude) if claude.can_ask() => Ok(claude),
        Ok(_) => Err("Claude was not asked".to_owned()),
        Err(error) => Err(format!("Claude was not asked: {error}")),
    }
}

fn rests_on(source: Source, model: Option<&str>, age_s: Option<u64>) -> String {
    let model = model.unwrap_or("Claude");
    match (source, age_s) {
        (Source::Cache | Source::Stale, Some(age)) => {
            format!("answered by {model} {} ago", human_duration(Duration::from_secs(age)))
        }
        _ => format!("answered by {model}"),
    }
}
