//! Whom to tell, as configured.

use std::time::Duration;

use crate::client::notify::{Config, Hook};
use crate::commands::Context;
use crate::error::Result;
use crate::settings::keys;

/// Reads it.
pub(super) fn read(cx: &mut Context) -> Result<Config> {
    let settings = cx.settings()?;
    let webhook = match settings.text_of(keys::ALERT_WEBHOOK_URL)? {
        Some(url) => Some(Hook {
            url,
            secret_file: settings.path(keys::ALERT_WEBHOOK_SECRET_FILE)?,
            secret_command: settings.words(keys::ALERT_WEBHOOK_SECRET_COMMAND)?,
            ca_file: settings.path(keys::ALERT_WEBHOOK_CA_FILE)?,
        }),
        None => None,
    };
    Ok(Config {
        webhook,
        command: settings.words(keys::ALERT_COMMAND)?,
        file: settings.path(keys::ALERT_FILE)?,
        deadline: settings.time(keys::ALERT_DEADLINE)?.unwrap_or(Duration::from_secs(30)),
    })
}
