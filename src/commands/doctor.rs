//! `lockproof doctor`: what there is to run on, and what to do about what is missing.

use lockproof::exit_code::ExitCode;
use lockproof::report::text;
use lockproof::stage::docker::Docker;
use lockproof::stage::enclosure::Enclosure;
use lockproof::stage::local::{Account, binaries};
use lockproof::stage::provider::DEFAULT_MAJOR;
use lockproof::{Result, cli, config, stage};

use crate::terminal::{Screen, print};

/// One thing that was looked at.
struct Check {
    good: bool,
    what: String,
    /// The way out; empty when all is well.
    help: String,
}

/// Looks and prints; 3 when there is nothing to run on.
pub async fn doctor(arguments: &cli::Doctor, screen: &Screen) -> Result<ExitCode> {
    let engine = engine().await;
    let servers = servers();
    let network = network();
    let cache = cache(arguments).await?;
    let can_run = engine.iter().all(|check| check.good) || servers.iter().all(|check| check.good);
    screen.finish();
    let all = engine
        .iter()
        .chain(&servers)
        .chain([&network])
        .chain(&cache);
    for check in all {
        let mark = if check.good { "ok      " } else { "missing " };
        print(&format!("{mark}{}\n", check.what))?;
        if !check.help.is_empty() {
            print(&format!("        help: {}\n", check.help))?;
        }
    }
    print(if can_run {
        "there is a stage to run on\n"
    } else {
        "there is no stage to run on: mend one of the above\n"
    })?;
    Ok(if can_run {
        ExitCode::Within
    } else {
        ExitCode::Stage
    })
}

async fn engine() -> Vec<Check> {
    let docker = match Docker::connect().await {
        Ok(docker) => docker,
        Err(error) => {
            return vec![Check {
                good: false,
                what: format!("container engine: {error}"),
                help: "start Docker or Podman, or set DOCKER_HOST to its socket".to_owned(),
            }];
        }
    };
    let mut checks = Vec::new();
    checks.push(match docker.describe().await {
        Ok(info) => Check {
            good: true,
            what: format!(
                "container engine: {} {}, API {}, at {}",
                info.name, info.version, info.api_version, info.host
            ),
            help: String::new(),
        },
        Err(error) => Check {
            good: false,
            what: format!("container engine: {error}"),
            help: "see whether the engine's daemon is well".to_owned(),
        },
    });
    let mut images = Vec::new();
    for major in lockproof::pg::OLDEST_MAJOR..=lockproof::pg::NEWEST_MAJOR {
        for image in [
            format!("postgres:{major}"),
            format!("lockproof/postgres:{major}"),
        ] {
            if docker.has_image(&image).await.unwrap_or(false) {
                images.push(image);
            }
        }
    }
    checks.push(Check {
        good: !images.is_empty(),
        what: if images.is_empty() {
            "images: none of PostgreSQL".to_owned()
        } else {
            format!("images: {}", images.join(", "))
        },
        help: if images.is_empty() {
            format!(
                "`docker pull postgres:{DEFAULT_MAJOR}`, or `make image PG={DEFAULT_MAJOR}` in \
                 lockproof's source where no registry is reached"
            )
        } else {
            String::new()
        },
    });
    checks
}

fn servers() -> Vec<Check> {
    let search = binaries::find(None);
    let mut checks = Vec::new();
    match search.choose(None) {
        Ok(newest) => checks.extend(search.installations.iter().map(|found| {
            let taken = if found == newest {
                "taken unless the snapshot or --pg says otherwise".to_owned()
            } else if found.major < binaries::OLDEST_MAJOR {
                format!("too old, the oldest is {}", binaries::OLDEST_MAJOR)
            } else if search
                .choose(Some(found.major))
                .is_ok_and(|first| first == found)
            {
                format!("taken by --pg {}", found.major)
            } else {
                // Of one major the newest is taken.
                "taken by --pg-bin with its folder".to_owned()
            };
            Check {
                good: true,
                what: format!(
                    "server programs: PostgreSQL {} in {}, {taken}",
                    found.version,
                    found.bin_dir.display()
                ),
                help: String::new(),
            }
        })),
        Err(error) => checks.push(Check {
            good: false,
            what: format!("server programs: {error}"),
            help: "install PostgreSQL's server package, or name its folder with --pg-bin"
                .to_owned(),
        }),
    }
    match Account::choose(None) {
        Ok(account) => checks.push(Check {
            good: true,
            what: format!("account of a local server: {}", account.name()),
            help: String::new(),
        }),
        Err(error) => checks.push(Check {
            good: false,
            what: format!("account of a local server: {error}"),
            help: "run as an ordinary user, or add the user `postgres`".to_owned(),
        }),
    }
    checks
}

/// Whether a local server and the programs of steps can be kept from the network.
fn network() -> Check {
    match Enclosure::possible() {
        Ok(()) => Check {
            good: true,
            what: "network: local servers and the programs of steps reach the stage and nothing else".to_owned(),
            help: String::new(),
        },
        Err(why) => Check {
            good: false,
            what: format!("network: local servers and the programs of steps reach it all: {why}"),
            help: "run as root, or allow user namespaces (`sysctl user.max_user_namespaces`, and on Ubuntu \
                   `kernel.apparmor_restrict_unprivileged_userns=0`); a server in a container has no network in any case"
                .to_owned(),
        },
    }
}

async fn cache(arguments: &cli::Doctor) -> Result<Vec<Check>> {
    let folder = config::cache(arguments.cache.folder.as_deref())?;
    // Its nearest parent that is there decides whether it can be made.
    let present = folder
        .ancestors()
        .find(|parent| parent.exists())
        .unwrap_or(&folder);
    let writable = nix::unistd::access(present, nix::unistd::AccessFlags::W_OK).is_ok();
    let engine = Docker::connect().await.ok();
    // What an engine has is a part of it; one that is unwell has its own line.
    let cached = match stage::cache::list(&folder, engine.as_ref()).await {
        Ok(cached) => cached,
        Err(_) => stage::cache::list(&folder, None).await?,
    };
    let bytes = cached.iter().filter_map(|cached| cached.bytes).sum();
    let free = stage::local::free(present).map_or_else(String::new, |free| {
        format!(", {} free on its disk", text::bytes(free))
    });
    Ok(vec![Check {
        good: writable,
        what: format!(
            "cache folder: {}{free}; snapshots restored there and in containers: {}, {}",
            folder.display(),
            cached.len(),
            text::bytes(bytes)
        ),
        help: if writable {
            String::new()
        } else {
            "choose a writable one with --cache".to_owned()
        },
    }])
}
