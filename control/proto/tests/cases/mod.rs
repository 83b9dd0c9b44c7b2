//! The tests, by what they are about.

mod accounting;
mod alerts;
mod dispatch;
mod final_flight;
mod forged;
mod half_lost;
mod handshake;
mod hellos;
mod ids;
mod lossy;
mod orphans;
mod overload;
mod own_messages;
mod peers;
mod rebinding;
mod records;
mod rekey;
mod rekey_refused;
mod replies;
mod retries;
mod roaming;
mod silence;
mod takeover;
