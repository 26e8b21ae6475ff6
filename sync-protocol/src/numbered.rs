//! Choices that travel and are stored as a number.

/// Gives an enum whose variants have numbers `ALL` of them, in order, and the way from a number to its variant and back.
macro_rules! numbered {
    ($choice:ident { $($variant:ident),+ $(,)? }) => {
        impl $choice {
            pub const ALL: &[$choice] = &[$($choice::$variant),+];

            #[must_use]
            pub fn code(self) -> u8 {
                self as u8
            }

            #[must_use]
            pub fn from_code(code: u8) -> Option<$choice> {
                Self::ALL.iter().copied().find(|one| one.code() == code)
            }
        }
    };
}

pub(crate) use numbered;
