// SPDX-License-Identifier: Apache-2.0
// Runs before the first paint, so that a page opened in the dark does not flash white. A file of its own: the server's
// content security policy permits no inline script.
try {
  const theme = localStorage.getItem("lictor-theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // Storage is switched off: the system's choice stays.
}
