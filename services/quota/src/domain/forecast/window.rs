//! What is counted anew in each window: the rest of the present one goes on as fast as it went until now, with the pattern of a season
//! where there is enough of the past to know one.

use super::{Method, Tested};

/// Seasons that a pattern needs, and most that it is made of: those just before.
const SEASONS: usize = 4;
const MOST_SEASONS: usize = 8;

/// A part of a window: the day of a month, the hour of a day, or the minute of an hour.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Step {
    /// How long it is: 1, or less or more where clocks are changed.
    pub(crate) length: f64,
    /// Which of its season: the day of the week, or the hour of the day.
    pub(crate) phase: usize,
    pub(crate) amount: f64,
}

/// How far a window has gone: so many whole steps, and this part of the next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Progress {
    pub(crate) steps: usize,
    pub(crate) part: f64,
}

/// A window and those before it.
#[derive(Clone, Debug)]
pub(crate) struct Windows {
    /// How many phases a season has; 1 where there is none.
    pub(crate) phases: usize,
    /// Windows that are over, the oldest first, without those before anything was used.
    pub(crate) past: Vec<Vec<Step>>,
    /// The present window, to its end.
    pub(crate) present: Vec<Step>,
    pub(crate) progress: Progress,
    /// Used in it until now.
    pub(crate) used: f64,
}

/// What the present window comes to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Expected {
    pub(crate) method: Method,
    /// At its end.
    pub(crate) total: f64,
    /// What is used in a step of length 1.
    pub(crate) rate: f64,
}

impl Windows {
    /// What the present window comes to; none where there is too little to say it from.
    pub(crate) fn expected(&self) -> Option<Expected> {
        let pace = Pace::of(
            self.phases,
            &self.past,
            &self.present,
            (self.progress, self.used),
        )?;
        Some(Expected {
            method: pace.method(),
            total: pace.total(&self.present, self.progress, self.used),
            rate: pace.rate,
        })
    }

    /// Where the present window reaches this limit, if it does.
    pub(crate) fn reaches(&self, limit: f64) -> Option<Progress> {
        if self.used >= limit {
            return Some(self.progress);
        }
        let pace = Pace::of(
            self.phases,
            &self.past,
            &self.present,
            (self.progress, self.used),
        )?;
        let mut used = self.used;
        for (place, step) in self.present.iter().enumerate().skip(self.progress.steps) {
            let begun = if place == self.progress.steps {
                self.progress.part
            } else {
                0.0
            };
            let whole = pace.rate * pace.weight(step);
            let rest = whole * (1.0 - begun);
            if rest > 0.0 && used + rest >= limit {
                return Some(Progress {
                    steps: place,
                    part: begun + (limit - used) / whole,
                });
            }
            used += rest;
        }
        None
    }

    /// How far off the past windows' totals would have been, forecast from as much of each as there is now of the present one.
    pub(crate) fn tested(&self) -> Tested {
        let tries = self.past.iter().enumerate().filter_map(|(nth, window)| {
            let before = self.past.get(..nth)?;
            let used = used_until(window, self.progress);
            let pace = Pace::of(self.phases, before, window, (self.progress, used))?;
            let actual = window.iter().map(|step| step.amount).sum();
            Some((pace.total(window, self.progress, used), actual))
        });
        Tested::of(tries)
    }
}

/// What was used of a past window until then, as if each step's were spread evenly.
fn used_until(window: &[Step], progress: Progress) -> f64 {
    let whole: f64 = window
        .iter()
        .take(progress.steps)
        .map(|step| step.amount)
        .sum();
    let begun = window.get(progress.steps);
    whole + begun.map_or(0.0, |step| step.amount * progress.part)
}

/// How fast it goes.
struct Pace {
    /// Of each phase, how many times the mean is used in it.
    pattern: Option<Vec<f64>>,
    /// What is used in a step of weight 1.
    rate: f64,
}

impl Pace {
    fn of(
        phases: usize,
        past: &[Vec<Step>],
        present: &[Step],
        (progress, used): (Progress, f64),
    ) -> Option<Self> {
        let before: Vec<_> = past.iter().flatten().copied().collect();
        let mut pace = Self {
            pattern: pattern(phases, &before),
            rate: 0.0,
        };
        if progress.steps == 0 {
            // Of a window that has just begun nothing is known: the season before says how fast it goes.
            let season = before
                .len()
                .checked_sub(phases.max(2))
                .map(|from| &before[from..])?;
            let weight: f64 = season.iter().map(|step| pace.weight(step)).sum();
            let amount: f64 = season.iter().map(|step| step.amount).sum();
            pace.rate = if weight > 0.0 { amount / weight } else { 0.0 };
            return Some(pace);
        }
        let gone = pace.gone(present, progress);
        if gone > 0.0 {
            pace.rate = used / gone;
        } else {
            // In phases in which nothing was ever used: they say nothing of the others.
            pace.pattern = None;
            pace.rate = used / pace.gone(present, progress);
        }
        Some(pace)
    }

    const fn method(&self) -> Method {
        if self.pattern.is_some() {
            Method::SeasonalRate
        } else {
            Method::Rate
        }
    }

    fn weight(&self, step: &Step) -> f64 {
        let pattern = self.pattern.as_ref();
        step.length
            * pattern
                .and_then(|pattern| pattern.get(step.phase))
                .unwrap_or(&1.0)
    }

    /// The weight of what is gone of a window.
    fn gone(&self, window: &[Step], progress: Progress) -> f64 {
        let whole = window.iter().take(progress.steps);
        let whole: f64 = whole.map(|step| self.weight(step)).sum();
        let begun = window.get(progress.steps);
        whole + begun.map_or(0.0, |step| self.weight(step) * progress.part)
    }

    /// What a window comes to of which so much is used.
    fn total(&self, window: &[Step], progress: Progress, used: f64) -> f64 {
        let all: f64 = window.iter().map(|step| self.weight(step)).sum();
        used + self.rate * (all - self.gone(window, progress)).max(0.0)
    }
}

/// Of each phase, how many times the mean of all is used in it, in a step of length 1; none without enough seasons, or where nothing
/// was used.
fn pattern(phases: usize, before: &[Step]) -> Option<Vec<f64>> {
    if phases < 2 || before.len() < SEASONS * phases {
        return None;
    }
    let from = before.len().saturating_sub(MOST_SEASONS * phases);
    let mut sums = vec![(0.0, 0.0); phases];
    for step in before.get(from..)? {
        let (amount, length) = sums.get_mut(step.phase)?;
        *amount += step.amount;
        *length += step.length;
    }
    let means = sums.iter().map(|(amount, length)| amount / length);
    let means: Vec<f64> = means.collect();
    let mean = means.iter().sum::<f64>() / means.len() as f64;
    let known = mean.is_finite() && mean > 0.0;
    known.then(|| means.iter().map(|of_phase| of_phase / mean).collect())
}
