//! The tills, and what they remember: each posts its baskets to its store's agent until they are answered, and the
//! witness adds up what was answered, apart from everything that is under test.

pub mod document;
pub mod till;
pub mod witness;
