// gradient: the transposed product with the residuals.
//
// Computes:   partials[tile,k,j] = sum over the tile of x[i,j] * r[i,k];   for j = features the sum of r[i,k]
// Shapes:     x rows × features, interleaved · r batches × rows · partials tiles × batches × (features + 1)
// Bindings:   0 chunk · 1 x · 2 r · 3 partials (written)
// Dispatch:   a workgroup a tile of 256 rows (x, y) and 32 features (z); 32 lanes read a line of one feature, the
//             workgroup works on 8 features at once and then transposes its lanes' sums through workgroup memory
// Numerics:   f32; 8 rows a lane, then 32 lanes, in a fixed order; the host adds the tiles in f64
// Bytes:      reads 4·rows·features (from cache again for each batch of models); writes 4·models·(features+1)·rows/256
// CPU:        src/engine/cpu, gradient

@group(0) @binding(0) var<uniform> chunk: Chunk;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> r: array<Models>;
@group(0) @binding(3) var<storage, read_write> partials: array<Models>;

const FEATURES: u32 = 32u;
const SLOTS: u32 = 8u;
const GROUPS: u32 = 8u;

// Lane l of feature f is kept at column (l + f) % 32, so that reading along lanes and along features hits all banks.
var<workgroup> lane_sums: array<Models, 1024>;

@compute @workgroup_size(256)
fn gradient(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let tile = group.y * chunk.width + group.x;
    if (tile < chunk.tiles) {
        let p = chunk.features;
        let lane = local % LANES;
        let slot = local / LANES;
        let last_group = chunk.rows / LANES - 1u;
        for (var b = 0u; b < chunk.batches; b++) {
            var residuals: array<Models, GROUPS>;
            for (var g = 0u; g < GROUPS; g++) {
                let row_group = tile * GROUPS + g;
                residuals[g] = Models(0.0);
                if (row_group <= last_group) {
                    residuals[g] = r[b * chunk.rows + row_group * LANES + lane];
                }
            }
            for (var f = slot; f < FEATURES; f += SLOTS) {
                let j = group.z * FEATURES + f;
                var sum = Models(0.0);
                if (j < p) {
                    for (var g = 0u; g < GROUPS; g++) {
                        // Groups beyond the last have residual 0; what they are multiplied with need only be finite.
                        let row_group = min(tile * GROUPS + g, last_group);
                        sum += residuals[g] * x[(row_group * p + j) * LANES + lane];
                    }
                } else if (j == p) {
                    for (var g = 0u; g < GROUPS; g++) {
                        sum += residuals[g];
                    }
                }
                lane_sums[f * LANES + (lane + f) % LANES] = sum;
            }
            workgroupBarrier();
            let j = group.z * FEATURES + local;
            if (local < FEATURES && j <= p) {
                var sum = Models(0.0);
                for (var l = 0u; l < LANES; l++) {
                    sum += lane_sums[local * LANES + (l + local) % LANES];
                }
                partials[(tile * chunk.batches + b) * (p + 1u) + j] = sum;
            }
            workgroupBarrier();
        }
    }
}
