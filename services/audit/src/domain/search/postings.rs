//! Postings: the places of each term in a run, packed into buckets of terms that lie close together.
//!
//! Of a term count its 40 highest bits, since terms are hashes and whatever is found is held against the event itself: the
//! highest of them choose the bucket, the 32 lowest are the term's mark in it. A bucket is a sequence of entries in the order
//! of their marks: mark (big endian), head, places. The head is twice the length of the places in bytes, plus one where they
//! are a bitmap; else they are the distances from each to the next. Both are variable-byte numbers, seven bits a byte, the
//! lowest first. Whichever of the two is shorter is written.

use super::places::Places;
use super::{Damaged, Level};

/// Bits of a term that count.
const KEY_BITS: u32 = 40;
/// Bits that a place takes beside a key.
const PLACE_BITS: u32 = 64 - KEY_BITS;
/// Longest variable-byte number: 32 bits.
const MAX_NUMBER_BYTES: u32 = 5;

/// A bucket of a run: its number, and its bytes.
pub(crate) type Bucket = (i32, Vec<u8>);

const fn bucket_bits(level: Level) -> u32 {
    match level {
        Level::Short => 8,
        Level::Long => 13,
    }
}

/// How many buckets a run of this level has at most.
pub(crate) const fn buckets(level: Level) -> i32 {
    1 << bucket_bits(level)
}

const fn key(term: i64) -> u64 {
    term.cast_unsigned() >> (64 - KEY_BITS)
}

const fn bucket_of_key(level: Level, key: u64) -> i32 {
    // Thirteen bits at most.
    (key >> (KEY_BITS - bucket_bits(level))) as i32
}

/// The bucket that a term is in.
pub(crate) const fn bucket(level: Level, term: i64) -> i32 {
    bucket_of_key(level, key(term))
}

/// A key and one of its places, which sort by both.
const fn pair(key: u64, place: u32) -> u64 {
    (key << PLACE_BITS) | place as u64
}

const fn key_of(pair: u64) -> u64 {
    pair >> PLACE_BITS
}

/// The buckets of a short run of these events, each with its place from the run's first.
pub(crate) fn of_events<'a>(events: impl Iterator<Item = (u32, &'a [i64])>) -> Vec<Bucket> {
    let pairs = events.flat_map(|(place, terms)| {
        let keys = terms.iter().map(|term| key(*term));
        keys.map(move |key| pair(key, place))
    });
    written(Level::Short, pairs.collect())
}

/// The buckets of a long run that this bucket of its short runs becomes: each of them, with its first place in the long one.
///
/// # Errors
/// For bytes that aren't a bucket.
pub(crate) fn merged(short: i32, runs: &[(u32, &[u8])]) -> Result<Vec<Bucket>, Damaged> {
    let above = u64::from(short.cast_unsigned()) << u32::BITS;
    let mut pairs = Vec::new();
    for (first, bytes) in runs {
        for entry in Entries(bytes) {
            let Entry { mark, head, data } = entry?;
            let key = above | u64::from(mark);
            let places = decoded(Level::Short, head, data)?;
            pairs.extend(places.backwards().map(|place| pair(key, first + place)));
        }
    }
    Ok(written(Level::Long, pairs))
}

fn written(level: Level, mut pairs: Vec<u64>) -> Vec<Bucket> {
    pairs.sort_unstable();
    pairs.dedup();
    let bucket = |pair: &u64| bucket_of_key(level, key_of(*pair));
    let buckets = pairs.chunk_by(|a, b| bucket(a) == bucket(b));
    let buckets = buckets.map(|pairs| {
        let mut bytes = Vec::new();
        for of_one in pairs.chunk_by(|a, b| key_of(*a) == key_of(*b)) {
            write(&mut bytes, level, of_one);
        }
        (bucket(&pairs[0]), bytes)
    });
    buckets.collect()
}

/// Writes an entry: pairs of one key, in order.
fn write(bytes: &mut Vec<u8>, level: Level, pairs: &[u64]) {
    // The mark is the low half of the key, and a place the low bits of a pair.
    bytes.extend_from_slice(&(key_of(pairs[0]) as u32).to_be_bytes());
    let places = pairs
        .iter()
        .map(|pair| (pair & ((1 << PLACE_BITS) - 1)) as u32);
    let mut gaps = Vec::with_capacity(pairs.len());
    let mut before = 0;
    for place in places.clone() {
        write_number(&mut gaps, place - before);
        before = place;
    }
    let bits = (level.span() / 8) as usize;
    if gaps.len() < bits {
        write_number(bytes, (gaps.len() as u32) << 1);
        bytes.append(&mut gaps);
    } else {
        write_number(bytes, (bits as u32) << 1 | 1);
        let begin = bytes.len();
        bytes.resize(begin + bits, 0);
        for place in places {
            bytes[begin + (place / 8) as usize] |= 1 << (place % 8);
        }
    }
}

fn write_number(bytes: &mut Vec<u8>, mut number: u32) {
    while number > 0x7f {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn read_number(bytes: &mut &[u8]) -> Result<u32, Damaged> {
    let mut number = 0;
    for shift in 0..MAX_NUMBER_BYTES {
        let (byte, rest) = bytes.split_first().ok_or(Damaged)?;
        *bytes = rest;
        number |= u32::from(byte & 0x7f) << (7 * shift);
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(Damaged)
}

struct Entry<'a> {
    mark: u32,
    head: u32,
    data: &'a [u8],
}

/// The entries of a bucket; none follows a damaged one.
struct Entries<'a>(&'a [u8]);

impl<'a> Iterator for Entries<'a> {
    type Item = Result<Entry<'a>, Damaged>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let entry = self.entry();
        if entry.is_err() {
            self.0 = &[];
        }
        Some(entry)
    }
}

