use super::gauge::{Trend, holt};
use super::*;

const WEEK: [f64; 7] = [10.0, 10.0, 10.0, 10.0, 10.0, 0.0, 0.0];

/// Steps of length 1 with these amounts, whose phases go on from this one.
fn steps(first: usize, phases: usize, amounts: &[f64]) -> Vec<Step> {
    let step = |(nth, amount): (usize, &f64)| Step {
        length: 1.0,
        phase: (first + nth) % phases,
        amount: *amount,
    };
    amounts.iter().enumerate().map(step).collect()
}

fn windows(phases: usize, past: &[&[f64]], present: usize, gone: (usize, f64, f64)) -> Windows {
    let mut first = 0;
    let mut next = |amounts: &[f64]| {
        let steps = steps(first, phases, amounts);
        first += amounts.len();
        steps
    };
    let past: Vec<_> = past.iter().map(|amounts| next(amounts)).collect();
    let (steps, part, used) = gone;
    Windows {
        phases,
        past,
        present: next(&vec![0.0; present]),
        progress: Progress { steps, part },
        used,
    }
}

fn near(one: f64, other: f64) -> bool {
    (one - other).abs() < 1e-9
}

fn is_at(reached: Option<Progress>, expected: Option<(usize, f64)>) -> bool {
    match (reached, expected) {
        (Some(reached), Some((steps, part))) => reached.steps == steps && near(reached.part, part),
        (None, None) => true,
        _ => false,
    }
}

#[test]
fn windows_go_on_at_the_rate_so_far() {
    // Of ten steps what is gone, and used; what that comes to, and where it reaches 95.
    let cases = [
        ((4, 0.0, 40.0), 100.0, Some((9, 0.5))),
        ((4, 0.0, 80.0), 200.0, Some((4, 0.75))),
        ((2, 0.5, 50.0), 200.0, Some((4, 0.75))),
        ((5, 0.0, 10.0), 20.0, None),
        ((9, 0.5, 0.0), 0.0, None),
        // More is used already.
        ((4, 0.5, 180.0), 400.0, Some((4, 0.5))),
    ];
    for (gone, total, reached) in cases {
        let windows = windows(1, &[], 10, gone);
        let expected = windows.expected().unwrap();
        assert_eq!(expected.method, Method::Rate);
        assert!(near(expected.total, total), "{gone:?}: {expected:?}");
        let at = windows.reaches(95.0);
        assert!(is_at(at, reached), "{gone:?}: {at:?}");
    }
}

#[test]
fn a_window_goes_on_with_the_pattern_of_the_weeks_before() {
    // Four weeks of ten on each working day; then a month that begins on a Monday, of which Monday and Tuesday are gone.
    let past: Vec<f64> = WEEK.repeat(4);
    let windows = windows(7, &[&past], 14, (2, 0.0, 40.0));
    let expected = windows.expected().unwrap();
    assert_eq!(expected.method, Method::SeasonalRate);
    // Twice as fast as before: twenty on each of ten working days.
    assert!(near(expected.total, 200.0), "{expected:?}");
    // Wednesday, Thursday and Friday bring it to a hundred; on Saturday nothing happens, and on Monday it passes.
    assert!(is_at(windows.reaches(110.0), Some((7, 0.5))));
    assert!(is_at(windows.reaches(201.0), None));
    // The mean step has 50/7 * 2.
    assert!(near(expected.rate, 100.0 / 7.0), "{expected:?}");
}

#[test]
fn three_weeks_make_no_pattern_and_a_weekend_that_brings_something_after_all_says_nothing_of_one() {
    let three = windows(7, &[&WEEK.repeat(3)], 14, (2, 0.0, 40.0));
    let expected = three.expected().unwrap();
    assert_eq!((expected.method, expected.total), (Method::Rate, 280.0));
    // It begins on a Saturday.
    let past = [&WEEK.repeat(4)[..], &WEEK[..5]].concat();
    let weekend = windows(7, &[&past], 4, (2, 0.0, 6.0));
    let expected = weekend.expected().unwrap();
    assert_eq!((expected.method, expected.total), (Method::Rate, 12.0));
}

#[test]
fn a_window_that_has_just_begun_goes_as_the_season_before_and_without_one_nothing_is_said() {
    let begun = windows(7, &[&WEEK], 7, (0, 0.5, 100.0));
    let expected = begun.expected().unwrap();
    // Fifty in seven days, of which six and a half are to come.
    assert!(
        near(expected.total, 100.0 + 50.0 / 7.0 * 6.5),
        "{expected:?}"
    );
    assert_eq!(
        windows(7, &[&WEEK[..6]], 7, (0, 0.5, 100.0)).expected(),
        None
    );
    assert_eq!(windows(7, &[], 7, (0, 0.9, 5.0)).reaches(10.0), None);
}

