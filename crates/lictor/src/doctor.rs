// SPDX-License-Identifier: Apache-2.0
//! `lictor doctor`: each thing this host must have, and the exact step that mends what is missing.

use crate::cli::DoctorArgs;
use crate::output::{self, Cell};
use serde::Serialize;
use std::collections::BTreeSet;
use std::io::{self, Read as _, Write};
use std::path::Path;
use std::process::ExitCode;

/// Options a kernel must be built with. What they are for is said when one is missing.
const KERNEL_OPTIONS: &[(&str, &str)] = &[
    ("CONFIG_BPF_SYSCALL", "loads programs"),
    ("CONFIG_BPF_JIT", "LSM programs run compiled only"),
    ("CONFIG_BPF_LSM", "lets programs deny"),
    ("CONFIG_CGROUP_BPF", "network addresses"),
    ("CONFIG_DEBUG_INFO_BTF", "the kernel's types"),
    ("CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS", "attaches LSM programs"),
    ("CONFIG_SECURITY_NETWORK", "hooks on sockets"),
    ("CONFIG_SECURITY_PATH", "hooks on names"),
];

#[derive(Debug, Serialize)]
struct Report {
    can_enforce: bool,
    checks: Vec<Check>,
}

#[derive(Debug, Serialize)]
struct Check {
    name: String,
    ok: bool,
    /// Without it nothing is enforced; the others only say what is done another way.
    required: bool,
    detail: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    fix: String,
}

