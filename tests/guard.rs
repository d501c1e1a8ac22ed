//! A busy neighbour of a whole run is seen and named in its report.

mod support;

use std::fs;
use std::os::unix::fs::symlink;
use std::process::{Child, Command, Stdio};

use support::{House, tiny_bench};

/// Processes that do nothing but use a processor each, ended with the test.
struct Neighbours(Vec<Child>);

impl Neighbours {
    fn start(house: &House, name: &str, n: usize) -> Self {
        let shell = house.folder.join(name);
        symlink("/bin/sh", &shell).expect("a folder of our own");
        let start = || {
            let mut command = Command::new(&shell);
            command.args(["-c", "while :; do :; done"]).stdin(Stdio::null());
            command.spawn().expect("there is a shell")
        };
        Self((0..n).map(|_| start()).collect())
    }
}

impl Drop for Neighbours {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[test]
#[ignore = "keeps every processor busy for seconds"]
fn busy_neighbours_are_named_in_the_report_and_their_blocks_are_left_out() {
    let house = House::new();
    let requests = "{warmup: 0, min: 1, max: 10000, min_time: 700ms}";
    let spec = house.folder.write("t.yaml", tiny_bench("noisy", 3, requests));
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let neighbours = Neighbours::start(&house, "neighbour", cores);
    house.run(&spec).expect(0);
    drop(neighbours);
    let run = house.runs().pop().expect("one run");
    let folder = house.out().join("noisy").join(&run);
    let record: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(folder.join("record.json")).unwrap()).unwrap();
    let disturbed = record["cells"][0]["disturbed"].as_array().expect("disturbed blocks");
    assert!(!disturbed.is_empty());
    let report = fs::read_to_string(folder.join("report.md")).unwrap();
    let conditions = report.split("## Conditions").nth(1).expect("a section");
    println!("{}", conditions.split("## ").next().unwrap_or_default());
    assert!(conditions.contains("neighbour (pid "), "{conditions}");
    assert!(report.contains("noisy") || report.contains("left out"));
}
