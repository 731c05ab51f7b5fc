use super::*;

const WEBGPU: PlanLimits = PlanLimits {
    binding: 128 << 20,
    buffer: 256 << 20,
    workgroups: 65_535,
    chunk: u64::MAX,
    submission: SUBMISSION_BYTES,
};

fn planned(block_rows: &[usize], features: usize, models: usize, limits: PlanLimits) -> Plan {
    Plan::new(Problem { block_rows, features, models, offsets: features % 2 == 1 }, limits).unwrap()
}

/// What every plan promises, whatever the shape.
fn check(plan: &Plan, block_rows: &[usize], limits: PlanLimits) {
    let mut at = vec![0; block_rows.len()];
    let mut last_block = 0;
    for chunk in &plan.chunks {
        assert!(chunk.block >= last_block);
        last_block = chunk.block;
        assert_eq!(chunk.first_row, at[chunk.block], "chunks follow each other");
        assert_eq!(chunk.first_row % TILE, 0);
        assert!(chunk.rows > 0);
        assert_eq!(chunk.tiles, chunk.rows.div_ceil(TILE));
        at[chunk.block] += chunk.rows;
        let [x, y] = chunk.grid;
        assert!(x <= limits.workgroups && y <= limits.workgroups);
        let (covered, pieces) = (u64::from(x) * u64::from(y), (chunk.tiles * plan.batches) as u64);
        assert!(covered >= pieces && covered < pieces + u64::from(x));
        for bytes in [plan.stored_bytes(chunk), plan.logit_bytes(chunk), chunk.sums.bytes, chunk.probes.bytes] {
            assert!(bytes <= limits.binding, "{bytes} bytes in a binding of {}", limits.binding);
        }
        for region in [chunk.sums, chunk.probes] {
            assert_eq!(region.offset % ALIGN, 0);
            assert!(region.offset + region.bytes <= plan.results_bytes);
        }
    }
    assert_eq!(at, block_rows, "every row once");
    assert!(plan.results_bytes <= limits.buffer.min(limits.binding));
    let mut next = 0;
    for submission in &plan.submissions {
        assert_eq!(submission.start, next);
        assert!(submission.end > submission.start);
        next = submission.end;
        let reads: u64 = plan.chunks[submission.clone()].iter().map(|chunk| plan.stored_bytes(chunk)).sum();
        assert!(submission.len() == 1 || reads * plan.batches as u64 <= SUBMISSION_BYTES, "{reads} bytes of X");
        let regions: [&dyn Fn(&Chunk) -> Region; 2] = [&|chunk| chunk.sums, &|chunk| chunk.probes];
        for region in regions {
            let used: Vec<Region> = plan.chunks[submission.clone()].iter().map(region).collect();
            assert!(used.windows(2).all(|w| w[0].offset + w[0].bytes <= w[1].offset), "regions overlap");
        }
    }
    assert_eq!(next, plan.chunks.len());
}

#[test]
fn plans_hold_their_promises_for_awkward_shapes() {
    let tiny = PlanLimits { binding: 1 << 20, buffer: 1 << 20, workgroups: 40, chunk: 100_000, ..WEBGPU };
    let mut seen = 0;
    for limits in [WEBGPU, tiny] {
        for rows in [1, 31, 32, 33, 255, 256, 257, 70_000, 3_000_000] {
            for features in [0, 1, 31, 32, 33, 900] {
                for models in [1, 2, 4, 5, 9] {
                    let blocks = [rows, 1, rows];
                    let blocks = if limits == tiny && features > 30 { &blocks[1..2] } else { &blocks[..] };
                    let plan = planned(blocks, features, models, limits);
                    check(&plan, blocks, limits);
                    seen += 1;
                }
            }
        }
    }
    assert_eq!(seen, 2 * 9 * 6 * 5);
}

#[test]
fn a_gradient_reads_x_once_and_moves_little_else() {
    let little = |features, models| {
        let plan = planned(&[399_872, 100_128], features, models, WEBGPU);
        let (moved, rows) = (plan.traffic(), plan.chunks.iter().map(|chunk| chunk.tiles * TILE).sum::<usize>());
        assert_eq!(moved.x, (4 * features * rows) as u64);
        assert!(rows < 500_000 + 2 * TILE);
        let else_allowed = 16.0 * 500_000.0 + 0.01 * (moved.x as f64 + 16.0 * 500_000.0);
        (moved.beside_x + moved.written) as f64 <= else_allowed
    };
    for features in 1..=64 {
        for class in [tuning::DeviceClass::Hardware, tuning::DeviceClass::Software] {
            // The kernel that keeps what it read in registers.
            assert_eq!(tuning::loss_gradient(class, features, 1).kernel.name, "loss_gradient");
        }
        assert!(little(features, 1), "{features} features");
    }
    assert!(!little(32, 5), "the logits of five models are more");
}

#[test]
fn more_tiles_than_one_dimension_holds_go_into_two() {
    let blocks = [65_536 * TILE];
    let plan = planned(&blocks, 0, 1, WEBGPU);
    assert_eq!(plan.chunks.len(), 1);
    assert_eq!(plan.chunks[0].grid, [65_535, 2]);
}

#[test]
fn a_block_larger_than_a_binding_is_cut_at_tiles() {
    let limits = PlanLimits { binding: 3 * 256 * 66 * 4, ..WEBGPU };
    let blocks = [1000];
    let plan = planned(&blocks, 64, 1, limits);
    assert_eq!(plan.chunks.iter().map(|c| c.rows).collect::<Vec<_>>(), [768, 232]);
    // Two tiles at a time, and one where none fits.
    for (bytes, rows) in [(2 * 256 * 66 * 4, [512, 488].as_slice()), (1, &[256, 256, 256, 232])] {
        let plan = planned(&blocks, 64, 1, PlanLimits { chunk: bytes, ..WEBGPU });
        assert_eq!(plan.chunks.iter().map(|c| c.rows).collect::<Vec<_>>(), rows);
    }
}

#[test]
fn submissions_are_bounded() {
    let blocks = vec![1 << 18; 32];
    let plan = planned(&blocks, 64, 1, WEBGPU);
    assert_eq!(plan.chunks.len(), 32);
    // 66 MiB a chunk, target and weight included: three of them are less than 256.
    assert_eq!(plan.submissions.len(), 11);
    // Five batches of models read a chunk five times.
    let plan = planned(&blocks, 64, 17, WEBGPU);
    check(&plan, &blocks, WEBGPU);
    assert_eq!(plan.submissions.len(), plan.chunks.len());
}

#[test]
fn what_no_chunk_can_hold_is_refused() {
    let limits = PlanLimits { binding: 1000, ..WEBGPU };
    let problem = Problem { block_rows: &[1], features: 1, models: 1, offsets: false };
    assert!(matches!(Plan::new(problem, limits), Err(Error::NoDevice(_))));
}

#[test]
fn the_checks_of_these_tests_can_fail() {
    let blocks = [1000];
    let mut plan = planned(&blocks, 3, 1, WEBGPU);
    plan.chunks[0].rows = 999;
    assert!(std::panic::catch_unwind(|| check(&plan, &blocks, WEBGPU)).is_err());
}
