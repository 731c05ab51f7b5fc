// Sum of one value of every invocation of a workgroup, in a fixed order: 16 sums of 16, then the sum of those.

var<workgroup> tile_values: array<Models, 256>;

// To be called in uniform control flow; the result is meant for invocation 0.
fn tile_sum(value: Models, local: u32) -> Models {
    tile_values[local] = value;
    workgroupBarrier();
    var sum = Models(0.0);
    if (local < 16u) {
        for (var i = 0u; i < 16u; i++) {
            sum += tile_values[i * 16u + local];
        }
    }
    workgroupBarrier();
    if (local < 16u) {
        tile_values[local] = sum;
    }
    workgroupBarrier();
    sum = Models(0.0);
    if (local == 0u) {
        for (var i = 0u; i < 16u; i++) {
            sum += tile_values[i];
        }
    }
    workgroupBarrier();
    return sum;
}
