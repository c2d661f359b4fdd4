//! The item that a verb is about: the one that was named, else the only one the agent holds.

use crate::commands::{By, Context, from_store};
use crate::domain::name::{AgentId, ItemId};
use crate::domain::work::Op;
use crate::domain::work::transition::{Change, Holder};
use crate::error::{Error, Kind, Result};
use crate::store::{self, Changed, Store};

/// Who acts, and the claim by which they do.
#[derive(clap::Args, Clone, Debug, Default, PartialEq)]
pub(crate) struct Claim {
    #[command(flatten)]
    pub(crate) by: By,

    /// The fencing token of the claim [env: COORD_TOKEN] [default: the agent's name decides]
    #[arg(long, value_name = "N", value_parser = crate::commands::values::token)]
    pub(crate) token: Option<u64>,
}

impl Claim {
    /// By what right the operation is done.
    pub(super) fn holder(&self, cx: &Context, agent: &AgentId) -> Result<Holder> {
        let token = match (self.token, cx.env.text("COORD_TOKEN")) {
            (Some(token), _) => Some(token),
            (None, Some(text)) => Some(text.parse().map_err(|_| {
                Error::new(Kind::Config, format!("`COORD_TOKEN` is `{text}`, expected a number"))
                    .hint("it is the `token` of the claim, as `coord claim --json` prints it")
            })?),
            (None, None) => None,
        };
        Ok(Holder { agent: agent.clone(), token })
    }
}

/// Changes the item that was named, or the only one that the agent holds.
pub(super) fn change(
    cx: &mut Context,
    id: Option<ItemId>,
    holder: &Holder,
    change: &Change,
    op: &Op,
) -> Result<Changed> {
    let store = cx.reader()?;
    let id = match id {
        Some(id) => id,
        None => only(store, holder)?,
    };
    named(store, &id, change, op)
}

/// Changes the item that was named, by its id or a beginning of it.
pub(super) fn named(
    store: &mut dyn Store,
    id: &ItemId,
    change: &Change,
    op: &Op,
) -> Result<Changed> {
    match store.change(id, change, op) {
        // Only a name that is no id costs a second look.
        Err(store::Error::NotFound { .. }) => {
            let full = store.get(id.as_str()).map_err(from_store)?.item.id;
            store.change(&full, change, op).map_err(from_store)
        }
        other => other.map_err(from_store),
    }
}

fn only(store: &dyn Store, holder: &Holder) -> Result<ItemId> {
    let mut held = store.held(&holder.agent)?;
    if let Some(token) = holder.token {
        held.retain(|found| found.item.token == Some(token));
    }
    match held.len() {
        1 => Ok(held.remove(0).item.id),
        0 => Err(Error::new(Kind::User, format!("`{}` holds no item", holder.agent))
            .hint("take one with `coord claim`, or say who you are with `--agent`")),
        n => {
            let ids: Vec<ItemId> = held.into_iter().map(|found| found.item.id).collect();
            let which = super::view::some_ids(&ids);
            Err(Error::new(Kind::User, format!("`{}` holds {n} items", holder.agent))
                .hint(format!("say which one: {which}")))
        }
    }
}
