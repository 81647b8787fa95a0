//! (contract being written)
