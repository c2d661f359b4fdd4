//! `coord work claim`.

use std::io;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use super::ItemView;
use crate::commands::{By, Context, Verb};
use crate::domain::name::{ItemId, Team, Word};
use crate::domain::time::{human_duration, parse_duration};
use crate::domain::work::Want;
use crate::error::{Error, Kind, Result};
use crate::output::{Screen, Shape, View, plural};
use crate::store::{self, Changed, Claimed};

/// Take the best ready item, or a named one
///
/// Ready is what is pending and needs nothing that is not done; the best is the most urgent, then
/// the one that came into this store first: what is imported stands behind what was there, however
/// old it is. The claim is a lease: renew it with `coord progress` or `coord agent heartbeat`, or
/// the item goes back to the queue when it ends. Exit code 6 says that nothing is ready.
#[derive(clap::Args, Clone, Debug, Default, PartialEq)]
#[command(after_help = "\
Examples:
  coord claim                              The best ready item
  coord claim -q --type bug --team core    Of this kind; print its id alone
  coord claim --wait 10m --lease 1h        Wait until there is one; hold it for an hour")]
pub(crate) struct Args {
    /// The item to take [default: the best ready one]
    pub(crate) id: Option<ItemId>,

    /// Only work of this team
    #[arg(long, value_name = "NAME")]
    pub(crate) team: Option<Team>,

    /// Only work of this type
    #[arg(long = "type", value_name = "NAME")]
    pub(crate) kind: Option<Word>,

    /// Only work with this label; more than once: with all of them
    #[arg(long = "label", value_name = "NAME")]
    pub(crate) labels: Vec<Word>,

    /// Something the agent can do, besides what it registered
    #[arg(long = "capability", value_name = "NAME")]
    pub(crate) capabilities: Vec<Word>,

    /// How long the claim holds unless it is renewed [default: 30m]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) lease: Option<Duration>,

    /// Wait until there is something, at most this long [default: for ever]
    #[arg(long, value_name = "TIME", value_parser = parse_duration, num_args = 0..=1,
        require_equals = false)]
    #[expect(clippy::option_option, reason = "absent, without a time, and with one all differ")]
    pub(crate) wait: Option<Option<Duration>>,

    /// Ask Claude first which item to take; without Claude in time fixed rules say it: those of
    /// `coord claude priorities`
    #[arg(long, conflicts_with = "id")]
    pub(crate) advise: bool,

    #[command(flatten)]
    pub(crate) by: By,
}

#[derive(JsonSchema, Serialize)]
struct Taken {
    #[serde(flatten)]
    item: ItemView,
    repeated: bool,
}

impl View for Taken {
    const SCHEMA: &'static str = "coord.work.claim/v1";

    fn human(&self, out: &mut dyn io::Write, _screen: Screen) -> io::Result<()> {
        self.item.heading(out)?;
        self.item.facts(out)
    }

    fn quiet(&self, out: &mut dyn io::Write) -> io::Result<()> {
        out.write_all([self.item.id.as_str(), "\n"].concat().as_bytes())
    }
}

impl Verb for Args {
    const VIEWS: &'static [Shape] = &[Shape::of::<Taken>()];

