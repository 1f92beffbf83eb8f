//! The `StreamStore` port over any Durable Streams service.
