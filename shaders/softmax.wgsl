// softmax: loss and gradient of one model of several classes.
//
// Computes:   a[i,k] = sum_j x[i,j] * beta[j,k] + intercept[k] + offset[i];   y[i,k] = e^a[i,k] / sum_l e^a[i,l];
//             r[i,k] = s[i] * (y[i,k] - [t[i] = k]);   sums[tile,k,j] = sum over the tile of x[i,j] * r[i,k];
//             for j = features the sum of r[i,k], then, with the first class, that of s[i] * -log y[i,t[i]]
// Shapes:     x rows × columns, interleaved (common/chunk.wgsl) · w batches × slopes in fours and the intercept ·
//             a workgroups × batches × quads of a tile, for the kernel alone · sums tiles × batches × (features + 2)
// Bindings:   0 chunk · 1 x · 2 w · 3 a (written) · 4 sums (written)
// Dispatch:   chunk.workgroups workgroups, each one tile after the other; its threads are QUADS lanes of four rows, times SLICES
//             that share the features of a row
// Numerics:   f32. Logits and sums as in loss_gradients; a row's classes are added up in fours, in order. The residual of a row's
//             own class is the sum of the others, so that it keeps its digits
// Bytes:      reads 4·rows·columns from memory, for each four classes twice more from cache, w from cache, and a twice from cache;
//             writes 4·classes·(features + 2)·rows/256
// CPU:        src/engine/cpu/softmax.rs, softmax
//
// How the work is laid out stands in common/wide.wgsl and common/classes.wgsl.

@group(0) @binding(4) var<storage, read_write> sums: array<Models>;

// Puts the residuals of a quad in the place of its logits: the loss of its rows.
fn residuals_of(workgroup: u32, quad: u32) -> f32 {
    let t = targets(quad);
    let s = weights(quad);
    var loss = 0.0;
    for (var i = 0u; i < 4u; i++) {
        let largest = largest_of(workgroup, 1u, quad, i);
        var sum = 0.0;
        var others = 0.0;
        var own = 0.0;
        for (var batch = 0u; batch < chunk.batches; batch++) {
            let place = room(workgroup, 1u, batch, quad);
            let logit = a[place][i];
            let e = present(batch, decay(logit - Models(largest)));
            let is_own = classes_of(batch) == vec4<u32>(u32(t[i]));
            sum += total_of(e);
            others += total_of(select(e, Models(0.0), is_own));
            own += total_of(select(Models(0.0), logit, is_own));
            a[place][i] = e;
        }
        let unit = s[i] / sum;
        for (var batch = 0u; batch < chunk.batches; batch++) {
            let place = room(workgroup, 1u, batch, quad);
            let is_own = classes_of(batch) == vec4<u32>(u32(t[i]));
            a[place][i] = select(a[place][i] * unit, Models(-others * unit), is_own);
        }
        // NaN fails the comparison.
        let usable = abs(largest) <= MAX_LOGIT;
        loss += select(select(0.0, OUT_OF_RANGE, s[i] > 0.0), s[i] * ((largest - own) + log_sum(Models(sum)).x), usable);
    }
    return loss;
}

@compute @workgroup_size(QUADS * SLICES)
fn softmax(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    for (var piece = group.x; piece < chunk.tiles; piece += chunk.workgroups) {
        let at = Place(piece, 0u, local, local % QUADS, local / QUADS % SLICES);
        var loss = 0.0;
        for (var step = 0u; step < TILE_QUADS; step += QUADS * REPEAT) {
            fill_room(at, group.x, 1u, step);
            if (at.slice == 0u) {
                for (var k = 0u; k < REPEAT; k++) {
                    loss += residuals_of(group.x, quad_of(at, step, k));
                }
            }
            add_classes(at, group.x, 1u, step);
        }
        leave_loss(at, loss);
    }
}
