//! Writes `snapshot.toml` of a snapshot that was made: all that is known of it, in words that
//! `manifest` reads again.

use std::fmt::Write;

use super::Made;
use super::settings::Settings;
use super::tables::Taken;

/// How a description of ours begins: `--force` replaces no other.
pub(super) const FIRST_LINE: &str = "# Made by `lockproof snapshot create`";

/// The folder of the dump, beside the description.
pub(super) const DUMP: &str = "dump";
/// The fragment of the server's settings.
pub(super) const SETTINGS: &str = "postgresql.conf";

/// The text of `snapshot.toml`.
pub(super) fn describe(made: &Made<'_>) -> String {
    let mut text = format!(
        "{FIRST_LINE} {} from `{}`.\n",
        env!("CARGO_PKG_VERSION"),
        made.shown_source
    );
    let source = &made.source;
    let place = if source.standby {
        "a standby"
    } else {
        "a primary"
    };
    line(
        &mut text,
        &format!("# {place}, PostgreSQL {}.", source.version),
    );
    if let Some(replayed) = source.replayed.as_ref().filter(|_| source.standby) {
        line(
            &mut text,
            &format!("# Its last replayed transaction was committed at {replayed}."),
        );
    }
    pair(&mut text, "name", made.name);
    pair(&mut text, "taken_at", &source.taken_at);
    line(&mut text, &format!("server_version = {}", made.restored_by));
    pair(&mut text, "database", &source.database);
    if !made.tables.named.is_empty() {
        line(&mut text, "partial = [");
        for (table, taken) in &made.tables.named {
            let how = match taken {
                Taken::Rows(condition) => format!("where = {}", quoted(condition)),
                _ => "excluded = true".to_owned(),
            };
            line(
                &mut text,
                &format!("    {{ table = {}, {how} }},", quoted(table)),
            );
        }
        line(&mut text, "]");
    }
    pair(&mut text, "settings", SETTINGS);
    line(&mut text, "\n[taken_from]");
    if let Some(identifier) = source.taken.identifier {
        pair(&mut text, "system_identifier", &identifier.to_string());
    }
    let addresses: Vec<String> = source
        .taken
        .addresses
        .iter()
        .map(|address| quoted(address))
        .collect();
    line(
        &mut text,
        &format!("addresses = [{}]", addresses.join(", ")),
    );
    line(&mut text, "\n[source]\nkind = \"dump\"");
    pair(&mut text, "file", DUMP);
    for part in &made.filtered {
        line(&mut text, "\n[[source.filtered]]");
        pair(&mut text, "table", &part.table);
        pair(&mut text, "file", &part.file.display().to_string());
        pair(&mut text, "where", &part.condition);
        let columns: Vec<String> = part.columns.iter().map(|column| quoted(column)).collect();
        line(&mut text, &format!("columns = [{}]", columns.join(", ")));
    }
    settings(&mut text, made);
    line(
        &mut text,
        "\n# Tables with their rows, as the planner had them, and bytes without indexes:",
    );
    for (table, taken) in made.tables.iter().filter(|(table, _)| table.bytes > 0) {
        let how = match taken {
            Taken::Whole => "",
            Taken::Rows(_) => ", some of them",
            Taken::Empty => ", without them",
            Taken::Nothing => ", left out",
        };
        let rows = match table.rows {
            Some(rows) => rows.to_string(),
            None => "an unknown number of".to_owned(),
        };
        let name = table.shown().replace(char::is_control, " ");
        line(
            &mut text,
            &format!("# {name}: {rows} rows{how}, {} bytes", table.bytes),
        );
    }
    text
}

/// What the source's database and roles set; the server's own settings are in a file beside.
fn settings(text: &mut String, made: &Made<'_>) {
    let mut table = |name: String, settings: &Settings| {
        line(text, &format!("\n[{name}]"));
        for (name, value) in settings {
            line(text, &format!("{} = {}", quoted(name), quoted(value)));
        }
    };
    if !made.settings.database.is_empty() {
        table("database_settings".to_owned(), &made.settings.database);
    }
    for (role, own) in &made.settings.roles {
        table(format!("roles.{}.settings", quoted(role)), own);
    }
}

fn line(text: &mut String, words: &str) {
    // Into a string it cannot fail.
    let _ = writeln!(text, "{words}");
}

fn pair(text: &mut String, key: &str, value: &str) {
    line(text, &format!("{key} = {}", quoted(value)));
}

/// A basic string of TOML.
fn quoted(value: &str) -> String {
    let mut text = String::from('"');
    for letter in value.chars() {
        match letter {
            '"' | '\\' => {
                text.push('\\');
                text.push(letter);
            }
            '\n' => text.push_str("\\n"),
            '\t' => text.push_str("\\t"),
            _ if letter.is_control() => {
                let _ = write!(text, "\\u{:04X}", u32::from(letter));
            }
            _ => text.push(letter),
        }
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn any_text_is_read_as_it_was_written(text in ".*") {
            let written = format!("a = {}", quoted(&text));
            let table: toml::Table = written.parse().expect("a table");
            assert_eq!(table["a"].as_str(), Some(&*text));
        }
    }
}
