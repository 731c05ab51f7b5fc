// The parameters W: for each batch of models its slopes in fours, filled up with zeros, then a quad that begins with the
// intercept.

// Fours of features.
fn fours() -> u32 {
    return (chunk.features + 3u) / 4u;
}

// The slopes of features 4·four to 4·four + 3; zero beyond p.
fn slopes(batch: u32, four: u32) -> Quad {
    return w_quad(batch * (fours() + 1u) + four);
}

fn intercept(batch: u32) -> Models {
    return w_quad(batch * (fours() + 1u) + fours())[0];
}
