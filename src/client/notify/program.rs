//! A program that is told: the notice on its standard input and in its environment, without a shell.

use std::ffi::OsString;
use std::time::Duration;

use super::Fault;
use crate::client::claude::secret::VARIABLES;
use crate::domain::alert::Notice;
use crate::sys::Clock;
use crate::sys::process::Program;

/// How long a program that took too long may take to end.
const GRACE: Duration = Duration::from_secs(1);

pub(super) fn run(
    argv: &[String],
    notice: &Notice,
    body: &[u8],
    left: Duration,
    clock: &dyn Clock,
) -> Result<(), Fault> {
    let argv: Vec<OsString> = argv.iter().map(OsString::from).collect();
    let value = notice.value.map(|value| value.to_string()).unwrap_or_default();
    let program = [
        ("COORD_ALERT", String::from_utf8_lossy(body).into_owned()),
        ("COORD_ALERT_ID", notice.id.clone()),
        ("COORD_ALERT_NAME", notice.name.clone()),
        ("COORD_ALERT_SEVERITY", notice.severity.clone()),
        ("COORD_ALERT_STATUS", notice.status.as_str().to_owned()),
        ("COORD_ALERT_TEXT", notice.text.clone()),
        ("COORD_ALERT_VALUE", value),
    ]
    .into_iter()
    .fold(Program::new(argv).stdin(body.to_vec()), |program, (name, value)| {
        program.env(name, value)
    });
    let program = VARIABLES.into_iter().fold(program, Program::without);
    let mut running = program.start().map_err(|e| {
        let why = format!("the program cannot be run: {e}");
        match e.kind() {
            std::io::ErrorKind::NotFound | std::io::ErrorKind::PermissionDenied => {
                Fault::lasting(why)
            }
            _ => Fault::passing(why),
        }
    })?;
    let until = clock.monotonic() + left;
    loop {
        let left = until.saturating_sub(clock.monotonic());
        match running.wait(clock, left) {
            Ok(Some(ended)) if ended.is_success() => return Ok(()),
            Ok(Some(ended)) => {
                return Err(Fault::passing(format!("the program ended with {}", ended.words())));
            }
            Ok(None) if left.is_zero() => {
                let _ = running.stop(clock, GRACE, &mut || false);
                return Err(Fault::lasting("the program took too long"));
            }
            Ok(None) => {}
            Err(e) => return Err(Fault::lasting(format!("the program was lost: {e}"))),
        }
    }
}
