// Prelude: one model a register. `Models` holds the values of a batch of models side by side and `Quad` those of four
// rows; every array on the device is an array of these, so a kernel's text is the same for one model and for many.
alias Models = f32;
alias ModelInts = i32;
// The values of four rows (or of four features), one after the other.
alias Quad = vec4<f32>;

// Sum of four rows of `values`, each multiplied with its entry of x.
fn weighted(values: Quad, x: vec4<f32>) -> Models {
    return dot(values, x);
}

// What a feature adds to the logits of four rows.
fn spread(x: vec4<f32>, slope: Models) -> Quad {
    return x * slope;
}

// The same value for each of four rows.
fn same(value: Models) -> Quad {
    return Quad(value);
}
