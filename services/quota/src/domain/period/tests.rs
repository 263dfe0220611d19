use std::process::Command;

use jiff::SignedDuration;
use jiff::civil::date;
use jiff::tz::TimeZoneDatabase;

use super::*;

/// What Python makes of the same instants.
const TABLE: &str = include_str!("windows.tsv");
/// What wrote the table.
const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/domain/period/windows.py");
const CALENDAR: [ResetPeriod; 2] = [ResetPeriod::Month, ResetPeriod::Day];
const NANO: SignedDuration = SignedDuration::from_nanos(1);
const MICRO: SignedDuration = SignedDuration::from_micros(1);

fn zone(name: &str) -> TimeZone {
    TimeZoneDatabase::bundled().get(name).unwrap()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// The window from one instant until before another; without an end where that is `-`.
fn span(start: &str, end: &str) -> Window {
    Window {
        start: at(start),
        end: (end != "-").then(|| at(end)),
    }
}

/// The zones of the table.
fn zones() -> Vec<TimeZone> {
    let rows = TABLE.lines().skip(1);
    let mut names: Vec<_> = rows.filter_map(|row| row.split('\t').next()).collect();
    names.sort_unstable();
    names.dedup();
    names.into_iter().map(zone).collect()
}

/// Numbers without a pattern (`SplitMix64`), the same in every run.
struct Numbers(u64);

impl Numbers {
    /// A number below a bound.
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    /// One of these.
    fn one_of<'a, T>(&mut self, these: &'a [T]) -> &'a T {
        &these[usize::try_from(self.below(these.len() as u64)).unwrap()]
    }

    /// An instant, to the microsecond.
    fn between(&mut self, from: Timestamp, to: Timestamp) -> Timestamp {
        let micros = u64::try_from(to.as_microsecond() - from.as_microsecond()).unwrap();
        from + SignedDuration::from_micros(self.below(micros).try_into().unwrap())
    }
}

#[test]
fn every_period_has_a_word_and_no_other_word_names_one() {
    let words = ["month", "day", "hour", "minute", "never"];
    assert!(ResetPeriod::ALL.iter().map(|p| p.word()).eq(words));
    for period in ResetPeriod::ALL {
        assert_eq!(period.word().parse(), Ok(*period));
    }
    for other in ["", "Month", "day ", "year", "none"] {
        assert_eq!(other.parse::<ResetPeriod>(), Err(UnknownPeriod), "{other}");
    }
}

