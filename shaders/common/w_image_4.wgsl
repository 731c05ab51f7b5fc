// Prelude for software drivers and four models a register: the parameters lie in a storage texture, as the rows do.
@group(0) @binding(2) var w: texture_storage_2d<rgba32float, read>;

// Texels in a line of the texture.
const W_LINE: u32 = 4096u;

fn w_texel(at: u32) -> Models {
    return textureLoad(w, vec2<u32>(at % W_LINE, at / W_LINE));
}

fn w_quad(at: u32) -> Quad {
    return Quad(w_texel(4u * at), w_texel(4u * at + 1u), w_texel(4u * at + 2u), w_texel(4u * at + 3u));
}
