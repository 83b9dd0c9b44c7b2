//! Handshakes of real engines, with everything around them but sockets, over a network that does to
//! each of their datagrams whatever a network or a forger can do.

mod accounting;
mod clock;
mod end;
mod fault;
mod lab;
mod matrix;
mod mode;
mod random_loss;
mod unfiltered;
