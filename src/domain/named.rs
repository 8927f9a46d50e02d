//! Enums that carry only a name: the name on the wire and in the ledger, and back.
//!
//! `strum` derives the names ([`strum::Display`], [`strum::IntoStaticStr`], [`strum::VariantArray`]); [`named`] adds
//! what each of these enums is asked for.

/// Gives an enum `ALL`, `as_str` and [`std::str::FromStr`]. The text says what a name is that is none of them.
macro_rules! named {
    ($type:ident, $error:literal) => {
        impl $type {
            /// Every value, as declared.
            pub const ALL: &'static [Self] = <Self as strum::VariantArray>::VARIANTS;

            /// The name on the wire and in the ledger.
            pub fn as_str(self) -> &'static str {
                self.into()
            }
        }

        impl std::str::FromStr for $type {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                Self::ALL.iter().copied().find(|value| value.as_str() == text).ok_or_else(|| format!($error, text))
            }
        }

        impl TryFrom<String> for $type {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                text.parse()
            }
        }
    };
}

pub(crate) use named;
