//! Small seeded random numbers (xoshiro256**, filled by splitmix64): the same seed gives the same run on every machine
//! and with every release, which no library promises for its default generator.

/// A stream of random numbers that its seed determines.
#[derive(Debug, Clone)]
pub struct Rng {
    state: [u64; 4],
}

impl Rng {
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        let mut mixer = seed;
        Self { state: [(); 4].map(|()| splitmix(&mut mixer)) }
    }

    /// A stream of its own for one part of the scenario, so that what one part draws never moves another.
    #[must_use]
    pub fn fork(&mut self, label: u64) -> Self {
        Self::seeded(self.next_u64() ^ label.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    pub fn next_u64(&mut self) -> u64 {
        let result = self.state[1].wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let carried = self.state[1] << 17;
        self.state[2] ^= self.state[0];
        self.state[3] ^= self.state[1];
        self.state[1] ^= self.state[2];
        self.state[0] ^= self.state[3];
        self.state[2] ^= carried;
        self.state[3] = self.state[3].rotate_left(45);
        result
    }

    /// A number from 0 up to, not including, `bound`; 0 when `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        let wide = u128::from(self.next_u64()) * u128::from(bound);
        u64::try_from(wide >> 64).expect("the upper half of a 128-bit product has 64 bits")
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// A place in a list of `len` things; 0 when it is empty.
    pub fn index(&mut self, len: usize) -> usize {
        let len = u64::try_from(len).unwrap_or(u64::MAX);
        usize::try_from(self.below(len)).expect("below a length that was a usize")
    }

    /// A number in 0.0..1.0.
    pub fn unit(&mut self) -> f64 {
        const STEPS: u32 = 1 << 31;
        let drawn = u32::try_from(self.below(u64::from(STEPS))).expect("below 2^31");
        f64::from(drawn) / f64::from(STEPS)
    }

    /// True in a share of `probability` of all draws.
    pub fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// The wait until the next of events that come independently, `mean` apart on average.
    pub fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.unit()).ln()
    }

    pub fn shuffle<T>(&mut self, things: &mut [T]) {
        for last in (1..things.len()).rev() {
            things.swap(last, self.index(last + 1));
        }
    }
}

fn splitmix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Draws places of a list so that a few are drawn very often and most hardly ever, as items are sold: place `n` (from 0)
/// has weight `1 / (n + 3)^0.9`.
#[derive(Debug, Clone)]
pub struct Skew {
    /// Invariant: rises from above 0 to exactly the last element, the sum of all weights.
    sums: Vec<f64>,
}

impl Skew {
    #[must_use]
    pub fn over(places: usize) -> Self {
        let mut sum = 0.0;
        let ranks = std::iter::successors(Some(3.0_f64), |rank| Some(rank + 1.0));
        let sums = ranks.take(places.max(1)).map(|rank| {
            sum += rank.powf(-0.9);
            sum
        });
        Self { sums: sums.collect() }
    }

    pub fn draw(&self, rng: &mut Rng) -> usize {
        let total = self.sums.last().copied().unwrap_or(0.0);
        let drawn = rng.unit() * total;
        self.sums.partition_point(|sum| *sum <= drawn).min(self.sums.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_numbers() {
        let (mut one, mut two) = (Rng::seeded(7), Rng::seeded(7));
        assert!((0..100).all(|_| one.next_u64() == two.next_u64()));
        assert_ne!(Rng::seeded(7).next_u64(), Rng::seeded(8).next_u64());
    }

    #[test]
    fn numbers_never_change_between_releases() {
        let mut rng = Rng::seeded(42);
        assert_eq!(rng.next_u64(), 1_546_998_764_402_558_742);
    }

    #[test]
    fn draws_stay_within_their_bounds_and_reach_both_ends() {
        let mut rng = Rng::seeded(1);
        let drawn: Vec<u64> = (0..1000).map(|_| rng.between(3, 6)).collect();
        assert_eq!((drawn.iter().min(), drawn.iter().max()), (Some(&3), Some(&6)));
        assert!((0..1000).map(|_| rng.unit()).all(|unit| (0.0..1.0).contains(&unit)));
        assert_eq!(rng.below(0), 0);
    }

    #[test]
    fn a_skewed_draw_prefers_the_front_and_still_reaches_the_back() {
        let (mut rng, skew) = (Rng::seeded(5), Skew::over(100));
        let mut drawn = [0_u32; 100];
        for _ in 0..100_000 {
            drawn[skew.draw(&mut rng)] += 1;
        }
        assert!(drawn[0] > 10 * drawn[99], "{} and {}", drawn[0], drawn[99]);
        assert!(drawn.iter().all(|times| *times > 0));
    }
}
