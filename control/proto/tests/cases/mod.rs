//! The tests, by what they are about.

mod final_flight;
mod handshake;
mod takeover;
