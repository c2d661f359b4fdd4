//! How far a call may go: the flags that every question to Claude takes.

use std::time::Duration;

use crate::client::claude::Switches;
use crate::domain::time::parse_duration;

/// How far a call may go.
#[derive(clap::Args, Clone, Debug, Default)]
pub(super) struct Reach {
    /// Ask this model first
    #[arg(long, value_name = "NAME")]
    pub(super) model: Option<String>,

    /// Give up after this time [default: claude.deadline]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(super) deadline: Option<Duration>,

    /// Answer from the cache, or by rules where there are some; open no connection, run no program
    #[arg(long, conflicts_with_all = ["refresh", "require_fresh", "no_cache"])]
    pub(super) offline: bool,

    /// Fail rather than give a stale answer or one by rules
    #[arg(long)]
    pub(super) require_fresh: bool,

    /// Neither read nor write the cache
    #[arg(long, conflicts_with = "refresh")]
    pub(super) no_cache: bool,

    /// Ask anew even if a fresh answer is cached
    #[arg(long)]
    pub(super) refresh: bool,

    /// How old a cached answer may be to count as fresh
    #[arg(long, value_name = "TIME", value_parser = parse_duration, hide_short_help = true)]
    pub(super) max_age: Option<Duration>,

    /// How old a cached answer may be to stand in for a failed call
    #[arg(long, value_name = "TIME", value_parser = parse_duration, hide_short_help = true)]
    pub(super) max_stale: Option<Duration>,

    /// Show what would be sent, its cache key and an estimate of its cost; send nothing
    #[arg(long)]
    pub(super) dry_run: bool,
}

impl Reach {
    /// The same for the layer.
    pub(super) const fn switches(&self) -> Switches {
        Switches {
            no_cache: self.no_cache,
            refresh: self.refresh,
            offline: self.offline,
            require_fresh: self.require_fresh,
            max_age: self.max_age,
            max_stale: self.max_stale,
            deadline: self.deadline,
        }
    }
}
