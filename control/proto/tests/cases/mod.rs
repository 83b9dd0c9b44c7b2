//! The tests, by what they are about.

mod alerts;
mod dispatch;
mod final_flight;
mod handshake;
mod own_messages;
mod records;
mod silence;
mod takeover;
