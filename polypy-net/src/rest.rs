//! A small HTTP client for JSON: keep-alive, deadline, size cap, retry.
