use super::LinkLife;

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// The finaliser of SplitMix64 (Steele, Lea and Flood 2014): every bit depends on every other.
#[inline]
pub(super) const fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Binary digits of a survival that count.
const DIGITS: u32 = 32;

/// Bits that are 1 with the probability of the link's survival, for the 64 samples number
/// `64 * word` and following. The same for the same key, seed and word.
///
/// Random numbers are compared digit by digit, 64 of them at once, until all are decided: 8 words
/// of randomness in the mean.
#[inline]
pub(super) fn survivors(life: &LinkLife, seed: u64, word: u64) -> u64 {
    let survival = life.survival.get();
    if survival >= 1.0 {
        return !0;
    }
    let mut digits = (survival * (1_u64 << DIGITS) as f64) as u64;
    // The digit to be compared next is at bit DIGITS - 1; what was compared is shifted out above.
    let mut state = mix(life.key ^ mix(seed)).wrapping_add(GOLDEN.wrapping_mul(word << 6));
    let (mut alive, mut open) = (0, !0_u64);
    while digits != 0 && open != 0 {
        state = state.wrapping_add(GOLDEN);
        let random = mix(state);
        if digits >> (DIGITS - 1) & 1 == 1 {
            alive |= open & !random;
            open &= random;
        } else {
            open &= !random;
        }
        digits = digits << 1 & ((1 << DIGITS) - 1);
    }
    alive
}

/// A number from 0 to below 1 for the sample `pass` of a link.
#[inline]
pub(super) fn uniform(key: u64, seed: u64, pass: u64) -> f64 {
    let bits = mix(mix(key ^ mix(seed)).wrapping_add(GOLDEN.wrapping_mul(pass + 1)));
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use bitcraps_types::Ratio;

    #[test]
    fn bits_come_with_the_probability_asked_for() {
        for survival in [0.0, 0.001, 0.25, 0.5, 0.7, 0.999, 1.0] {
            let words = 4_000;
            let alive: u32 = (0..words)
                .map(|word| {
                    let life = LinkLife { key: 77, survival: Ratio::clamped(survival) };
                    survivors(&life, 5, word).count_ones()
                })
                .sum();
            let count = 64.0 * words as f64;
            let error = (survival * (1.0 - survival) / count).sqrt();
            let told = f64::from(alive) / count;
            assert!((told - survival).abs() <= 4.0 * error, "{survival} {told}");
            let below = (0..words).filter(|pass| uniform(3, 5, *pass) < survival).count();
            let error = (survival * (1.0 - survival) / words as f64).sqrt();
            assert!((below as f64 / words as f64 - survival).abs() <= 4.0 * error, "{survival}");
        }
    }

    #[test]
    fn a_better_link_lives_whenever_a_worse_one_did() {
        for word in 0..100 {
            let of = |survival| {
                let life = LinkLife { key: 9, survival: Ratio::clamped(survival) };
                survivors(&life, 1, word)
            };
            assert_eq!(of(0.4) & !of(0.6), 0);
            assert_eq!(of(0.4), of(0.4));
        }
    }
}
