// SPDX-License-Identifier: Apache-2.0
//! `judge.classifier`: the small local model.

use serde::Deserialize;
use std::fmt;
use std::path::PathBuf;

/// Where the model is and when it speaks. Without `judge.classifier` the shipped model is used as it is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Classifier {
    /// The model; its description stands beside it, under the same name with `.json`.
    pub model: PathBuf,
    /// `libonnxruntime.so`; without it `ORT_DYLIB_PATH`, the folder of the program and `/usr/lib/lictor` are searched.
    pub library: Option<PathBuf>,
    /// Below it an execution is benign; the model's own threshold when absent.
    pub benign: Option<Probability>,
    /// From it on an execution is malicious; the model's own threshold when absent.
    pub malicious: Option<Probability>,
}

impl Default for Classifier {
    fn default() -> Self {
        Self { model: "/usr/lib/lictor/exec-classifier.onnx".into(), library: None, benign: None, malicious: None }
    }
}

/// Above 0 and below 1, to a millionth.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "f64")]
pub struct Probability(u32);

const MILLION: f64 = 1e6;

impl Probability {
    #[must_use]
    pub fn get(self) -> f64 {
        f64::from(self.0) / MILLION
    }
}

impl TryFrom<f64> for Probability {
    type Error = String;

    fn try_from(value: f64) -> Result<Self, String> {
        let millionths = (value * MILLION).round();
        // NaN is in no range.
        if (1.0..MILLION).contains(&millionths) {
            Ok(Self(millionths as u32))
        } else {
            Err(format!("`{value}` is not between 0 and 1"))
        }
    }
}

impl fmt::Debug for Probability {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.get())
    }
}

#[cfg(test)]
mod tests {
    use super::super::Settings;
    use super::*;

    #[test]
    fn the_classifier_is_set_by_path_and_thresholds() {
        let parse = |text: &str| Settings::parse("l.yaml", text.as_bytes()).map(|settings| settings.judge.classifier);
        assert_eq!(parse("{}").unwrap(), Classifier::default());
        let set =
            parse("judge:\n  classifier: {model: /m.onnx, library: /l.so, benign: 0.2, malicious: 0.975}\n").unwrap();
        assert_eq!((set.model, set.library), ("/m.onnx".into(), Some("/l.so".into())));
        assert_eq!((set.benign.unwrap().get(), set.malicious.unwrap().get()), (0.2, 0.975));
        for (text, place) in [
            ("judge: {classifier: {malicious: 1.0}}", "l.yaml:1:"),
            ("judge:\n  classifier:\n    benign: .nan\n", "l.yaml:3:"),
            ("judge:\n  classifier:\n    modell: /m\n", "l.yaml:3:5: "),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.starts_with(place), "{error}");
        }
    }
}
