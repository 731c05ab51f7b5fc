// Sum over the lanes of a workgroup, in a fixed order: 8 sums of 8, then the sum of those.

// Lanes of a workgroup that sums over a tile; each handles ROWS_A_LANE rows, SUM_LANES apart. Few lanes with a few rows
// each wait at barriers less often than one lane a row, which on a software driver is all that counts.
const SUM_LANES: u32 = 64u;
const ROWS_A_LANE: u32 = 4u;

var<workgroup> lane_values: array<Models, 64>;
var<workgroup> lane_partials: array<Models, 8>;

// To be called in uniform control flow; the result is meant for invocation 0. It may be called again at once: values
// are read before the second barrier and written again after it, partials likewise around the next call's first.
fn tile_sum(value: Models, local: u32) -> Models {
    lane_values[local] = value;
    workgroupBarrier();
    if (local < 8u) {
        var sum = Models(0.0);
        for (var i = 0u; i < 8u; i++) {
            sum += lane_values[i * 8u + local];
        }
        lane_partials[local] = sum;
    }
    workgroupBarrier();
    var total = Models(0.0);
    if (local == 0u) {
        for (var i = 0u; i < 8u; i++) {
            total += lane_partials[i];
        }
    }
    return total;
}
