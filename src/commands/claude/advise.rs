//! Advice for `coord work claim --advise`: which ready item to take first. It has a short deadline of
//! its own; whatever goes wrong, the claim goes on as if nobody had been asked.

use std::time::Duration;

use super::analysis::Scene;
use super::reach::Reach;
use crate::commands::Context;
use crate::domain::claude::Kind;
use crate::domain::name::ItemId;
use crate::error::Result;
use crate::output::line;

/// How long the advice may take.
const DEADLINE: Duration = Duration::from_secs(3);

/// The items in the order in which Claude, or the rules that stand in for it, would take them; none
/// without advice.
pub(in crate::commands) fn order(cx: &mut Context) -> Vec<ItemId> {
    match ask(cx) {
        Ok(ids) => ids,
        Err(error) => {
            cx.ui.status(&format!("no advice: {error}; the usual order is kept"));
            Vec::new()
        }
    }
}

fn ask(cx: &mut Context) -> Result<Vec<ItemId>> {
    let scene = Scene::read(cx)?;
    if scene.facts.ready.len() < 2 {
        return Ok(Vec::new());
    }
    let claude = super::layer(cx)?;
    let reach = Reach { deadline: Some(DEADLINE), ..Reach::default() };
    let told = scene.analyse(cx, &claude, Kind::Priorities, &reach, &|| None)?;
    let rows = told.analysis["priorities"].as_array().cloned().unwrap_or_default();
    if let Some(first) = rows.first() {
        let word = |name: &str| line(first[name].as_str().unwrap_or_default()).into_owned();
        cx.ui.status(&format!("advice: {} first, {}", word("id"), word("reason")));
    }
    Ok(rows.iter().filter_map(|row| row["id"].as_str()?.parse().ok()).collect())
}
