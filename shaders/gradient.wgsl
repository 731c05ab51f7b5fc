// gradient: the transposed product with the residuals.
//
// Computes:   partials[tile,k,j] = sum over the tile of x[i,j] * r[i,k];   for j = features the sum of r[i,k]
// Shapes:     x rows × features, interleaved, four rows a vector · r batches × rows, four rows a quad ·
//             partials tiles × batches × (features + 1)
// Bindings:   0 chunk · 1 x · 2 r · 3 partials (written)
// Dispatch:   an invocation a feature; a workgroup a tile of 256 rows (x, y) and 32 features (z)
// Numerics:   f32; four rows at a time, eight such to a group of 32 rows, then the tile's 8 groups, in a fixed order; the
//             host adds the tiles in f64
// Bytes:      reads 4·rows·features (from cache again for each batch of models) and r from cache;
//             writes 4·models·(features + 1)·rows/256
// CPU:        src/engine/cpu/kernels.rs, gradient

@group(0) @binding(0) var<uniform> chunk: Chunk;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> r: array<Quad>;
@group(0) @binding(3) var<storage, read_write> partials: array<Models>;

const FEATURES: u32 = 32u;
const GROUPS: u32 = 8u;
// Quads of rows in a group.
const QUADS: u32 = 8u;
const ONES: vec4<f32> = vec4<f32>(1.0);

@compute @workgroup_size(32)
fn gradient(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let tile = group.y * chunk.width + group.x;
    let p = chunk.features;
    let j = group.z * FEATURES + local;
    if (tile < chunk.tiles && j <= p) {
        let first = tile * GROUPS;
        let end = min(first + GROUPS, chunk.rows / LANES);
        for (var b = 0u; b < chunk.batches; b++) {
            var sum = Models(0.0);
            for (var g = first; g < end; g++) {
                let q = b * (chunk.rows / 4u) + g * QUADS;
                // Written out: the compiler's guard against endless loops would keep a loop from being unrolled.
                if (j < p) {
                    let at = (g * p + j) * QUADS;
                    sum += ((weighted(r[q], x[at]) + weighted(r[q + 1u], x[at + 1u]))
                        + (weighted(r[q + 2u], x[at + 2u]) + weighted(r[q + 3u], x[at + 3u])))
                        + ((weighted(r[q + 4u], x[at + 4u]) + weighted(r[q + 5u], x[at + 5u]))
                        + (weighted(r[q + 6u], x[at + 6u]) + weighted(r[q + 7u], x[at + 7u])));
                } else {
                    sum += ((weighted(r[q], ONES) + weighted(r[q + 1u], ONES))
                        + (weighted(r[q + 2u], ONES) + weighted(r[q + 3u], ONES)))
                        + ((weighted(r[q + 4u], ONES) + weighted(r[q + 5u], ONES))
                        + (weighted(r[q + 6u], ONES) + weighted(r[q + 7u], ONES)));
                }
            }
            partials[(tile * chunk.batches + b) * (p + 1u) + j] = sum;
        }
    }
}
