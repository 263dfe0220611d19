//! How figures are told: two sides and their ratio.

use std::time::Duration;

use crate::side::Measured;

/// What this part of times in order, in percent, doesn't exceed, in milliseconds.
#[must_use]
pub fn at(sorted: &[Duration], percent: usize) -> f64 {
    sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)].as_secs_f64() * 1e3
}

/// Heads the lines of [`line`].
pub fn head(what: &str, one: &str, other: &str) {
    println!(
        "\n{what:24} {:>12} {:>12} {:>7}",
        format!("{one}"),
        format!("{other}"),
        "ratio"
    );
}

/// One figure of both sides.
pub fn line(what: &str, unit: &str, one: f64, other: f64) {
    let digits = if one < 100.0 { 2 } else { 0 };
    println!(
        "{what:24} {one:>10.digits$}{unit:2} {other:>10.digits$}{unit:2} {:>7.2}",
        other / one
    );
}

/// All figures of a comparison.
pub fn all(in_flight: usize, [one, other]: &[Measured; 2]) {
    line(
        &format!("{in_flight} in flight: requests/s"),
        "",
        one.rate(),
        other.rate(),
    );
    for (name, part) in [("p50", 0.50), ("p99", 0.99)] {
        line(
            &format!("  {name}"),
            "ms",
            one.within_ms(part),
            other.within_ms(part),
        );
    }
    line("  processor/request", "us", one.cpu_us(), other.cpu_us());
}
