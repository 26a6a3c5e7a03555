//! What people and programs read: tables, JSON documents, and the record of how a run was made.

mod json;
mod provenance;
mod table;

pub use json::write_json;
pub use provenance::RunRecord;
pub use table::{Table, significant};
