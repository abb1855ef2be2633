//! `${stage.host}` and its kin in a program's arguments and environment: put in when the program is started, so that a
//! password stands nowhere else.

use super::{Endpoint, Host};

/// What stands behind `stage.`.
pub const NAMES: [&str; 6] = ["host", "port", "user", "password", "database", "url"];

/// What nothing can be put in for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lacking {
    /// The server is reached by a Unix socket alone.
    Host,
    /// There is no such name.
    Unknown,
}

/// The names that a text has behind `${stage.`, right or wrong; spaces and capitals are mistakes, and nothing else is
/// meant by them.
pub fn names(text: &str) -> impl Iterator<Item = &str> {
    text.match_indices("${").filter_map(|(start, opening)| {
        let inside = text[start + opening.len()..].split_once('}')?.0;
        let (stage, name) = inside.split_once('.')?;
        stage.trim().eq_ignore_ascii_case("stage").then_some(name)
    })
}

/// Whether a text uses one of these names.
pub fn uses(text: &str, wanted: &[&str]) -> bool {
    names(text).any(|name| wanted.contains(&name))
}

impl Endpoint {
    /// The text with what it asks for; nothing that was put in is looked into again.
    ///
    /// # Errors
    /// For what there is not.
    pub fn fill(&self, text: &str) -> Result<String, Lacking> {
        let mut filled = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once("${stage.") {
            let Some((name, after)) = behind.split_once('}') else {
                break;
            };
            filled.push_str(before);
            filled.push_str(&self.part(name)?);
            rest = after;
        }
        filled.push_str(rest);
        Ok(filled)
    }

    fn part(&self, name: &str) -> Result<String, Lacking> {
        Ok(match name {
            "host" => match (self.link.address, &self.host) {
                // The host's name may lead elsewhere for those who do not know of the address.
                (Some(address), _) => address.to_string(),
                (None, Host::Tcp(host)) => host.clone(),
                (None, Host::Unix(_)) => return Err(Lacking::Host),
            },
            "port" => self.port.to_string(),
            "user" => self.user.clone(),
            "password" => {
                let password = self.password.as_ref();
                password.map_or_else(String::new, |secret| secret.reveal().to_owned())
            }
            "database" => self.database.clone(),
            "url" => self.url().reveal().to_owned(),
            _ => return Err(Lacking::Unknown),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::{Link, Secret};

    fn endpoint(host: Host) -> Endpoint {
        Endpoint {
            host,
            port: 5433,
            user: "app".into(),
            password: Some(Secret::new("${stage.port}")),
            database: "shop".into(),
            link: Link::default(),
        }
    }

    #[test]
    fn what_is_asked_for_is_put_in_once() {
        let endpoint = endpoint(Host::Tcp("127.0.0.1".into()));
        let text = "h=${stage.host} p=${stage.port} ${stage.user}:${stage.password} ${stage.database} $1 ${x} ${stage.";
        let filled = "h=127.0.0.1 p=5433 app:${stage.port} shop $1 ${x} ${stage.";
        assert_eq!(endpoint.fill(text).as_deref(), Ok(filled));
        let url = endpoint.fill("${stage.url}").expect("a URL");
        assert!(url.starts_with("postgresql://app:"), "{url}");
        assert_eq!(endpoint.fill("${stage.hots}"), Err(Lacking::Unknown));
    }

    #[test]
    fn a_socket_is_no_host() {
        let mut endpoint = endpoint(Host::Unix("/run/x".into()));
        assert_eq!(endpoint.fill("${stage.host}"), Err(Lacking::Host));
        assert_eq!(endpoint.fill("${stage.port}").as_deref(), Ok("5433"));
        endpoint.link.address = Some([192, 0, 2, 7].into());
        assert_eq!(endpoint.fill("${stage.host}").as_deref(), Ok("192.0.2.7"));
    }

    #[test]
    fn names_are_found_right_or_wrong() {
        let found: Vec<&str> =
            names("${stage.host}${STAGE.port} ${ stage.x } ${stage} ${a.b} ${stage.").collect();
        assert_eq!(found, ["host", "port", "x "]);
    }
}
