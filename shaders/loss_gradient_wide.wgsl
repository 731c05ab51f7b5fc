// loss_gradient_wide: loss and gradient of any number of models and features. What it reads of X for the logits it reads
// again for the gradient while that is still in cache.
//
// Computes:   a[i,k] = sum_j x[i,j] * beta[j,k] + intercept[k] + offset[i];   r[i,k] = s[i] * (sigmoid(a[i,k]) - t[i]);
//             sums[tile,k,j] = sum over the tile of x[i,j] * r[i,k];   for j = features the sum of r[i,k], then that of
//             s[i] * loss(t[i], a[i,k])
// Shapes:     x rows × columns, interleaved (common/chunk.wgsl) · w batches × slopes in fours and the intercept ·
//             a batches × rows · sums tiles × batches × (features + 2)
// Bindings:   0 chunk · 1 x · 2 w · 3 a (written) · 4 sums (written)
// Dispatch:   a workgroup a tile of 256 rows and batch of models, the batches of a tile side by side so that they share
//             a cache; its threads are QUADS lanes of four rows, times SLICES that share the features of a row
// Numerics:   f32. A logit is summed over fours of features, then over slices; a tile's sums over quads, then repeats, then
//             lanes, then steps, always in that order
// Bytes:      reads 4·rows·columns from memory and 4·rows·features again from cache, for each batch of models once more
//             from cache, and w from cache; writes 4·models·rows and 4·models·(features + 2)·rows/256
// CPU:        src/engine/cpu/kernels.rs, loss_gradient
//
// How the work is laid out stands in common/wide.wgsl.

@group(0) @binding(3) var<storage, read_write> a: array<Quad>;
@group(0) @binding(4) var<storage, read_write> sums: array<Models>;

@compute @workgroup_size(QUADS * SLICES)
fn loss_gradient_wide(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let piece = group.y * chunk.width + group.x;
    // The same for all threads, which barriers need to be known.
    let tile = piece / chunk.batches;
    if (tile < chunk.tiles) {
        let at = place_of(piece, local);
        let p = chunk.features;
        let beta_0 = intercept(at.batch);
        let first = piece * (p + 2u);
        var total = Models(0.0);
        var loss = Models(0.0);
        for (var step = 0u; step < TILE_QUADS; step += QUADS * REPEAT) {
            for (var k = 0u; k < REPEAT; k++) {
                let quad = quad_of(at, step, k);
                let logit = logits_of(at, quad, beta_0);
                if (at.slice == 0u) {
                    a[at.batch * chunk.tiles * TILE_QUADS + quad] = logit;
                    let result = residual(logit, targets(quad), weights(quad));
                    total += result.total;
                    loss += result.loss;
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
        }
        workgroupBarrier();
        if (local < 2u) {
            sums[first + p + local] = sum_of_lanes(local);
        }
    }
}
