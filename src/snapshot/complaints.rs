//! What the words of `psql` and `pg_restore` come to, and what can be done about them.

use super::script;

/// The lines that tell of errors, each once.
pub(super) fn errors_in(stderr: &[String]) -> Vec<&str> {
    stderr
        .iter()
        .filter(|line| {
            ["ERROR:  ", "FATAL:  ", "PANIC:  "]
                .iter()
                .any(|level| line.contains(level))
                || line.starts_with("pg_restore: error:")
                || line.contains(": error: ")
                || line.contains("invalid command \\")
        })
        .map(String::as_str)
        .collect()
}

/// What the user can do about a tool's words.
pub(super) fn way_out(stderr: &[String], made_by: Option<&str>) -> Option<String> {
    let says = |parts: &[&str]| {
        stderr
            .iter()
            .any(|line| parts.iter().any(|part| line.contains(part)))
    };
    let help = if says(&[script::CHANGED]) {
        "take the dump with `pg_dump --format=custom`, or use client programs of a minor release since August 2025, whose `psql` can be closed against commands".to_owned()
    } else if says(&["violates foreign key constraint"]) {
        "rows refer to rows that the snapshot does not have: take it with a condition for the referring table as well (`--where`), or name the error in `restore.tolerate` and do without the constraint".to_owned()
    } else if says(&[
        "unsupported version (",
        "unrecognized configuration parameter",
    ]) {
        newer_than_here(made_by)
    } else if says(&[
        "end of file",
        "could not read from input file",
        "could not uncompress data",
        "could not decompress",
        "corrupt tar header",
        "did not find magic string",
        "could not find block ID",
        "unexpected block ID",
        "incomplete tar header",
        "could not open input file",
        "could not open file",
        "entry ID",
    ]) {
        "the dump is damaged or cut off: copy or take it again, and compare its size with the original's".to_owned()
    } else if says(&[
        "extension control file",
        "could not access file",
        "is not available",
    ]) && says(&["extension", "could not access file"])
    {
        "the stage's server lacks an extension that the snapshot uses: install it, use an image that has it (`--image`), or name the error in `restore.tolerate`".to_owned()
    } else if says(&["role \""]) && says(&["does not exist"]) {
        "name the error in `restore.tolerate`, or leave owners and privileges of an archive out with `restore.owners = false`".to_owned()
    } else if says(&["default_tablespace", "tablespace \""]) {
        "take the dump with `pg_dump --no-tablespaces`: the stage has none".to_owned()
    } else if says(&["does not appear to be a valid archive"]) {
        "take the dump with `pg_dump`; its plain, custom, directory and tar formats are read"
            .to_owned()
    } else {
        return None;
    };
    Some(help)
}

/// The way out of what an older server does not understand.
pub(super) fn newer_than_here(made_by: Option<&str>) -> String {
    let made_by = made_by
        .filter(|version| !version.is_empty())
        .map_or_else(String::new, |version| format!(" ({version})"));
    format!(
        "a newer PostgreSQL{made_by} made the dump than the stage has: set `server_version` in `snapshot.toml`, and use an image or server programs of that major (`--image`, `--pg-bin`)"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_out_follows_the_tool_s_words() {
        for (words, help) in [
            (
                "pg_restore: error: unsupported version (1.16) in file header",
                "(17.2) made the dump",
            ),
            (
                "psql:<stdin>:9: ERROR:  unrecognized configuration parameter \"transaction_timeout\"",
                "server_version",
            ),
            (
                "pg_restore: error: could not read from input file: end of file",
                "cut off",
            ),
            (
                "ERROR:  extension \"postgis\" is not available",
                "restore.tolerate",
            ),
            ("ERROR:  role \"x\" does not exist", "restore.owners"),
        ] {
            let said = way_out(&[words.to_owned()], Some("17.2")).expect(words);
            assert!(said.contains(help), "{said}");
        }
        assert_eq!(way_out(&["ERROR:  division by zero".into()], None), None);
    }
}
