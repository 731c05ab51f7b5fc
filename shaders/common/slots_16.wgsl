// Prelude: the features that a thread keeps sums of in registers, whose arrays need a constant length.
const SLOTS: u32 = 16u;
