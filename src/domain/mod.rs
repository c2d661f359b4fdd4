//! The rules of coordination, one module per noun. Pure: no files, no clock, no environment.

pub mod agent;
pub mod alert;
pub mod behaviour;
pub mod claude;
pub mod health;
pub mod kpi;
pub mod legacy;
pub mod name;
pub mod scrum;
pub mod telemetry;
pub mod time;
pub mod trace;
pub mod work;
