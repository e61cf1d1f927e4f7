fn main() {
    let t = std::time::Instant::now();
    let r = lictor_bpf::Sensor::start(&lictor_bpf::Options { pins: "/sys/fs/bpf/lictor".into(), cells: 1 << 20 });
    match r { Ok(s) => println!("OK {} programs, skipped {:?} in {:?}", s.hooks().len(), s.skipped(), t.elapsed()),
      Err(lictor_bpf::Error::Refused{cause, log, ..}) => { let n=log.len(); println!("FAIL {cause} {}\n...{}", &log[..n.min(300)], &log[n.saturating_sub(5000)..]) }
      Err(e) => println!("FAIL {e}") }
}
