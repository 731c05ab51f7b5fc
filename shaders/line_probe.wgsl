// line_probe: loss and slope at several steps along a line, without reading X.
//
// Computes:   with d = end - start and a = start + step * d, for each step and model and over each tile:
//             sums[..,0] = sum of s[i] * loss(t[i], a);   sums[..,1] = sum of s[i] * (sigmoid(a) - t[i]) * d[i]
// Shapes:     start, end batches × rows · t, s rows · sums steps × batches × tiles × 2
// Bindings:   0 chunk · 1 probe · 2 start · 3 end · 4 t · 5 s · 6 sums (written)
// Dispatch:   a workgroup a tile of 256 rows, 64 lanes of 4 rows each
// Numerics:   f32, exp and log as in common/logistic.wgsl; a tile's sums are taken by lane, then common/tile_sum.wgsl
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

@group(0) @binding(0) var<uniform> chunk: Chunk;
@group(0) @binding(1) var<uniform> probe: Probe;
@group(0) @binding(2) var<storage, read> start: array<Models>;
@group(0) @binding(3) var<storage, read> end: array<Models>;
@group(0) @binding(4) var<storage, read> t: array<f32>;
@group(0) @binding(5) var<storage, read> s: array<f32>;
@group(0) @binding(6) var<storage, read_write> sums: array<Models>;

@compute @workgroup_size(64)
fn line_probe(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let tile = group.y * chunk.width + group.x;
    if (tile < chunk.tiles) {
        for (var k = 0u; k < probe.count; k++) {
            let step = probe.steps[k / 4u][k % 4u];
            for (var b = 0u; b < chunk.batches; b++) {
                var value = Models(0.0);
                var slope = Models(0.0);
                for (var i = 0u; i < ROWS_A_LANE; i++) {
                    let row = tile * TILE + i * SUM_LANES + local;
                    if (row < chunk.rows) {
                        let from_row = start[b * chunk.rows + row];
                        let d = end[b * chunk.rows + row] - from_row;
                        let at = from_row + step * d;
                        let e = decay(at);
                        value += weighted_loss(at, t[row], s[row], e);
                        slope += s[row] * (sigmoid(at, e) - t[row]) * d;
                    }
                }
                let value_sum = tile_sum(value, local);
                let slope_sum = tile_sum(slope, local);
                if (local == 0u) {
                    let out = ((k * chunk.batches + b) * chunk.tiles + tile) * 2u;
                    sums[out] = value_sum;
                    sums[out + 1u] = slope_sum;
                }
            }
        }
    }
}
