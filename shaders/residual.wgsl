// residual: probabilities, residuals and the loss.
//
// Computes:   r[i,k] = s[i] * (sigmoid(a[i,k]) - t[i]);   losses[k,tile] = sum over the tile of s[i] * loss(t[i], a[i,k])
// Shapes:     a, r batches × rows · t, s rows · losses batches × tiles
// Bindings:   0 chunk · 1 a · 2 t · 3 s · 4 r (written) · 5 losses (written)
// Dispatch:   a workgroup a tile of 256 rows, 64 lanes of 4 rows each
// Numerics:   f32, exp and log as in common/logistic.wgsl; a tile's loss is summed by lane, then common/tile_sum.wgsl
// Bytes:      reads 4·rows·(models + 2); writes 4·rows·models
// CPU:        src/engine/cpu/kernels.rs, residual

@group(0) @binding(0) var<uniform> chunk: Chunk;
@group(0) @binding(1) var<storage, read> a: array<Models>;
@group(0) @binding(2) var<storage, read> t: array<f32>;
@group(0) @binding(3) var<storage, read> s: array<f32>;
@group(0) @binding(4) var<storage, read_write> r: array<Models>;
@group(0) @binding(5) var<storage, read_write> losses: array<Models>;

@compute @workgroup_size(64)
fn residual(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let tile = group.y * chunk.width + group.x;
    if (tile < chunk.tiles) {
        for (var b = 0u; b < chunk.batches; b++) {
            var value = Models(0.0);
            for (var i = 0u; i < ROWS_A_LANE; i++) {
                let row = tile * TILE + i * SUM_LANES + local;
                if (row < chunk.rows) {
                    let at = a[b * chunk.rows + row];
                    let e = decay(at);
                    r[b * chunk.rows + row] = s[row] * (sigmoid(at, e) - t[row]);
                    value += weighted_loss(at, t[row], s[row], e);
                }
            }
            let sum = tile_sum(value, local);
            if (local == 0u) {
                losses[b * chunk.tiles + tile] = sum;
            }
        }
    }
}
