//! What was used, as it is read.

mod export;
mod forecast;
mod logs;
mod present;
mod series;
