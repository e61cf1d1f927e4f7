//! lictor-engine
