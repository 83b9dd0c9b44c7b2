//! How datagrams reach the workers and leave them.

pub mod access_maps;
pub mod fast_path;
pub mod flows;
pub mod gate;
pub mod interface;
pub mod link;
pub mod next_hops;
pub mod options;
pub mod own_address;
pub mod segments;
pub mod sides;
pub mod socket;
pub mod trace_maps;
pub mod xdp;
pub mod xdp_program;
