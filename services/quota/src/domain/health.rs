//! How a tenant is doing, as far as its limits and what it uses tell.

/// How a check ended. Of two the later one is the worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mark {
    Pass,
    Warning,
    Fail,
}

impl Mark {
    /// The word, as the API has it.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Warning => "warning",
            Self::Fail => "fail",
        }
    }

    /// What a check of this weight adds to the score.
    const fn of(self, weight: i32) -> i32 {
        match self {
            Self::Pass => weight,
            Self::Warning => weight / 2,
            Self::Fail => 0,
        }
    }
}

/// How a tenant is doing. Of two the later one is the worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Healthy,
    Warning,
    Critical,
}

impl Status {
    /// All of them.
    pub(crate) const ALL: [Self; 3] = [Self::Healthy, Self::Warning, Self::Critical];

    /// The word, as the API has it.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// Something of each check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Checks<T> {
    pub(crate) connectivity: T,
    pub(crate) storage_quota: T,
    pub(crate) api_rate_limits: T,
    pub(crate) feature_compliance: T,
}

/// What each check adds to the score: a hundred together, as HealthService says.
pub(crate) const WEIGHTS: Checks<i32> = Checks {
    connectivity: 20,
    storage_quota: 30,
    api_rate_limits: 30,
    feature_compliance: 20,
};

/// From how many percent of its limit on a resource type is nearly full, or as good as full.
const NEARLY_FULL_PERCENT: i128 = 80;
const FULL_PERCENT: i128 = 95;

/// What counts as storage.
const STORAGE: [&str; 3] = ["storage_bytes", "database_bytes", "asset_bytes"];
const CALLS: &str = "api_calls";

/// How much is used of a limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Use {
    pub(crate) resource_type: String,
    pub(crate) used: i64,
    pub(crate) limit: i64,
    /// Whether it is of a gauge, which doesn't begin anew.
    pub(crate) gauge: bool,
}

impl Use {
    /// In percent, rounded down. Of a limit of nothing, nothing is as little as can be.
    fn percent(&self) -> i128 {
        match (self.used, self.limit) {
            (0, _) => 0,
            (used, limit) => 100 * i128::from(used) / i128::from(limit.max(1)),
        }
    }

    const fn is_exceeded(&self) -> bool {
        self.used > self.limit
    }

    /// How full it is.
    fn fullness(&self) -> Mark {
        match self.percent() {
            FULL_PERCENT.. => Mark::Fail,
            NEARLY_FULL_PERCENT.. => Mark::Warning,
            _ => Mark::Pass,
        }
    }

    /// Whether the tenant keeps to it.
    fn compliance(&self) -> Mark {
        if self.is_exceeded() {
            Mark::Fail
        } else if self.used == self.limit && self.limit > 0 {
            Mark::Warning
        } else {
            Mark::Pass
        }
    }

    fn recommendation(&self) -> String {
        let Self {
            resource_type,
            used,
            limit,
            ..
        } = self;
        let less = if self.gauge {
            "Take some away"
        } else {
            "Use less until the window ends"
        };
        if self.is_exceeded() {
            return format!(
                "{resource_type}: {used} are used, more than the limit of {limit}. {less}, or have the limit raised."
            );
        }
        let percent = self.percent();
        format!(
            "{resource_type}: {percent} % used ({used} of {limit}). {less}, or have the limit raised."
        )
    }
}

/// How a tenant is doing, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Health {
    pub(crate) checks: Checks<Mark>,
    pub(crate) score: i32,
    pub(crate) status: Status,
    /// The worst first.
    pub(crate) recommendations: Vec<String>,
}

impl Health {
    /// From whether what its uses are decided by answers, and what is used of its limits.
    pub(crate) fn of(connectivity: Mark, mut uses: Vec<Use>) -> Self {
        let mut checks = Checks {
            connectivity,
            storage_quota: Mark::Pass,
            api_rate_limits: Mark::Pass,
            feature_compliance: Mark::Pass,
        };
        uses.sort_by(|one, other| {
            let fuller = other.percent().cmp(&one.percent());
            fuller.then_with(|| one.resource_type.cmp(&other.resource_type))
        });
        let mut recommendations: Vec<_> = disconnected(connectivity).into_iter().collect();
        for of in &uses {
            let (check, mark) = if STORAGE.contains(&of.resource_type.as_str()) {
                (&mut checks.storage_quota, of.fullness())
            } else if of.resource_type == CALLS {
                (&mut checks.api_rate_limits, of.fullness())
            } else {
                (&mut checks.feature_compliance, of.compliance())
            };
            *check = mark.max(*check);
            if mark > Mark::Pass {
                recommendations.push(of.recommendation());
            }
        }
        Self {
            checks,
            score: score(checks),
            status: status(checks),
            recommendations,
        }
    }
}

