// loss_gradient: loss and gradient of one model in one read of X, which stays in registers in between.
//
// Computes:   a[i] = sum_j x[i,j] * beta[j] + intercept + offset[i];   r[i] = s[i] * (sigmoid(a[i]) - t[i]);
//             sums[tile,j] = sum over the tile of x[i,j] * r[i];   for j = features the sum of r[i], then that of
//             s[i] * loss(t[i], a[i])
// Shapes:     x rows × columns, interleaved (common/chunk.wgsl) · w slopes in fours, then the intercept · a rows ·
//             sums tiles × (features + 2)
// Bindings:   0 chunk · 1 x · 2 w · 3 a (written) · 4 sums (written)
// Dispatch:   a workgroup a tile of 256 rows; its threads are QUADS lanes of four rows, times SLICES that share the
//             features of a row, SLOTS for each: features <= SLICES * SLOTS
// Numerics:   f32. A logit is summed over fours of features, then over slices; a tile's sums over quads, then steps, then
//             lanes, always in that order
// Bytes:      reads 4·rows·columns, each byte once, and w from cache; writes 4·rows and 4·(features + 2)·rows/256
// CPU:        src/engine/cpu/kernels.rs, loss_gradient
//
// On a GPU a thread has SLOTS = 8 loads of 16 bytes under way, which 32 registers hold until the residuals are known, and
// 8 sums: at most some 80 registers for p <= 256, so that half of a multiprocessor's threads or more keep some 64 KiB in
// flight, several times what latency times bandwidth asks for. Eight neighbouring lanes read one line of 128 bytes. Wider
// data takes 16 or 32 slots rather than a second read. Slice 0 alone computes residuals, and the barriers are hidden by
// the other workgroups (of 64 threads for p <= 64) of a multiprocessor.

@group(0) @binding(3) var<storage, read_write> a: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> sums: array<f32>;

// Quads side by side, and threads that share one.
override QUADS: u32 = 8u;
override SLICES: u32 = 8u;
// Fours of slots whose sums over the lanes are taken at a time; a divisor of FOURS.
override ROUND: u32 = 1u;
const FOURS: u32 = SLOTS / 4u;

var<workgroup> logit_parts: array<vec4<f32>, QUADS * SLICES>;
var<workgroup> residuals: array<vec4<f32>, QUADS>;
var<workgroup> lane_sums: array<vec4<f32>, ROUND * QUADS * SLICES>;
var<workgroup> lane_totals: array<vec2<f32>, QUADS>;

@compute @workgroup_size(QUADS * SLICES)
fn loss_gradient(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let tile = group.y * chunk.width + group.x;
    if (tile < chunk.tiles) {
        let p = chunk.features;
        let lane = local % QUADS;
        let slice = local / QUADS % SLICES;
        var beta: array<vec4<f32>, FOURS>;
        for (var i = 0u; i < FOURS; i++) {
            let four = i * SLICES + slice;
            beta[i] = select(vec4<f32>(0.0), slopes(0u, four), four < fours());
        }
        let beta_0 = intercept(0u);
        var gradient: array<vec4<f32>, FOURS>;
        // The sums of r and of the loss.
        var totals = vec2<f32>(0.0);
        for (var step = 0u; step < TILE_QUADS / QUADS; step++) {
            let quad = tile * TILE_QUADS + step * QUADS + lane;
            var values: array<vec4<f32>, SLOTS>;
            var logit = vec4<f32>(0.0);
            for (var i = 0u; i < FOURS; i++) {
                let j = (i * SLICES + slice) * 4u;
                for (var k = 0u; k < 4u; k++) {
                    // Beyond the features stands the target, whose slope is zero and whose sum is not kept.
                    values[4u * i + k] = column(quad, min(j + k, p));
                }
                logit += (values[4u * i] * beta[i].x + values[4u * i + 1u] * beta[i].y)
                    + (values[4u * i + 2u] * beta[i].z + values[4u * i + 3u] * beta[i].w);
            }
            if (SLICES > 1u) {
                logit_parts[local] = logit;
                workgroupBarrier();
                if (slice == 0u) {
                    for (var i = 1u; i < SLICES; i++) {
                        logit += logit_parts[i * QUADS + lane];
                    }
                }
            }
            var r = vec4<f32>(0.0);
            if (slice == 0u) {
                logit += beta_0 + offsets(quad);
                a[quad] = logit;
                let result = residual(logit, targets(quad), weights(quad));
                totals += vec2<f32>(result.total, result.loss);
                r = result.r;
            }
            if (SLICES > 1u) {
                if (slice == 0u) {
                    residuals[lane] = r;
                }
                workgroupBarrier();
                r = residuals[lane];
            }
            for (var i = 0u; i < FOURS; i++) {
                gradient[i] += vec4<f32>(dot(values[4u * i], r), dot(values[4u * i + 1u], r),
                    dot(values[4u * i + 2u], r), dot(values[4u * i + 3u], r));
            }
        }
        let first = tile * (p + 2u);
        for (var round = 0u; round < FOURS; round += ROUND) {
            if (round > 0u) {
                workgroupBarrier();
            }
            for (var i = 0u; i < ROUND; i++) {
                lane_sums[(i * SLICES + slice) * QUADS + lane] = gradient[round + i];
            }
            if (slice == 0u) {
                lane_totals[lane] = totals;
            }
            workgroupBarrier();
            for (var k = local; k < ROUND * SLICES * 4u; k += QUADS * SLICES) {
                let j = round * SLICES * 4u + k;
                var sum = 0.0;
                for (var i = 0u; i < QUADS; i++) {
                    sum += lane_sums[k / 4u * QUADS + i][k % 4u];
                }
                if (j < p) {
                    sums[first + j] = sum;
                }
            }
        }
        if (local < 2u) {
            var sum = 0.0;
            for (var i = 0u; i < QUADS; i++) {
                sum += lane_totals[i][local];
            }
            sums[first + p + local] = sum;
        }
    }
}
