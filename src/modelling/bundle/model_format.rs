//! Defines the file formats of models: the file name of each, and what MLflow and a serving system need to load it.

use crate::domain::contract::ModelFormat;

impl ModelFormat {
    pub const ALL: &[Self] = &[Self::XgboostJson, Self::Skops, Self::Onnx, Self::Pickle];

    /// Returns the format of a stored model by its file name, or `None` if no format has this file name.
    pub fn of_stored(reference: &str) -> Option<Self> {
        let name = reference.rsplit('/').next()?;
        Self::ALL.iter().copied().find(|format| format.file_name() == name)
    }

    pub fn file_name(self) -> &'static str {
        match self {
            Self::XgboostJson => "model.json",
            Self::Skops => "model.skops",
            Self::Onnx => "model.onnx",
            Self::Pickle => "model.pkl",
        }
    }

    /// Returns the capability that a serving system must offer to load the model.
    pub fn capability(self) -> &'static str {
        match self {
            Self::XgboostJson => "xgboost-json",
            Self::Skops => "skops",
            Self::Onnx => "onnx",
            Self::Pickle => "pickle",
        }
    }

    pub fn media_type(self) -> &'static str {
        match self {
            Self::XgboostJson => "application/json",
            Self::Skops => "application/zip",
            Self::Onnx | Self::Pickle => "application/octet-stream",
        }
    }

    /// Returns true if loading a model of this format may run code from its file.
    pub fn runs_code(self) -> bool {
        match self {
            Self::Pickle => true,
            Self::XgboostJson | Self::Skops | Self::Onnx => false,
        }
    }

    /// Checks that the bytes are of this format, as far as is possible without loading the model. The error says why
    /// they are not.
    pub fn check(self, bytes: &[u8]) -> Result<(), &'static str> {
        /// A zip that skops wrote holds a file of this name. Other zips do not.
        const SCHEMA: &[u8] = b"schema.json";
        let holds = match self {
            Self::XgboostJson => serde_json::from_slice::<serde_json::Value>(bytes)
                .is_ok_and(|document| document.get("learner").is_some_and(serde_json::Value::is_object)),
            Self::Skops => bytes.starts_with(b"PK\x03\x04") && bytes.windows(SCHEMA.len()).any(|part| part == SCHEMA),
            // ONNX has no magic number, so the check can only rule out other formats.
            Self::Onnx => !bytes.is_empty() && !is_pickle(bytes) && !bytes.starts_with(b"PK"),
            Self::Pickle => !bytes.is_empty(),
        };
        match (holds, is_pickle(bytes)) {
            (true, _) => Ok(()),
            (false, true) => Err("it is a pickle"),
            (false, false) => Err("its content is of another kind"),
        }
    }
}

/// Returns true for a pickle of protocol 2 to 5, which begins with the byte 0x80 and the protocol's number.
fn is_pickle(bytes: &[u8]) -> bool {
    matches!(bytes, [0x80, 2..=5, ..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_must_be_of_the_kind_that_it_is_said_to_be() {
        let pickle = b"\x80\x04\x95".as_slice();
        let json = br#"{"learner": {}, "version": [3, 2, 0]}"#.as_slice();
        let skops = b"PK\x03\x04....schema.json....".as_slice();
        for (format, good) in [(ModelFormat::XgboostJson, json), (ModelFormat::Skops, skops)] {
            assert_eq!(format.check(good), Ok(()));
            assert_eq!(format.check(pickle), Err("it is a pickle"));
            assert_eq!(format.check(b"{}"), Err("its content is of another kind"));
        }
        assert_eq!(ModelFormat::Onnx.check(pickle), Err("it is a pickle"));
    }
}
