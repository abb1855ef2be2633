//! Whom libpq takes for the role when nobody is named.

/// The account that this process runs under; None: it has no name.
pub(super) fn name() -> Option<String> {
    nix::unistd::User::from_uid(nix::unistd::geteuid())
        .ok()
        .flatten()
        .map(|user| user.name)
        .or_else(|| std::env::var("USER").ok())
}
