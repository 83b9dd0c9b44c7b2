//! Two peers that open at once: however their datagrams fare, one association is left, and data has
//! lost nothing by it.

mod every_order;
mod programs;
mod weather;
