// line_probe: loss and slope at several steps along a line, without reading X.
//
// Computes:   with d = end - start and a = start + step * d, for each step and model and over each tile:
//             sums[..,0] = sum of s[i] * loss(t[i], a);   sums[..,1] = sum of s[i] * (sigmoid(a) - t[i]) * d[i]
// Shapes:     x rows × columns, of which t and s are read · start, end batches × rows · sums tiles × batches × steps × 2
// Bindings:   0 chunk · 1 x · 2 probe · 3 start · 4 end · 5 sums (written)
// Dispatch:   a workgroup a tile of 256 rows and batch of models; QUADS lanes of four rows
// Numerics:   f32, exp and log as in common/logistic.wgsl; a tile's sums are taken by lane, then over the lanes
// Bytes:      reads 4·rows·(2·models + 2), again from cache for each step; writes 8·steps·models·rows/256
// CPU:        src/engine/cpu/kernels.rs, line_probe

struct Probe {
    // Steps, four a vector.
    steps: array<vec4<f32>, 2>,
    // How many of them count.
    count: u32,
    // Fill the struct to a multiple of 16 bytes.
    fill_0: u32,
    fill_1: u32,
    fill_2: u32,
}

@group(0) @binding(2) var<uniform> probe: Probe;
@group(0) @binding(3) var<storage, read> start: array<Quad>;
@group(0) @binding(4) var<storage, read> end: array<Quad>;
@group(0) @binding(5) var<storage, read_write> sums: array<Models>;

const STEPS: u32 = 8u;
// Quads side by side.
override QUADS: u32 = 8u;

var<workgroup> lane_sums: array<Models, STEPS * 2u * QUADS>;

@compute @workgroup_size(QUADS)
fn line_probe(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let piece = group.y * chunk.width + group.x;
    let tile = piece / chunk.batches;
    let batch = piece % chunk.batches;
    if (tile < chunk.tiles) {
        for (var k = 0u; k < probe.count; k++) {
            let step = probe.steps[k / 4u][k % 4u];
            var loss = Models(0.0);
            var slope = Models(0.0);
            for (var i = local; i < TILE_QUADS; i += QUADS) {
                let quad = tile * TILE_QUADS + i;
                let at = batch * chunk.tiles * TILE_QUADS + quad;
                let origin = start[at];
                let d = end[at] - origin;
                let result = residual(origin + d * step, targets(quad), weights(quad));
                loss += result.loss;
                for (var row = 0u; row < 4u; row++) {
                    slope += result.r[row] * d[row];
                }
            }
            lane_sums[2u * k * QUADS + local] = loss;
            lane_sums[(2u * k + 1u) * QUADS + local] = slope;
        }
        workgroupBarrier();
        for (var k = local; k < 2u * probe.count; k += QUADS) {
            var sum = Models(0.0);
            for (var i = 0u; i < QUADS; i++) {
                sum += lane_sums[k * QUADS + i];
            }
            sums[piece * 2u * probe.count + k] = sum;
        }
    }
}
