//! What every field of every kind is called, how it is typed, merged, defaulted and encoded: one table, many readers.
