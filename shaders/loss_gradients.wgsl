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
// How the work is laid out stands in common/wide.wgsl.

@group(0) @binding(4) var<storage, read_write> sums: array<Models>;

@compute @workgroup_size(QUADS * SLICES)
fn loss_gradients(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let piece = group.y * chunk.width + group.x;
    // The same for all threads, which barriers need to be known.
    let tile = piece / chunk.batches;
    if (tile < chunk.tiles) {
        let at = place_of(piece, local);
        let p = chunk.features;
        let beta_0 = intercept(at.batch);
        let of_batch = draws_of(at.batch);
        let first = piece * (p + 3u);
        var total = Models(0.0);
        var loss = Models(0.0);
        var left_out = Models(0.0);
        for (var step = 0u; step < TILE_QUADS; step += QUADS * REPEAT) {
            for (var k = 0u; k < REPEAT; k++) {
                let quad = quad_of(at, step, k);
                let logit = logits_of(at, quad, beta_0);
                if (at.slice == 0u) {
                    let result = counted(of_batch, quad, logit, targets(quad), weights(quad));
                    total += result.total;
                    loss += result.loss;
                    left_out += result.left_out;
                    residuals[k * QUADS + at.lane] = result.r;
                }
                if (SLICES > 1u) {
                    workgroupBarrier();
                }
            }
            add_gradient(at, step, first);
        }
        if (at.slice == 0u) {
            lane_sums[at.lane] = total;
            lane_sums[QUADS + at.lane] = loss;
            lane_sums[2u * QUADS + at.lane] = left_out;
        }
        workgroupBarrier();
        if (local < 3u) {
            sums[first + p + local] = sum_of_lanes(local);
        }
    }
}