fn score(checks: Checks<Mark>) -> i32 {
    checks.connectivity.of(WEIGHTS.connectivity)
        + checks.storage_quota.of(WEIGHTS.storage_quota)
        + checks.api_rate_limits.of(WEIGHTS.api_rate_limits)
        + checks.feature_compliance.of(WEIGHTS.feature_compliance)
}

fn status(checks: Checks<Mark>) -> Status {
    let worst = checks
        .connectivity
        .max(checks.storage_quota)
        .max(checks.api_rate_limits)
        .max(checks.feature_compliance);
    match worst {
        Mark::Pass => Status::Healthy,
        Mark::Warning => Status::Warning,
        Mark::Fail => Status::Critical,
    }
}

fn disconnected(connectivity: Mark) -> Option<String> {
    let what = match connectivity {
        Mark::Pass => return None,
        Mark::Warning => {
            "What is known of the tenant is older than a second: changes of it may act late. See whether registry answers."
        }
        Mark::Fail => {
            "The counters don't answer: what is counted by the window is refused until they do. See whether Redis answers."
        }
    };
    Some(what.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(resource_type: &str, used: i64, limit: i64) -> Use {
        Use {
            resource_type: resource_type.to_owned(),
            used,
            limit,
            gauge: resource_type != CALLS,
        }
    }

    #[test]
    fn weights_are_a_hundred_together_and_have_halves() {
        let all = Checks {
            connectivity: Mark::Pass,
            storage_quota: Mark::Pass,
            api_rate_limits: Mark::Pass,
            feature_compliance: Mark::Pass,
        };
        assert_eq!(score(all), 100);
        let weights = [
            WEIGHTS.connectivity,
            WEIGHTS.storage_quota,
            WEIGHTS.api_rate_limits,
            WEIGHTS.feature_compliance,
        ];
        assert!(weights.iter().all(|weight| weight % 2 == 0));
    }

    #[test]
    fn each_check_is_marked_by_how_full_its_limits_are() {
        use Mark::{Fail, Pass, Warning};
        // What is used of what; storage, calls, and the others; the score.
        let cases = [
            (vec![], (Pass, Pass, Pass), 100),
            (
                vec![of("storage_bytes", 799, 1_000)],
                (Pass, Pass, Pass),
                100,
            ),
            (
                vec![of("storage_bytes", 800, 1_000)],
                (Warning, Pass, Pass),
                85,
            ),
            (
                vec![of("asset_bytes", 949, 1_000)],
                (Warning, Pass, Pass),
                85,
            ),
            (
                vec![of("database_bytes", 950, 1_000)],
                (Fail, Pass, Pass),
                70,
            ),
            (
                vec![of("storage_bytes", 0, 1_000), of("asset_bytes", 999, 1_000)],
                (Fail, Pass, Pass),
                70,
            ),
            (vec![of("api_calls", 80, 100)], (Pass, Warning, Pass), 85),
            (vec![of("api_calls", 100, 100)], (Pass, Fail, Pass), 70),
            (vec![of("users", 99, 100)], (Pass, Pass, Pass), 100),
            (vec![of("users", 100, 100)], (Pass, Pass, Warning), 90),
            (vec![of("users", 101, 100)], (Pass, Pass, Fail), 80),
            // A limit of nothing is kept to by using nothing.
            (
                vec![of("users", 0, 0), of("api_calls", 0, 0)],
                (Pass, Pass, Pass),
                100,
            ),
            (vec![of("api_calls", 1, 0)], (Pass, Fail, Pass), 70),
            (
                vec![of("storage_bytes", i64::MAX, i64::MAX)],
                (Fail, Pass, Pass),
                70,
            ),
        ];
        for (uses, marks, score) in cases {
            let health = Health::of(Pass, uses.clone());
            let checks = health.checks;
            let shown = (
                checks.storage_quota,
                checks.api_rate_limits,
                checks.feature_compliance,
            );
            assert_eq!((shown, health.score), (marks, score), "{uses:?}");
            let healthy = health.status == Status::Healthy;
            assert_eq!(healthy, score == 100, "{uses:?}");
            assert_eq!(healthy, health.recommendations.is_empty(), "{uses:?}");
        }
    }

    #[test]
    fn the_worst_check_is_the_status_and_recommendations_begin_with_it() {
        let uses = vec![
            of("users", 7, 5),
            of("storage_bytes", 85, 100),
            of("api_calls", 97, 100),
        ];
        let health = Health::of(Mark::Warning, uses);
        assert_eq!((health.status, health.score), (Status::Critical, 10 + 15));
        let begin = [
            "What is known",
            "users: 7 are used",
            "api_calls: 97 %",
            "storage_bytes: 85 % used (85 of 100)",
        ];
        assert_eq!(health.recommendations.len(), begin.len());
        for (shown, begin) in health.recommendations.iter().zip(begin) {
            assert!(shown.starts_with(begin), "{shown}");
        }
        let lost = Health::of(Mark::Fail, Vec::new());
        assert_eq!((lost.status, lost.score), (Status::Critical, 80));
    }
}
