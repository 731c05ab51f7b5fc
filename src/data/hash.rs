//! Numbers that look random and depend on nothing but a seed and a position.

/// Mixes `seed` and `position` into 64 bits: position-th output of the generator splitmix64 started at `seed`
/// (Steele, Lea & Flood 2014).
#[inline]
pub fn mix(seed: u64, position: u64) -> u64 {
    let mut z = seed.wrapping_add(position.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// 64 bits of `bytes`: their FNV-1a hash, mixed.
pub fn of_bytes(bytes: impl IntoIterator<Item = u8>) -> u64 {
    let fnv =
        bytes.into_iter().fold(0xcbf2_9ce4_8422_2325u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    mix(fnv, 0)
}

/// 64 bits of `words`, one mixed into the other, from `start` on.
pub fn of_words(start: u64, words: impl IntoIterator<Item = u64>) -> u64 {
    words.into_iter().fold(start, mix)
}

/// [`mix`] as a number in [0, 1).
pub fn unit_interval(seed: u64, position: u64) -> f64 {
    (mix(seed, position) >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_splitmix64() {
        // The first output of the published generator seeded with 0.
        assert_eq!(mix(0, 0), 0xe220_a839_7b1d_cdaf);
    }
}
