//! Makes enrolment tokens. The secret leaves once, in the token; what stays is its hash.

use super::books::{Books, BooksError, NewToken};
use super::ca::{Pki, PkiError};
use super::secret::{FileError, SECRET, write_new};
use std::path::Path;
use std::time::Duration;
use sync_protocol::enrolment::{ADDRESSES_MAX, Address, SECRET_BYTES, Secret, Token};
use sync_protocol::{StoreId, UnixMillis};

/// Longest life of a token.
pub const LIFE_MAX: Duration = Duration::from_secs(31 * 24 * 3600);

/// What a token is to be.
#[derive(Debug, Clone)]
pub struct Wanted {
    pub addresses: Vec<Address>,
    /// `None`: for any store, and head office is asked.
    pub store: Option<StoreId>,
    pub approve: bool,
    pub life: Duration,
}

/// Why there is no token. The operator's to mend.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    #[error(
        "a token needs to say where the hub takes enrolments: give `--address hub.example:7445`, or `addresses` under \
         [enrolment] in the hub's configuration"
    )]
    NoAddress,
    #[error("a token has room for {ADDRESSES_MAX} addresses")]
    TooManyAddresses,
    #[error("a token lives for at most {} days", LIFE_MAX.as_secs() / 86_400)]
    TooLong,
    #[error("the system gives no random numbers")]
    Random(#[source] getrandom::Error),
    #[error(transparent)]
    Pki(#[from] PkiError),
    #[error(transparent)]
    Books(#[from] BooksError),
    #[error(transparent)]
    File(#[from] FileError),
}

/// A new token, and its name for people. It is in the books before anybody has it.
///
/// # Errors
/// What is wanted can't be, or the books or the authority fail.
pub fn make(
    books: &mut Books,
    pki: &Pki,
    wanted: Wanted,
    now: UnixMillis,
) -> Result<(Token, String), TokenError> {
    let Wanted { addresses, store, approve, life } = wanted;
    if addresses.is_empty() {
        return Err(TokenError::NoAddress);
    }
    if addresses.len() > ADDRESSES_MAX {
        return Err(TokenError::TooManyAddresses);
    }
    if life > LIFE_MAX {
        return Err(TokenError::TooLong);
    }
    let mut secret = [0; SECRET_BYTES];
    getrandom::fill(&mut secret).map_err(TokenError::Random)?;
    let secret = Secret(secret);
    // Whole seconds, as the token has room for.
    let expires =
        (now.0 / 1000).saturating_add(i64::try_from(life.as_secs()).unwrap_or(0)).saturating_mul(1000);
    let expires = UnixMillis(expires);
    let approve = approve || store.is_none();
    let new = NewToken { secret: &secret, store: store.as_ref(), approve, expires };
    let id = books.add_token(new, now)?;
    Ok((Token { addresses, pin: pki.pin()?, store, secret, expires }, id))
}

/// Writes a token to a new file that only its owner can read.
///
/// # Errors
/// There is such a file, or it can't be written.
pub fn write_to(token: &Token, file: &Path) -> Result<(), TokenError> {
    Ok(write_new(file, &format!("{}\n", token.reveal()), SECRET)?)
}
