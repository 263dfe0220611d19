//! Forecasts: what comes to be used if it goes on as it did, and how far off the same method would have been in the past. The methods
//! are those of Hyndman and Athanasopoulos, "Forecasting: Principles and Practice", 3rd edition (<https://otexts.com/fpp3/>): seasonal
//! indices as of a classical multiplicative decomposition (3.4), Holt's linear trend (8.2), tried by cross-validation (5.10) and
//! measured by the mean absolute percentage error (5.8).

mod gauge;
mod window;

pub(crate) use gauge::Gauge;
pub(crate) use window::{Progress, Step, Windows};

/// How it was forecast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    /// As fast as until now.
    Rate,
    /// The same, with the pattern of a season.
    SeasonalRate,
    /// Holt's linear trend.
    Holt,
}

impl Method {
    /// The word, as the API has it.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::SeasonalRate => "seasonal_rate",
            Self::Holt => "holt",
        }
    }
}

/// How far off a method was.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Tested {
    /// Mean absolute error in percent of what came to be.
    pub(crate) error_percent: Option<f64>,
    /// How often it was tried.
    pub(crate) times: u32,
}

impl Tested {
    /// Of what was forecast, and what came to be. What came to nothing has no percent of it.
    fn of(tries: impl IntoIterator<Item = (f64, f64)>) -> Self {
        let (mut sum, mut times) = (0.0, 0);
        for (forecast, actual) in tries {
            if actual > 0.0 {
                sum += (forecast - actual).abs() / actual;
                times += 1;
            }
        }
        Self {
            error_percent: (times > 0).then(|| 100.0 * sum / f64::from(times)),
            times,
        }
    }
}

#[cfg(test)]
mod tests;
