// SPDX-License-Identifier: Apache-2.0
//! `lictor sinks`: how the sinks do.

use crate::cli::SinksArgs;
use crate::context::Context;
use crate::output::{self, Cell};
use lictor_api::alert::{SinkState, SinkStatus};
use std::io::{self, Write};
use std::process::ExitCode;

pub(crate) fn run(args: &SinksArgs, context: &Context, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    let sinks = context.connect()?.sinks()?;
    if args.json {
        serde_json::to_writer(&mut *out, &sinks).map_err(io::Error::from)?;
        writeln!(out)?;
    } else if sinks.is_empty() {
        eprintln!("lictor: there is no sink; name some below `sinks:` in lictord.yaml");
    } else {
        print(out, &sinks)?;
    }
    let all_work = sinks.iter().all(|sink| sink.state == SinkState::Working);
    Ok(if all_work { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print(out: &mut impl Write, sinks: &[SinkStatus]) -> io::Result<()> {
    let row = |sink: &SinkStatus| {
        let style = if sink.state == SinkState::Working { output::GOOD } else { output::BAD };
        vec![
            Cell::new(&sink.name),
            Cell::new(&sink.kind),
            Cell::styled(sink.state.as_str(), style),
            Cell::new(sink.sent.to_string()),
            Cell::new(sink.queue_depth.to_string()),
            Cell::new(sink.spilled.to_string()),
            Cell::new(sink.dropped.to_string()),
            Cell::new(sink.rejected.to_string()),
            Cell::new(output::short_duration(sink.lag_ms)),
            Cell::new(sink.last_error.as_deref().unwrap_or("-")),
        ]
    };
    let rows: Vec<Vec<Cell>> = sinks.iter().map(row).collect();
    let head = ["SINK", "TYPE", "STATE", "SENT", "WAITING", "SPILLED", "DROPPED", "REJECTED", "LAG", "LAST ERROR"];
    output::table(out, &head, &rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sink_that_fails_says_why() {
        let sink: SinkStatus = serde_json::from_str(
            r#"{"name":"team","kind":"webhook","state":"retrying","sent":4,"dropped":0,"rejected":1,"spilled":9,"queue_depth":9,
                "spill_bytes":100,"lag_ms":61000,"filter_faults":0,"last_error":"status 500"}"#,
        )
        .unwrap();
        assert_eq!(
            output::plain(|out| print(out, &[sink]).unwrap()),
            "SINK  TYPE     STATE     SENT  WAITING  SPILLED  DROPPED  REJECTED  LAG    LAST ERROR\n\
             team  webhook  retrying  4     9        9        0        1         1m 1s  status 500\n"
        );
    }
}
