//! The kernel's texts as numbers. Pure: the callers read the files.

use std::collections::BTreeSet;

/// Ticks of the processors in `allowed` from `/proc/stat`: (doing something for anybody, stolen).
///
/// Guests are part of `user` there, and waiting for a disk is idle time.
pub fn processor_ticks(stat: &str, allowed: &BTreeSet<usize>) -> Option<(u64, u64)> {
    let (mut busy, mut steal, mut seen) = (0_u64, 0_u64, 0);
    for line in stat.lines().take_while(|line| line.starts_with("cpu")) {
        let mut fields = line.split_ascii_whitespace();
        let Some(number) = fields.next().and_then(|name| name[3..].parse::<usize>().ok()) else {
            continue;
        };
        if !allowed.contains(&number) {
            continue;
        }
        // user nice system idle iowait irq softirq steal guest guest_nice
        let ticks: Vec<u64> = fields.filter_map(|field| field.parse().ok()).collect();
        let [user, nice, system, _idle, _waiting, irq, soft, stolen, ..] = ticks[..] else {
            return None;
        };
        busy += user + nice + system + irq + soft;
        steal += stolen;
        seen += 1;
    }
    (seen > 0).then_some((busy, steal))
}

/// Microseconds of `some` in a file of `/proc/pressure`.
pub fn pressure_total(text: &str) -> Option<u64> {
    let some = text.lines().find_map(|line| line.strip_prefix("some "))?;
    some.split_ascii_whitespace().find_map(|field| field.strip_prefix("total="))?.parse().ok()
}

/// The number after `name` in a file of lines `name number`.
pub fn counter(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(' ')?;
        (key == name).then(|| value.trim().parse().ok())?
    })
}

/// Folders below the root of the control groups by which `controller`, such as `cpu`, holds this
/// process, its own group first and the groups around it after it. `text` is `/proc/self/cgroup`.
pub fn groups(text: &str, controller: &str) -> Vec<String> {
    let lines: Vec<(&str, &str)> = text
        .lines()
        .filter_map(|line| {
            let (_, rest) = line.split_once(':')?;
            rest.split_once(':')
        })
        .collect();
    let of = |wanted: &dyn Fn(&str) -> bool| lines.iter().find(|(names, _)| wanted(names));
    // Version 1 mounts its controllers by name, version 2 all of them at the root.
    let (mount, path) = match of(&|names| names.split(',').any(|name| name == controller)) {
        Some((_, path)) => (format!("{controller}/"), *path),
        None => match of(&str::is_empty) {
            Some((_, path)) => (String::new(), *path),
            None => return Vec::new(),
        },
    };
    // A path that leads out of the namespace cannot be followed.
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    if parts.contains(&"..") {
        return vec![mount];
    }
    (0..=parts.len()).rev().map(|n| format!("{mount}{}", parts[..n].join("/"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "cpu  300 30 60 5000 12 3 6 9 100 0\n\
                        cpu0 100 10 20 2500 6 1 2 4 50 0\n\
                        cpu1 200 20 40 2500 6 2 4 5 50 0\n\
                        intr 24428177 0 0\nctxt 9\n";

    #[test]
    fn ticks_are_those_of_the_processors_that_are_allowed() {
        let of = |cpus: &[usize]| processor_ticks(STAT, &cpus.iter().copied().collect());
        assert_eq!(of(&[0]), Some((133, 4)));
        assert_eq!(of(&[0, 1]), Some((399, 9)));
        assert_eq!(of(&[7]), None);
        assert_eq!(processor_ticks("cpu0 1 2\n", &BTreeSet::from([0])), None);
    }

    #[test]
    fn counters_are_found_by_their_whole_name() {
        let text = "some avg10=1.65 avg60=1.50 avg300=4.85 total=4760175215\nfull avg10=0 total=7";
        assert_eq!(pressure_total(text), Some(4_760_175_215));
        assert_eq!(pressure_total("full avg10=0 total=7"), None);
        assert_eq!(counter("pswpin 3\npswpinx 9\n", "pswpin"), Some(3));
        assert_eq!(counter("nr_throttled 12", "throttled"), None);
    }

    #[test]
    fn a_process_is_throttled_by_its_group_and_the_groups_around_it() {
        let second = "0::/user.slice/run-1.scope\n";
        let around = ["user.slice/run-1.scope", "user.slice", ""];
        assert_eq!(groups(second, "cpu"), around);
        let first = "9:name=systemd:/\n4:memory:/jobs/7\n2:cpu,cpuacct:/jobs\n0::/\n";
        assert_eq!(groups(first, "cpu"), ["cpu/jobs", "cpu/"]);
        assert_eq!(groups("0::/../../other\n", "cpu"), [""]);
        assert!(groups("", "cpu").is_empty());
    }
}
