// logits: the XW product.
//
// Computes:   a[i,k] = sum_j x[i,j] * beta[j,k] + intercept[k] + offset[i]
// Shapes:     x rows × columns, interleaved (common/chunk.wgsl) · w batches × slopes in fours and the intercept ·
//             a batches × rows
// Bindings:   0 chunk · 1 x · 2 w · 3 a (written)
// Dispatch:   a workgroup a tile of 256 rows and batch of models, the batches of a tile side by side; a lane a quad of rows
// Numerics:   f32; features are summed in fours, so rounding grows with features/4 and not with features
// Bytes:      reads 4·rows·features, for each batch of models once more from cache, and w from cache;
//             writes 4·models·rows
// CPU:        src/engine/cpu/kernels.rs, logits

@group(0) @binding(3) var<storage, read_write> a: array<Quad>;

@compute @workgroup_size(64)
fn logits(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let piece = group.y * chunk.width + group.x;
    let tile = piece / chunk.batches;
    let batch = piece % chunk.batches;
    if (tile < chunk.tiles) {
        let p = chunk.features;
        let quad = tile * TILE_QUADS + local;
        var logit = same(intercept(batch)) + spread(offsets(quad), Models(1.0));
        for (var j = 0u; j < p; j += 4u) {
            let beta = slopes(batch, j / 4u);
            // Beyond the features stands the target; its slope is zero.
            logit += (spread(column(quad, j), beta[0]) + spread(column(quad, min(j + 1u, p)), beta[1]))
                + (spread(column(quad, min(j + 2u, p)), beta[2]) + spread(column(quad, min(j + 3u, p)), beta[3]));
        }
        a[batch * chunk.tiles * TILE_QUADS + quad] = logit;
    }
}