impl<'a> Entries<'a> {
    fn entry(&mut self) -> Result<Entry<'a>, Damaged> {
        let (mark, rest) = self.0.split_first_chunk().ok_or(Damaged)?;
        self.0 = rest;
        let head = read_number(&mut self.0)?;
        let (data, rest) = self
            .0
            .split_at_checked((head >> 1) as usize)
            .ok_or(Damaged)?;
        self.0 = rest;
        Ok(Entry {
            mark: u32::from_be_bytes(*mark),
            head,
            data,
        })
    }
}

fn decoded(level: Level, head: u32, mut data: &[u8]) -> Result<Places, Damaged> {
    let mut places = Places::none(level);
    if head & 1 == 1 {
        let (words, _) = data.as_chunks::<8>();
        places.insert_words(words.iter().map(|word| u64::from_le_bytes(*word)));
        return Ok(places);
    }
    let mut place = 0_u32;
    while !data.is_empty() {
        place = place.checked_add(read_number(&mut data)?).ok_or(Damaged)?;
        if !places.insert(place) {
            return Err(Damaged);
        }
    }
    Ok(places)
}

/// The places of a term in a run, by the bucket that it would be in.
///
/// # Errors
/// For bytes that aren't a bucket.
pub(crate) fn find(level: Level, bucket: &[u8], term: i64) -> Result<Option<Places>, Damaged> {
    let mark = key(term) as u32;
    for entry in Entries(bucket) {
        let entry = entry?;
        if entry.mark == mark {
            return decoded(level, entry.head, entry.data).map(Some);
        }
        if entry.mark > mark {
            break;
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Terms that are spread like hashes.
    fn term(n: u64) -> i64 {
        n.wrapping_mul(0x9e37_79b9_7f4a_7c15).cast_signed()
    }

    fn event(place: u64) -> Vec<i64> {
        // One that all have, one that half have, one that a few have, one of its own.
        vec![
            term(1),
            term(2 + place % 2),
            term(10 + place % 1_000),
            term(100_000 + place),
        ]
    }

    fn short(first: u64) -> Vec<Bucket> {
        let events: Vec<_> = (first..first + 4_096).map(event).collect();
        of_events((0..).zip(events.iter().map(Vec::as_slice)))
    }

    fn found(level: Level, run: &[Bucket], term: i64) -> Vec<u32> {
        let bytes = run.iter().find(|(n, _)| *n == bucket(level, term));
        let places = bytes.and_then(|(_, bytes)| find(level, bytes, term).unwrap());
        let mut places: Vec<_> = places.iter().flat_map(Places::backwards).collect();
        places.reverse();
        places
    }

    #[test]
    fn each_term_is_found_at_its_places_and_no_other_is() {
        let run = short(0);
        assert!(found(Level::Short, &run, term(1)).into_iter().eq(0..4_096));
        assert!(
            found(Level::Short, &run, term(3))
                .into_iter()
                .eq((1..4_096).step_by(2))
        );
        assert_eq!(
            found(Level::Short, &run, term(17)),
            [7, 1_007, 2_007, 3_007, 4_007]
        );
        assert_eq!(found(Level::Short, &run, term(100_000 + 4_095)), [4_095]);
        assert!((0..1_000).all(|n| found(Level::Short, &run, term(900_000 + n)).is_empty()));
    }

    #[test]
    fn a_long_run_has_what_its_short_ones_had() {
        let runs: Vec<_> = [0, 4_096, 8_192].map(short).into();
        let long: Vec<_> = (0..buckets(Level::Short))
            .flat_map(|bucket| {
                let parts = (0..).step_by(4_096).zip(&runs).filter_map(|(first, run)| {
                    let (_, bytes) = run.iter().find(|(n, _)| *n == bucket)?;
                    Some((first, bytes.as_slice()))
                });
                merged(bucket, &parts.collect::<Vec<_>>()).unwrap()
            })
            .collect();
        assert!(long.is_sorted() && long.iter().all(|(n, _)| *n < buckets(Level::Long)));
        assert!(found(Level::Long, &long, term(1)).into_iter().eq(0..12_288));
        assert!(
            found(Level::Long, &long, term(17))
                .into_iter()
                .eq((7..12_288).step_by(1_000))
        );
        assert_eq!(found(Level::Long, &long, term(100_000 + 9_000)), [9_000]);
        assert!(found(Level::Long, &long, term(900_000)).is_empty());
    }

    #[test]
    fn what_is_no_bucket_is_refused_and_never_read_beyond_its_end() {
        let whole = &short(0)[0].1;
        for length in 0..whole.len().min(600) {
            // Cut anywhere, it either ends between two entries or is refused.
            for entry in Entries(&whole[..length]).flatten() {
                decoded(Level::Short, entry.head, entry.data).unwrap();
            }
        }
        let mut bytes = term(1).to_be_bytes()[1..5].to_vec();
        // A gap beyond the run, and a number without an end.
        for data in [
            [3_u8 << 1, 0xff, 0xff, 0x7f, 0],
            [5 << 1, 0xff, 0xff, 0xff, 0xff],
        ] {
            bytes.truncate(4);
            bytes.extend(data);
            assert!(find(Level::Short, &bytes, term(1)).is_err());
        }
    }
}
