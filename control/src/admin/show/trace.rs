//! `xdtls trace` in words.

use crate::trace::Event;

/// One event on a line.
pub fn event(event: &Event) -> String {
    let (seconds, milliseconds) = (event.at_ms / 1000, event.at_ms % 1000);
    format!("{seconds:>4}.{milliseconds:03}  {}  {}  {}\n", event.place, event.peer, event.what)
}
