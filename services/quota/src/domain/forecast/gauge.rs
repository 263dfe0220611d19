//! What there is, and doesn't begin anew: it grows on as it did lately.

use super::Tested;

/// Fewest days of growth that a trend is made of.
const FEWEST_DAYS: usize = 7;
/// How many days ahead the past is tried, and most often.
const TRY_AHEAD: usize = 7;
const TRIES: usize = 12;
/// How much the newest value says of the level, and of the trend. Of these the pair is taken by which each value was forecast best
/// from those before.
const ALPHAS: [f64; 3] = [0.2, 0.5, 0.8];
const BETAS: [f64; 3] = [0.1, 0.3, 0.5];

/// How much there was at the end of each day, the oldest first; the last is how much there is now.
#[derive(Clone, Debug)]
pub(crate) struct Gauge(Vec<f64>);

/// What a gauge's values say of those to come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Trend {
    pub(crate) level: f64,
    pub(crate) per_day: f64,
}

impl Gauge {
    /// A gauge that has this value now and grew by so much on each day, the oldest first. Days before it first changed say nothing.
    pub(crate) fn new(now: f64, growth: &[f64]) -> Self {
        let growth = growth.iter().skip_while(|day| **day == 0.0);
        let growth: Vec<f64> = growth.copied().collect();
        let mut values = vec![now];
        for day in growth.iter().rev() {
            let after = values.last().copied().unwrap_or_default();
            values.push(after - day);
        }
        values.reverse();
        Self(values)
    }

    /// Where it goes; none where there is too little to say it from.
    pub(crate) fn trend(&self) -> Option<Trend> {
        Trend::of(&self.0)
    }

    /// In how many days it reaches this limit, if it goes there.
    pub(crate) fn reaches(&self, limit: f64) -> Option<f64> {
        if self.0.last().is_some_and(|now| *now >= limit) {
            return Some(0.0);
        }
        let trend = self.trend()?;
        let grows = trend.per_day > 0.0;
        grows.then(|| ((limit - trend.level) / trend.per_day).max(0.0))
    }

    /// How far off it would have been a week ahead, from each week of the past.
    pub(crate) fn tested(&self) -> Tested {
        let origins = (1..=TRIES).filter_map(|nth| self.0.len().checked_sub(nth * TRY_AHEAD));
        let tries = origins.filter_map(|known| {
            let trend = Trend::of(self.0.get(..known)?)?;
            let actual = self.0.get(known + TRY_AHEAD - 1)?;
            Some((trend.after(TRY_AHEAD as f64), *actual))
        });
        Tested::of(tries)
    }
}

impl Trend {
    fn of(values: &[f64]) -> Option<Self> {
        if values.len() <= FEWEST_DAYS {
            return None;
        }
        let pairs = ALPHAS
            .iter()
            .flat_map(|alpha| BETAS.map(|beta| (*alpha, beta)));
        let tried = pairs.filter_map(|pair| holt(values, pair));
        let best = tried.min_by(|(_, one), (_, other)| one.total_cmp(other));
        best.map(|(trend, _)| trend)
    }

    /// How much there is after so many days: never less than nothing.
    pub(crate) fn after(self, days: f64) -> f64 {
        days.mul_add(self.per_day, self.level).max(0.0)
    }
}

/// Holt's linear trend behind these values, and the squared errors of the forecast of each from those before.
pub(super) fn holt(values: &[f64], (alpha, beta): (f64, f64)) -> Option<(Trend, f64)> {
    let [first, second, rest @ ..] = values else {
        return None;
    };
    let mut trend = Trend {
        level: *second,
        per_day: second - first,
    };
    let mut errors = 0.0;
    for value in rest {
        let forecast = trend.level + trend.per_day;
        errors += (value - forecast).powi(2);
        let level = alpha * value + (1.0 - alpha) * forecast;
        trend = Trend {
            level,
            per_day: beta * (level - trend.level) + (1.0 - beta) * trend.per_day,
        };
    }
    Some((trend, errors))
}
