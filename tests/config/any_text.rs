//! Whatever a scenario.toml or a traffic.toml holds, the answer is a plan or an error.

use proptest::prelude::*;

use super::Site;

/// Text that looks like a scenario more often than random bytes do.
fn scenario_like() -> impl Strategy<Value = String> {
    let key = prop::sample::select(vec![
        "name",
        "snapshot",
        "replays",
        "interval",
        "variables",
        "budgets",
        "stage",
        "settings",
        "steps",
        "file",
        "sql",
        "wrap",
        "kind",
        "timeout",
        "batch_size",
        "sleep",
        "after",
        "run",
        "cwd",
        "env",
        "retry",
        "attempts",
        "backoff",
        "reason",
        "ShareLock",
        "limit",
        "level",
        "cpus",
        "memory",
        "é",
    ]);
    let value = prop::sample::select(vec![
        "1",
        "-1",
        "1.5",
        "inf",
        "true",
        "\"\"",
        "\"listings\"",
        "\"50ms\"",
        "\"${rows}\"",
        "\"${\"",
        "\"01.sql\"",
        "\"SELECT 1\"",
        "\"batch\"",
        "\"\\u0000\"",
        "[]",
        "[\"true\"]",
        "{}",
        "{ limit = \"1s\" }",
        "{ attempts = 2 }",
        "1979-05-27",
        "{ a.b.c = [[1]] }",
        "99999999999999999999",
    ]);
    let line = prop_oneof![
        4 => (key.clone(), value).prop_map(|(key, value)| format!("{key} = {value}")),
        1 => key.clone().prop_map(|key| format!("[{key}]")),
        2 => Just("[[steps]]".to_owned()),
        1 => (key.clone(), key).prop_map(|(a, b)| format!("[{a}.{b}]")),
    ];
    prop::collection::vec(line, 0..12).prop_map(|lines| lines.join("\n"))
}

/// The same of traffic.
fn traffic_like() -> impl Strategy<Value = String> {
    let line = prop::sample::select(vec![
        "rate = 5",
        "rate = inf",
        "rate = \"${rows}\"",
        "clients = 3",
        "think = \"1s\"",
        "seed = -1",
        "baseline = \"0s\"",
        "[front]",
        "pool = 2",
        "slow = \"1ms\"",
        "[variables]",
        "a = 1",
        "[[operations]]",
        "[[operations]]",
        "name = \"x\"",
        "name = \"é\"",
        "weight = 2.5",
        "weight = \"${rows}\"",
        "sql = \"SELECT :a, :b\"",
        "sql = '''\n\\set b :a\nSELECT :b'''",
        "sql = 'BEGIN'",
        "script = \"01.sql\"",
        "file = \"..\"",
        "[operations.parameters]",
        "a = { random = [1, 9] }",
        "b = { values = [1, \"x\"] }",
        "a = { column = \"t.\\\"I d\\\"\", distribution = \"zipf\" }",
        "b = { value = [] }",
    ]);
    prop::collection::vec(line, 0..14).prop_map(|lines| lines.join("\n"))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_a_scenario_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let site = Site::new();
        site.file("s/scenario.toml", bytes);
        let _ = site.plan(&["s"]);
    }

    #[test]
    fn any_traffic_is_a_plan_or_an_error(
        text in prop_oneof![3 => traffic_like(), 1 => any::<String>()],
    ) {
        let site = Site::new();
        site.file("s/traffic.toml", text);
        if let Err(story) = site.plan(&["s", "--snapshot", "listings"]) {
            prop_assert!(!story.is_empty());
        }
    }

    #[test]
    fn any_keys_are_a_scenario_or_an_error(text in scenario_like()) {
        let site = Site::with(&text);
        if let Err(story) = site.plan(&["s"]) {
            prop_assert!(!story.is_empty());
        }
    }
}

#[test]
fn nesting_without_end_is_an_error() {
    for deep in [
        "[".repeat(100_000),
        format!("a = {}", "[".repeat(100_000)),
        "a.".repeat(100_000),
    ] {
        assert!(Site::with(&deep).bad(&["s"]).contains("not valid TOML"));
    }
}
