//! Reading what was used: line by line, in spans of time, and where that leads.

mod export;
mod forecast;
mod logs;
mod present;
mod series;

pub(crate) use forecast::Forecast;
pub(crate) use present::{Present, ResourceUse};
pub(crate) use series::{AskedSeries, Series};
