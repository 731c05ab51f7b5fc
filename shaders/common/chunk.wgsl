// The rows one dispatch works on. The numbers and the struct are those of src/engine/gpu/plan.rs and uniforms.rs.

// Rows interleaved with each other: value (row, j) of X lies at (row / LANES * features + j) * LANES + row % LANES.
const LANES: u32 = 32u;
// Rows summed up in f32 before the host goes on in f64; also the invocations of a workgroup.
const TILE: u32 = 256u;

struct Chunk {
    // Rows, padded to whole groups of LANES; the padding has weight 0.
    rows: u32,
    // Tiles of TILE rows, the last one perhaps short.
    tiles: u32,
    // Features p.
    features: u32,
    // Batches of models.
    batches: u32,
    // Workgroups along x: tile t runs in workgroup (t % width, t / width).
    width: u32,
    // 1 where rows have offsets.
    has_offset: u32,
    // Fill the struct to a multiple of 16 bytes.
    fill_0: u32,
    fill_1: u32,
}
