-- Instant: no default, nothing is scanned or rewritten. The lock is held for a moment, once it is had.
ALTER TABLE listings_listing ADD COLUMN note text;
