//! What people and programs read: tables, JSON documents, [figures](plot), [maps](map), and the record of how a run was
//! made.

mod json;
pub mod map;
mod picture;
pub mod plot;
mod provenance;
mod table;

pub use json::{json_text, write_json};
pub use provenance::RunRecord;
pub use table::{Table, significant};
