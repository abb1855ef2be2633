//! Where statements begin and end in the user's bytes, and what kind each one is.
