// Prelude for GPUs: the parameters lie in a storage buffer.
@group(0) @binding(2) var<storage, read> w: array<Quad>;

fn w_quad(at: u32) -> Quad {
    return w[at];
}
