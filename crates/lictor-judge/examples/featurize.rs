// SPDX-License-Identifier: Apache-2.0
//! Turns executions into the model's inputs, for training: the model and the daemon have one featuriser.
//!
//! Reads JSON Lines with `cmd` (a shell line) or `args` (an execution); writes for each, in order, little-endian:
//! the number of windows (u32), then for each window [`DENSE`] f32, the number of hashed features (u32), their indices
//! (u32) and values (f32). `featurize --shape` prints the sizes and the dense names as JSON.

use std::io::{self, BufRead, BufWriter, Write};

use lictor_judge::classifier::features::{DENSE, SPARSE, dense_names, fingerprint};
use lictor_judge::classifier::{Execution, featurize};
use serde::Deserialize;

#[derive(Deserialize)]
struct Row {
    #[serde(default)]
    cmd: Option<String>,
    #[serde(default)]
    args: Option<Vec<String>>,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut out = BufWriter::with_capacity(1 << 20, io::stdout().lock());
    if std::env::args().nth(1).as_deref() == Some("--shape") {
        serde_json::to_writer(
            &mut out,
            &serde_json::json!({"dense": DENSE, "sparse": SPARSE, "names": dense_names(), "features": fingerprint()}),
        )?;
        return Ok(out.flush()?);
    }
    for (number, line) in io::stdin().lock().lines().enumerate() {
        let row: Row = serde_json::from_str(&line?).map_err(|error| format!("line {}: {error}", number + 1))?;
        let execution = match (row.args, row.cmd) {
            (Some(args), _) => Execution { args, ..Execution::default() },
            (None, Some(cmd)) => Execution::line(&cmd),
            (None, None) => return Err(format!("line {}: neither `cmd` nor `args`", number + 1).into()),
        };
        let windows = featurize(&execution);
        out.write_all(&u32::try_from(windows.len())?.to_le_bytes())?;
        for window in windows {
            for number in &window.dense {
                out.write_all(&number.to_le_bytes())?;
            }
            out.write_all(&u32::try_from(window.sparse.len())?.to_le_bytes())?;
            for (index, _) in &window.sparse {
                out.write_all(&index.to_le_bytes())?;
            }
            for (_, value) in &window.sparse {
                out.write_all(&value.to_le_bytes())?;
            }
        }
    }
    Ok(out.flush()?)
}
