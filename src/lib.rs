//! lockproof: a pre-production gate for PostgreSQL schema migrations.

pub mod sql;
