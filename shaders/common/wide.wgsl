// Prelude of the kernels that read X twice, the second time from cache: how the threads of a workgroup share a tile of rows and
// a batch of models.
//
// A step handles QUADS * REPEAT quads: on a GPU so many that they are some 64 KiB of X, or one group of 32 rows where
// those are more, so that the second read finds them in the first- or second-level cache. Its lanes read whole lines
// both times. A thread holds SLOTS sums and the residuals of one quad: 24 registers for one model, 48 for four.

// Quads side by side, threads that share one, and quads that a lane handles in a step.
override QUADS: u32 = 8u;
override SLICES: u32 = 8u;
override REPEAT: u32 = 1u;

var<workgroup> logit_parts: array<Quad, QUADS * SLICES>;
var<workgroup> residuals: array<Quad, QUADS * REPEAT>;
var<workgroup> lane_sums: array<Models, SLOTS * QUADS * SLICES>;

// What a thread works on.
struct Place {
    tile: u32,
    batch: u32,
    // Its place among the threads of the workgroup, as the lane of a quad and the slice of its features.
    local: u32,
    lane: u32,
    slice: u32,
}

fn place_of(piece: u32, local: u32) -> Place {
    return Place(piece / chunk.batches, piece % chunk.batches, local, local % QUADS, local / QUADS % SLICES);
}

// The quad that a lane handles in repeat k of a step.
fn quad_of(at: Place, step: u32, k: u32) -> u32 {
    return at.tile * TILE_QUADS + step + k * QUADS + at.lane;
}

// The logits of a quad, for slice 0; the other threads end up with a part of them. All threads of a workgroup call it.
fn logits_of(at: Place, quad: u32, beta_0: Models) -> Quad {
    let p = chunk.features;
    var logit = same(Models(0.0));
    for (var j = at.slice * 4u; j < p; j += SLICES * 4u) {
        let beta = slopes(at.batch, j / 4u);
        // Beyond the features stands the target; its slope is zero.
        logit += (spread(column(quad, j), beta[0]) + spread(column(quad, min(j + 1u, p)), beta[1]))
            + (spread(column(quad, min(j + 2u, p)), beta[2]) + spread(column(quad, min(j + 3u, p)), beta[3]));
    }
    if (SLICES > 1u) {
        logit_parts[at.local] = logit;
        workgroupBarrier();
        if (at.slice == 0u) {
            for (var i = 1u; i < SLICES; i++) {
                logit += logit_parts[i * QUADS + at.lane];
            }
        }
    }
    return logit + (same(beta_0) + spread(offsets(quad), Models(1.0)));
}

// Adds the products of X and the residuals of a step to the sums from `first` on. All threads of a workgroup call it.
fn add_gradient(at: Place, step: u32, first: u32) {
    let p = chunk.features;
    for (var block = 0u; block < p; block += SLOTS * SLICES) {
        var gradient: array<Models, SLOTS>;
        for (var i = 0u; i < SLOTS; i++) {
            gradient[i] = Models(0.0);
        }
        for (var k = 0u; k < REPEAT; k++) {
            let quad = quad_of(at, step, k);
            let r = residuals[k * QUADS + at.lane];
            for (var i = 0u; i < SLOTS; i++) {
                gradient[i] += weighted(r, column(quad, min(block + i * SLICES + at.slice, p)));
            }
        }
        for (var i = 0u; i < SLOTS; i++) {
            lane_sums[(i * SLICES + at.slice) * QUADS + at.lane] = gradient[i];
        }
        workgroupBarrier();
        for (var k = at.local; k < SLOTS * SLICES; k += QUADS * SLICES) {
            let sum = sum_of_lanes(k);
            if (block + k < p) {
                // The same thread each time.
                if (step > 0u) {
                    sums[first + block + k] += sum;
                } else {
                    sums[first + block + k] = sum;
                }
            }
        }
        workgroupBarrier();
    }
}

// The sum of what the lanes left of sum k.
fn sum_of_lanes(k: u32) -> Models {
    var sum = Models(0.0);
    for (var i = 0u; i < QUADS; i++) {
        sum += lane_sums[k * QUADS + i];
    }
    return sum;
}
