// Prelude for software drivers and one model: the parameters lie in a storage texture, as the rows do.
@group(0) @binding(2) var w: texture_storage_2d<rgba32float, read>;

// Texels in a line of the texture.
const W_LINE: u32 = 4096u;

fn w_quad(at: u32) -> Quad {
    return textureLoad(w, vec2<u32>(at % W_LINE, at / W_LINE));
}
