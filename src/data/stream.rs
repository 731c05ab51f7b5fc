//! Blocks one after the other, those that are not in memory read while the one before is worked on.

use std::sync::{Arc, mpsc};

use super::block::RowBlock;
use crate::error::Result;

/// Calls `each` with every block in order, X in memory, and its number.
///
/// # Errors
/// What reading or `each` fails with.
pub fn each_block(blocks: &[RowBlock], mut each: impl FnMut(usize, &RowBlock) -> Result<()>) -> Result<()> {
    if blocks.iter().all(RowBlock::is_present) {
        return blocks.iter().enumerate().try_for_each(|(index, block)| each(index, block));
    }
    std::thread::scope(|scope| {
        // One block waits while another is worked on and the next is read.
        let (send, receive) = mpsc::sync_channel(0);
        let (give_back, spare) = mpsc::channel();
        scope.spawn(move || {
            for block in blocks {
                let room = spare.try_recv().ok();
                // Nobody listens any more when the work has failed.
                if send.send(block.present(room)).is_err() {
                    return;
                }
            }
        });
        for (index, loaded) in receive.iter().enumerate() {
            let (block, room) = loaded?;
            each(index, &block)?;
            drop(block);
            if let Some(room) = room.and_then(Arc::into_inner) {
                // The last ones are not taken any more.
                let _ = give_back.send(room);
            }
        }
        Ok(())
    })
}
