// Prelude: four models a register. `Models` holds the values of a batch of models side by side and `Quad` those of four
// rows; every array on the device is an array of these, so a kernel's text is the same for one model and for many.
alias Models = vec4<f32>;
alias ModelInts = vec4<i32>;
// The values of four rows (or of four features), a column for each.
alias Quad = mat4x4<f32>;

// Sum of four rows of `values`, each multiplied with its entry of x.
fn weighted(values: Quad, x: vec4<f32>) -> Models {
    return values * x;
}

// What a feature adds to the logits of four rows.
fn spread(x: vec4<f32>, slope: Models) -> Quad {
    return Quad(slope * x.x, slope * x.y, slope * x.z, slope * x.w);
}

// The same value for each of four rows.
fn same(value: Models) -> Quad {
    return Quad(value, value, value, value);
}
