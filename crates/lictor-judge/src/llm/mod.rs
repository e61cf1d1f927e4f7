pub mod answer;
pub mod evidence;
pub mod fingerprint;
pub mod injection;
mod prompt;
pub mod redact;
mod text;
