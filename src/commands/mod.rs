//! One folder per noun, one file per verb: arguments in, a view out; the rules are not here.

pub(crate) mod agent;
mod alert;
mod backup;
pub(crate) mod bench;
mod claude;
mod cleanup;
pub(crate) mod compat;
pub(crate) mod complete;
mod config;
mod context;
mod demo;
mod document;
mod env;
mod failure;
mod guard;
mod health;
mod identity;
mod import;
mod init;
mod kpi;
mod lock;
mod observed;
mod record;
mod restore;
mod scripts;
mod selftest;
mod status;
mod swarm;
mod table;
mod telemetry;
mod trace;
mod util;
mod values;
mod verify;
pub(crate) mod work;

pub(crate) use context::{Context, Flags, Reference};
pub(crate) use failure::{explain, from_store};
pub(crate) use identity::By;
pub(crate) use record::{OLD_TRACES, Step};
pub(crate) use table::{Entry, Runner, Then, Verb, verbs};
pub(crate) use values::number;

/// Every top-level command. A few hot verbs of `work` stand here a second time.
pub(crate) const NOUNS: &[Entry] = &[
    Entry::verb::<work::add::Args>("add"),
    Entry::verb::<work::claim::Args>("claim"),
    Entry::verb::<work::progress::Args>("progress"),
    Entry::verb::<work::complete::Args>("complete"),
    Entry::verb::<status::Args>("status"),
    Entry::noun("work", "Queue, claim and finish work", work::VERBS, work::build),
    Entry::noun("agent", "Register agents, watch them, work as one", agent::VERBS, agent::build),
    Entry::noun("swarm", "Run many workers under one supervisor", swarm::VERBS, swarm::build),
    Entry::noun(
        "claude",
        "Ask Claude, with retries, a cache and a budget",
        claude::VERBS,
        claude::build,
    ),
    Entry::noun("trace", "See and export what was done, as traces", trace::VERBS, trace::build),
    Entry::noun("lock", "Hold a named lock around any program", lock::VERBS, lock::build),
    Entry::verb::<init::Args>("init"),
    Entry::verb::<env::Args>("env"),
    Entry::noun("config", "See and change the settings", config::VERBS, config::build),
    Entry::verb::<import::Args>("import"),
    Entry::verb::<verify::Args>("verify"),
    Entry::noun(
        "backup",
        "Save the store, and list, check and prune what was saved",
        backup::VERBS,
        backup::build,
    )
    .usually("create"),
    Entry::verb::<restore::Args>("restore"),
    Entry::verb::<cleanup::Args>("cleanup"),
    Entry::verb::<health::Args>("health"),
    Entry::verb::<health::DoctorArgs>("doctor"),
    Entry::noun("telemetry", "Sum up what commands did", telemetry::VERBS, telemetry::build),
    Entry::noun(
        "alert",
        "Rules about what was measured, and who is told",
        alert::VERBS,
        alert::build,
    ),
    Entry::noun("kpi", "Compare key figures with their targets", kpi::VERBS, kpi::build),
    Entry::verb::<compat::Args>("compat"),
    Entry::noun("scripts", "Count scripts and what replaces them", scripts::VERBS, scripts::build),
    Entry::verb::<demo::Args>("demo"),
    Entry::verb::<selftest::Args>("selftest"),
    Entry::noun("bench", "Measure this program on this machine", bench::VERBS, bench::build),
    Entry::noun("util", "Make completions, man pages, schemas", util::VERBS, util::build).hidden(),
];

/// The row that a command's words lead to, such as `work list`, if this version has it.
pub(crate) fn entry(command: &str) -> Option<&'static Entry> {
    let mut words = command.split(' ');
    let first = words.next()?;
    let mut entry = NOUNS.iter().find(|e| e.name == first)?;
    for word in words {
        let Then::Noun(verbs, _) = entry.then else { return None };
        entry = verbs.iter().find(|e| e.name == word)?;
    }
    Some(entry)
}

/// Whether this version has a command.
pub(crate) fn is_here(command: &str) -> bool {
    entry(command).is_some()
}

/// Goes on only if a person agrees: an error says that nobody could be asked, or that the answer was no.
pub(crate) fn agreed(cx: &mut Context, question: &str) -> crate::error::Result<()> {
    use crate::error::{Error, Kind};
    cx.lasting = true;
    match cx.ui.ask(question)? {
        Some(true) => Ok(()),
        Some(false) => Err(Error::new(Kind::User, "nothing was changed, as you said")),
        None => Err(Error::new(Kind::Usage, "this needs a confirmation, and nobody can be asked")
            .hint(
                "`--yes` confirms it, `--dry-run` shows what would be done; nothing was changed",
            )),
    }
}
