//! `base.json`: what makes a folder of the cache a whole base, and for which requests.

use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::stage::whole;
use crate::stage::{Request, shaping};

/// Raised when bases are made in a way that older ones were not.
pub(super) const FORMAT: u32 = 3;
pub(super) const MARKER: &str = "base.json";

/// What `base.json` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Marker {
    pub format: u32,
    pub key: String,
    pub base_digest: String,
    pub database: String,
    pub server_version: String,
    pub bytes: u64,
    pub superuser: String,
    // Not in bases of lockproof 0.1.0.
    #[serde(default)]
    pub snapshot: Option<String>,
    #[serde(default)]
    pub rows: Option<u64>,
    #[serde(default)]
    pub made_at: Option<jiff::Timestamp>,
    #[serde(default)]
    pub made_by: Option<String>,
}

/// The name of the base for a request.
pub(super) fn key(request: &Request, version: &str) -> String {
    let mut hash = Sha256::new();
    for part in [
        &FORMAT.to_string(),
        &request.base_digest,
        &request.database,
        version,
    ] {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    for (name, value) in shaping::shaping(&request.settings) {
        hash.update(format!("{name}={value}\0"));
    }
    let digest: String = hash
        .finalize()
        .iter()
        .take(12)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    // No `-`: the name of a building folder is split there.
    format!("pg{}_{digest}", version.replace('-', "_"))
}

/// What a folder's `base.json` says; None: it is no whole base.
pub(super) fn read_marker(folder: &Path) -> Option<Marker> {
    let text = whole::bytes(&folder.join(MARKER), whole::LIST).ok()?;
    let marker: Marker = serde_json::from_slice(&text).ok()?;
    (marker.format == FORMAT && folder.join("data").is_dir()).then_some(marker)
}

/// True for a folder that is a whole base.
pub(super) fn is_whole(folder: &Path) -> bool {
    read_marker(folder).is_some()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn a_key_depends_on_all_that_the_base_holds() {
        let request = Request {
            run_id: "r-1".into(),
            settings: [("work_mem".to_owned(), "1MB".to_owned())].into(),
            database: "app".into(),
            base_digest: "abc".into(),
            server_major: None,
            cache: PathBuf::new(),
            network: Default::default(),
        };
        let one = key(&request, "15.20");
        assert!(one.starts_with("pg15.20_") && !one.contains('-'));
        assert_ne!(one, key(&request, "15.21"));
        let other = Request {
            database: "app2".into(),
            ..request.clone()
        };
        assert_ne!(one, key(&other, "15.20"));
        let mut other = request.clone();
        other.settings.insert("work_mem".into(), "2MB".into());
        assert_eq!(one, key(&other, "15.20"));
        let compression = ("default_toast_compression", "lz4");
        other
            .settings
            .insert(compression.0.into(), compression.1.into());
        assert_ne!(one, key(&other, "15.20"));
    }
}
