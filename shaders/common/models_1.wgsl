// Prelude: one model a register. `Models` holds the values of a batch of models side by side; every array of models
// on the device is an array of these, so a kernel's text is the same for one model and for many.
const BATCH: u32 = 1u;
alias Models = f32;
alias ModelInts = i32;
// The values of four consecutive rows.
alias Quad = vec4<f32>;

// Sum of four rows of `values`, each multiplied with its entry of x.
fn weighted(values: Quad, x: vec4<f32>) -> Models {
    return dot(values, x);
}
