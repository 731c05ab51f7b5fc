// loss_gradients: loss and gradient of many models at once, each of rows of its own: the models of penalties × folds, or
// bootstrap replicates.
//
// Computes:   a[i,k] = sum_j x[i,j] * beta[j,k] + intercept[k] + offset[i];
//             r[i,k] = s[i] * count[i,k] * (sigmoid(a[i,k]) - t[i]);   sums[tile,k,j] = sum over the tile of x[i,j] * r[i,k];
//             for j = features the sum of r[i,k], then that of s[i] * count[i,k] * loss(t[i], a[i,k]), then that of
//             s[i] * loss(t[i], a[i,k]) where the count is 0
// Shapes:     x rows × columns, interleaved (common/chunk.wgsl) · w batches × slopes in fours and the intercept ·
//             draws batches × 8, then a number for four rows (common/draws.wgsl) · sums tiles × batches × (features + 3)
// Bindings:   0 chunk · 1 x · 2 w · 3 draws · 4 sums (written)
// Dispatch:   a workgroup a tile of 256 rows and batch of models, the batches of a tile side by side so that they share
//             a cache; its threads are QUADS lanes of four rows, times SLICES that share the features of a row
// Numerics:   f32. A logit is summed over fours of features, then over slices; a tile's sums over quads, then repeats, then
//             lanes, then steps, always in that order. Counts are whole numbers, the same as on the CPU
// Bytes:      reads 4·rows·columns from memory, for each batch twice more from cache, draws and w from cache; writes
//             4·models·(features + 3)·rows/256. No counts and no logits are kept
// CPU:        src/engine/cpu/batch.rs, loss_gradients
//
// The work of a step is laid out as in loss_gradient_wide.wgsl, whose remarks hold here.

@group(0) @binding(4) var<storage, read_write> sums: array<Models>;

// Quads side by side, threads that share one, and quads that a lane handles in a step.
override QUADS: u32 = 8u;
override SLICES: u32 = 8u;
override REPEAT: u32 = 1u;

var<workgroup> logit_parts: array<Quad, QUADS * SLICES>;
var<workgroup> residuals: array<Quad, QUADS * REPEAT>;
var<workgroup> lane_sums: array<Models, SLOTS * QUADS * SLICES>;

@compute @workgroup_size(QUADS * SLICES)
fn loss_gradients(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let piece = group.y * chunk.width + group.x;
    let tile = piece / chunk.batches;
    let batch = piece % chunk.batches;
    if (tile < chunk.tiles) {
        let p = chunk.features;
        let lane = local % QUADS;
        let slice = local / QUADS % SLICES;
        let beta_0 = intercept(batch);
        let of_batch = draws_of(batch);
        let first = piece * (p + 3u);
        var total = Models(0.0);
        var loss = Models(0.0);
        var left_out = Models(0.0);
        for (var step = 0u; step < TILE_QUADS; step += QUADS * REPEAT) {
            for (var k = 0u; k < REPEAT; k++) {
                let quad = tile * TILE_QUADS + step + k * QUADS + lane;
                var logit = same(Models(0.0));
                for (var j = slice * 4u; j < p; j += SLICES * 4u) {
                    let beta = slopes(batch, j / 4u);
                    // Beyond the features stands the target; its slope is zero.
                    logit += (spread(column(quad, j), beta[0]) + spread(column(quad, min(j + 1u, p)), beta[1]))
                        + (spread(column(quad, min(j + 2u, p)), beta[2]) + spread(column(quad, min(j + 3u, p)), beta[3]));
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
                if (slice == 0u) {
                    logit += same(beta_0) + spread(offsets(quad), Models(1.0));
                    let result = counted(of_batch, quad, logit, targets(quad), weights(quad));
                    total += result.total;
                    loss += result.loss;
                    left_out += result.left_out;
                    residuals[k * QUADS + lane] = result.r;
                }
                if (SLICES > 1u) {
                    workgroupBarrier();
                }
            }
            for (var block = 0u; block < p; block += SLOTS * SLICES) {
                var gradient: array<Models, SLOTS>;
                for (var i = 0u; i < SLOTS; i++) {
                    gradient[i] = Models(0.0);
                }
                for (var k = 0u; k < REPEAT; k++) {
                    let quad = tile * TILE_QUADS + step + k * QUADS + lane;
                    let r = residuals[k * QUADS + lane];
                    for (var i = 0u; i < SLOTS; i++) {
                        gradient[i] += weighted(r, column(quad, min(block + i * SLICES + slice, p)));
                    }
                }
                for (var i = 0u; i < SLOTS; i++) {
                    lane_sums[(i * SLICES + slice) * QUADS + lane] = gradient[i];
                }
                workgroupBarrier();
                for (var k = local; k < SLOTS * SLICES; k += QUADS * SLICES) {
                    var sum = Models(0.0);
                    for (var i = 0u; i < QUADS; i++) {
                        sum += lane_sums[k * QUADS + i];
                    }
                    if (block + k < p) {
                        // The same thread each time.
                        if (step > 0u) {
                            sum += sums[first + block + k];
                        }
                        sums[first + block + k] = sum;
                    }
                }
                workgroupBarrier();
            }
        }
        if (slice == 0u) {
            lane_sums[lane] = total;
            lane_sums[QUADS + lane] = loss;
            lane_sums[2u * QUADS + lane] = left_out;
        }
        workgroupBarrier();
        if (local < 3u) {
            var sum = Models(0.0);
            for (var i = 0u; i < QUADS; i++) {
                sum += lane_sums[local * QUADS + i];
            }
            sums[first + p + local] = sum;
        }
    }
}
