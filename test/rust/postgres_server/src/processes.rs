//! The processes of a server. Each of its children leads a session of its own, so a signal to a
//! process group does not reach them.

use std::process::Command;

/// Sends a signal to a process and its children, which are asked for after the parent has it, so that
/// it starts no further ones.
pub(crate) fn signal(parent: u32, signal: &str) {
    let before = children(parent);
    send(signal, &[parent]);
    let mut after = children(parent);
    after.extend(before);
    after.sort_unstable();
    after.dedup();
    if !after.is_empty() {
        send(signal, &after);
    }
}

fn send(signal: &str, processes: &[u32]) {
    let mut kill = Command::new("kill");
    kill.arg(format!("-{signal}")).args(processes.iter().map(ToString::to_string));
    // A process that has ended meanwhile is no error.
    drop(kill.stderr(std::process::Stdio::null()).status());
}

fn children(parent: u32) -> Vec<u32> {
    let listed = Command::new("ps").args(["-o", "pid=", "--ppid", &parent.to_string()]).output();
    let text = listed.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let text = text.unwrap_or_default();
    text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}