pub(crate) fn run(args: &DoctorArgs, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    let required = lictor_bpf::features::check().into_iter().map(|check| Check {
        name: check.name.to_owned(),
        ok: check.ok,
        required: true,
        detail: check.detail,
        fix: check.fix,
    });
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let boot_config = format!("/boot/config-{}", release.trim());
    let (config, text) = kernel_config(&[Path::new(&boot_config), Path::new("/proc/config.gz")]);
    let checks = required.chain([kernel_options(&config, text), ima(Path::new("/sys/kernel/security/ima").is_dir())]);
    let checks: Vec<Check> = checks.collect();
    let report = Report { can_enforce: checks.iter().all(|check| check.ok || !check.required), checks };
    if args.json {
        serde_json::to_writer(&mut *out, &report).map_err(io::Error::from)?;
        writeln!(out)?;
    } else {
        print(out, &report)?;
    }
    Ok(if report.can_enforce { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// More than any kernel's options take; what is longer is something else.
const CONFIG_MAX: u64 = 16 << 20;

/// The first of the files that is there, unpacked when its name says that it is packed; with the first one's error when
/// there is none.
fn kernel_config(paths: &[&Path]) -> (String, io::Result<String>) {
    let mut missing = None;
    for path in paths {
        let file = match std::fs::File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                missing.get_or_insert((path.display().to_string(), Err(error)));
                continue;
            }
            file => file,
        };
        let text = file.and_then(|file| {
            let mut text = String::new();
            if path.extension().is_some_and(|extension| extension == "gz") {
                flate2::read::GzDecoder::new(file).take(CONFIG_MAX).read_to_string(&mut text)?;
            } else {
                file.take(CONFIG_MAX).read_to_string(&mut text)?;
            }
            Ok(text)
        });
        return (path.display().to_string(), text);
    }
    missing.unwrap_or_else(|| ("the kernel's options".into(), Err(io::ErrorKind::NotFound.into())))
}

/// A kernel's build options, where they can be read. They only explain what other checks find: what
/// counts is what the running kernel does.
fn kernel_options(path: &str, text: io::Result<String>) -> Check {
    let check =
        |ok, detail, fix: &str| Check { name: "config".into(), ok, required: false, detail, fix: fix.to_owned() };
    let text = match text {
        Ok(text) => text,
        Err(error) => return check(true, format!("not looked at: {path}: {error}"), ""),
    };
    let set: BTreeSet<&str> = text.lines().filter_map(|line| line.strip_suffix("=y")).collect();
    let missing: Vec<String> = KERNEL_OPTIONS
        .iter()
        .filter(|(option, _)| !set.contains(option))
        .map(|(option, purpose)| format!("{option} ({purpose})"))
        .collect();
    if missing.is_empty() {
        check(true, format!("{path} has every option"), "")
    } else {
        check(
            false,
            format!("{path} lacks {}", missing.join(", ")),
            "use your distribution's standard kernel, or build one with them",
        )
    }
}

fn ima(active: bool) -> Check {
    let (detail, fix) = if active {
        ("content hashes come from the kernel", "")
    } else {
        (
            "not active: an agent whose exec lists name `sha256:` contents can start no program",
            "to use such lists, boot a kernel with CONFIG_IMA=y",
        )
    };
    Check { name: "ima".into(), ok: active, required: false, detail: detail.into(), fix: fix.into() }
}

fn print(out: &mut impl Write, report: &Report) -> io::Result<()> {
    let width = report.checks.iter().map(|check| check.name.len()).max().unwrap_or(0);
    for check in &report.checks {
        let (word, style) = match (check.ok, check.required) {
            (true, _) => ("ok", output::GOOD),
            (false, true) => ("missing", output::BAD),
            (false, false) => ("without", output::WARN),
        };
        output::row(out, &[7, width], &[Cell::styled(word, style), Cell::new(&check.name), Cell::new(&check.detail)])?;
        if !check.fix.is_empty() {
            output::row(out, &[7, width], &[Cell::new(""), Cell::new(""), Cell::new(format!("-> {}", check.fix))])?;
        }
    }
    writeln!(out)?;
    if report.can_enforce {
        writeln!(out, "{}This host can enforce.{}", output::GOOD, output::GOOD.render_reset())
    } else {
        let missing = report.checks.iter().filter(|check| check.required && !check.ok).map(|check| check.name.as_str());
        let missing = missing.collect::<Vec<_>>().join(", ");
        writeln!(out, "{}This host cannot enforce:{} mend {missing}.", output::BAD, output::BAD.render_reset())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_comes_with_its_step() {
        let check = |name: &str, ok: bool, required: bool| Check {
            name: name.into(),
            ok,
            required,
            detail: "as found".into(),
            fix: if ok { String::new() } else { "do this".into() },
        };
        let mut report = Report {
            can_enforce: false,
            checks: vec![check("kernel", true, true), check("bpf-lsm", false, true), ima(true)],
        };
        assert_eq!(
            output::plain(|out| print(out, &report).unwrap()),
            "\
ok       kernel   as found
missing  bpf-lsm  as found
                  -> do this
ok       ima      content hashes come from the kernel

This host cannot enforce: mend bpf-lsm.
"
        );
        report.checks.remove(1);
        report.can_enforce = true;
        assert!(output::plain(|out| print(out, &report).unwrap()).ends_with("This host can enforce.\n"));
    }

    #[test]
    fn kernel_options_come_from_boot_or_packed_from_the_kernel() {
        let folder = tempfile::tempdir().unwrap();
        let (plain, packed) = (folder.path().join("config"), folder.path().join("config.gz"));
        let paths: [&Path; 2] = [&plain, &packed];
        let (name, text) = kernel_config(&paths);
        assert_eq!((name.as_str(), text.unwrap_err().kind()), (plain.to_str().unwrap(), io::ErrorKind::NotFound));

        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(b"CONFIG_BPF_LSM=y\n").unwrap();
        let bytes = encoder.finish().unwrap();
        std::fs::write(&packed, &bytes).unwrap();
        let (name, text) = kernel_config(&paths);
        assert_eq!((name.as_str(), text.unwrap().as_str()), (packed.to_str().unwrap(), "CONFIG_BPF_LSM=y\n"));

        std::fs::write(&packed, &bytes[..bytes.len() - 9]).unwrap();
        assert!(kernel_config(&paths).1.is_err(), "cut short");
        std::fs::write(&plain, "plain").unwrap();
        assert_eq!(kernel_config(&paths).1.unwrap(), "plain");
    }

    #[test]
    fn kernel_options_are_read_exactly() {
        let all: String = KERNEL_OPTIONS.iter().map(|(option, _)| format!("{option}=y\n")).collect();
        assert!(kernel_options("c", Ok(all.clone())).ok);
        let check = kernel_options("c", Ok(all.replace("CONFIG_BPF_LSM=y", "# CONFIG_BPF_LSM is not set")));
        assert!(!check.ok && !check.required);
        assert_eq!(check.detail, "c lacks CONFIG_BPF_LSM (lets programs deny)");
        assert!(kernel_options("c", Err(io::ErrorKind::NotFound.into())).detail.starts_with("not looked at: c: "));
    }
}
