//! Draws that are the same again for the same seed.

/// SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
#[derive(Clone, Debug)]
pub struct Dice(pub u64);

impl Dice {
    /// Any number.
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below this one.
    pub fn below(&mut self, bound: u64) -> u64 {
        let product = u128::from(self.roll()) * u128::from(bound);
        (product >> 64) as u64
    }
}

/// Zipf's law with s = 1: of so many, the nth comes an nth as often as the first.
#[derive(Clone, Debug)]
pub struct Zipf {
    /// How much the first of them weigh together, for each of them.
    sums: Vec<f64>,
}

impl Zipf {
    /// The law for so many.
    #[must_use]
    pub fn new(number: usize) -> Self {
        let sums = (1..=number).scan(0.0, |sum, n| {
            *sum += 1.0 / n as f64;
            Some(*sum)
        });
        Self {
            sums: sums.collect(),
        }
    }

    /// One of them, from 0.
    pub fn draw(&self, dice: &mut Dice) -> usize {
        let all = self.sums.last().copied().unwrap_or_default();
        let point = (dice.roll() >> 11) as f64 / (1_u64 << 53) as f64 * all;
        self.sums.partition_point(|sum| *sum <= point)
    }
}
