//! Arguments, scenario file and environment become a `Plan`: every decision taken, every unit typed.

pub mod order;
pub mod settings;
pub mod suggest;
pub mod units;
pub mod vars;
