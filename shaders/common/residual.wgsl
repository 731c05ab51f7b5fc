// Residuals and losses of four rows.

struct Residual {
    // s * (sigmoid(a) - t).
    r: Quad,
    // Sums over the four rows: of r, and of s * loss(t, a).
    total: Models,
    loss: Models,
}

fn residual(a: Quad, t: vec4<f32>, s: vec4<f32>) -> Residual {
    var result: Residual;
    for (var i = 0u; i < 4u; i++) {
        let e = decay(a[i]);
        let r = s[i] * (sigmoid(a[i], e) - t[i]);
        result.r[i] = r;
        result.total += r;
        result.loss += weighted_loss(a[i], t[i], s[i], e);
    }
    return result;
}
