// SPDX-License-Identifier: Apache-2.0
//! The web pages are embedded when they have been built (`make ui`); a build without them is whole, too.

fn main() {
    println!("cargo::rerun-if-changed=../../ui/dist");
}
