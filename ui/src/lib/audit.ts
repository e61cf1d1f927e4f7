// SPDX-License-Identifier: Apache-2.0
// Entries of the audit chain in words. Their kinds are an open set: what is not known here is shown as it stands.
import type { AuditEntry } from "../api/types";

const NUMBER = ["seq", "n", "number", "entry"];
const WHO = ["by", "who", "actor", "subject"];
/** What has a column of its own, or is of use to a machine only. */
const ELSEWHERE = new Set([
  ...NUMBER,
  ...WHO,
  "time",
  "kind",
  "prev",
  "prev_hash",
  "hash",
  "v",
  "version",
  "sealed",
  "commitment",
]);

export function auditNumber(entry: AuditEntry): string {
  const name = NUMBER.find((one) => typeof entry[one] === "number");
  return name ? String(entry[name]) : "";
}

export function auditWho(entry: AuditEntry): string {
  const name = WHO.find((one) => entry[one] !== undefined && entry[one] !== null);
  return name ? plain(entry[name]) : "";
}

export function auditDetail(entry: AuditEntry): string {
  return Object.entries(entry)
    .filter(([name, value]) => !ELSEWHERE.has(name) && value !== null && value !== "")
    .map(([name, value]) => `${name.replaceAll("_", " ")}: ${plain(value)}`)
    .join(" · ");
}

function plain(value: unknown): string {
  if (typeof value === "string") return value;
  if (Array.isArray(value)) return value.map(plain).join(", ");
  if (value !== null && typeof value === "object") {
    const facts = Object.entries(value).map(([name, inner]) => `${name} ${plain(inner)}`);
    return facts.join(", ");
  }
  return String(value);
}
