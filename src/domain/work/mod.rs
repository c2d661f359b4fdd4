//! Work: items, their life, who waits for whom, which one is next.

pub mod audit;
mod dependency;
mod item;
mod lease;
mod new;
mod pick;
mod query;
pub mod route;
pub mod transition;

pub use dependency::{DependencyError, find_cycle};
pub use item::{Found, Item, Op, Priority, State, Status};
pub use lease::Lease;
pub use new::{Draft, Limits, NewError, NewItem};
pub use pick::Want;
pub use query::{Page, Query, Sort};
pub use transition::{Change, Edit, TransitionError};
