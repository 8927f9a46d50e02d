//! Writes the files that say which Python packages score rows with the model. MLflow installs them where it serves a
//! model in an environment of its own, and warns where other versions are installed.
//!
//! Formats: pip's requirements, and MLflow's descriptions of an environment for virtualenv, uv and conda (YAML).

use crate::domain::contract::ModelFormat;

pub const REQUIREMENTS_FILE: &str = "requirements.txt";
pub const VIRTUALENV_FILE: &str = "python_env.yaml";
pub const CONDA_FILE: &str = "conda.yaml";

/// The version that environments get. The packages run on newer ones, too.
const PYTHON: &str = "3.12";
/// What the program in the bundle imports whatever the model's format.
const ALWAYS: &[&str] = &["mlflow>=2.20,<4", "numpy>=1.26,<3", "pandas>=2.2,<4", "pyarrow>=16"];

/// Returns the packages, one requirement each. The lower bounds are the oldest versions that were tried; major versions
/// that do not exist yet are left out.
fn requirements(format: ModelFormat) -> impl Iterator<Item = &'static str> {
    let own: &[&str] = match format {
        ModelFormat::XgboostJson => &["xgboost>=2.1.4,<4"],
        ModelFormat::Skops => &["scikit-learn", "skops"],
        ModelFormat::Pickle => &["scikit-learn"],
        ModelFormat::Onnx => &["onnx", "onnxruntime"],
    };
    ALWAYS.iter().chain(own).copied()
}

pub fn requirements_txt(format: ModelFormat) -> String {
    requirements(format).map(|requirement| [requirement, "\n"].concat()).collect()
}

pub fn virtualenv_yaml() -> String {
    format!("python: '{PYTHON}'\nbuild_dependencies:\n- pip\ndependencies:\n- -r {REQUIREMENTS_FILE}\n")
}

pub fn conda_yaml(format: ModelFormat) -> String {
    let packages: String = requirements(format).map(|requirement| ["  - ", requirement, "\n"].concat()).collect();
    format!("name: mlflow-env\nchannels:\n- conda-forge\ndependencies:\n- python={PYTHON}\n- pip\n- pip:\n{packages}")
}
