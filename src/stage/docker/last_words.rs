//! Why a container ended, and what can be done about it.

use bollard::models::ContainerState;

/// How it ended, in words.
pub(super) fn exit(state: &ContainerState) -> String {
    let mut words = format!("exit status {}", state.exit_code.unwrap_or(-1));
    if state.oom_killed == Some(true) {
        words.push_str(", killed because it used more memory than it may");
    } else if state.exit_code == Some(137) {
        words.push_str(", killed from outside");
    }
    if let Some(error) = state.error.as_deref().filter(|error| !error.is_empty()) {
        words.push_str(&format!(", {error}"));
    }
    words
}

/// The way out that the last words point to.
pub(super) fn advice(image: &str, state: &ContainerState, log: &[String]) -> Option<String> {
    let says = |text: &str| log.iter().any(|line| line.contains(text));
    let help = if state.oom_killed == Some(true) {
        "give the stage more memory, or lower `shared_buffers` and `maintenance_work_mem`"
            .to_owned()
    } else if says("No space left on device") {
        "free disk space; `lockproof clean --all` removes cached bases too".to_owned()
    } else if says("database files are incompatible with server") {
        format!(
            "the data folder is another major's than the server of `{image}`: name an image of that major with --image, or remove the base with `lockproof clean --all`"
        )
    } else if says("unrecognized configuration parameter") || says("invalid value for parameter") {
        "the scenario's settings name something that this server does not know".to_owned()
    } else if says("could not access file") {
        format!(
            "the settings name a library that `{image}` does not have: use an image that has it, or leave the setting out"
        )
    } else if says("exec format error") {
        format!("`{image}` is for another processor: pull it for this one")
    } else if state.exit_code == Some(137) {
        "if nobody ended it, `dmesg` tells whether memory ran out; then run again".to_owned()
    } else if state.exit_code == Some(80) {
        "`lockproof snapshot rm` removes the base that was changed, and the next run makes it anew"
            .to_owned()
    } else if state.exit_code == Some(79) {
        "`lockproof clean --all` removes the damaged base, the next run makes it anew".to_owned()
    } else {
        return None;
    };
    Some(help)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_words_point_to_a_way_out() {
        let state = ContainerState {
            exit_code: Some(1),
            ..ContainerState::default()
        };
        let help = |words: &str| advice("i", &state, &[words.to_owned()]).unwrap_or_default();
        assert!(help("FATAL:  database files are incompatible with server").contains("--image"));
        assert!(help("FATAL:  unrecognized configuration parameter \"x\"").contains("settings"));
        assert_eq!(help("LOG:  all is well"), "");
        let killed = ContainerState {
            exit_code: Some(137),
            oom_killed: Some(true),
            ..ContainerState::default()
        };
        assert_eq!(
            exit(&killed),
            "exit status 137, killed because it used more memory than it may"
        );
        assert!(advice("i", &killed, &[]).is_some());
    }
}
