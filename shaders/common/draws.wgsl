// How often rows count in each model of a batch, and their residuals and losses accordingly. The counts are those of
// src/engine/batch.rs, bit for bit.

// Of each model what it draws, of each model the fold it leaves out or the key of its replicate, both four by four; then the
// fold of each row, four to a number.
@group(0) @binding(3) var<storage, read> draws: array<u32>;

const WITHOUT: u32 = 1u;
const POISSON: u32 = 2u;

alias ModelWords = vec4<u32>;

struct Draws {
    kind: ModelWords,
    value: ModelWords,
}

// The draws of the models of a batch.
fn draws_of(batch: u32) -> Draws {
    let at = 8u * batch;
    return Draws(ModelWords(draws[at], draws[at + 1u], draws[at + 2u], draws[at + 3u]),
        ModelWords(draws[at + 4u], draws[at + 5u], draws[at + 6u], draws[at + 7u]));
}

// The folds of the rows of a quad.
fn folds_of(quad: u32) -> u32 {
    return draws[8u * chunk.batches + quad];
}

// lowbias32, one and four at a time.
fn mix_word(word: u32) -> u32 {
    var x = word;
    x ^= x >> 16u;
    x *= 0x7feb352du;
    x ^= x >> 15u;
    x *= 0x846ca68bu;
    return x ^ (x >> 16u);
}

fn mix_words(words: ModelWords) -> ModelWords {
    var x = words;
    x ^= x >> ModelWords(16u);
    x *= ModelWords(0x7feb352du);
    x ^= x >> ModelWords(15u);
    x *= ModelWords(0x846ca68bu);
    return x ^ (x >> ModelWords(16u));
}

fn reached(bits: ModelWords, threshold: u32) -> Models {
    return select(Models(0.0), Models(1.0), bits >= ModelWords(threshold));
}

// A Poisson variable of mean 1 from 32 random bits: the thresholds are its distribution function.
fn poisson(bits: ModelWords) -> Models {
    return ((reached(bits, 0x5e2d58d8u) + reached(bits, 0xbc5ab1b1u)) + (reached(bits, 0xeb715e1du) + reached(bits, 0xfb239797u)))
        + (((reached(bits, 0xff1025f5u) + reached(bits, 0xffd90f3bu)) + (reached(bits, 0xfffa8b71u) + reached(bits, 0xffff540cu)))
        + ((reached(bits, 0xffffed1fu) + reached(bits, 0xfffffe21u)) + (reached(bits, 0xffffffd4u) + reached(bits, 0xfffffffcu))));
}

// How often row `row` of those of the chunk counts in each model of a batch; `fold` is the row's.
fn counts(of_batch: Draws, row: u32, fold: u32) -> Models {
    var count = select(Models(1.0), Models(0.0),
        (of_batch.kind == ModelWords(WITHOUT)) & (of_batch.value == ModelWords(fold)));
    let drawn = of_batch.kind == ModelWords(POISSON);
    if (any(drawn)) {
        let bits = mix_words(ModelWords(mix_word(chunk.first_row + row)) ^ of_batch.value);
        count = select(count, poisson(bits), drawn);
    }
    return count;
}

struct Counted {
    // s * count * (sigmoid(a) - t).
    r: Quad,
    // Sums over the four rows: of r, of s * count * loss(t, a), and of s * loss(t, a) where the count is 0.
    total: Models,
    loss: Models,
    left_out: Models,
}

fn counted(of_batch: Draws, quad: u32, a: Quad, t: vec4<f32>, s: vec4<f32>) -> Counted {
    var result: Counted;
    let folds = folds_of(quad);
    for (var i = 0u; i < 4u; i++) {
        let count = counts(of_batch, 4u * quad + i, (folds >> (8u * i)) & 255u);
        let e = decay(a[i]);
        let r = (s[i] * count) * (sigmoid(a[i], e) - t[i]);
        let l = weighted_loss(a[i], t[i], s[i], e);
        result.r[i] = r;
        result.total += r;
        result.loss += count * l;
        result.left_out += select(Models(0.0), l, count == Models(0.0));
    }
    return result;
}
