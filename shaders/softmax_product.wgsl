// softmax_product: the product of the Hessian of a softmax with a direction.
//
// Computes:   a[i,k] and y[i,k] as softmax, and b[i,k] = sum_j x[i,j] * v[j,k] + v_0[k] + offset[i] along the direction V;
//             r[i,k] = s[i] * y[i,k] * (b[i,k] - sum_l y[i,l] * b[i,l]);
//             sums[tile,k,j] = sum over the tile of x[i,j] * r[i,k]; for j = features the sum of r[i,k], then 0
// Shapes:     as softmax, with as many batches of V behind those of W in w, and twice the room in a
// Bindings:   0 chunk · 1 x · 2 w · 3 a (written) · 4 sums (written)
// Dispatch:   as softmax
// Numerics:   as softmax
// Bytes:      as softmax, with X read once more from cache for each four classes
// CPU:        src/engine/cpu/softmax.rs, products
//
// How the work is laid out stands in common/wide.wgsl and common/classes.wgsl.

@group(0) @binding(4) var<storage, read_write> sums: array<Models>;

// Puts r in the place of the logits of a quad.
fn products_of(workgroup: u32, quad: u32) {
    let s = weights(quad);
    for (var i = 0u; i < 4u; i++) {
        let largest = largest_of(workgroup, 2u, quad, i);
        var sum = 0.0;
        var mean = 0.0;
        for (var batch = 0u; batch < chunk.batches; batch++) {
            let place = room(workgroup, 2u, batch, quad);
            let e = present(batch, decay(a[place][i] - Models(largest)));
            sum += total_of(e);
            mean += total_of(e * a[room(workgroup, 2u, chunk.batches + batch, quad)][i]);
            a[place][i] = e;
        }
        let unit = s[i] / sum;
        for (var batch = 0u; batch < chunk.batches; batch++) {
            let place = room(workgroup, 2u, batch, quad);
            let b = a[room(workgroup, 2u, chunk.batches + batch, quad)][i];
            a[place][i] = (a[place][i] * unit) * (b - Models(mean / sum));
        }
    }
}

@compute @workgroup_size(QUADS * SLICES)
fn softmax_product(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    for (var piece = group.x; piece < chunk.tiles; piece += chunk.workgroups) {
        let at = Place(piece, 0u, local, local % QUADS, local / QUADS % SLICES);
        for (var step = 0u; step < TILE_QUADS; step += QUADS * REPEAT) {
            fill_room(at, group.x, 2u, step);
            if (at.slice == 0u) {
                for (var k = 0u; k < REPEAT; k++) {
                    products_of(group.x, quad_of(at, step, k));
                }
            }
            add_classes(at, group.x, 2u, step);
        }
        leave_loss(at, 0.0);
    }
}
