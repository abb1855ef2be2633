//! What of a server's own configuration stays in force in a copy of its data folder.

use crate::config::carried::{Fate, Written, fate};
use crate::config::conf;
use crate::stage::Inherited;

/// They name what this machine need not have: locales, and memory set aside for the other server.
const OF_THE_MACHINE: [&str; 5] = [
    "lc_messages",
    "lc_monetary",
    "lc_numeric",
    "lc_time",
    "huge_pages",
];

/// Reads `postgresql.conf` and, behind it, `postgresql.auto.conf`: the last line of a setting counts.
///
/// What is included from elsewhere is not in the copy; it is named like a setting that stays behind.
pub(super) fn inherited(text: &str) -> Inherited {
    let mut inherited = Inherited::default();
    for line in text.lines() {
        if line.trim_start().starts_with("include") {
            inherited.left_out.insert("include".to_owned());
            continue;
        }
        // A line that cannot be read would have kept the other server from starting.
        for entry in conf::parse(line).unwrap_or_default() {
            let stays = !OF_THE_MACHINE.contains(&entry.name.as_str())
                && matches!(
                    fate(&entry.name, &entry.value, Written::InProduction),
                    Ok(Fate::Carried)
                );
            if stays {
                let value = entry.value.replace('\'', "''");
                inherited
                    .lines
                    .push_str(&format!("{} = '{value}'\n", entry.name));
            } else {
                inherited.left_out.insert(entry.name);
            }
        }
    }
    inherited
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_decides_verdicts_stays_and_what_reaches_out_does_not() {
        let inherited = inherited(
            "work_mem = 48MB  # a comment\nport = 5433\narchive_command = 'cp %p /prod'\n\
             include_dir = 'conf.d'\nfsync = off\nlc_messages = 'de_DE.UTF-8'\n\
             timezone = 'Europe/Berlin'\nprimary_conninfo = 'host=prod password=x'\n\
             work_mem = '64MB'\n",
        );
        assert_eq!(
            inherited.lines,
            "work_mem = '48MB'\ntimezone = 'Europe/Berlin'\nwork_mem = '64MB'\n"
        );
        let left_out: Vec<&str> = inherited.left_out.iter().map(String::as_str).collect();
        assert_eq!(
            left_out,
            [
                "archive_command",
                "fsync",
                "include",
                "lc_messages",
                "port",
                "primary_conninfo"
            ]
        );
    }
}
