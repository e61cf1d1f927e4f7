//! lictord
