//! How long the tests that go round and round do so. The one file that reads the environment.

/// The usual number of rounds, or what `SHOPSMART_E2E_ROUNDS` says.
pub fn rounds(usual: u64) -> u64 {
    #[expect(clippy::disallowed_methods, reason = "the one place of the harness that reads the environment")]
    let wanted = std::env::var("SHOPSMART_E2E_ROUNDS");
    wanted.map_or(usual, |wanted| wanted.parse().expect("SHOPSMART_E2E_ROUNDS is a number"))
}
