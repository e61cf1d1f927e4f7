//! lictor-api