#[test]
fn a_shorter_day_counts_for_less() {
    let mut windows = windows(1, &[], 2, (1, 0.0, 23.0));
    windows.present[0].length = 23.0 / 24.0;
    assert!(near(windows.expected().unwrap().total, 47.0));
}

#[test]
fn the_error_is_that_of_the_same_method_on_the_past() {
    // From half of each window: 10 of 20 was right, 20 forecast of 15 is a third off, 0 of 30 is wholly off; nothing has no percent.
    let past: [&[f64]; 4] = [&[10.0, 10.0], &[10.0, 5.0], &[0.0, 30.0], &[0.0, 0.0]];
    let tested = windows(1, &past, 2, (1, 0.0, 7.0)).tested();
    assert_eq!(tested.times, 3);
    assert!(near(
        tested.error_percent.unwrap(),
        (0.0 + 100.0 / 3.0 + 100.0) / 3.0
    ));
    assert_eq!(
        windows(1, &[], 2, (1, 0.0, 7.0)).tested(),
        Tested::default()
    );
}

#[test]
fn holts_trend_is_as_worked_out_by_hand() {
    // Level 12, trend 2; forecast 14, told 13: level 13.5, trend 2 + 0.5 * (1.5 - 2) = 1.75.
    let (trend, errors) = holt(&[10.0, 12.0, 13.0], (0.5, 0.5)).unwrap();
    assert_eq!((trend.level, trend.per_day, errors), (13.5, 1.75, 1.0));
    // Then forecast 15.25, told 20: level 17.625, trend 1.75 + 0.5 * (4.125 - 1.75) = 2.9375.
    let (trend, errors) = holt(&[10.0, 12.0, 13.0, 20.0], (0.5, 0.5)).unwrap();
    assert_eq!((trend.level, trend.per_day), (17.625, 2.9375));
    assert_eq!(errors, 1.0 + 4.75 * 4.75);
    assert_eq!(holt(&[10.0], (0.5, 0.5)), None);
}

#[test]
fn a_gauge_grows_on_and_reaches_its_limit() {
    // Now, growth of each day; where it goes in a day, and when it has 100.
    let cases = [
        (70.0, vec![3.0; 14], Some(3.0), Some(10.0)),
        // What it was before it first changed says nothing.
        (
            70.0,
            [vec![0.0; 60], vec![3.0; 14]].concat(),
            Some(3.0),
            Some(10.0),
        ),
        (70.0, [vec![0.0; 60], vec![3.0; 6]].concat(), None, None),
        (70.0, vec![-1.0; 14], Some(-1.0), None),
        (100.0, vec![-1.0; 14], Some(-1.0), Some(0.0)),
        (120.0, vec![], None, Some(0.0)),
    ];
    for (now, growth, per_day, reached) in cases {
        let gauge = Gauge::new(now, &growth);
        let trend = gauge.trend();
        let near_or_none = |one: Option<f64>, other: Option<f64>| match (one, other) {
            (Some(one), Some(other)) => near(one, other),
            (one, other) => one == other,
        };
        assert!(
            near_or_none(trend.map(|trend| trend.per_day), per_day),
            "{trend:?}"
        );
        assert!(
            near_or_none(gauge.reaches(100.0), reached),
            "{now} {growth:?}"
        );
    }
}

#[test]
fn a_gauge_is_tried_on_each_week_that_has_a_week_before_it() {
    // Three weeks that grow evenly are forecast without an error: the last of them from two, the one before from one.
    let even = Gauge::new(100.0, &[2.0; 21]).tested();
    assert_eq!(even.times, 2);
    assert!(near(even.error_percent.unwrap(), 0.0));
    // It stands still in the last week: from 114, two more a day, 128 was forecast.
    let growth = [vec![2.0; 14], vec![0.0; 7]].concat();
    let still = Gauge::new(114.0, &growth).tested();
    let error = 100.0 * 14.0 / 114.0 / 2.0;
    assert!(near(still.error_percent.unwrap(), error), "{still:?}");
    assert_eq!(Gauge::new(100.0, &[2.0; 13]).tested(), Tested::default());
}

#[test]
fn what_shrinks_is_never_less_than_nothing() {
    let trend = Trend {
        level: 5.0,
        per_day: -1.0,
    };
    assert_eq!((trend.after(3.0), trend.after(9.0)), (2.0, 0.0));
}
