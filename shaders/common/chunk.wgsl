// The rows one dispatch works on. The numbers and the struct are those of src/engine/gpu/plan.rs and uniforms.rs.

// Rows interleaved with each other: value (row, j) lies at (row / LANES * columns + j) * LANES + row % LANES.
const LANES: u32 = 32u;
// Rows summed up in f32 before the host goes on in f64. Chunks are padded to whole tiles by rows of zeros, weight too.
const TILE: u32 = 256u;
// A quad is four consecutive rows: one vector, the smallest piece that is read.
const GROUP_QUADS: u32 = LANES / 4u;
const TILE_QUADS: u32 = TILE / 4u;

struct Chunk {
    // Tiles of TILE rows.
    tiles: u32,
    // Features p.
    features: u32,
    // Columns stored of each row: the features, the target, the weight and, where there is one, the offset.
    columns: u32,
    // Batches of models.
    batches: u32,
    // Workgroups along x: piece i of the work is done by workgroup (i % width, i / width).
    width: u32,
    // Number of the first row among those of all chunks.
    first_row: u32,
    // Models, and workgroups that take one tile after the other, where a kernel asks for them.
    models: u32,
    workgroups: u32,
}

@group(0) @binding(0) var<uniform> chunk: Chunk;

// Column j of the rows of a quad. Eight lanes that ask for the quads of one group read one line of 128 bytes.
fn column(quad: u32, j: u32) -> vec4<f32> {
    return x_quad((quad / GROUP_QUADS * chunk.columns + j) * GROUP_QUADS + quad % GROUP_QUADS);
}

fn targets(quad: u32) -> vec4<f32> {
    return column(quad, chunk.features);
}

fn weights(quad: u32) -> vec4<f32> {
    return column(quad, chunk.features + 1u);
}

fn offsets(quad: u32) -> vec4<f32> {
    var offset = vec4<f32>(0.0);
    if (chunk.columns > chunk.features + 2u) {
        offset = column(quad, chunk.features + 2u);
    }
    return offset;
}
