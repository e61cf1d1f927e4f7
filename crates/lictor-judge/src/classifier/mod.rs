// SPDX-License-Identifier: Apache-2.0
//! The small local model: how likely an execution is malicious, and which of its parts say so.
//!
//! `text` folds, `shell` takes apart, `lexicon` names what is known beforehand, `features` makes the model's input,
//! `model` runs it, `explain` tells why. `models/` in the repository holds the model, how it was trained and its card.

mod explain;
pub mod features;
mod lexicon;
mod model;
mod pieces;
mod places;
mod programs;
mod runtime;
mod shell;
mod signs;
mod text;

use std::path::{Path, PathBuf};
use std::time::Instant;

use lictor_api::event::{Event, Kind, Severity, Tier};
use thiserror::Error;

use crate::case::{Basis, Case};
use crate::tier::{Answer, Failure, Finding, Judge, Outcome};

pub use model::{Check, Description};

/// What the classifier looks at. Strings in the form of [`lictor_api::bytes::escape`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Execution {
    /// Program name and arguments, as the program gets them.
    pub args: Vec<String>,
    /// The executed file.
    pub exe: Option<String>,
    pub cwd: Option<String>,
    pub uid: Option<u32>,
    /// The file of the program that executes it.
    pub parent: Option<String>,
}

impl Execution {
    /// A line as a shell would run it.
    #[must_use]
    pub fn line(line: &str) -> Execution {
        Execution { args: vec!["sh".to_owned(), "-c".to_owned(), line.to_owned()], ..Execution::default() }
    }

    /// What `event` says about its execution; `None` when it names neither arguments nor a program.
    #[must_use]
    pub fn of(event: &Event) -> Option<Execution> {
        let process = &event.process;
        let exe = process.exe.clone().or_else(|| event.exec.as_ref().and_then(|exec| exec.path.clone()));
        let args = match (&process.args, &process.cmdline, &exe) {
            (Some(args), ..) if !args.is_empty() => args.clone(),
            (_, Some(line), _) => Execution::line(line).args,
            (_, None, Some(exe)) => vec![exe.clone()],
            (_, None, None) => return None,
        };
        let parent = process.parent.as_ref().and_then(|parent| parent.exe.clone());
        Some(Execution { args, exe, cwd: process.cwd.clone(), uid: process.uid, parent })
    }
}

/// The model's inputs for `execution`: one for each window, at least one.
#[must_use]
pub fn featurize(execution: &Execution) -> Vec<features::Input> {
    features::inputs(&pieces::pieces(execution))
}

/// Why there is no classifier. The tier is then not available, and the default action applies where nothing else decides.
#[derive(Debug, Error)]
pub enum ClassifierError {
    #[error("the model `{}` cannot be read: {source}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{}:{line}:{column}: the model's description cannot be understood: {reason}", path.display())]
    Description { path: PathBuf, line: usize, column: usize, reason: String },
    #[error("the model `{}` is not one of Lictor's, or was cut: {reason}; install it again", path.display())]
    NotOurs { path: PathBuf, reason: String },
    #[error("ONNX Runtime is not installed: no {}; `models/fetch-runtime FOLDER` fetches it", list(tried))]
    NoLibrary { tried: Vec<PathBuf> },
    #[error("ONNX Runtime cannot be loaded from `{}`: {reason}", path.display())]
    Library { path: PathBuf, reason: String },
    #[error("ONNX Runtime failed: {reason}")]
    Runtime { reason: String },
    #[error(
        "the classifier's thresholds {benign} (benign) and {malicious} (malicious) are not in order: 0 < benign <= malicious < 1"
    )]
    Thresholds { benign: f64, malicious: f64 },
}

fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| format!("`{}`", path.display())).collect::<Vec<_>>().join(", ")
}

/// How likely, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Score {
    /// That the execution is malicious: 0 to 1, calibrated.
    pub probability: f64,
    /// Parts of the command with the log-odds that each adds (negative: takes away), heaviest first.
    pub parts: Vec<(String, f64)>,
}

/// The model, ready to judge.
#[derive(Debug)]
pub struct Classifier {
    model: model::Model,
    benign: f64,
    malicious: f64,
}

