// logits: the XW product.
//
// Computes:   a[i,k] = sum_j x[i,j] * beta[j,k] + intercept[k] + offset[i]
// Shapes:     x rows × features, interleaved (common/chunk.wgsl) · w batches × (features + 1), intercept last ·
//             offsets rows · a batches × rows
// Bindings:   0 chunk · 1 x · 2 w · 3 offsets (not read unless has_offset) · 4 a (written)
// Dispatch:   a workgroup a tile of 256 rows, an invocation a row; the lanes of 32 rows read one line
// Numerics:   f32; features are summed in runs of 8, so rounding grows with features/8 and not with features
// Bytes:      reads 4·rows·features (again for each batch of models) and w from cache; writes 4·rows·models
// CPU:        src/engine/cpu/kernels.rs, logits

@group(0) @binding(0) var<uniform> chunk: Chunk;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> w: array<Models>;
@group(0) @binding(3) var<storage, read> offsets: array<f32>;
@group(0) @binding(4) var<storage, read_write> a: array<Models>;

const RUN: u32 = 8u;

@compute @workgroup_size(256)
fn logits(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let row = (group.y * chunk.width + group.x) * TILE + local;
    if (row < chunk.rows) {
        let p = chunk.features;
        let x_first = row / LANES * p * LANES + row % LANES;
        var offset = 0.0;
        if (chunk.has_offset == 1u) {
            offset = offsets[row];
        }
        for (var b = 0u; b < chunk.batches; b++) {
            let w_first = b * (p + 1u);
            var sum = w[w_first + p] + offset;
            var j = 0u;
            for (; j + RUN <= p; j += RUN) {
                let at = x_first + j * LANES;
                let v = w_first + j;
                // Written out: the compiler's guard against endless loops would keep a loop from being unrolled.
                let low = (x[at] * w[v] + x[at + LANES] * w[v + 1u])
                    + (x[at + 2u * LANES] * w[v + 2u] + x[at + 3u * LANES] * w[v + 3u]);
                let high = (x[at + 4u * LANES] * w[v + 4u] + x[at + 5u * LANES] * w[v + 5u])
                    + (x[at + 6u * LANES] * w[v + 6u] + x[at + 7u * LANES] * w[v + 7u]);
                sum += low + high;
            }
            for (; j < p; j++) {
                sum += x[x_first + j * LANES] * w[w_first + j];
            }
            a[b * chunk.rows + row] = sum;
        }
    }
}
