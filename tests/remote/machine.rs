//! Another machine, as far as a network namespace is one: its loopback is not ours, and one cable leads here.

use std::process::Command;

use crate::support::output;

/// Removed with its cable at the end of the test.
pub struct Machine {
    name: String,
    /// This machine's end of the cable.
    pub here: String,
}

impl Machine {
    /// None: not root, or no `ip`.
    pub fn new() -> Option<Self> {
        if !nix::unistd::Uid::effective().is_root() {
            crate::support::skipped("only root can make a network namespace");
            return None;
        }
        if !crate::has_program("ip", "-V") {
            return None;
        }
        let number: u16 = rand::random();
        let name = format!("lockproof-{number:04x}");
        // Of the block for tests between networks.
        let net = format!("198.18.{}.", number >> 8);
        let quad = (number & 0x3f) * 4;
        let (here, there) = (format!("{net}{}", quad + 1), format!("{net}{}", quad + 2));
        let (near, far) = (format!("lpn{number:04x}"), format!("lpf{number:04x}"));
        output("ip", &["netns", "add", &name]);
        let machine = Self {
            name: name.clone(),
            here: here.clone(),
        };
        let ip = |words: &[&str]| output("ip", words);
        ip(&[
            "link", "add", &near, "type", "veth", "peer", "name", &far, "netns", &name,
        ]);
        ip(&["addr", "add", &format!("{here}/30"), "dev", &near]);
        ip(&["link", "set", &near, "up"]);
        ip(&[
            "-n",
            &name,
            "addr",
            "add",
            &format!("{there}/30"),
            "dev",
            &far,
        ]);
        ip(&["-n", &name, "link", "set", &far, "up"]);
        ip(&["-n", &name, "link", "set", "lo", "up"]);
        Some(machine)
    }

    /// The same command there: another network, another name, other processes.
    pub fn run(&self, command: &Command) -> Command {
        let mut there = Command::new("ip");
        there.args([
            "netns", "exec", &self.name, "unshare", "--uts", "--pid", "--fork",
        ]);
        there.args(["--mount-proc", "--kill-child", "sh", "-c"]);
        there.args(["hostname far && exec \"$@\"", "sh"]);
        there.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => there.env(name, value),
                None => there.env_remove(name),
            };
        }
        if let Some(folder) = command.get_current_dir() {
            there.current_dir(folder);
        }
        there
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Takes its end of the cable along, and so the other one.
        let _ = Command::new("ip")
            .args(["netns", "del", &self.name])
            .output();
    }
}
