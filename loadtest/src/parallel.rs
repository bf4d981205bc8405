//! Work that is cut into pieces, done on several threads, and handed on in order.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// Pieces that each thread has ready at most, besides the one it works at.
const AHEAD: usize = 2;

/// Makes the pieces 0 to `count` on `threads` threads, and takes each in its turn. Memory is bounded: each thread is two
/// pieces ahead at most. What `take` gives back is used for a piece to come, emptied.
///
/// `make` gets a piece's number, a buffer of its thread's own, and an empty one for the piece. The first error that
/// `take` returns ends it.
pub(crate) fn in_order<T: Send, E>(
    count: u64,
    threads: usize,
    make: impl Fn(u64, &mut Vec<u8>, Vec<u8>) -> T + Sync,
    mut take: impl FnMut(u64, T) -> Result<Vec<u8>, E>,
) -> Result<(), E> {
    if threads <= 1 || count <= 1 {
        let (mut scratch, mut used) = (Vec::new(), Vec::new());
        for piece in 0..count {
            used.clear();
            used = take(piece, make(piece, &mut scratch, used))?;
        }
        return Ok(());
    }
    std::thread::scope(|scope| {
        let workers: Vec<(Receiver<T>, SyncSender<Vec<u8>>)> = (0..threads as u64)
            .map(|first| {
                let (done, pieces) = sync_channel(AHEAD);
                let (back, buffers) = sync_channel::<Vec<u8>>(2 * AHEAD);
                let make = &make;
                scope.spawn(move || {
                    let mut scratch = Vec::new();
                    for piece in (first..count).step_by(threads) {
                        let mut buffer = buffers.try_recv().unwrap_or_default();
                        buffer.clear();
                        // Nobody takes it any more: the end came early.
                        if done.send(make(piece, &mut scratch, buffer)).is_err() {
                            break;
                        }
                    }
                });
                (pieces, back)
            })
            .collect();
        for (piece, (pieces, back)) in (0..count).zip(workers.iter().cycle()) {
            // A worker that died panicked, which the scope hands on.
            let Ok(next) = pieces.recv() else { break };
            // One buffer too many is no loss.
            back.try_send(take(piece, next)?).ok();
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_come_in_order_whatever_the_threads() {
        for threads in [1, 2, 7] {
            for count in [0, 1, 5, 100] {
                let mut taken = Vec::new();
                let make = |piece, _: &mut Vec<u8>, buffer: Vec<u8>| {
                    assert!(buffer.is_empty());
                    piece
                };
                in_order(count, threads, make, |piece, made| {
                    assert_eq!(piece, made);
                    taken.push(piece);
                    Ok::<_, ()>(vec![1, 2, 3])
                })
                .unwrap();
                assert_eq!(taken, (0..count).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn the_first_error_ends_it() {
        let make = |piece, _: &mut Vec<u8>, _| piece;
        let taken = in_order(1000, 3, make, |piece, _| if piece == 10 { Err(piece) } else { Ok(Vec::new()) });
        assert_eq!(taken, Err(10));
    }
}