impl Classifier {
    /// Loads the model `path` (with its description beside it: the same name, `.json`) and ONNX Runtime from `library`, or
    /// from one of the usual places: `ORT_DYLIB_PATH`, beside the program, `/usr/lib/lictor`.
    ///
    /// # Errors
    /// The model cannot be read, is not what its description says, was made for other features, or does not give the
    /// scores that training noted; the library is missing or broken.
    pub fn load(path: &Path, library: Option<&Path>) -> Result<Classifier, ClassifierError> {
        lexicon::is_sound().map_err(|reason| ClassifierError::Runtime { reason })?;
        let model = model::Model::load(path, library)?;
        let (benign, malicious) = (model.description.benign, model.description.malicious);
        Ok(Classifier { model, benign, malicious })
    }

    /// With other thresholds than the model's own.
    ///
    /// # Errors
    /// They are not in order.
    pub fn with_thresholds(
        mut self,
        benign: Option<f64>,
        malicious: Option<f64>,
    ) -> Result<Classifier, ClassifierError> {
        self.benign = benign.unwrap_or(self.benign);
        self.malicious = malicious.unwrap_or(self.malicious);
        if 0.0 < self.benign && self.benign <= self.malicious && self.malicious < 1.0 {
            return Ok(self);
        }
        Err(ClassifierError::Thresholds { benign: self.benign, malicious: self.malicious })
    }

    /// What the model says about itself.
    #[must_use]
    pub fn description(&self) -> &Description {
        &self.model.description
    }

    /// Below the first an execution is benign, from the second on malicious.
    #[must_use]
    pub fn thresholds(&self) -> (f64, f64) {
        (self.benign, self.malicious)
    }

    /// How likely `execution` is malicious, without the reasons.
    ///
    /// # Errors
    /// ONNX Runtime failed.
    pub fn probability(&self, execution: &Execution) -> Result<f64, ClassifierError> {
        let scores = self.model.run(&featurize(execution))?;
        Ok(scores.into_iter().fold(0.0, f64::max))
    }

    /// How likely `execution` is malicious, and which of its parts say so.
    ///
    /// # Errors
    /// ONNX Runtime failed.
    pub fn score(&self, execution: &Execution) -> Result<Score, ClassifierError> {
        let pieces = pieces::pieces(execution);
        let (probability, window) = self.worst(&pieces)?;
        let parts = explain::parts(&self.model, &pieces, &pieces.pieces[window], probability)?;
        Ok(Score { probability, parts })
    }

    /// The highest probability of the windows, and which window it is.
    fn worst(&self, pieces: &pieces::Pieces) -> Result<(f64, std::ops::Range<usize>), ClassifierError> {
        let scores = self.model.run(&features::inputs(pieces))?;
        let windows = pieces::windows(&pieces.pieces);
        let worst = scores.into_iter().zip(windows).max_by(|one, other| one.0.total_cmp(&other.0));
        worst.ok_or_else(|| ClassifierError::Runtime { reason: "the execution has no window".to_owned() })
    }
}

impl Judge for Classifier {
    fn tier(&self) -> Tier {
        Tier::Classifier
    }

    /// Benign: allowed, as far as this tier can say. Malicious: denied. Between the thresholds the next tier is asked.
    fn judge(&self, case: &Case, _before: &[Finding], deadline: Instant) -> Result<Answer, Failure> {
        if case.event.kind != Kind::Exec {
            return Ok(Answer::default());
        }
        let execution = Execution::of(&case.event)
            .ok_or_else(|| Failure::Invalid("the event names neither arguments nor a program".to_owned()))?;
        let failed = |error: ClassifierError| Failure::Broken(error.to_string());
        let pieces = pieces::pieces(&execution);
        let (probability, window) = self.worst(&pieces).map_err(failed)?;
        if Instant::now() >= deadline {
            return Err(Failure::Late);
        }
        let (outcome, severity, word) = if probability < self.benign {
            (Outcome::Allow, Severity::Info, "looks like ordinary work")
        } else if probability < self.malicious {
            (Outcome::Pass, Severity::Low, "is unusual")
        } else {
            (Outcome::Deny, Severity::High, "looks like an attack")
        };
        // The reasons of what nobody will ask about are not worth their time.
        let parts = match outcome {
            Outcome::Allow => Vec::new(),
            Outcome::Deny | Outcome::Pass | Outcome::Escalate => {
                explain::parts(&self.model, &pieces, &pieces.pieces[window], probability).map_err(failed)?
            }
        };
        let finding = Finding {
            tier: Tier::Classifier,
            rule: format!("{}-{}", self.model.description.name, self.model.description.version),
            severity,
            reason: format!("the command line {word} (score {probability:.3})"),
            source: None,
            tags: Vec::new(),
            score: Some(probability),
            parts,
        };
        Ok(Answer { outcome, findings: vec![finding], basis: Basis::Invocation, ttl: None })
    }
}
