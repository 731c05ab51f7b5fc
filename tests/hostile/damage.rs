//! Inputs damaged in ways that are the same every time.

use gpulogit::data::hash::mix;

/// What parsers stumble over.
const TOKENS: [&[u8]; 22] = [
    b"nan",
    b"-inf",
    b"1e999",
    b"-1e308",
    b"4.9e-324",
    b"-0",
    b"99999999999999999999",
    b"18446744073709551615",
    b"-1",
    b"\"",
    b"\"\"",
    b"\r\n",
    b"\n\n",
    b",,",
    b"\0",
    b"\xff\xfe",
    b"\xc3\x28",
    b"null",
    b"[]",
    b"{}",
    b"=",
    b":",
];
/// Numbers at the edges of their types.
const EDGES: [u64; 10] =
    [0, 1, 0x7f, 0xff, 0x7fff_ffff, 0xffff_ffff, 1 << 32, 1 << 40, 0x7fff_ffff_ffff_ffff, u64::MAX];

/// The `number`-th damage of `seed`, of which `other` may become a part.
pub(crate) fn damaged(seed: &[u8], other: &[u8], number: u64) -> Vec<u8> {
    let mut drawn = 0;
    let mut draw = |below: usize| {
        drawn += 1;
        mix(number, drawn) as usize % below.max(1)
    };
    let mut bytes = seed.to_vec();
    for _ in 0..1 + draw(3) {
        let (kind, at) = (draw(8), draw(bytes.len() + 1));
        let end = (at + 1 + draw(16)).min(bytes.len());
        match kind {
            0 if at < bytes.len() => bytes[at] ^= 1 << draw(8),
            1 if at < bytes.len() => bytes[at] = draw(256) as u8,
            2 => bytes.truncate(at),
            3 => drop(bytes.drain(at..end)),
            4 => drop(bytes.splice(at..at, TOKENS[draw(TOKENS.len())].iter().copied())),
            5 => drop(bytes.splice(at..end, TOKENS[draw(TOKENS.len())].iter().copied())),
            6 => {
                let edge = EDGES[draw(EDGES.len())].to_le_bytes();
                let width = [1, 2, 4, 8][draw(4)];
                bytes.iter_mut().skip(at).zip(&edge[..width]).for_each(|(byte, edge)| *byte = *edge);
            }
            _ => {
                let from = draw(other.len() + 1);
                let to = (from + draw(64)).min(other.len());
                drop(bytes.splice(at..at, other[from..to].iter().copied()));
            }
        }
    }
    bytes
}
