//! Sends the notices that are due.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::Serialize;

use super::{change, patience};
use crate::client::notify::{Config, Failure, Notifier};
use crate::commands::{Context, from_store};
use crate::domain::alert::{Due, Notice, Target};
use crate::domain::time::rfc3339;
use crate::error::Result;
use crate::store::alerts::{Alerts, Letter, Lock};

/// How the delivery of a notice went.
#[derive(Clone, JsonSchema, Serialize)]
pub(super) struct Delivery {
    /// The notice.
    pub(super) id: String,
    /// The rule.
    pub(super) name: String,
    /// `firing`, `resolved`, `test`.
    pub(super) status: &'static str,
    /// `webhook`, `command`, `file`.
    pub(super) target: &'static str,
    pub(super) delivered: bool,
    pub(super) attempts: u32,
    /// Why it was not delivered.
    pub(super) error: Option<String>,
}

impl Delivery {
    pub(super) fn new(notice: &Notice, target: Target, result: &Result<u32, Failure>) -> Self {
        let (attempts, error) = match result {
            Ok(attempts) => (*attempts, None),
            Err(failure) => (failure.attempts, Some(failure.why.clone())),
        };
        Self {
            id: notice.id.clone(),
            name: notice.name.clone(),
            status: notice.status.as_str(),
            target: target.as_str(),
            delivered: error.is_none(),
            attempts,
            error,
        }
    }

    /// Tells people about it.
    pub(super) fn tell(&self, cx: &mut Context, then: &str) {
        let Self { name, status, target, .. } = self;
        match &self.error {
            None => cx.ui.status(&format!("told by {target}: {status}: {name}")),
            Some(why) => cx.ui.warning(&format!(
                "`{name}` ({status}) could not be told by {target}: {why}{then}"
            )),
        }
    }
}

/// What is added to a failure whose notice is kept.
pub(super) const KEPT: &str = "; it is kept, `coord alert redeliver` sends it again";

/// Sends everything that is due, and gives how it went; nothing if another process is at it and goes on
/// until nothing is due.
pub(super) fn deliver(
    cx: &mut Context,
    alerts: &Alerts,
    config: &Config,
) -> Result<Option<Vec<Delivery>>> {
    let patience = patience(cx)?;
    let clock = std::sync::Arc::clone(&cx.clock);
    let right = alerts.lock(Lock::Delivery, patience, clock.as_ref()).map_err(from_store)?;
    if right.is_none() {
        return Ok(None);
    }
    let ids = crate::sys::RandomIds;
    let mut notifier = Notifier::new(config, clock.as_ref(), &ids);
    let (mut all, mut tried) = (Vec::new(), BTreeSet::new());
    loop {
        let (record, _) = alerts.read(false).map_err(from_store)?;
        let fresh = |due: &&Due| !tried.contains(&due.notice.id);
        let Some(Due { notice, targets }) = record.due.iter().find(fresh).cloned() else { break };
        for target in targets {
            let result = notifier.send(&notice, target);
            if let Err(failure) = &result {
                let (at, why) = (rfc3339(clock.wall()), failure.why.clone());
                let (notice, attempts) = (notice.clone(), failure.attempts);
                alerts.bury(&Letter { notice, target, at, attempts, why }).map_err(from_store)?;
            }
            let delivery = Delivery::new(&notice, target, &result);
            delivery.tell(cx, KEPT);
            change(cx, alerts, |record| (record.sent(&notice.id, target), true))?;
            all.push(delivery);
        }
        tried.insert(notice.id);
    }
    Ok(Some(all))
}
