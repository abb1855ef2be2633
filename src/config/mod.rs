//! From what was asked for to what will be done.

pub mod vars;
