// Prelude of the softmax kernels: the logits of all classes of a step of rows, and what becomes of their residuals. A workgroup
// takes one tile after the other; the classes of a row are those of all batches.

// Room for each workgroup: batches, and where there is a direction as many again, × the quads of a tile.
@group(0) @binding(3) var<storage, read_write> a: array<Quad>;

// Where a workgroup's room has a quad in a batch. Only the thread of slice 0 that handles the quad reads and writes it.
fn room(workgroup: u32, sets: u32, batch: u32, quad: u32) -> u32 {
    return (workgroup * sets * chunk.batches + batch) * TILE_QUADS + quad % TILE_QUADS;
}

// The numbers of the classes of a batch.
fn classes_of(batch: u32) -> vec4<u32> {
    return vec4<u32>(0u, 1u, 2u, 3u) + vec4<u32>(4u * batch);
}

// The entries of a batch that are classes, others 0.
fn present(batch: u32, values: Models) -> Models {
    return select(Models(0.0), values, classes_of(batch) < vec4<u32>(chunk.models));
}

fn total_of(values: Models) -> f32 {
    return (values.x + values.y) + (values.z + values.w);
}

// Puts the logits of a step's rows in the workgroup's room, those of the direction behind them. All threads of a workgroup call it.
fn fill_room(at: Place, workgroup: u32, sets: u32, step: u32) {
    for (var batch = 0u; batch < sets * chunk.batches; batch++) {
        let beta_0 = intercept(batch);
        for (var k = 0u; k < REPEAT; k++) {
            let quad = quad_of(at, step, k);
            let logit = logits_of(Place(at.tile, batch, at.local, at.lane, at.slice), quad, beta_0);
            if (at.slice == 0u) {
                a[room(workgroup, sets, batch, quad)] = logit;
            }
            if (SLICES > 1u) {
                workgroupBarrier();
            }
        }
    }
}

// The largest logit of row i of a quad.
fn largest_of(workgroup: u32, sets: u32, quad: u32, i: u32) -> f32 {
    var largest = -3.4e38;
    for (var batch = 0u; batch < chunk.batches; batch++) {
        let logit = a[room(workgroup, sets, batch, quad)][i];
        let there = select(Models(-3.4e38), logit, classes_of(batch) < vec4<u32>(chunk.models));
        largest = max(largest, max(max(there.x, there.y), max(there.z, there.w)));
    }
    return largest;
}

// Adds the products of X and of ones with what is in the room to the sums of the tile. All threads of a workgroup call it.
fn add_classes(at: Place, workgroup: u32, sets: u32, step: u32) {
    let p = chunk.features;
    for (var batch = 0u; batch < chunk.batches; batch++) {
        let first = (at.tile * chunk.batches + batch) * (p + 2u);
        var total = Models(0.0);
        if (at.slice == 0u) {
            for (var k = 0u; k < REPEAT; k++) {
                let r = a[room(workgroup, sets, batch, quad_of(at, step, k))];
                residuals[k * QUADS + at.lane] = r;
                total += (r[0] + r[1]) + (r[2] + r[3]);
            }
        }
        if (SLICES > 1u) {
            workgroupBarrier();
        }
        add_gradient(at, step, first);
        if (at.slice == 0u) {
            lane_sums[at.lane] = total;
        }
        workgroupBarrier();
        if (at.local == 0u) {
            let sum = sum_of_lanes(0u);
            if (step > 0u) {
                sums[first + p] += sum;
            } else {
                sums[first + p] = sum;
            }
        }
        workgroupBarrier();
    }
}

// Leaves the loss of a tile with its first class, and 0 with all others. All threads of a workgroup call it.
fn leave_loss(at: Place, loss: f32) {
    if (at.slice == 0u) {
        lane_sums[at.lane] = Models(loss, 0.0, 0.0, 0.0);
    }
    workgroupBarrier();
    for (var batch = at.local; batch < chunk.batches; batch += QUADS * SLICES) {
        let first = (at.tile * chunk.batches + batch) * (chunk.features + 2u);
        sums[first + chunk.features + 1u] = select(Models(0.0), sum_of_lanes(0u), batch == 0u);
    }
    workgroupBarrier();
}