    fn run(self, cx: &mut Context) -> Result<()> {
        let lease = match self.lease {
            Some(lease) => lease,
            None => cx.settings()?.lease(),
        };
        if lease.is_zero() {
            return Err(Error::new(Kind::Usage, "a lease of no length")
                .hint("give it a length, such as `--lease 30m`"));
        }
        let mut want = Want {
            agent: cx.agent(self.by.agent.as_ref())?,
            id: self.id,
            team: self.team,
            kind: self.kind,
            labels: self.labels,
            capabilities: self.capabilities,
            lease,
        };
        cx.lasting = self.advise || self.wait.is_some();
        if self.advise
            && let Some(taken_item) = advised(cx, &want)?
        {
            return taken(cx, taken_item);
        }
        let until = self.wait.map(|limit| limit.map(|time| cx.clock.monotonic() + time));
        loop {
            let op = cx.op(Some(&want.agent))?;
            let (next, refusal) = match cx.store()?.claim(&want, &op) {
                Ok(Claimed::Taken(changed)) => return taken(cx, *changed),
                Ok(Claimed::Nothing { next_lease_end, open }) => {
                    (next_lease_end, nothing(open, self.wait.flatten()))
                }
                Ok(Claimed::Full { held, capacity }) => (None, full(&want, held, capacity)),
                Err(store::Error::NotFound { id, similar }) => {
                    // It may have been the beginning of an id.
                    match cx.store()?.get(&id) {
                        Ok(found) if want.id.as_ref() != Some(&found.item.id) => {
                            want.id = Some(found.item.id);
                            continue;
                        }
                        Err(store::Error::Ambiguous { id, matches }) => {
                            return Err(store::Error::Ambiguous { id, matches }.into());
                        }
                        _ => return Err(store::Error::NotFound { id, similar }.into()),
                    }
                }
                Err(error) => return Err(error.into()),
            };
            let Some(until) = until else { return Err(refusal) };
            let left = match until {
                Some(until) => match until.checked_sub(cx.clock.monotonic()) {
                    Some(left) if !left.is_zero() => left,
                    _ => return Err(refusal),
                },
                None => LONGEST,
            };
            // A lease that ends makes no file change: it bounds the wait.
            let bound = next.map_or(LONGEST, |end| end.max(Duration::from_millis(10)));
            cx.store()?.wait(left.min(bound).min(LONGEST))?;
        }
    }
}

/// Takes the first item of the advice that this agent can have; whatever stands against one, such as
/// a filter or somebody who was quicker, the next one is tried.
fn advised(cx: &mut Context, want: &Want) -> Result<Option<Changed>> {
    for id in crate::commands::claude::advise::order(cx).into_iter().take(MOST_ADVISED) {
        let op = cx.op(Some(&want.agent))?;
        let want = Want { id: Some(id), ..want.clone() };
        match cx.store()?.claim(&want, &op) {
            Ok(Claimed::Taken(changed)) => return Ok(Some(*changed)),
            Err(store::Error::Busy { .. } | store::Error::Unknown { .. }) | Ok(_) => {
                return Ok(None);
            }
            Err(_) => {}
        }
    }
    Ok(None)
}

/// So many items of an advice are tried.
const MOST_ADVISED: usize = 10;

/// However quiet it is, look again after this time.
const LONGEST: Duration = Duration::from_mins(1);

fn taken(cx: &mut Context, changed: Changed) -> Result<()> {
    cx.about(&changed.found.item);
    let lease = changed.found.item.lease;
    let item = ItemView::new(changed.found, cx.stamp());
    let id = item.id.clone();
    cx.ui.emit(&Taken { item, repeated: changed.repeated })?;
    if changed.repeated {
        cx.ui.status(&format!("`{id}` was claimed by this operation before"));
    } else if cx.ui.is_attended() {
        let left = lease.map_or_else(String::new, |l| human_duration(l.length));
        cx.ui.status(&format!("yours for {left}; when it is done: coord complete {id}"));
    }
    Ok(())
}

fn nothing(open: u64, waited: Option<Duration>) -> Error {
    let message = match open {
        0 => "nothing to do: the queue is empty".to_owned(),
        n => format!("nothing to do: none of the {} is ready and fits", plural(n, "open item")),
    };
    match waited {
        None => Error::new(Kind::Empty, message).hint("`--wait` waits until there is something"),
        Some(time) => {
            let message = format!("{message}, after {} of waiting", human_duration(time));
            Error::new(Kind::Empty, message)
                .hint("wait longer, or without a limit with a bare `--wait`")
        }
    }
}

fn full(want: &Want, held: u32, capacity: u32) -> Error {
    let held = plural(held.into(), "item");
    let message = format!("`{}` holds {held} and registered for {capacity}", want.agent);
    Error::new(Kind::User, message)
        .hint("finish or release one, or register again with a larger `--capacity`")
}
