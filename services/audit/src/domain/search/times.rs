//! When the events of a short run happened, for what is asked of a time that a run lies in with a part of its events.
//!
//! Of each event the second, as the difference to the one before it: a variable-byte number, seven bits a byte, the lowest
//! first, of which the lowest bit is the sign. Events come nearly in the order of their times, so most take one byte.

use jiff::Timestamp;

use super::places::Places;
use super::{Damaged, Level};

/// Longest variable-byte number: 64 bits.
const MAX_NUMBER_BYTES: u32 = 10;

/// Writes the times of a run's events, each with its place from the run's first, in order. Where there is no event any more, the
/// time before is written again.
pub(crate) fn written(events: impl Iterator<Item = (u32, Timestamp)>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut next = 0;
    let mut before = 0;
    for (place, at) in events {
        bytes.resize(bytes.len() + place.saturating_sub(next) as usize, 0);
        let difference = at.as_second() - before;
        let mut number = (difference << 1 ^ difference >> 63).cast_unsigned();
        while number > 0x7f {
            bytes.push(number as u8 | 0x80);
            number >>= 7;
        }
        bytes.push(number as u8);
        before = at.as_second();
        next = place + 1;
    }
    bytes
}

/// Puts in the places, moved on by so many, whose events may have happened in this time: those that did to the second.
///
/// # Errors
/// For bytes that were never written so.
pub(crate) fn within(
    bytes: &[u8],
    moved: u32,
    (start, end): (Option<Timestamp>, Option<Timestamp>),
    places: &mut Places,
) -> Result<(), Damaged> {
    let (start, end) = (
        start.map(Timestamp::as_second),
        end.map(Timestamp::as_second),
    );
    let (mut place, mut second) = (0_u32, 0_i64);
    let (mut number, mut shift) = (0_u64, 0_u32);
    for byte in bytes {
        if shift >= 7 * MAX_NUMBER_BYTES {
            return Err(Damaged);
        }
        number |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 != 0 {
            continue;
        }
        let difference = (number >> 1).cast_signed() ^ -(number & 1).cast_signed();
        second = second.checked_add(difference).ok_or(Damaged)?;
        let began = start.is_none_or(|start| second >= start);
        let inside = began && end.is_none_or(|end| second <= end);
        let known = i64::from(place) < Level::Short.span();
        if !known || (inside && !places.insert(moved + place)) {
            return Err(Damaged);
        }
        (number, shift, place) = (0, 0, place + 1);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn inside(bytes: &[u8], start: Option<i64>, end: Option<i64>) -> Vec<u32> {
        let mut places = Places::none(Level::Long);
        within(bytes, 4_096, (start.map(at), end.map(at)), &mut places).unwrap();
        let mut places: Vec<_> = places.backwards().collect();
        places.reverse();
        places
    }

    #[test]
    fn places_are_found_by_time_however_far_it_goes_back() {
        let seconds = [
            1_800_000_000,
            1_800_000_000,
            1_800_000_050,
            -7,
            1_800_000_051,
        ];
        let bytes = written((0..).zip(seconds.map(at)));
        assert_eq!(
            inside(&bytes, None, None),
            [4_096, 4_097, 4_098, 4_099, 4_100]
        );
        assert_eq!(inside(&bytes, Some(1_800_000_001), None), [4_098, 4_100]);
        assert_eq!(inside(&bytes, Some(-7), Some(0)), [4_099]);
        assert_eq!(
            inside(&bytes, Some(1_800_000_000), Some(1_800_000_000)),
            [4_096, 4_097]
        );
    }

    #[test]
    fn a_place_without_an_event_has_the_time_before_it_and_the_others_keep_theirs() {
        let bytes = written([(2, at(5)), (3, at(6)), (6, at(9))].into_iter());
        assert_eq!(inside(&bytes, Some(6), None), [4_099, 4_100, 4_101, 4_102]);
        assert_eq!(inside(&bytes, Some(9), None), [4_102]);
        let mut places = Places::none(Level::Short);
        assert!(within(&[0xff; 11], 0, (None, None), &mut places).is_err());
    }
}
