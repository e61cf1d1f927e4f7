// SPDX-License-Identifier: Apache-2.0
//! Which parts of a command its score comes from: each is left out once, and what the score loses is its weight.
//!
//! That holds for any model, and says about this command what a list of weights cannot: a flag counts because of the
//! program that it belongs to.

use super::ClassifierError;
use super::features::{self, Input};
use super::model::Model;
use super::pieces::{Piece, Pieces};

/// Parts that are tried at most; a window has seldom more.
const TRIED: usize = 96;
/// Parts that are told.
const TOLD: usize = 6;
/// Bytes of a part's text that are told.
const TEXT: usize = 96;

enum Place {
    Word(usize),
    Redirect(usize),
    Data,
}

/// The parts of `window` that weighed most, with the log-odds that each adds; heaviest first.
pub(crate) fn parts(
    model: &Model,
    all: &Pieces,
    window: &[Piece],
    probability: f64,
) -> Result<Vec<(String, f64)>, ClassifierError> {
    let mut names = Vec::new();
    let mut inputs: Vec<Input> = Vec::new();
    'pieces: for (at, piece) in window.iter().enumerate() {
        let words = piece.command.words.iter().enumerate().filter(|(_, word)| !word.followed);
        let places = words.map(|(word, _)| Place::Word(word));
        let places = places.chain((0..piece.command.redirects.len()).map(Place::Redirect));
        let places = places.chain((!piece.data.is_empty()).then_some(Place::Data));
        for place in places {
            if names.len() >= TRIED {
                break 'pieces;
            }
            let (name, without) = match place {
                Place::Word(word) => (piece.command.words[word].text.clone(), piece.without_word(word)),
                Place::Redirect(redirect) => {
                    let told = &piece.command.redirects[redirect];
                    (format!("{}{}", told.operator, told.target), piece.without_redirect(redirect))
                }
                Place::Data => (piece.data.trim().to_owned(), piece.without_data()),
            };
            let mut changed = window.to_vec();
            changed[at] = without;
            names.push(name);
            inputs.push(features::input(all, &changed));
        }
    }
    let scores = model.run(&inputs)?;
    let whole = log_odds(probability);
    let mut parts: Vec<(String, f64)> = Vec::new();
    for (name, score) in names.into_iter().zip(scores) {
        let weight = whole - log_odds(score);
        match parts.iter_mut().find(|(told, _)| *told == name) {
            Some((_, heaviest)) => *heaviest = heaviest.max(weight),
            None => parts.push((name, weight)),
        }
    }
    parts.sort_by(|one, other| other.1.abs().total_cmp(&one.1.abs()));
    parts.truncate(TOLD);
    parts.retain(|(_, weight)| weight.abs() >= 0.01);
    Ok(parts.into_iter().map(|(name, weight)| (shorten(&name), (weight * 1000.0).round() / 1000.0)).collect())
}

fn log_odds(probability: f64) -> f64 {
    let bounded = probability.clamp(1e-7, 1.0 - 1e-7);
    (bounded / (1.0 - bounded)).ln()
}

fn shorten(text: &str) -> String {
    if text.len() <= TEXT {
        return text.to_owned();
    }
    let mut end = TEXT;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}...", &text[..end])
}
