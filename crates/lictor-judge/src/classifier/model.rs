// SPDX-License-Identifier: Apache-2.0
//! The model file, its description beside it, and the sessions that run it.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use ort::session::Session;
use ort::session::builder::GraphOptimizationLevel;
use ort::value::TensorRef;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::features::{DENSE, Input, MAX_SPARSE, SPARSE, fingerprint};
use super::{ClassifierError, Execution, featurize, runtime};

/// Inputs in one run of the model.
const BATCH: usize = 32;
/// A model is below 10 MB; more is not one.
const MAX_MODEL: u64 = 64 << 20;
/// How far the score of a check may be from what training noted.
const TOLERANCE: f64 = 2e-3;

/// What stands in the JSON file beside the model: `exec-classifier.json` for `exec-classifier.onnx`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Description {
    pub name: String,
    pub version: String,
    /// Of the model file, 64 hexadecimal digits.
    pub sha256: String,
    /// Of the features that it was trained on: [`fingerprint`].
    pub features: String,
    /// Probability below which an execution is benign.
    pub benign: f64,
    /// Probability from which on it is malicious.
    pub malicious: f64,
    /// Nominal false-positive rate and the threshold that was fixed for it.
    #[serde(default)]
    pub thresholds: Vec<(f64, f64)>,
    /// Lines and the probabilities that training gave them: computed again when the model is loaded.
    pub checks: Vec<Check>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    pub cmd: String,
    pub probability: f64,
}

/// A loaded model.
pub(crate) struct Model {
    pub description: Description,
    /// `Session::run` wants its session for itself: one for each thread that asks at the same time, made when needed.
    sessions: Mutex<Vec<Session>>,
    bytes: Vec<u8>,
}

impl std::fmt::Debug for Model {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Model").field("description", &self.description).finish_non_exhaustive()
    }
}

impl Model {
    /// Reads, verifies and tries the model at `path`.
    pub(crate) fn load(path: &Path, library: Option<&Path>) -> Result<Model, ClassifierError> {
        let beside = path.with_extension("json");
        let description = read(&beside, 1 << 20)?;
        let description: Description =
            serde_json::from_slice(&description).map_err(|error| ClassifierError::Description {
                path: beside.clone(),
                line: error.line(),
                column: error.column(),
                reason: error.to_string(),
            })?;
        let bytes = read(path, MAX_MODEL)?;
        let foreign = |reason: String| ClassifierError::NotOurs { path: path.to_owned(), reason };
        let sum: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        if !sum.eq_ignore_ascii_case(&description.sha256) {
            return Err(foreign(format!(
                "its SHA-256 is {sum}, but `{}` says {}",
                beside.display(),
                description.sha256
            )));
        }
        if description.features != fingerprint() {
            return Err(foreign("it was trained on the features of another version of Lictor".to_owned()));
        }
        let in_order =
            0.0 < description.benign && description.benign <= description.malicious && description.malicious < 1.0;
        if !in_order {
            return Err(foreign(format!(
                "its thresholds {} and {} are not in order",
                description.benign, description.malicious
            )));
        }
        if description.checks.is_empty() {
            return Err(foreign("its description has no checks".to_owned()));
        }
        let model = Model { description, sessions: Mutex::new(Vec::new()), bytes };
        let session = model.session(library)?;
        model.give_back(session);
        for check in &model.description.checks {
            let scores = model.run(&featurize(&Execution::line(&check.cmd)))?;
            let score = scores.into_iter().fold(0.0_f64, f64::max);
            if (score - check.probability).abs() > TOLERANCE {
                return Err(foreign(format!(
                    "it gives `{}` {score:.4}, where training gave {:.4}",
                    check.cmd, check.probability
                )));
            }
        }
        Ok(model)
    }

    /// The probability for each input.
    pub(crate) fn run(&self, inputs: &[Input]) -> Result<Vec<f64>, ClassifierError> {
        let mut out = Vec::with_capacity(inputs.len());
        let free = self.sessions.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut session = match free {
            Some(session) => session,
            None => self.session(None)?,
        };
        for batch in inputs.chunks(BATCH) {
            // A session that failed is not used again.
            out.extend(run_batch(&mut session, batch)?);
        }
        self.give_back(session);
        Ok(out)
    }

    fn give_back(&self, session: Session) {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner).push(session);
    }

    fn session(&self, library: Option<&Path>) -> Result<Session, ClassifierError> {
        let environment = runtime::environment(library)?;
        let build = || -> Result<Session, String> {
            let builder = Session::builder(environment).map_err(|error| error.to_string())?;
            let builder =
                builder.with_optimization_level(GraphOptimizationLevel::Level1).map_err(|error| error.to_string())?;
            let builder = builder.with_intra_threads(1).map_err(|error| error.to_string())?;
            let mut builder = builder.with_inter_threads(1).map_err(|error| error.to_string())?;
            builder.commit_from_memory(&self.bytes).map_err(|error| error.to_string())
        };
        build().map_err(|reason| ClassifierError::Runtime { reason })
    }
}

fn run_batch(session: &mut Session, batch: &[Input]) -> Result<Vec<f64>, ClassifierError> {
    let rows = batch.len();
    let width = batch.iter().map(|input| input.sparse.len()).max().unwrap_or(0).clamp(1, MAX_SPARSE);
    let mut dense = Vec::with_capacity(rows * DENSE);
    // Padding points to the row of zeros behind the last.
    let mut index = vec![SPARSE as i64; rows * width];
    let mut value = vec![0.0_f32; rows * width];
    for (row, input) in batch.iter().enumerate() {
        dense.extend_from_slice(&input.dense);
        for (column, (feature, weight)) in input.sparse.iter().take(width).enumerate() {
            index[row * width + column] = i64::from(*feature);
            value[row * width + column] = *weight;
        }
    }
    let failed = |error: ort::Error| ClassifierError::Runtime { reason: error.to_string() };
    let outputs = session
        .run(ort::inputs![
            "dense" => TensorRef::from_array_view(([rows, DENSE], dense.as_slice())).map_err(failed)?,
            "index" => TensorRef::from_array_view(([rows, width], index.as_slice())).map_err(failed)?,
            "value" => TensorRef::from_array_view(([rows, width], value.as_slice())).map_err(failed)?,
        ])
        .map_err(failed)?;
    let (_, scores) = outputs["probability"].try_extract_tensor::<f32>().map_err(failed)?;
    if scores.len() != rows || scores.iter().any(|score| !(0.0..=1.0).contains(score)) {
        return Err(ClassifierError::Runtime {
            reason: "the model's answer is not a probability for each input".to_owned(),
        });
    }
    Ok(scores.iter().map(|score| f64::from(*score)).collect())
}

fn read(path: &Path, most: u64) -> Result<Vec<u8>, ClassifierError> {
    let failed = |source: std::io::Error| ClassifierError::Read { path: path.to_owned(), source };
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    let size = std::io::Read::read_to_end(&mut std::io::Read::take(file, most + 1), &mut bytes).map_err(failed)?;
    if size as u64 > most {
        return Err(ClassifierError::NotOurs {
            path: PathBuf::from(path),
            reason: format!("it has more than {most} bytes"),
        });
    }
    Ok(bytes)
}
