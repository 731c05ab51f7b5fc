// Prelude for software drivers: the rows lie in a storage texture. llvmpipe reads a buffer lane by lane, with a branch
// for each bounds check, but gathers the texels of eight lanes in straight-line code.
@group(0) @binding(1) var x: texture_storage_2d<rgba32float, read>;

// Texels in a line of the texture.
const X_LINE: u32 = 4096u;

fn x_quad(at: u32) -> vec4<f32> {
    return textureLoad(x, vec2<u32>(at % X_LINE, at / X_LINE));
}
