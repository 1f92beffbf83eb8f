//! The Durable Streams protocol over any `StreamStore`.
