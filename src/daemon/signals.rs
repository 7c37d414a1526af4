//! What signals ask for, merged: however many SIGHUPs come while one is obeyed, one more reload serves them all, and none of
//! them stands before a SIGTERM.

use std::io;

use crossbeam_channel::{Receiver, Sender, bounded};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::threads::Threads;

/// What was asked for and is not done yet.
pub(super) struct Asked {
    pub(super) stop: Receiver<()>,
    pub(super) reload: Receiver<()>,
}

/// Begins to hear signals.
pub(super) fn listen(threads: &mut Threads) -> io::Result<Asked> {
    let ((stopper, stop), (reloader, reload)) = (bounded(1), bounded(1));
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP])?;
    threads.spawn("signals", move || sort(signals.forever(), &stopper, &reloader))?;
    Ok(Asked { stop, reload })
}

/// Notes what each signal asks for. What is asked for already is not noted twice.
fn sort(signals: impl Iterator<Item = i32>, stop: &Sender<()>, reload: &Sender<()>) {
    for signal in signals {
        let asked = if signal == SIGHUP { reload } else { stop };
        asked.try_send(()).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_reloads_are_one_and_the_end_is_its_own() {
        let ((stopper, stop), (reloader, reload)) = (bounded(1), bounded(1));
        sort([SIGHUP, SIGHUP, SIGTERM, SIGHUP, SIGINT].into_iter(), &stopper, &reloader);
        assert_eq!((stop.len(), reload.len()), (1, 1));
        // The reload has begun: one more is wanted, whatever was read so far.
        reload.recv().unwrap();
        sort([SIGHUP, SIGHUP].into_iter(), &stopper, &reloader);
        assert_eq!((stop.len(), reload.len()), (1, 1));
    }
}
