// Prelude: one model a register. `Models` holds the values of a batch of models side by side; every array of models
// on the device is an array of these, so a kernel's text is the same for one model and for many.
const BATCH: u32 = 1u;
alias Models = f32;
alias ModelInts = i32;