#[test]
fn windows_are_those_of_the_table() {
    let mut wrong = Vec::new();
    let mut rows = 0;
    for row in TABLE.lines().skip(1) {
        let [name, period, now, start, end] = *row.split('\t').collect::<Vec<_>>() else {
            panic!("not five columns: {row}");
        };
        let period: ResetPeriod = period.parse().unwrap();
        let window = period.window(&zone(name), at(now), None);
        if window != span(start, end) {
            wrong.push(format!("{row}, not {window:?}"));
        }
        rows += 1;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(rows > 1_000, "of the table {rows} rows are left");
}

#[test]
fn the_table_is_what_python_writes() {
    let run = Command::new("python3").arg(PROGRAM).output();
    let run = run.expect("python3 must be installed, which writes the table once more");
    let said = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{PROGRAM}: {said}");
    let written = String::from_utf8(run.stdout).unwrap();
    let differs = written.lines().zip(TABLE.lines()).find(|(a, b)| a != b);
    assert_eq!(differs, None, "Python's row, and the table's");
    assert!(written == TABLE, "one of them has more rows");
}

#[test]
fn windows_of_every_zone_follow_each_other_without_gap_or_overlap() {
    let (from, to) = (at("1850-01-01T00:00:00Z"), at("2150-01-01T00:00:00Z"));
    let (recent, today) = (at("1990-01-01T00:00:00Z"), at("2027-01-01T00:00:00Z"));
    let mut numbers = Numbers(1);
    for name in TimeZoneDatabase::bundled().available() {
        let zone = zone(name.as_str());
        for n in 0..40 {
            let now = match n % 4 {
                0 => numbers.between(from, to),
                _ => numbers.between(recent, today),
            };
            for period in ResetPeriod::ALL {
                let window = period.window(&zone, now, None);
                let Some(end) = window.end else {
                    assert_eq!(*period, ResetPeriod::Never);
                    continue;
                };
                let told = format!("{} in {name} at {now}: {window:?}", period.word());
                assert!(window.start <= now && now < end, "{told}");
                let again = |now| period.window(&zone, now, None);
                assert_eq!(again(window.start), window, "{told}");
                assert_eq!(again(end - NANO), window, "{told}");
                assert_eq!(again(end).start, end, "{told}");
                assert_eq!(
                    again(window.start - MICRO).end,
                    Some(window.start),
                    "{told}"
                );
            }
        }
    }
}

#[test]
fn a_date_begins_where_clocks_land_that_are_set_forward_over_midnight_or_when_they_show_it_first() {
    // From 23:30 to 00:30 in the night to Sunday, 10 March, and from 00:30 to 23:30 in that to Sunday, 3 November.
    let zone = TimeZone::posix("WST5SUM,M3.2.6/23:30,M11.1.0/0:30").unwrap();
    let day = |now| ResetPeriod::Day.window(&zone, at(now), None);
    let (before, behind) = (
        span("2024-03-09T05:00:00Z", "2024-03-10T04:30:00Z"),
        span("2024-03-10T04:30:00Z", "2024-03-11T04:00:00Z"),
    );
    assert_eq!(day("2024-03-10T04:29:59.999999999Z"), before);
    assert_eq!(day("2024-03-10T04:30:00Z"), behind);
    let twice = span("2024-11-03T04:00:00Z", "2024-11-04T05:00:00Z");
    // 00:00, then 23:30 of the day before once more, then 00:00 once more.
    for now in [
        "2024-11-03T04:00:00Z",
        "2024-11-03T04:30:00Z",
        "2024-11-03T05:00:00Z",
    ] {
        assert_eq!(day(now), twice, "{now}");
    }
}

#[test]
fn a_skipped_date_has_no_window() {
    let apia = zone("Pacific/Apia");
    let mut now = at("2011-12-28T12:00:00Z");
    let dates = [(); 4].map(|()| {
        let window = ResetPeriod::Day.window(&apia, now, None);
        now = window.end.unwrap();
        apia.to_datetime(window.start).date()
    });
    let december = |day| date(2011, 12, day);
    let new_year = date(2012, 1, 1);
    assert_eq!(dates, [december(28), december(29), december(31), new_year]);
}

/// For a period: when the open window ended, where the tenant is by now, an instant, and the window that it lies in.
const MOVES: &str = "
# June in the east ends while it is still June in the west for 26 hours: they are of the next window.
month   2024-06-30T10:00Z  Etc/GMT+12          2024-06-30T10:00Z     2024-06-30T10:00Z  2024-08-01T12:00Z
month   2024-06-30T10:00Z  Etc/GMT+12          2024-07-01T11:59:59Z  2024-06-30T10:00Z  2024-08-01T12:00Z
month   2024-06-30T10:00Z  Etc/GMT+12          2024-07-01T12:00Z     2024-07-01T12:00Z  2024-08-01T12:00Z
# June in the west ends when July has begun in the east, so that it is 26 hours shorter.
month   2024-07-01T12:00Z  Pacific/Kiritimati  2024-07-01T12:00Z     2024-07-01T12:00Z  2024-07-31T10:00Z
month   2024-07-01T12:00Z  Pacific/Kiritimati  2024-07-20T00:00Z     2024-07-01T12:00Z  2024-07-31T10:00Z
month   2024-07-01T12:00Z  Pacific/Kiritimati  2024-07-31T10:00Z     2024-07-31T10:00Z  2024-08-31T10:00Z
# A day in the east ends when one in the west has 2 hours left, and one in the west when one in the east has 22.
day     2024-06-15T10:00Z  Etc/GMT+12          2024-06-15T11:00Z     2024-06-15T10:00Z  2024-06-16T12:00Z
day     2024-06-15T12:00Z  Pacific/Kiritimati  2024-06-15T12:00Z     2024-06-15T12:00Z  2024-06-16T10:00Z
# Long after the open window, and before its end, which isn't one to begin at.
day     2024-06-01T10:00Z  Etc/GMT+12          2024-06-15T11:00Z     2024-06-14T12:00Z  2024-06-15T12:00Z
day     2024-06-15T11:30Z  Etc/GMT+12          2024-06-15T11:00Z     2024-06-14T12:00Z  2024-06-15T12:00Z
# A limit by the day became another.
hour    2024-06-14T18:15Z  Asia/Kathmandu      2024-06-14T18:20Z     2024-06-14T18:15Z  2024-06-14T19:00Z
hour    2024-06-14T18:45Z  Asia/Kathmandu      2024-06-14T18:50Z     2024-06-14T18:45Z  2024-06-14T20:00Z
minute  2024-06-14T18:15Z  Asia/Kathmandu      2024-06-14T18:15:59Z  2024-06-14T18:15Z  2024-06-14T18:16Z
never   2024-06-14T18:15Z  Asia/Kathmandu      2024-06-14T18:20Z     1970-01-01T00:00Z  -
";

#[test]
fn an_open_window_keeps_its_end_when_the_tenant_moves_and_the_next_begins_there() {
    let rows = MOVES.trim().lines().filter(|row| !row.starts_with('#'));
    for row in rows {
        let columns: Vec<_> = row.split_whitespace().collect();
        let [period, last_end, name, now, start, end] = columns[..] else {
            panic!("not six columns: {row}");
        };
        let period: ResetPeriod = period.parse().unwrap();
        let window = period.window(&zone(name), at(now), Some(at(last_end)));
        assert_eq!(window, span(start, end), "{row}");
    }
}

#[test]
fn windows_follow_each_other_however_the_tenant_moves() {
    let zones = zones();
    let (from, to) = (at("2024-01-01T00:00:00Z"), at("2025-01-01T00:00:00Z"));
    for seed in 0..50 {
        for period in CALENDAR {
            let mut numbers = Numbers(seed);
            let (mut now, mut last_end) = (from, None);
            while now < to {
                let zone = numbers.one_of(&zones);
                let window = period.window(zone, now, last_end);
                let told = format!("{seed}: {period:?} in {zone:?} at {now}: {window:?}");
                if let Some(last_end) = last_end {
                    assert_eq!(window.start, last_end, "{told}");
                }
                let end = window.end.unwrap();
                assert!(window.start <= now && now < end, "{told}");
                assert_eq!(end, period.window(zone, end, None).start, "{told}");
                (now, last_end) = (end, Some(end));
            }
        }
    }
}

#[test]
fn windows_never_overlap_however_the_tenant_moves_and_whenever_one_is_opened() {
    let zones = zones();
    let (from, to) = (at("2024-01-01T00:00:00Z"), at("2025-01-01T00:00:00Z"));
    for seed in 0..50 {
        for period in CALENDAR {
            let mut numbers = Numbers(seed);
            let (mut now, mut last_end) = (from, None);
            while now < to {
                let zone = numbers.one_of(&zones);
                let window = period.window(zone, now, last_end);
                let told = format!("{seed}: {period:?} in {zone:?} at {now}: {window:?}");
                let end = window.end.unwrap();
                assert!(window.start <= now && now < end, "{told}");
                let alone = period.window(zone, now, None);
                let latest = last_end.map_or(alone.start, |end| alone.start.max(end));
                assert_eq!(window.start, latest, "{told}");
                // It ends where the calendar's does, or, of a short rest of that, the one behind.
                let next = period.window(zone, alone.end.unwrap(), None);
                let half = |window: Window| window.end.unwrap().duration_since(window.start) / 2;
                assert!(window.end == alone.end || window.end == next.end, "{told}");
                assert!(half(window) * 2 >= half(alone), "{told}");
                last_end = Some(end);
                now = numbers.between(end, end + SignedDuration::from_hours(60));
            }
        }
    }
}

#[test]
fn the_least_and_the_greatest_instants_have_windows_too() {
    let (min, max) = (Timestamp::MIN, Timestamp::MAX);
    let near = [0, 1, 25, 49, 24 * 32].map(SignedDuration::from_hours);
    let near = near.into_iter().flat_map(|by| [min + by, max - by]);
    let near: Vec<_> = near.collect();
    for zone in zones() {
        for (now, period) in near.iter().flat_map(|now| CALENDAR.map(|p| (*now, p))) {
            let window = period.window(&zone, now, None);
            let told = format!("{period:?} in {zone:?} at {now}: {window:?}");
            let end = window.end.unwrap();
            assert!(window.start <= now && window.start < end, "{told}");
            assert!(now < end || now == max, "{told}");
        }
    }
    for (period, end, start) in [
        ("month", "-009999-02-01T00:00Z", "9999-12-01T00:00Z"),
        ("day", "-009999-01-03T00:00Z", "9999-12-30T00:00Z"),
        ("hour", "-009999-01-02T02:00Z", "9999-12-30T22:00Z"),
        ("minute", "-009999-01-02T02:00Z", "9999-12-30T22:00Z"),
    ] {
        let window = |now| {
            let period: ResetPeriod = period.parse().unwrap();
            let Window { start, end } = period.window(&TimeZone::UTC, now, None);
            (start, end)
        };
        assert_eq!(window(min), (min, Some(at(end))), "{period}");
        assert_eq!(window(max), (at(start), Some(max)), "{period}");
    }
}
