// SPDX-License-Identifier: Apache-2.0
/** The pages in the order of the menu, each with the second key of its shortcut (`g o`). */
export const PAGES = [
  { to: "/", title: "Overview", icon: "overview", key: "o" },
  { to: "/live", title: "Live", icon: "live", key: "l" },
  { to: "/sessions", title: "Sessions", icon: "sessions", key: "s" },
  { to: "/alerts", title: "Alerts", icon: "alerts", key: "a" },
  { to: "/investigate", title: "Investigate", icon: "investigate", key: "i" },
  { to: "/rules", title: "Rules", icon: "rules", key: "r" },
  { to: "/policies", title: "Policies", icon: "policies", key: "p" },
  { to: "/verdicts", title: "Verdicts", icon: "verdicts", key: "v" },
  { to: "/audit", title: "Audit", icon: "audit", key: "u" },
  { to: "/settings", title: "Settings and health", icon: "settings", key: "h" },
] as const;
