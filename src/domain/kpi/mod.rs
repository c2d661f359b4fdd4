//! Key figures: what is measured, against which target, and what the numbers prove.
//!
//! # What is said of a figure
//!
//! A figure that nobody recorded is nothing, never zero. A share, such as availability, is measured
//! on a sample: that it is met is only said if the lower bound of the share at 95 % confidence reaches
//! the target, see [`bound`]. A quantile is a share as well: that of the answers which take no longer
//! than the target. A share that reaches the target while its bound does not is "not shown".

pub mod bound;
mod coverage;
mod figure;
mod gate;
mod measure;
mod table;
pub mod text;
mod week;

pub use coverage::{Coverage, CoverageError};
pub use figure::{Figure, Trend, Verdict, trend};
pub use gate::{Gate, Required};
pub use measure::{Evidence, measure};
pub use table::{Better, Kpi, SCRIPTS_BEFORE, Targets, Unit};
pub use week::Week;
