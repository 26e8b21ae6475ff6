//! Where stock changes come from: each source yields documents, with a cursor where it has one, into the inbox.

pub mod http;
mod json;
