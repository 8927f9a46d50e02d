//! Enums whose variants are only names. Converts them to and from the name on the wire and in the ledger.
//!
//! `strum` derives the names ([`strum::Display`], [`strum::IntoStaticStr`], [`strum::VariantArray`]). [`named`] adds
//! constants and conversions.

/// Gives an enum `ALL`, `as_str` and [`std::str::FromStr`]. `$error` formats the error for an unknown name.
macro_rules! named {
    ($type:ident, $error:literal) => {
        impl $type {
            /// Every variant, in the order of declaration.
            pub const ALL: &'static [Self] = <Self as strum::VariantArray>::VARIANTS;

            /// Returns the name on the wire and in the ledger.
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
